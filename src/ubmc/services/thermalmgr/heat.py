"""Too hot: when full cooling begins, when it ends, and when it does not help. Pure.

A sensor that was over critical and cannot be read any more is taken for still over, and for not falling.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from ubmc.services.thermalmgr.plan import SensorLimits, ZonePlan
from ubmc.services.thermalmgr.sensing import NO_LIMITS, Seen, Use

FATAL_READINGS = 2
"""So many readings in a row at or over fatal, and the power is cut."""
FALLING_SECONDS = 20.0
FALLING_DEGREES = 0.5
"""A temperature falls if it is lower by this than it was that long ago."""
COOL_SECONDS = 60.0
"""A hot part whose sensor lost its power together with its host counts as hot for so long."""


@dataclass(frozen=True, slots=True)
class Heat:
    """The judgement of one cycle."""

    overheated: bool
    reasons: tuple[str, ...]
    trip: str
    """Why the hosts of the zone are to be cut; empty: they are not."""
    hot: str
    """Why none of them may be powered on after a trip; empty: they may."""


@dataclass(slots=True)
class _Track:
    limits: SensorLimits
    over_since: float | None = None
    fatal_count: int = 0
    last_at: float = math.nan
    hot_at: float = -math.inf  # when it was last seen at warning or above
    past: deque[tuple[float, float]] = field(default_factory=deque)

    @property
    def warm(self) -> float:
        """From where on it is hot."""
        ends = [limit for limit in (self.limits.warning, self.limits.critical) if limit is not None]
        return min(ends, default=math.inf)

    def read(self, now: float, seen: Seen) -> None:
        """Take a good reading."""
        limits = self.limits
        if seen.at != self.last_at:
            self.last_at = seen.at
            fatal = limits.fatal is not None and seen.value >= limits.fatal
            self.fatal_count = self.fatal_count + 1 if fatal else 0
            self.past.append((seen.at, seen.value))
            while len(self.past) > 1 and self.past[1][0] <= seen.at - FALLING_SECONDS:
                self.past.popleft()
        if seen.value >= self.warm:
            self.hot_at = now
        ceiling = min((limit for limit in (limits.critical, limits.fatal) if limit is not None), default=math.inf)
        if seen.value >= ceiling:
            self.over_since = now if self.over_since is None else self.over_since
        elif seen.value < ceiling - limits.hysteresis:
            self.over_since = None

    def lose(self) -> None:
        """It failed."""
        self.past.clear()

    def rest(self) -> None:
        """Its host is off."""
        self.past.clear()
        self.over_since = None
        self.fatal_count = 0

    def falling(self) -> bool:
        """Whether it is getting cooler; False if that is not known."""
        if not self.past or self.past[-1][0] - self.past[0][0] < FALLING_SECONDS / 2:
            return False
        return self.past[-1][1] <= self.past[0][1] - FALLING_DEGREES


class HeatWatch:
    """Watches the temperatures of a zone."""

    def __init__(self, plan: ZonePlan, limits: Mapping[str, SensorLimits]) -> None:
        self._plan = plan
        self._tracks = {name: _Track(limits.get(name, NO_LIMITS)) for name in plan.sensors}
        self._overheated = False

    def see(self, now: float, seen: Mapping[str, Seen]) -> Heat:
        """Judge one cycle."""
        for name, track in self._tracks.items():
            if seen[name].use is Use.GOOD:
                track.read(now, seen[name])
            elif seen[name].use is Use.FAILED:
                track.lose()
            else:
                track.rest()
        over = [name for name, track in self._tracks.items() if track.over_since is not None]
        unwell = [name for name in self._tracks if self._unwell(name, seen[name], now)]
        self._overheated = bool(over) or (self._overheated and bool(unwell))
        reasons = tuple(self._describe(name, seen[name]) for name in (over or unwell)) if self._overheated else ()
        hot = [name for name in self._tracks if self._hot(name, seen[name], now)]
        return Heat(
            self._overheated, reasons, self._trip(now, seen), "; ".join(self._describe(n, seen[n]) for n in hot)
        )

    def _unwell(self, name: str, seen: Seen, now: float) -> bool:
        """Whether an overheated zone has to go on because of this sensor."""
        track = self._tracks[name]
        if seen.use is Use.GOOD:
            return seen.value >= track.warm - track.limits.hysteresis
        return self._hot(name, seen, now)

    def _hot(self, name: str, seen: Seen, now: float) -> bool:
        track = self._tracks[name]
        if seen.use is Use.GOOD:
            return seen.value >= track.warm
        if seen.use is Use.OFF:
            return now - track.hot_at < COOL_SECONDS
        return name not in self._plan.missing_is_acceptable or track.over_since is not None

    def _trip(self, now: float, seen: Mapping[str, Seen]) -> str:
        for name, track in self._tracks.items():
            if track.fatal_count >= FATAL_READINGS:
                return f"{self._describe(name, seen[name])}, fatal is {track.limits.fatal:g}"
        for name, track in self._tracks.items():
            since = track.over_since
            if since is not None and now - since >= self._plan.trip_after_seconds and not track.falling():
                return f"{self._describe(name, seen[name])}, over critical for {now - since:.0f} s and not falling"
        return ""

    def _describe(self, name: str, seen: Seen) -> str:
        if seen.use is Use.GOOD:
            limit = self._tracks[name].warm
            return f"{name} is at {seen.value:.1f} degrees" + ("" if math.isinf(limit) else f" (warning {limit:g})")
        if seen.use is Use.OFF:
            return f"{name} was hot when its host was powered off"
        return f"{name} {seen.why}"
