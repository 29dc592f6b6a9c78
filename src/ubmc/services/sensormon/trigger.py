"""When a reading has gone past a limit: a Schmitt trigger with debounce for each of the six limits. Pure.

A limit counts as passed at or beyond it, for as long as the debounce says, and as left only behind it by more than the
hysteresis; that needs no debounce. What was told stays so while there is no good reading.
"""

from __future__ import annotations

from dataclasses import dataclass

from ubmc.services.sensormon.plan import Limits
from ubmc.v1alpha1.sensor_pb import SensorKind, SensorLevel, SensorSide

POWER_DOUBT_SECONDS = 1.0
"""When power goes, voltages fall before power-good is seen: low readings of what a host powers wait this long."""

_Key = tuple[SensorSide, SensorLevel]
_NOTHING: _Key = (SensorSide.UNSPECIFIED, SensorLevel.NORMAL)


@dataclass(frozen=True, slots=True)
class Crossing:
    """One limit was crossed; several limits at once count as the outermost (or, on the way back, the innermost)."""

    previous: SensorLevel
    current: SensorLevel
    side: SensorSide
    value: float
    threshold: float


@dataclass(frozen=True, slots=True)
class _Edge:
    key: _Key
    sign: float
    limit: float
    debounce_seconds: float


def _edges(limits: Limits, doubt_seconds: float) -> tuple[_Edge, ...]:
    upper, lower = SensorSide.UPPER, SensorSide.LOWER
    every = (
        ((upper, SensorLevel.WARNING), limits.upper_warning),
        ((upper, SensorLevel.CRITICAL), limits.upper_critical),
        ((upper, SensorLevel.FATAL), limits.upper_fatal),
        ((lower, SensorLevel.WARNING), limits.lower_warning),
        ((lower, SensorLevel.CRITICAL), limits.lower_critical),
        ((lower, SensorLevel.FATAL), limits.lower_fatal),
    )
    low = max(limits.debounce_seconds, doubt_seconds)
    return tuple(
        _Edge(key, 1.0, limit, limits.debounce_seconds) if key[0] is upper else _Edge(key, -1.0, limit, low)
        for key, limit in every
        if limit is not None
    )


class Trigger:
    """The six limits of one sensor, and which of them are passed.

    Args:
        limits: in the unit of the readings.
        kind: for the hysteresis, if the limits have none.
        powered: it has power only while a host has.
    """

    def __init__(self, limits: Limits, kind: SensorKind, *, powered: bool = False) -> None:
        self._kind = kind
        self._doubt = POWER_DOUBT_SECONDS if powered else 0.0
        self._passed: dict[_Key, float] = {}  # with the limit as it was then
        self._since: dict[_Key, float] = {}
        self._top = _NOTHING
        self.change(limits)

    def change(self, limits: Limits) -> None:
        """Take other limits; what they mean for the reading is said by the next step."""
        self._edges = _edges(limits, self._doubt)
        self._margin = limits.margin(self._kind)

    @property
    def level(self) -> SensorLevel:
        """How far from normal the last readings were."""
        return self._top[1]

    @property
    def side(self) -> SensorSide:
        """On which side."""
        return self._top[0]

    @property
    def limit(self) -> float:
        """The outermost limit that is passed; 0 if none is."""
        return self._passed.get(self._top, 0.0)

    def release(self) -> None:
        """Forget everything."""
        self._passed.clear()
        self._since.clear()
        self._top = _NOTHING

    def step(self, value: float, now: float) -> list[Crossing]:
        """Take a good reading.

        Args:
            value: the reading.
            now: monotonic seconds.
        """
        before = dict(self._passed)
        watched = set()
        for edge in self._edges:
            watched.add(edge.key)
            self._step(edge, edge.sign * (value - edge.limit), now)
        for key in before.keys() - watched:
            del self._passed[key]  # the limit is not watched any more
        if before.keys() == self._passed.keys():
            return []
        return self._told(before, value)

    def _step(self, edge: _Edge, beyond: float, now: float) -> None:
        if edge.key in self._passed:
            if beyond < -self._margin:
                del self._passed[edge.key]
        elif beyond < 0:
            self._since.pop(edge.key, None)
        elif now - self._since.setdefault(edge.key, now) >= edge.debounce_seconds:
            self._passed[edge.key] = edge.limit
            del self._since[edge.key]

    def _told(self, before: dict[_Key, float], value: float) -> list[Crossing]:
        old, new = self._top, max(self._passed, key=lambda key: key[1].value, default=_NOTHING)
        self._top = new
        if old == new:
            return []
        if old[0] is not new[0] and _NOTHING not in (old, new):
            return [
                _back(before, self._passed, old, _NOTHING[1], value),
                Crossing(_NOTHING[1], new[1], new[0], value, self._passed[new]),
            ]
        if new[1].value > old[1].value:
            return [Crossing(old[1], new[1], new[0], value, self._passed[new])]
        return [_back(before, self._passed, old, new[1], value)]


def _back(before: dict[_Key, float], now: dict[_Key, float], old: _Key, level: SensorLevel, value: float) -> Crossing:
    left = [key for key in before if key not in now and key[0] is old[0]]
    innermost = min(left, key=lambda key: key[1].value, default=old)
    return Crossing(old[1], level, old[0], value, before[innermost])
