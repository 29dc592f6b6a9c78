"""How a fan is: whether it is plugged, takes what it is given, and turns as it must. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ubmc.services.thermalmgr.plan import FanPlan, SensorLimits
from ubmc.services.thermalmgr.sensing import Seen, Senses, Table, Use

SEIZED_SECONDS = 1.5
"""A rotor that stood for so long is seized: two readings, not one that was missed."""
WELL_SECONDS = 5.0
"""A rotor that failed is well after so long without a fault."""


class FanState(Enum):
    """How a cooling device is; the names are those of `CoolingDeviceState` in the schema."""

    OK = "ok"
    SLOW = "slow"
    SEIZED = "seized"
    UNWRITABLE = "unwritable"
    ABSENT = "absent"


SENTENCES: Mapping[FanState, str] = {
    FanState.SLOW: "turns slower than it must",
    FanState.SEIZED: "does not turn",
    FanState.UNWRITABLE: "cannot be written",
    FanState.ABSENT: "is not plugged",
}


@dataclass(frozen=True, slots=True)
class FanSeen:
    """A fan as it is seen in one cycle."""

    state: FanState
    speeds: tuple[float, ...]
    """RPM of each rotor; 0 for one that is not read."""
    lost: Mapping[str, str]
    """Its sensors that fail, and what is wrong: a part of a sentence that begins with the name."""


class FanWatch:
    """One fan, looked at again and again.

    Args:
        plan: of the fan.
        limits: by which its sensors are gated.
        stale_seconds: a reading that is older is none.
    """

    def __init__(self, plan: FanPlan, limits: Mapping[str, SensorLimits], stale_seconds: float) -> None:
        self.plan = plan
        self._senses = Senses(plan.tachometers, limits, stale_seconds)
        self._presence = Senses((plan.presence,) if plan.presence else (), limits, stale_seconds)
        self._duties: deque[tuple[float, float]] = deque()  # (since, duty), the oldest first
        self._standing: float | None = None
        self._dragging: float | None = None
        self._rotor = FanState.OK
        self._fault_at = 0.0
        self.unwritable = False
        """Set by who writes."""

    def drive(self, now: float, percent: float) -> None:
        """It was given this duty."""
        if not self._duties or self._duties[-1][1] != percent:
            self._duties.append((now, percent))
        while len(self._duties) > 1 and self._duties[1][0] <= now - self.plan.settle_seconds:
            self._duties.popleft()

    def see(self, now: float, table: Table) -> FanSeen:
        """Judge one cycle."""
        rotors = self._senses.look(now, table)
        presence = self._presence.look(now, table)
        lost = {name: seen.why for name, seen in (rotors | presence).items() if seen.use is Use.FAILED}
        speeds = tuple(seen.value if seen.use is Use.GOOD else 0.0 for seen in rotors.values())
        if any(seen.use is Use.GOOD and seen.value == 0.0 for seen in presence.values()):
            return FanSeen(FanState.ABSENT, speeds, {})
        self._judge_rotors(now, rotors)
        return FanSeen(FanState.UNWRITABLE if self.unwritable else self._rotor, speeds, lost)

    def _judge_rotors(self, now: float, rotors: Mapping[str, Seen]) -> None:
        plan = self.plan
        good = [seen.value for seen in rotors.values() if seen.use is Use.GOOD]
        driven = bool(self._duties) and now - self._duties[0][0] >= min(plan.settle_seconds, SEIZED_SECONDS)
        stands = driven and bool(good) and min(good) < plan.minimum_rpm
        drags = bool(good) and min(good) < self._expected(now) * plan.slow_fraction
        self._standing = (now if self._standing is None else self._standing) if stands else None
        self._dragging = (now if self._dragging is None else self._dragging) if drags else None
        if self._standing is not None and now - self._standing >= SEIZED_SECONDS:
            self._rotor, self._fault_at = FanState.SEIZED, now
        elif self._dragging is not None and now - self._dragging >= plan.settle_seconds:
            self._rotor, self._fault_at = FanState.SLOW, now
        elif stands or drags:
            self._fault_at = now
        elif now - self._fault_at >= WELL_SECONDS:
            self._rotor = FanState.OK

    def _expected(self, now: float) -> float:
        """The speed that a good rotor has by now at least; 0 while that is not known."""
        plan = self.plan
        if not plan.full_rpm or not self._duties or now - self._duties[0][0] < plan.settle_seconds:
            return 0.0
        return plan.full_rpm * min(duty for _, duty in self._duties) / 100.0
