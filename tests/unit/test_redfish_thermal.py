"""What a fan shows when it does not do what it is told."""

from __future__ import annotations

import copy
from typing import Any

from tests.unit.redfish_world import body, facts

from ubmc.protocols.redfish.facts import Facts
from ubmc.v1alpha1.sensor_pb import SensorQuality
from ubmc.v1alpha1.thermal_pb import CoolingDeviceState

FAN = "/redfish/v1/Chassis/chassis.0/ThermalSubsystem/Fans/fan.0"
SENSOR = "fan0_duty"


def change(of: Facts, kind: str, name: str, **fields: Any) -> None:
    row = copy.deepcopy(of.rows(kind)[name])
    for field, value in fields.items():
        if value is None:
            row.clear_field(field)
        else:
            setattr(row, field, value)
    of.put(kind, name, row)


def shown(of: Facts) -> tuple[object, str]:
    made = body(of, FAN)
    assert made is not None
    return made["SpeedPercent"]["Reading"], made["Status"]["Health"]


def test_the_duty_is_what_reads_back_and_not_what_was_asked_for() -> None:
    of = facts("on")
    change(of, "fan", "fan.0", state=CoolingDeviceState.UNWRITABLE, duty_percent=100.0)
    change(of, "sensor", SENSOR, value=31.0)
    assert shown(of) == (31.0, "Critical")


def test_a_duty_that_nobody_can_know_is_null() -> None:
    of = facts("on")
    change(of, "sensor", SENSOR, value=None, quality=SensorQuality.FAILED)
    change(of, "fan", "fan.0", duty_percent=44.0)
    assert shown(of)[0] == 44.0, "it took what it was given, so that is known without a sensor"
    change(of, "fan", "fan.0", state=CoolingDeviceState.UNWRITABLE, duty_percent=100.0)
    assert shown(of) == (None, "Critical")
