"""A countdown on the monotonic clock, such as the watchdog of a host."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable


class Countdown:
    """Calls back once when it is not stopped or started anew in time."""

    def __init__(self, expired: Callable[[], None]) -> None:
        """Make it, in the running event loop; it does not run yet."""
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        # Whoever starts it is not the one who acts when it expires.
        self._own_context = contextvars.copy_context()

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._timer is not None

    @property
    def remaining_seconds(self) -> float | None:
        """Until it expires; None if it does not run."""
        return None if self._timer is None else max(0.0, self._timer.when() - self._loop.time())

    def start(self, seconds: float) -> None:
        """Start it, or start it anew."""
        self.stop()
        self._timer = self._loop.call_later(seconds, self._expire, context=self._own_context)

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        self._expired()
