"""`HealthRollup` is the worst of what is below: sensors, fans, zones, parts; what it is made of changes seldom."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.unit.redfish_world import body, facts, view, walk

from ubmc.protocols.redfish import chassis, health, systems
from ubmc.protocols.redfish.facts import ALL, Facts
from ubmc.v1alpha1.chassis_pb import ChassisState
from ubmc.v1alpha1.host_pb import HostState
from ubmc.v1alpha1.sensor_pb import SensorLevel, SensorQuality
from ubmc.v1alpha1.thermal_pb import CoolingDeviceState, ThermalZoneState

CHASSIS = "/redfish/v1/Chassis/chassis.0"
SYSTEM = "/redfish/v1/Systems/host.0"
ORDER = (health.OK, health.WARNING, health.CRITICAL)


def change(of: Facts, kind: str, name: str, **fields: Any) -> None:
    """One fact is otherwise from now on."""
    row = copy.deepcopy(of.rows(kind)[name])
    for field, value in fields.items():
        setattr(row, field, value)
    of.put(kind, name, row)


def rollup(of: Facts, path: str) -> str:
    made = body(of, path)
    assert made is not None
    return str(made["Status"]["HealthRollup"])


def first(of: Facts, kind: str) -> str:
    return next(iter(of.rows(kind)))


CASES: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("sensor", "cpu0_temp", {"level": SensorLevel.CRITICAL}, health.CRITICAL),
    ("sensor", "cpu0_temp", {"quality": SensorQuality.STALE}, health.WARNING),
    ("fan", "", {"state": CoolingDeviceState.UNWRITABLE}, health.CRITICAL),
    ("fan", "", {"state": CoolingDeviceState.SEIZED}, health.CRITICAL),
    ("fan", "", {"state": CoolingDeviceState.SLOW}, health.WARNING),
    ("zone", "", {"state": ThermalZoneState.FAIL_SAFE}, health.WARNING),
    ("zone", "", {"state": ThermalZoneState.OVERHEATED}, health.CRITICAL),
    ("asset", "psu.0", {"faults": ["its storage cannot be read"]}, health.WARNING),
    ("asset", "dimm.0", {"faults": ["its storage cannot be read"]}, health.WARNING),
    ("asset", "fan.0", {"faults": ["its storage cannot be read"]}, health.WARNING),
)


@pytest.mark.parametrize(("kind", "name", "fields", "expected"), CASES, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_seen_at_chassis_and_system(
    kind: str, name: str, fields: dict[str, Any], expected: str
) -> None:
    of = facts("on")
    assert (rollup(of, CHASSIS), rollup(of, SYSTEM)) == (health.OK, health.OK)
    change(of, kind, name or first(of, kind), **fields)
    assert (rollup(of, CHASSIS), rollup(of, SYSTEM)) == (expected, expected)
    below = [
        ORDER.index(value)
        for path, (_, made) in walk(of).items()
        if path.startswith(f"{CHASSIS}/") and isinstance(made.get("Status"), dict)
        for value in (made["Status"].get("Health", health.OK), made["Status"].get("HealthRollup", health.OK))
    ]
    if name != "dimm.0":  # a memory module is below the system
        assert ORDER[max(below)] == expected


def test_a_supply_whose_data_cannot_be_read_says_so() -> None:
    of = facts("on")
    path = f"{CHASSIS}/PowerSubsystem/PowerSupplies/psu.0"
    made = body(of, path)
    assert made is not None
    assert made["Status"]["Health"] == health.OK
    change(of, "asset", "psu.0", faults=["its storage cannot be read"])
    made = body(of, path)
    assert made is not None
    assert made["Status"]["Health"] == health.WARNING


def test_a_supply_that_is_not_there_is_not_ill() -> None:
    of = facts("on")
    change(of, "asset", "psu.0", faults=["its storage cannot be read"], present=False)
    assert rollup(of, CHASSIS) == health.OK


@pytest.mark.parametrize("path", [CHASSIS, SYSTEM])
def test_speeds_and_duties_do_not_make_it_anew(path: str) -> None:
    of = facts("on")
    seen = view(of)
    builder = chassis.chassis if path == CHASSIS else systems.system
    builder(seen, {"chassis": "chassis.0", "system": "host.0"})
    whole = {kind for kind, name in seen.read if name == ALL}
    assert not whole & {"sensor", "fan", "zone"}
    before = of.newest(frozenset(seen.read))
    change(of, "fan", first(of, "fan"), duty_percent=77.0)
    change(of, "zone", first(of, "zone"), duty_percent=77.0)
    change(of, "sensor", "cpu0_temp", value=44.5)
    assert of.newest(frozenset(seen.read)) == before
    change(of, "fan", first(of, "fan"), state=CoolingDeviceState.SLOW)
    assert of.newest(frozenset(seen.read)) > before


def test_what_is_gone_is_not_ill_any_more() -> None:
    of = facts("on")
    change(of, "sensor", "cpu0_temp", level=SensorLevel.CRITICAL)
    assert rollup(of, CHASSIS) == health.CRITICAL
    of.drop("sensor", "cpu0_temp")
    assert rollup(of, CHASSIS) == health.OK


def test_power_that_is_not_known_is_null() -> None:
    of = facts("on")
    change(of, "host", "host.0", state=HostState.UNKNOWN)
    change(of, "chassis", "chassis.0", state=ChassisState.UNKNOWN)
    for path in (CHASSIS, SYSTEM):
        made = body(of, path)
        assert made is not None
        assert made["PowerState"] is None


def test_a_lid_that_nobody_can_see_is_neither_open_nor_closed() -> None:
    of = facts("on")
    for fields, shown in (({"state": "open"}, "HardwareIntrusion"), ({"quality": SensorQuality.STALE}, None)):
        change(of, "sensor", "intrusion", **fields)
        made = body(of, CHASSIS)
        assert made is not None
        assert made["PhysicalSecurity"]["IntrusionSensor"] == shown


def test_damaged_data_of_the_box_itself_is_its_own_health() -> None:
    of = facts("on")
    change(of, "asset", "chassis.0", faults=["FRU storage: a checksum is wrong"])
    made = body(of, CHASSIS)
    assert made is not None
    assert (made["Status"]["Health"], made["Status"]["HealthRollup"]) == (health.WARNING, health.WARNING)
