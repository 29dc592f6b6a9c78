"""How long a host has had power, counted on the monotonic clock."""

from __future__ import annotations

import asyncio


class PowerClock:
    """Counts while power is on."""

    def __init__(self, seconds: float) -> None:
        """Make it, in the running event loop; `seconds` is what was counted before."""
        self._counted = seconds
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """All that was counted."""
        return self._counted + (0.0 if self._since is None else self._loop.time() - self._since)

    def see(self, *, is_on: bool) -> bool:
        """Power is on, or not (any more); whether that is new."""
        if is_on == (self._since is not None):
            return False
        self._counted = self.seconds
        self._since = self._loop.time() if is_on else None
        return True
