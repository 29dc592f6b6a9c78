"""The table of readings in memory: sensormon writes it, thermalmgr reads it, without the bus between them.

This is the one thing that services share without the schema: cooling must work while the bus is down. It lives in the
safety process alone; so does the power of the hosts (powermgr writes it), by which sensors are gated, and the trip
(thermalmgr pulls it, powermgr cuts the power).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum


class Quality(Enum):
    """How far a reading can be believed."""

    GOOD = "good"
    STALE = "stale"  # nothing new has come for too long
    IMPLAUSIBLE = "implausible"  # NaN, or outside of what the sensor can measure
    FAILED = "failed"  # it cannot be read
    UNAVAILABLE = "unavailable"  # nothing is wrong: its host has no power, its unit is not plugged


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading."""

    value: float
    """In the unit of the sensor; NaN unless the quality is GOOD."""
    quality: Quality
    at: float
    """The monotonic time in seconds at which the value was read; of the last good one if the quality is not GOOD."""

    def age_seconds(self, now: float) -> float:
        """How old it is."""
        return now - self.at


class Readings:
    """The latest reading of every sensor, the power of every host, and the duty of every fan."""

    def __init__(self) -> None:
        self._sensors: dict[str, Reading] = {}
        self._powers: dict[str, bool | None] = {}
        self._duties: dict[str, float] = {}
        self.changed = asyncio.Event()
        """Set after each round of readings; whoever waits for it clears it first."""

    def put(self, readings: Mapping[str, Reading]) -> None:
        """Take new readings."""
        self._sensors.update(readings)
        self.changed.set()

    def get(self, name: str) -> Reading | None:
        """The latest reading of a sensor; None before the first. Its age is for the reader to judge."""
        return self._sensors.get(name)

    def put_power(self, host: str, on: bool | None) -> None:
        """Say whether a host has power; None: it cannot be read."""
        self._powers[host] = on

    def power(self, host: str) -> bool | None:
        """Whether a host has power; None: it cannot be read, or nobody has yet."""
        return self._powers.get(host)

    def put_duty(self, fan: str, percent: float) -> None:
        """Say which duty a fan was given, in percent."""
        self._duties[fan] = percent

    def duty(self, fan: str) -> float | None:
        """The duty that a fan was given last, in percent."""
        return self._duties.get(fan)


class Trip:
    """The thermal trip: pulled by who watches temperatures, obeyed by who holds the wires.

    A host that was tripped stays off until somebody powers it on who may, after it cooled down. Who persists that is
    the one who holds the wires.
    """

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._hot: set[str] = set()
        self._obey: Callable[[str, str], None] | None = None

    def obeyed_by(self, obey: Callable[[str, str], None] | None) -> None:
        """Have `obey(host, reason)` called when a host is tripped, at once and each time; it must not block.

        What was pulled before is called now.
        """
        self._obey = obey
        if obey is not None:
            for host, reason in self._reasons.items():
                obey(host, reason)

    def pull(self, host: str, reason: str) -> None:
        """Cut the power of a host."""
        self._reasons[host] = reason
        self._hot.add(host)
        if self._obey is not None:
            self._obey(host, reason)

    def put_hot(self, host: str, *, hot: bool) -> None:
        """Say whether what feeds a host is at or above its warning temperature (or cannot be read)."""
        (self._hot.add if hot else self._hot.discard)(host)

    def hot(self, host: str) -> bool:
        """Whether it is still too hot to power a tripped host on."""
        return host in self._hot

    def latched(self, host: str) -> str | None:
        """Why a host is latched off; None if it is not."""
        return self._reasons.get(host)

    def latch(self, host: str, reason: str) -> None:
        """Latch a host that was tripped in an earlier life of the process; nothing is cut."""
        self._reasons.setdefault(host, reason)

    def clear(self, host: str) -> None:
        """An operator powers the host on."""
        self._reasons.pop(host, None)
