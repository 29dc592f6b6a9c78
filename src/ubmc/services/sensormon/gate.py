"""Whether a sensor can have a reading: its host has power, its unit is plugged. Pure."""

from __future__ import annotations

from enum import Enum


class Gating(Enum):
    """What may be made of a reading."""

    CLOSED = "closed"  # nothing: without power there is none
    SETTLING = "settling"  # it is shown; nothing is told of it
    OPEN = "open"


class Gate:
    """The power of one sensor.

    Power that cannot be read counts as on: a reading too many does no harm, a missing one may.

    Args:
        gated: it depends on something at all.
        settle_seconds: how long after power-on nothing is told.
        now: monotonic seconds.
    """

    def __init__(self, gated: bool, settle_seconds: float, now: float) -> None:
        self._gated = gated
        self._settle_seconds = settle_seconds
        self._opened: float | None = None
        self.since = now
        """Since when readings may be expected, in monotonic seconds."""

    def step(self, power: bool | None, now: float) -> Gating:
        """Look at the power as it is now."""
        if not self._gated:
            return Gating.OPEN
        if power is False:
            self._opened = None
            return Gating.CLOSED
        if self._opened is None:
            self._opened = self.since = now
        return Gating.SETTLING if now - self._opened < self._settle_seconds else Gating.OPEN
