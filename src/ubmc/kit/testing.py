"""A virtual clock for tests: an asyncio loop whose time jumps to the next timer when nothing else is to be done.

Sockets within the process (socket pairs, both ends served by this loop) work as always, because their bytes are there
at once. Whoever waits for another process or a worker thread says how much real time that may take before each jump.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_STUCK_SECONDS = 10.0


class _JumpingSelector(selectors.DefaultSelector):
    """Lets time jump instead of waiting."""

    def __init__(self, patience_seconds: float) -> None:
        super().__init__()
        self.now = 0.0
        self._patience_seconds = patience_seconds

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; if nothing is, time is `timeout` later."""
        if ready := super().select(0):
            return ready
        if timeout is None:
            if ready := super().select(_STUCK_SECONDS):
                return ready
            raise RuntimeError(f"no timer is set and nothing came for {_STUCK_SECONDS:.0f} real seconds: a deadlock")
        if timeout > 0 and self._patience_seconds > 0 and (ready := super().select(self._patience_seconds)):
            return ready
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on virtual time, which begins at 0.

    Args:
        patience_seconds: real seconds to wait for I/O before each jump; 0 if all I/O is within the process.
    """

    def __init__(self, patience_seconds: float = 0.0) -> None:
        self._jumping = _JumpingSelector(patience_seconds)
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now


def run_virtual(main: Coroutine[Any, Any, T], *, patience_seconds: float = 0.0) -> T:
    """Run a coroutine to its end on virtual time; as `asyncio.run`, but sleeping costs nothing."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(patience_seconds)) as runner:
        return runner.run(main)
