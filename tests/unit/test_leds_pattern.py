"""The decision table of the lights, and what is known of the machine."""

from __future__ import annotations

from itertools import combinations

import pytest

from ubmc.services.ledmgr import facts as known
from ubmc.services.ledmgr import pattern
from ubmc.services.ledmgr.facts import Duty, Facts
from ubmc.services.ledmgr.pattern import Condition
from ubmc.v1alpha1.chassis_pb import Chassis, ChassisState
from ubmc.v1alpha1.host_pb import Host, HostState
from ubmc.v1alpha1.led_pb import LedPattern, LedRole
from ubmc.v1alpha1.sensor_pb import Sensor, SensorLevel, SensorQuality
from ubmc.v1alpha1.system_pb import ServiceHealth, ServiceState
from ubmc.v1alpha1.thermal_pb import CoolingDevice, CoolingDeviceState, ThermalZone, ThermalZoneState

RANK = list(Condition)[:3]  # identify over critical over warning


def test_every_role_state_and_pattern_has_its_row() -> None:
    assert set(pattern.TABLE) == set(pattern.STANDS_IN) == set(LedRole) - {LedRole.UNSPECIFIED}
    assert set(pattern.HOST_POWER) == set(HostState)
    assert set(pattern.CHASSIS_POWER) == set(ChassisState)
    assert set(pattern.LOOKS) == set(LedPattern) - {LedPattern.UNSPECIFIED}
    assert len(set(map(repr, pattern.LOOKS.values()))) == len(pattern.LOOKS)


def test_every_way_of_being_wrong_has_a_severity() -> None:
    assert set(known.LEVELS) == set(SensorLevel) - {SensorLevel.UNSPECIFIED, SensorLevel.NORMAL}
    fine = {SensorQuality.UNSPECIFIED, SensorQuality.GOOD, SensorQuality.UNAVAILABLE}
    assert set(known.QUALITIES) == set(SensorQuality) - fine
    assert set(known.DEVICES) == set(CoolingDeviceState) - {CoolingDeviceState.UNSPECIFIED, CoolingDeviceState.OK}
    assert set(known.ZONES) == {ThermalZoneState.FAIL_SAFE, ThermalZoneState.OVERHEATED}
    assert set(known.SERVICES) == {ServiceState.FAILED, ServiceState.DEGRADED}


@pytest.mark.parametrize("role", [LedRole.STATUS, LedRole.FAULT])
def test_identify_over_critical_over_warning_over_well(role: LedRole) -> None:
    for count in range(1, 4):
        for holding in combinations([*RANK, Condition.WELL], count):
            strongest = min(holding, key=[*RANK, Condition.WELL].index)
            assert pattern.decide(role, holding) == pattern.decide(role, [strongest])


TABLE = [
    (LedRole.POWER, Condition.ON, LedPattern.ON),
    (LedRole.POWER, Condition.OFF, LedPattern.OFF),
    (LedRole.POWER, Condition.CHANGING, LedPattern.BLINK_SLOW),
    (LedRole.IDENTIFY, Condition.IDENTIFY, LedPattern.BLINK_SLOW),
    (LedRole.IDENTIFY, Condition.QUIET, LedPattern.OFF),
    (LedRole.STATUS, Condition.IDENTIFY, LedPattern.FLASH),
    (LedRole.STATUS, Condition.CRITICAL, LedPattern.BLINK_FAST),
    (LedRole.STATUS, Condition.WARNING, LedPattern.BLINK_SLOW),
    (LedRole.STATUS, Condition.WELL, LedPattern.ON),
    (LedRole.FAULT, Condition.CRITICAL, LedPattern.ON),
    (LedRole.FAULT, Condition.WARNING, LedPattern.BLINK_SLOW),
    (LedRole.FAULT, Condition.WELL, LedPattern.OFF),
]


@pytest.mark.parametrize(("role", "condition", "shown"), TABLE)
def test_what_each_condition_looks_like(role: LedRole, condition: Condition, shown: LedPattern) -> None:
    assert pattern.decide(role, [condition]) == pattern.Shown(shown, condition.value)
    assert pattern.decide(role, {condition: "because"}).reason == "because"


def test_nothing_known_is_nothing_shown() -> None:
    for role in pattern.TABLE:
        assert pattern.decide(role, {}) is pattern.UNKNOWN


# --- facts -----------------------------------------------------------------------------------------------------------


def twin() -> Facts:
    """Two chassis with a host each."""
    facts = Facts()
    facts.take_hosts([Host(name="host.0", state=HostState.ON), Host(name="host.1", state=HostState.OFF)])
    facts.take_chassis(
        [
            Chassis(name="chassis.0", state=ChassisState.ON, hosts=["host.0"], identify=True),
            Chassis(name="chassis.1", state=ChassisState.OFF, hosts=["host.1"]),
        ]
    )
    facts.take_services([ServiceHealth(name="eventlog", state=ServiceState.READY)])
    return facts


def shown(facts: Facts, role: str, component: str, *, identifies: bool = False) -> LedPattern:
    duty = Duty("led", role, component)
    return pattern.decide(duty.kind, facts.holding(duty, identifies=identifies)).pattern


def status(facts: Facts) -> dict[str, LedPattern]:
    """What the status lights show that do not show that all is well."""
    places = ("host.0", "host.1", "chassis.0", "chassis.1", "bmc.0")
    found = {place: shown(facts, "status", place) for place in places}
    return {place: what for place, what in found.items() if what is not LedPattern.ON}


def test_power_of_hosts_and_chassis() -> None:
    facts = twin()
    assert shown(facts, "power", "host.0") is LedPattern.ON
    assert shown(facts, "power", "host.1") is LedPattern.OFF
    assert shown(facts, "power", "chassis.0") is LedPattern.ON
    assert shown(facts, "power", "") is LedPattern.ON  # the first host
    assert shown(facts, "power", "host.7") is LedPattern.UNSPECIFIED
    assert facts.holding(Duty("led", "power", "host.0"), identifies=False) == {Condition.ON: "host.0 is on"}


def test_identify_is_that_of_the_chassis() -> None:
    facts = twin()
    assert shown(facts, "identify", "chassis.0", identifies=True) is LedPattern.BLINK_SLOW
    assert shown(facts, "identify", "", identifies=True) is LedPattern.BLINK_SLOW
    assert shown(facts, "identify", "chassis.1", identifies=True) is LedPattern.OFF
    assert shown(facts, "status", "host.0", identifies=True) is LedPattern.FLASH
    assert shown(facts, "status", "host.0") is LedPattern.ON
    assert shown(facts, "status", "bmc.0", identifies=True) is LedPattern.FLASH


def test_health_is_unknown_before_anybody_was_asked() -> None:
    facts = Facts()
    assert shown(facts, "status", "chassis.0") is shown(facts, "fault", "chassis.0") is LedPattern.UNSPECIFIED


def test_a_hot_sensor_concerns_its_host_and_chassis() -> None:
    facts = twin()
    facts.take_sensors([Sensor(name="cpu1_temp", component="host.1", level=SensorLevel.NORMAL)])
    assert status(facts) == {}
    facts.level("cpu1_temp", SensorLevel.WARNING)
    assert status(facts) == {"host.1": LedPattern.BLINK_SLOW, "chassis.1": LedPattern.BLINK_SLOW}
    facts.level("cpu1_temp", SensorLevel.FATAL)
    assert status(facts) == {"host.1": LedPattern.BLINK_FAST, "chassis.1": LedPattern.BLINK_FAST}
    facts.level("cpu1_temp", SensorLevel.NORMAL)
    assert status(facts) == {}


def test_a_failed_sensor_needs_a_look_and_an_unavailable_one_does_not() -> None:
    facts = twin()
    facts.take_sensors([Sensor(name="inlet_temp", component="chassis.0", quality=SensorQuality.FAILED)])
    assert status(facts) == {"host.0": LedPattern.BLINK_SLOW, "chassis.0": LedPattern.BLINK_SLOW}
    facts.quality("inlet_temp", SensorQuality.UNAVAILABLE)
    assert status(facts) == {}


def test_a_seized_fan_and_a_hot_zone_concern_all_but_the_bmc() -> None:
    everywhere = dict.fromkeys(("host.0", "host.1", "chassis.0", "chassis.1"), LedPattern.BLINK_FAST)
    facts = twin()
    facts.take_devices([CoolingDevice(name="fan.0", state=CoolingDeviceState.SEIZED)])
    assert status(facts) == everywhere
    facts.device("fan.0", CoolingDeviceState.OK)
    facts.take_zones([ThermalZone(name="cpu", state=ThermalZoneState.OVERHEATED, reasons=["cpu0_temp", "dimm0_temp"])])
    assert status(facts) == everywhere
    holding = facts.holding(Duty("led", "fault", "chassis.0"), identifies=False)
    assert holding == {Condition.CRITICAL: "zone cpu is overheated: cpu0_temp; dimm0_temp"}
    facts.take_zones([])
    assert status(facts) == {}


def test_a_trip_stays_until_the_host_has_power_again() -> None:
    facts = twin()
    facts.trip("host.0", "cpu0_temp is at 105")
    for state in (HostState.POWERING_OFF, HostState.OFF):
        facts.host("host.0", state)
        assert status(facts) == {"host.0": LedPattern.BLINK_FAST, "chassis.0": LedPattern.BLINK_FAST}
    facts.host("host.0", HostState.POWERING_ON)
    assert status(facts) == {}


def test_a_service_concerns_the_bmc_and_the_chassis() -> None:
    facts = twin()
    facts.service("eventlog", ServiceState.FAILED)
    assert status(facts) == dict.fromkeys(("chassis.0", "chassis.1", "bmc.0"), LedPattern.BLINK_SLOW)
    facts.service("eventlog", ServiceState.DEGRADED)
    assert status(facts) == dict.fromkeys(("chassis.0", "chassis.1", "bmc.0"), LedPattern.BLINK_FAST)
    assert shown(facts, "fault", "bmc.0") is LedPattern.ON
    facts.take_services([ServiceHealth(name="eventlog", state=ServiceState.STARTING)])
    assert status(facts) == {}


def test_the_reason_names_the_worst_and_counts_the_rest() -> None:
    facts = twin()
    facts.service("websrv", ServiceState.DEGRADED)
    facts.device("fan.0", CoolingDeviceState.SLOW)
    facts.quality("inlet_temp", SensorQuality.STALE, "nothing new for 5 s")
    holding = facts.holding(Duty("led", "status", "chassis.0"), identifies=False)
    assert holding == {Condition.CRITICAL: "the service websrv is degraded (and 2 more)"}
