"""Which of its named states a sensor is in, with debounce. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ubmc.services.sensormon.plan import StatePlan
from ubmc.services.sensormon.trigger import POWER_DOUBT_SECONDS
from ubmc.v1alpha1.sensor_pb import SensorLevel


@dataclass(frozen=True, slots=True)
class StateNews:
    """Another state is to be told."""

    previous: str
    current: str
    level: SensorLevel


class StateWatch:
    """The state of one sensor.

    Args:
        states: by their numbers.
        debounce_seconds: so long a state must last before it counts.
        powered: it has power only while a host has.
    """

    def __init__(self, states: Sequence[StatePlan], debounce_seconds: float, *, powered: bool = False) -> None:
        self._states = tuple(states)
        self._debounce = max(debounce_seconds, POWER_DOUBT_SECONDS if powered else 0.0)
        self._told: int | None = None
        self._next = -1
        self._since = 0.0

    @property
    def level(self) -> SensorLevel:
        """How far from normal the state is that counts."""
        return SensorLevel.NORMAL if self._told is None else self._level(self._told)

    @property
    def name(self) -> str:
        """The state that counts; empty if none does yet."""
        return "" if self._told is None else self._states[self._told].name

    def _level(self, index: int) -> SensorLevel:
        return self._states[index].level or SensorLevel.NORMAL

    def release(self) -> None:
        """Forget everything."""
        self._told, self._next = None, -1

    def step(self, index: int, now: float) -> StateNews | None:
        """Take a state; what is to be told. A first state that is normal is no news.

        Args:
            index: its number.
            now: monotonic seconds.
        """
        if index == self._told:
            self._next = -1
            return None
        if index != self._next:
            self._next, self._since = index, now
        if now - self._since < self._debounce:
            return None
        first, previous = self._told is None, self.name
        self._told, self._next = index, -1
        level = self._level(index)
        return None if first and level is SensorLevel.NORMAL else StateNews(previous, self.name, level)
