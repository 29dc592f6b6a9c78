"""What a zone may believe of its sensors. Pure: time and readings are given.

Stale, missing, implausible, stuck and failed are one: failed. A sensor that has no power because its host is off is no
failure, but only while that host is *known* to be off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Protocol

from ubmc.kit.readings import Quality, Reading
from ubmc.services.thermalmgr.plan import SensorLimits

NO_LIMITS = SensorLimits()
WAKE_SECONDS = 1.5  # a host that was off a moment ago is cold, and its sensors have not been read since
_WHY = MappingProxyType(
    {
        Quality.STALE: "is stale",
        Quality.IMPLAUSIBLE: "reads an implausible value",
        Quality.FAILED: "cannot be read",
        Quality.UNAVAILABLE: "is not available, although its host is not known to be off",
    }
)


class Table(Protocol):
    """Where readings come from; `ubmc.kit.readings.Readings` is one."""

    def get(self, name: str) -> Reading | None:
        """The latest reading of a sensor; None before the first."""

    def power(self, host: str) -> bool | None:
        """Whether a host has power; None: it is not known."""


class Use(Enum):
    """What can be made of a sensor."""

    GOOD = "good"
    OFF = "off"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Seen:
    """One sensor as it is seen in one cycle."""

    use: Use
    value: float = math.nan
    at: float = 0.0
    why: str = ""
    """Why it failed: a part of a sentence that begins with the name of the sensor."""


class Senses:
    """Some sensors, looked at again and again."""

    def __init__(self, names: Iterable[str], limits: Mapping[str, SensorLimits], stale_seconds: float) -> None:
        self._limits = {name: limits.get(name, NO_LIMITS) for name in names}
        self._stale_seconds = stale_seconds
        self._same: dict[str, tuple[float, float]] = {}  # the last value, and since when it is the same
        self._off: dict[str, float] = {}  # when each host was last seen off

    def look(self, now: float, table: Table) -> dict[str, Seen]:
        """Every sensor as it is now."""
        for host in {limits.host for limits in self._limits.values() if limits.host}:
            if table.power(host) is False:
                self._off[host] = now
        return {name: self._judge(name, limits, now, table) for name, limits in self._limits.items()}

    def uses(self, now: float, table: Table) -> dict[str, Use]:
        """What could be made of each sensor now; remembers nothing."""
        return {name: self._read(name, limits, now, table).use for name, limits in self._limits.items()}

    def _judge(self, name: str, limits: SensorLimits, now: float, table: Table) -> Seen:
        seen = self._read(name, limits, now, table)
        if seen.use is not Use.GOOD or not limits.stuck_seconds:
            self._same.pop(name, None)
            return seen
        value, since = self._same.get(name, (math.nan, now))
        if value != seen.value:
            since = now
            self._same[name] = (seen.value, now)
        if now - since < limits.stuck_seconds or (limits.host and table.power(limits.host) is False):
            return seen
        return Seen(Use.FAILED, why=f"is stuck at {seen.value:g} for {now - since:.0f} s")

    def _read(self, name: str, limits: SensorLimits, now: float, table: Table) -> Seen:
        reading = table.get(name)
        if reading is None:
            return Seen(Use.FAILED, why="has not been read yet")
        quality = reading.quality
        if quality is Quality.UNAVAILABLE and self._is_off(limits.host, now, table):
            return Seen(Use.OFF)
        if quality is Quality.GOOD and not math.isfinite(reading.value):
            quality = Quality.IMPLAUSIBLE
        if quality is not Quality.GOOD:
            return Seen(Use.FAILED, why=_WHY[quality])
        if reading.age_seconds(now) > (limits.stale_seconds or self._stale_seconds):
            return Seen(Use.FAILED, why=f"was last read {reading.age_seconds(now):.1f} s ago")
        return Seen(Use.GOOD, reading.value, reading.at)

    def _is_off(self, host: str, now: float, table: Table) -> bool:
        """Whether a host is known to be off, or was until a moment ago."""
        if not host:
            return False
        return table.power(host) is False or now - self._off.get(host, -math.inf) < WAKE_SECONDS
