"""What sensormon and thermalmgr are told of the sensors, fans and zones of a board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ubmc.boards.quantities import quantities_of
from ubmc.boards.spec import BoardSpec
from ubmc.boards.spec_cooling import ControllerSpec, FanSpec, MarginSpec, PidSpec, ZoneSpec
from ubmc.boards.spec_sensors import Quantity, SensorSpec, VirtualSensorSpec
from ubmc.boards.wiring import wire_of
from ubmc.services.sensormon.plan import Function, Limits, SensorPlan, StatePlan, Virtual
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
from ubmc.v1alpha1.sensor_pb import SensorKind, SensorLevel

COOLING_SECONDS = 0.5
"""Sensors that cooling looks at are read so often at least, whatever the board file says: a loss shows within 1 s."""

STALE_INTERVALS = 1.6
"""Cooling takes a reading that is older than so many of its intervals for none; at 500 ms that is within a second."""


def sensor_plans(spec: BoardSpec) -> tuple[SensorPlan, ...]:
    """What sensormon is told, in the order of the board file."""
    known = quantities_of(spec.sensors)
    plugged = _plugged(spec)
    cooling = _cooled_by(spec)
    made = (_sensor(spec, sensor, known[sensor.name], plugged) for sensor in spec.sensors)
    return tuple(
        replace(plan, interval_seconds=min(plan.interval_seconds, COOLING_SECONDS)) if plan.name in cooling else plan
        for plan in made
    )


def _cooled_by(spec: BoardSpec) -> frozenset[str]:
    """The sensors that cooling looks at, and those that they are made of."""
    found = {name for zone in spec.zones for each in zone.controllers for name in each.sensors}
    found |= {name for zone in spec.zones for name in zone.watched}
    found |= {name for fan in spec.fans for name in (*fan.tachometers, fan.presence or "")}
    for sensor in spec.sensors:
        if isinstance(sensor, VirtualSensorSpec) and sensor.name in found:
            found |= set(sensor.of)
    return frozenset(found)


def _plugged(spec: BoardSpec) -> dict[str, tuple[str, str]]:
    """Which sensor tells that a part is plugged, and its state then, by part. The other state is its first one."""
    told = {part.name: part.presence for part in (*spec.fans, *spec.assets) if part.presence}
    states = {sensor.name: [state.name for state in sensor.states] for sensor in spec.sensors}
    return {part: (name, states[name][1]) for part, name in told.items() if len(states.get(name, ())) == 2}


def _sensor(
    spec: BoardSpec, sensor: SensorSpec, quantity: Quantity, plugged: Mapping[str, tuple[str, str]]
) -> SensorPlan:
    presence, present = plugged.get(sensor.component or "", ("", ""))
    if isinstance(sensor, VirtualSensorSpec) or sensor.name == presence:
        presence, present = "", ""
    return SensorPlan(
        name=sensor.name,
        kind=SensorKind[quantity.name],
        component=sensor.component or "",
        bus=wire_of(spec, sensor),
        interval_seconds=sensor.interval,
        stale_after_seconds=sensor.stale_after or 0.0,
        range_minimum=None if sensor.range is None else sensor.range.minimum,
        range_maximum=None if sensor.range is None else sensor.range.maximum,
        scale=sensor.scale,
        offset=sensor.offset,
        limits=Limits(
            upper_fatal=sensor.upper.fatal,
            upper_critical=sensor.upper.critical,
            upper_warning=sensor.upper.warning,
            lower_warning=sensor.lower.warning,
            lower_critical=sensor.lower.critical,
            lower_fatal=sensor.lower.fatal,
            hysteresis=sensor.hysteresis,
            debounce_seconds=sensor.debounce,
        ),
        powered_by=sensor.powered_by or "",
        present_sensor=presence,
        present_state=present,
        settle_seconds=sensor.settle,
        states=tuple(StatePlan(state.name, SensorLevel[state.level.name]) for state in sensor.states),
        virtual=Virtual(Function(sensor.function.value), sensor.of) if isinstance(sensor, VirtualSensorSpec) else None,
    )


def thermal_plan(spec: BoardSpec) -> ThermalPlan | None:
    """What thermalmgr is told; None for a board without zones, which has nothing to cool."""
    if not spec.zones:
        return None
    fail_safe = {fan.name: fan.fail_safe for fan in spec.fans}
    sensors = {sensor.name: sensor for sensor in spec.sensors}
    zones = tuple(_zone(zone, fail_safe) for zone in spec.zones)
    looked_at = dict.fromkeys(name for zone in zones for name in zone.sensors)
    # Of the sensors of fans it counts which host gates them.
    looked_at |= dict.fromkeys(name for fan in spec.fans for name in (*fan.tachometers, fan.presence) if name)
    return ThermalPlan(
        zones=zones,
        fans=tuple(_fan(fan) for fan in spec.fans),
        limits={name: _limits(sensors[name]) for name in looked_at},
    )


def _limits(sensor: SensorSpec) -> SensorLimits:
    limits = SensorLimits(
        warning=sensor.upper.warning,
        critical=sensor.upper.critical,
        fatal=sensor.upper.fatal,
        host=sensor.powered_by or "",
        stale_seconds=STALE_INTERVALS * min(sensor.interval, COOLING_SECONDS),
    )
    return limits if sensor.hysteresis is None else replace(limits, hysteresis=sensor.hysteresis)


def _zone(zone: ZoneSpec, fail_safe: Mapping[str, float]) -> ZonePlan:
    highest = max(fail_safe[name] for name in zone.fans)
    return ZonePlan(
        name=zone.name,
        fans=zone.fans,
        controllers=tuple(_controller(each) for each in zone.controllers),
        hosts=zone.hosts,
        minimum_percent=zone.minimum,
        maximum_percent=zone.maximum,
        fail_safe_percent=highest if zone.fail_safe is None else zone.fail_safe,
        trip_after_seconds=zone.trip_after,
        missing_is_acceptable=frozenset(zone.missing_is_acceptable),
        watched=zone.watched,
    )


def _controller(spec: ControllerSpec) -> ControllerPlan:
    match spec:
        case PidSpec():
            return PidPlan(
                spec.name,
                spec.sensors,
                set_point=spec.set_point,
                kp=spec.kp,
                ki=spec.ki,
                kd=spec.kd,
                slew_up=spec.rise,
                slew_down=spec.fall,
            )
        case MarginSpec():
            return MarginPlan(
                spec.name,
                spec.sensors,
                margin=spec.margin,
                kp=spec.kp,
                ki=spec.ki,
                kd=spec.kd,
                slew_up=spec.rise,
                slew_down=spec.fall,
            )
    steps = tuple((step.above, step.duty) for step in spec.steps)
    return StepwisePlan(spec.name, spec.sensors, steps, hysteresis=spec.hysteresis)


def _fan(fan: FanSpec) -> FanPlan:
    return FanPlan(
        name=fan.name,
        kind=fan.control.value,
        tachometers=fan.tachometers,
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
