"""A plain loop over descriptors and timers: no event loop, no threads, nothing that can hang."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import selectors
import time
from collections.abc import Callable
from typing import Protocol


class HasDescriptor(Protocol):
    """Something with a descriptor."""

    def fileno(self) -> int:
        """The descriptor."""


class Loop:
    """Calls back when a descriptor can be read, or when a time has come."""

    def __init__(self) -> None:
        self._selector = selectors.EpollSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def watch(self, what: int | HasDescriptor, readable: Callable[[], None]) -> None:
        """Call `readable` whenever there is something to read."""
        self._selector.register(what, selectors.EVENT_READ, readable)

    def forget(self, what: int | HasDescriptor) -> None:
        """Watch it no more; does nothing if it is not watched."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(what)

    def drop(self, descriptor: int) -> None:
        """Watch it no more, and close it; below 0 there is nothing to drop."""
        if descriptor >= 0:
            self.forget(descriptor)
            os.close(descriptor)

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Call `what` in so many seconds."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), what))

    def turn(self) -> None:
        """Wait for the next thing that happens, and do all that is due."""
        now = time.monotonic()
        wait = max(0.0, self._timers[0][0] - now) if self._timers else None
        for key, _events in self._selector.select(wait):
            if self._selector.get_map().get(key.fd) is key:  # an earlier one of this turn may have ended it
                key.data()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def close(self) -> None:
        """Give the selector back."""
        self._selector.close()
