"""From a board file to what thermalmgr needs to know of it."""

from __future__ import annotations

from ubmc.boards.spec import BoardSpec
from ubmc.boards.spec_cooling import FanSpec, MarginSpec, PidSpec, StepwiseSpec, ZoneSpec
from ubmc.services.thermalmgr.plan import (
    ControllerPlan,
    FanPlan,
    MarginPlan,
    PidPlan,
    SensorLimits,
    StepwisePlan,
    ThermalPlan,
    ZonePlan,
)


def thermal_plan(spec: BoardSpec) -> ThermalPlan | None:
    """What is cooled, and how; None for a board that has neither fans nor zones."""
    if not spec.zones and not spec.fans:
        return None
    fail_safe = {fan.name: fan.fail_safe for fan in spec.fans}
    return ThermalPlan(
        zones=tuple(_zone(zone, fail_safe) for zone in spec.zones),
        fans=tuple(_fan(fan) for fan in spec.fans),
        limits={
            each.name: SensorLimits(
                warning=each.upper.warning,
                critical=each.upper.critical,
                fatal=each.upper.fatal,
                host=each.powered_by or "",
            )
            for each in spec.sensors
        },
    )


def _zone(zone: ZoneSpec, fail_safe: dict[str, float]) -> ZonePlan:
    return ZonePlan(
        name=zone.name,
        fans=tuple(zone.fans),
        controllers=tuple(_controller(each) for each in zone.controllers),
        hosts=tuple(zone.hosts),
        minimum_percent=zone.minimum,
        maximum_percent=zone.maximum,
        fail_safe_percent=max(fail_safe[fan] for fan in zone.fans) if zone.fail_safe is None else zone.fail_safe,
        trip_after_seconds=zone.trip_after,
        missing_is_acceptable=frozenset(zone.missing_is_acceptable),
        watched=tuple(zone.watched),
    )


def _controller(spec: PidSpec | MarginSpec | StepwiseSpec) -> ControllerPlan:
    sensors = tuple(spec.sensors)
    if isinstance(spec, StepwiseSpec):
        steps = tuple((step.above, step.duty) for step in spec.steps)
        return StepwisePlan(spec.name, sensors, steps, spec.hysteresis)
    if isinstance(spec, MarginSpec):
        return MarginPlan(spec.name, sensors, spec.margin, spec.kp, spec.ki, spec.kd, spec.rise, spec.fall)
    return PidPlan(spec.name, sensors, spec.set_point, spec.kp, spec.ki, spec.kd, spec.rise, spec.fall)


def _fan(fan: FanSpec) -> FanPlan:
    return FanPlan(
        name=fan.name,
        kind=fan.control.value,
        tachometers=tuple(fan.tachometers),
        location=fan.location,
        presence=fan.presence or "",
        minimum_rpm=fan.minimum_speed,
        full_rpm=fan.full_speed,
        slow_fraction=fan.slow_fraction,
        settle_seconds=fan.follow,
        start_percent=fan.start,
        minimum_percent=fan.minimum,
        fail_safe_percent=fan.fail_safe,
    )
