"""One worker thread for one storage: what blocks in the kernel blocks nobody else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """Runs jobs one after the other.

    A caller may give up: the job then goes on, and the next caller waits for it.
    """

    def __init__(self, name: str) -> None:
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._turn = asyncio.Lock()
        self._running: asyncio.Future[Any] | None = None

    async def run(self, job: Callable[[], T]) -> T:
        """Run a job; raises what it raises."""
        async with self._turn:
            if self._running is not None and not self._running.done():
                await asyncio.wait({self._running})
            running = asyncio.get_running_loop().run_in_executor(self._threads, job)
            running.add_done_callback(_retrieve)
            self._running = running
            return await asyncio.shield(running)

    def close(self) -> None:
        """Take no more jobs; does not wait for one that hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _retrieve(done: asyncio.Future[Any]) -> None:
    """An error that nobody waits for any more is no news."""
    with contextlib.suppress(asyncio.CancelledError):
        done.exception()
