"""Controllers: a duty from temperatures. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ubmc.services.thermalmgr import profile as profiles
from ubmc.services.thermalmgr.pid import Gains, Pid
from ubmc.services.thermalmgr.plan import ControllerPlan, MarginPlan, PidPlan, SensorLimits, StepwisePlan
from ubmc.services.thermalmgr.profile import Profile
from ubmc.services.thermalmgr.sensing import NO_LIMITS, Seen, Use


@dataclass(frozen=True, slots=True)
class Asked:
    """What a controller made of one cycle."""

    name: str
    kind: str
    sensors: tuple[str, ...]
    set_point: float | None
    input: float | None
    """None: none of its sensors is good."""
    output: float
    """Percent."""


@dataclass(frozen=True, slots=True)
class Range:
    """Between what a controller may choose, in percent."""

    low: float
    high: float


def _values(plan: ControllerPlan, seen: Mapping[str, Seen]) -> dict[str, float]:
    return {name: seen[name].value for name in plan.sensors if seen[name].use is Use.GOOD}


class PidController:
    """A `PidPlan` or a `MarginPlan` at work."""

    def __init__(self, plan: PidPlan | MarginPlan, limits: Mapping[str, SensorLimits], begin: float) -> None:
        """Make it; `begin` is the duty that it takes over from, in percent."""
        self.plan = plan
        self._limits = limits
        self._pid = Pid(Gains(plan.kp, plan.ki, plan.kd, plan.slew_up, plan.slew_down), begin)
        self._idle = False

    def update(self, now: float, seen: Mapping[str, Seen], profile: Profile, within: Range) -> Asked:
        """One cycle."""
        plan = self.plan
        values = _values(plan, seen)
        target = profiles.set_point(plan, profile, self._limits)
        shown = -target if isinstance(plan, MarginPlan) else target
        kind = "margin" if isinstance(plan, MarginPlan) else "pid"
        if not values:
            # Off: the next start is from the bottom. Failed: from the duty that was there, which fail-safe raises.
            self._pid.pause(within.low if self._all_off(seen) else self._pid.output)
            return Asked(plan.name, kind, plan.sensors, shown, None, self._pid.output)
        if isinstance(plan, MarginPlan):
            value = max(value - self._critical(name) for name, value in values.items())
            output = self._pid.update(now, value, target, within.low, within.high)
            return Asked(plan.name, kind, plan.sensors, shown, -value, output)
        value = max(values.values())
        output = self._pid.update(now, value, target, within.low, within.high)
        return Asked(plan.name, kind, plan.sensors, shown, value, output)

    def _all_off(self, seen: Mapping[str, Seen]) -> bool:
        return all(seen[name].use is Use.OFF for name in self.plan.sensors)

    def _critical(self, name: str) -> float:
        critical = self._limits.get(name, NO_LIMITS).critical
        if critical is None:
            raise ValueError(f"{name} has no critical limit, so it has no margin")
        return critical


class StepwiseController:
    """A `StepwisePlan` at work."""

    def __init__(self, plan: StepwisePlan, limits: Mapping[str, SensorLimits]) -> None:
        self.plan = plan
        self._limits = limits
        self._step = -1  # the index of the step that holds; -1: below the first

    def update(self, _now: float, seen: Mapping[str, Seen], profile: Profile, within: Range) -> Asked:
        """One cycle."""
        plan = self.plan
        values = _values(plan, seen)
        if not values:
            self._step = -1
            return Asked(plan.name, "stepwise", plan.sensors, None, None, within.low)
        value = max(values.values())
        effective = value - profiles.shift(plan, profile, self._limits)
        last = len(plan.steps) - 1
        while self._step < last and effective >= plan.steps[self._step + 1][0]:
            self._step += 1
        while self._step >= 0 and effective < plan.steps[self._step][0] - plan.hysteresis:
            self._step -= 1
        wanted = plan.steps[self._step][1] if self._step >= 0 else within.low
        return Asked(plan.name, "stepwise", plan.sensors, None, value, min(max(wanted, within.low), within.high))


Controller = PidController | StepwiseController


def make(plan: ControllerPlan, limits: Mapping[str, SensorLimits], begin: float) -> Controller:
    """The controller of a plan, which takes over from a duty of `begin` percent."""
    if isinstance(plan, StepwisePlan):
        return StepwiseController(plan, limits)
    return PidController(plan, limits, begin)


def describe(asked: Asked) -> str:
    """Why a controller asks for what it asks for, for people."""
    if asked.input is None:
        return f"controller {asked.name}: none of its sensors is on"
    aim = "" if asked.set_point is None or math.isnan(asked.set_point) else f", aims at {asked.set_point:.1f}"
    what = "margin" if asked.kind == "margin" else "input"
    return f"controller {asked.name} ({asked.kind}): {what} {asked.input:.1f} degrees{aim}"
