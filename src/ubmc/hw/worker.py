"""One thread for one wire: what may block in the kernel runs on it, in order, and holds nobody else up.

A call that hangs in the kernel cannot be ended. So the thread is a daemon that nobody joins: who waited goes away by
cancellation or deadline, the next call waits until the hanging one is over, and only so many may wait.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from ubmc.kit.errors import Unavailable

T = TypeVar("T")
_MOST_WAITING = 16


class _Job:
    """One call: the function, who waits for it, and whether anybody still does."""

    def __init__(self, function: Callable[[Callable[[], bool]], Any]) -> None:
        self.function = function
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.abandoned = False

    def run(self) -> None:
        """On the thread."""
        try:
            result, error = self.function(lambda: self.abandoned), None
        except Exception as raised:  # noqa: BLE001 - it is raised again where it is waited for
            result, error = None, raised
        try:
            self.loop.call_soon_threadsafe(self._settle, result, error)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _settle(self, result: object, error: Exception | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class Worker:
    """The thread of one wire. It starts with the first call; all methods belong to the event loop's thread."""

    def __init__(self, name: str) -> None:
        """Nothing runs yet.

        Args:
            name: the wire, for people and as the name of the thread.
        """
        self.name = name
        self._wake = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._running: _Job | None = None
        self._since = 0.0
        self._thread: threading.Thread | None = None
        self._closed = False

    async def call(self, function: Callable[[Callable[[], bool]], T], *, within_seconds: float) -> T:
        """Run a function on the thread, after those that came before.

        Args:
            function: gets another function that tells whether nobody waits any more; a long one asks it between steps.
            within_seconds: the deadline, waiting for others included.

        Raises:
            Unavailable: it is closed, too many wait, or the deadline passed; what runs then runs on.
        """
        job = _Job(function)
        with self._wake:
            if self._closed:
                raise Unavailable(f"{self.name} is closed")
            if len(self._jobs) >= _MOST_WAITING:
                raise Unavailable(f"{self._hanging()}; {len(self._jobs)} calls wait for it already")
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"wire-{self.name}"[:63], daemon=True)
                self._thread.start()
            self._wake.notify()
        try:
            done, _ = await asyncio.wait([job.future], timeout=within_seconds)
            if not done:
                raise Unavailable(self._hanging())
            return job.future.result()  # type: ignore[no-any-return]
        finally:
            self._abandon(job)

    def _hanging(self) -> str:
        since = self._since
        return f"{self.name} does not answer: a call hangs in the kernel for {max(time.monotonic() - since, 0):.1f} s"

    def _abandon(self, job: _Job) -> None:
        with self._wake:
            job.abandoned = True
            if job in self._jobs:
                self._jobs.remove(job)
        job.future.cancel()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return
                self._running, self._since = self._jobs.popleft(), time.monotonic()
                job = self._running
            job.run()
            with self._wake:
                self._running = None
            del job

    def close(self) -> None:
        """Give up: whoever waits gets `Unavailable`. A call that hangs is not waited for."""
        with self._wake:
            self._closed = True
            waiting = [*self._jobs, *([] if self._running is None else [self._running])]
            self._jobs.clear()
            self._wake.notify()
        for job in waiting:
            job.abandoned = True
            if not job.future.done():
                job.future.set_exception(Unavailable(f"{self.name} is closed"))
                job.future.exception()  # who waited and went does not leave it unlooked at
