"""One zone: what its fans are given in each cycle, and why. Pure: time and readings are given, nothing is waited for.

The order of what counts, the strongest first: full cooling (overheated, a fan that fails), fail-safe, a duty given by
hand, the controllers. Each can only raise what the weaker ones ask for, except that a duty given by hand replaces that
of the controllers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from ubmc.services.thermalmgr import controller as controllers
from ubmc.services.thermalmgr.controller import Asked, Controller, Range
from ubmc.services.thermalmgr.heat import Heat, HeatWatch
from ubmc.services.thermalmgr.plan import ControllerPlan, FanPlan, SensorLimits, ThermalPlan, ZonePlan
from ubmc.services.thermalmgr.profile import PRESETS, Name
from ubmc.services.thermalmgr.sensing import Seen, Senses, Table, Use

log = logging.getLogger("ubmc.thermalmgr")

FULL = 100.0
Make = Callable[[ControllerPlan, Mapping[str, SensorLimits], float], Controller]


class State(Enum):
    """What a zone does; the names are those of `ThermalZoneState` in the schema."""

    FAIL_SAFE = "fail-safe"
    NORMAL = "normal"
    OVERHEATED = "overheated"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Manual:
    """A duty given by hand."""

    percent: float
    until: float
    """On the clock of the cycles."""


@dataclass(frozen=True, slots=True)
class ZoneOutput:
    """What follows from one cycle."""

    state: State
    reasons: tuple[str, ...]
    """Why it is not NORMAL."""
    duty: float
    """Percent."""
    duty_reason: str
    duties: Mapping[str, float]
    """For each fan of the zone; of several zones the highest wins."""
    controllers: tuple[Asked, ...]
    trip: str
    """Why its hosts are to be cut; empty: they are not."""
    hot: str
    """Why its hosts may not be powered on after a trip; empty: they may."""
    row: tuple[float | str, ...]
    """For the controller log; the columns are `Zone.columns`."""


class Zone:
    """A zone at work.

    Args:
        plan: of the zone.
        thermal: of the whole board.
        make: makes a controller from its plan.
    """

    def __init__(self, plan: ZonePlan, thermal: ThermalPlan, make: Make = controllers.make) -> None:
        self.plan = plan
        self.profile = PRESETS[Name.BALANCED]
        self.manual: Manual | None = None
        self._fans: dict[str, FanPlan] = {fan.name: fan for fan in thermal.fans if fan.name in plan.fans}
        self._senses = Senses(plan.sensors, thermal.limits, thermal.stale_seconds)
        self._heat = HeatWatch(plan, thermal.limits)
        # The controllers take over from fail-safe, in which every zone starts, and come down from there slowly.
        self._controllers = [(each, make(each, thermal.limits, plan.fail_safe_percent)) for each in plan.controllers]
        self._crashed: set[str] = set()
        self._uses: dict[str, Use] = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what stands in a row of the log."""
        inner = (f"{each.name}_{what}" for each, _ in self._controllers for what in ("set_point", "input", "output"))
        return ("time", "state", "duty", *inner, *self.plan.sensors)

    def changed(self, now: float, table: Table) -> bool:
        """Whether a sensor was lost, or found, since the last cycle: then the next one should not be waited for."""
        try:
            return self._senses.uses(now, table) != self._uses
        except Exception:  # noqa: BLE001  the cycle itself will say so
            return False

    def cycle(
        self, now: float, table: Table, fan_faults: Mapping[str, str] | None = None, disturbances: Sequence[str] = ()
    ) -> ZoneOutput:
        """One cycle of control.

        Args:
            now: monotonic seconds, on the clock of the readings.
            table: the readings.
            fan_faults: what is wrong with fans: the name, and a part of a sentence that begins with it.
            disturbances: what else is wrong, each a reason for fail-safe.
        """
        seen = self._senses.look(now, table)
        self._uses = self._senses.uses(now, table)
        asked, crashes = self._ask(now, seen)
        heat = self._heat.see(now, seen)
        needed = self._needed(seen)
        failing = [f"{name} {each.why}" for name, each in seen.items() if self._fails(name, each) or name in needed]
        faults = [f"{fan} {what}" for fan, what in (fan_faults or {}).items() if fan in self._fans]
        missing = [*failing, *crashes, *disturbances, *faults]
        duty, reason = self._wanted(now, asked)
        if missing and duty < self.plan.fail_safe_percent:
            duty, reason = self.plan.fail_safe_percent, f"fail-safe: {missing[0]}"
        if faults:
            duty, reason = FULL, f"full cooling: {faults[0]}"
        if heat.overheated:
            duty, reason = FULL, f"full cooling: {heat.reasons[0]}"
        state, reasons = self._state(heat, missing)
        duties = {name: self._duty_of(fan, duty, fail_safe=bool(missing)) for name, fan in self._fans.items()}
        row = self._row(now, state, duty, asked, seen)
        return ZoneOutput(state, reasons, duty, reason, duties, asked, heat.trip, heat.hot, row)

    def fall_back(self, now: float, reason: str) -> ZoneOutput:
        """What is given when a cycle itself is broken: everything, since nothing is known to be cool."""
        duty = FULL
        duties = {name: self._duty_of(fan, duty, fail_safe=True) for name, fan in self._fans.items()}
        row: tuple[float | str, ...] = (round(now, 3), State.FAIL_SAFE.value, duty)
        row += ("",) * (len(self.columns) - len(row))
        return ZoneOutput(State.FAIL_SAFE, (reason,), duty, f"fail-safe: {reason}", duties, (), "", reason, row)

    def _fails(self, name: str, seen: Seen) -> bool:
        return seen.use is Use.FAILED and name not in self.plan.missing_is_acceptable

    def _needed(self, seen: Mapping[str, Seen]) -> set[str]:
        """What fails of controllers that have no good sensor left: without one they know nothing, whoever may miss."""
        blind = [each for each, _ in self._controllers if all(seen[name].use is not Use.GOOD for name in each.sensors)]
        return {name for each in blind for name in each.sensors if seen[name].use is Use.FAILED}

    def _ask(self, now: float, seen: Mapping[str, Seen]) -> tuple[tuple[Asked, ...], list[str]]:
        """What the controllers ask for, and which of them broke."""
        plan = self.plan
        low = min(max(plan.minimum_percent, self.profile.minimum_percent), plan.maximum_percent)
        within = Range(low, plan.maximum_percent)
        asked, crashes = [], []
        for each, made in self._controllers:
            try:
                result = made.update(now, seen, self.profile, within)
                if not within.low <= result.output <= within.high:  # nor is NaN between them
                    raise ArithmeticError(f"{result.output} is not between {within.low} and {within.high}")
                asked.append(result)
                self._crashed.discard(each.name)
            except Exception as error:
                crashes.append(f"controller {each.name} failed by a bug ({type(error).__name__})")
                if each.name not in self._crashed:
                    self._crashed.add(each.name)
                    log.exception("a controller failed", extra={"zone": plan.name, "controller": each.name})
        return tuple(asked), crashes

    def _wanted(self, now: float, asked: Sequence[Asked]) -> tuple[float, str]:
        if self.manual is not None and now >= self.manual.until:
            self.manual = None
        if self.manual is not None:
            return self.manual.percent, "given by hand"
        best = max(asked, key=lambda each: each.output, default=None)
        low = max(self.plan.minimum_percent, self.profile.minimum_percent)
        if best is None or best.output <= low:
            return min(low, self.plan.maximum_percent), "the minimum of the zone"
        return best.output, controllers.describe(best)

    def _state(self, heat: Heat, missing: list[str]) -> tuple[State, tuple[str, ...]]:
        if heat.overheated:
            return State.OVERHEATED, (*heat.reasons, *missing)
        if missing:
            return State.FAIL_SAFE, tuple(missing)
        if self.manual is not None:
            return State.MANUAL, (f"driven by hand at {self.manual.percent:g} percent",)
        return State.NORMAL, ()

    def _duty_of(self, fan: FanPlan, duty: float, *, fail_safe: bool) -> float:
        least = max(fan.minimum_percent, fan.fail_safe_percent if fail_safe else 0.0)
        return min(max(duty, least), FULL)

    def _row(
        self, now: float, state: State, duty: float, asked: Sequence[Asked], seen: Mapping[str, Seen]
    ) -> tuple[float | str, ...]:
        by_name = {each.name: each for each in asked}
        inner: list[float | str] = []
        for plan, _ in self._controllers:
            each = by_name.get(plan.name)
            numbers = (None, None, None) if each is None else (each.set_point, each.input, each.output)
            inner += ["" if number is None else round(number, 2) for number in numbers]
        values = ("" if each.use is not Use.GOOD else round(each.value, 2) for each in seen.values())
        return (round(now, 3), state.value, round(duty, 1), *inner, *values)
