"""Power of a chassis: PowerSubsystem with its supplies, EnvironmentMetrics, and the Power resource of old."""

from __future__ import annotations

import re

from ubmc.protocols.redfish import health, layout, sensors
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.resource import Body, Params, Resource, known, link, links, members
from ubmc.protocols.redfish.types import ROOT
from ubmc.v1alpha1.inventory_pb import Asset, AssetKind
from ubmc.v1alpha1.sensor_pb import Sensor, SensorKind, SensorLevel, SensorSide

CHASSIS = f"{ROOT}/Chassis/{{chassis}}"
POWER = f"{CHASSIS}/Power"
SUBSYSTEM = f"{CHASSIS}/PowerSubsystem"
SUPPLIES = f"{SUBSYSTEM}/PowerSupplies"
SUPPLY = f"{SUPPLIES}/{{supply}}"
METRICS = f"{SUPPLY}/Metrics"
ENVIRONMENT = f"{CHASSIS}/EnvironmentMetrics"

_SIDES = re.compile(r"(?:^|_)[vip](in|out)\d*$")
"""The names of PMBus: `psu0_vin`, `psu0_pout`."""


def supplies(view: View, chassis: str) -> list[Asset]:
    """The places for power supplies of a chassis, also those that are empty."""
    return [
        each
        for each in view.table("asset")
        if each.kind is AssetKind.POWER_SUPPLY and layout.chassis_of(view, each.name) == chassis
    ]


def _reading(view: View, supply: str, kind: SensorKind, side: str) -> Sensor | None:
    """The sensor of a supply that measures at its input (`in`) or output (`out`)."""
    for sensor in sensors.of_component(view, supply, kind):
        match = _SIDES.search(sensor.name)
        if match is not None and match[1] == side:
            return sensor
    return None


def _status(view: View, supply: Asset) -> Body:
    if not supply.present:
        return {"State": "Absent"}
    found = health.of_components(view, lambda component: component == supply.name)
    return health.status("Enabled", found)


def _input(view: View, supply: str) -> str | None:
    sensor = _reading(view, supply, SensorKind.VOLTAGE, "in")
    if sensor is None or not sensor.has_field("value"):
        return None
    if sensor.side is SensorSide.LOWER and sensor.level in (SensorLevel.CRITICAL, SensorLevel.FATAL):
        return "LossOfInput"
    return "OutOfRange" if sensor.level is not SensorLevel.NORMAL else "Normal"


def subsystem(view: View, params: Params) -> Body | None:
    """Power supply as a whole."""
    name = params["chassis"]
    if layout.chassis(view, name) is None:
        return None
    there = [each for each in supplies(view, name) if each.present]
    watts = sum(layout.number(each, "rated_watts") or 0 for each in there)
    rollup = health.worst(_status(view, each)["Health"] for each in there)
    return known(
        {
            "Id": "PowerSubsystem",
            "Name": "Power Subsystem",
            "CapacityWatts": watts or None,
            "Status": health.status("Enabled", health.OK, rollup),
            "PowerSupplies": link(SUPPLIES.format(chassis=name)),
        }
    )


def collection(view: View, params: Params) -> Body | None:
    """All power supplies."""
    name = params["chassis"]
    if layout.chassis(view, name) is None:
        return None
    return {
        "Name": "Power Supplies",
        **members(SUPPLIES.format(**params), [each.name for each in supplies(view, name)]),
    }


def _supply(view: View, params: Params) -> Asset | None:
    found: Asset | None = view.table("asset").get(params["supply"])
    if found is None or found.kind is not AssetKind.POWER_SUPPLY:
        return None
    return found if layout.chassis_of(view, found.name) == params["chassis"] else None


def supply(view: View, params: Params) -> Body | None:
    """One power supply."""
    part = _supply(view, params)
    if part is None:
        return None
    return known(
        {
            "Id": part.name,
            "Name": part.name,
            **_identity(part),
            "PowerCapacityWatts": layout.number(part, "rated_watts"),
            "LineInputStatus": _input(view, part.name),
            "Status": _status(view, part),
            "Location": {"PartLocation": {"ServiceLabel": part.location, "LocationType": "Bay"}}
            if part.location
            else None,
            "Metrics": link(METRICS.format(**params)),
            "Links": {"PoweringChassis": links([CHASSIS.format(**params)]), "PoweringChassis@odata.count": 1},
        }
    )


def _identity(part: Asset) -> Body:
    return {
        "Manufacturer": part.manufacturer,
        "Model": part.model,
        "PartNumber": part.part_number,
        "SerialNumber": part.serial_number,
        "FirmwareVersion": part.version,
    }


def metrics(view: View, params: Params) -> Body | None:
    """What one power supply measures."""
    part = _supply(view, params)
    if part is None:
        return None

    def at(kind: SensorKind, side: str) -> Body | None:
        sensor = _reading(view, part.name, kind, side)
        return sensors.excerpt(view, sensor) if sensor is not None else None

    volts, amperes = at(SensorKind.VOLTAGE, "out"), at(SensorKind.CURRENT, "out")
    watts = at(SensorKind.POWER, "out")
    warm = sensors.of_component(view, part.name, SensorKind.TEMPERATURE)
    return known(
        {
            "Id": "Metrics",
            "Name": f"Metrics of {part.name}",
            "Status": _status(view, part),
            "InputVoltage": at(SensorKind.VOLTAGE, "in"),
            "InputCurrentAmps": at(SensorKind.CURRENT, "in"),
            "InputPowerWatts": at(SensorKind.POWER, "in"),
            "OutputPowerWatts": watts,
            "RailVoltage": [volts] if volts else None,
            "RailCurrentAmps": [amperes] if amperes else None,
            "RailPowerWatts": [watts] if watts else None,
            "TemperatureCelsius": sensors.excerpt(view, warm[0]) if warm else None,
        }
    )


def total(view: View, chassis: str) -> Sensor | None:
    """The sensor that measures what the whole chassis takes."""
    found = sensors.of_component(view, chassis, SensorKind.POWER)
    return sensors.first(found, "total") or (found[0] if found else None)


def environment(view: View, params: Params) -> Body | None:
    """What goes into a chassis and comes out of it."""
    name = params["chassis"]
    if layout.chassis(view, name) is None:
        return None

    def first(kind: SensorKind, *parts: str) -> Body | None:
        sensor = sensors.first(sensors.of_component(view, name, kind), *(parts or ("",)))
        return sensors.excerpt(view, sensor) if sensor is not None else None

    power = total(view, name)
    speeds = [each for each in sensors.shown(view, name) if each.kind is SensorKind.PERCENT and "duty" in each.name]
    return known(
        {
            "Id": "EnvironmentMetrics",
            "Name": f"Environment of {name}",
            "TemperatureCelsius": first(SensorKind.TEMPERATURE, "inlet", "ambient"),
            "HumidityPercent": first(SensorKind.HUMIDITY),
            "PowerWatts": sensors.excerpt(view, power) if power is not None else None,
            "EnergyJoules": first(SensorKind.ENERGY),
            "FanSpeedsPercent": [sensors.excerpt(view, each, DeviceName=each.component) for each in speeds],
            "FanSpeedsPercent@odata.count": len(speeds),
        }
    )


def power(view: View, params: Params) -> Body | None:
    """Power as clients of old expect it."""
    name = params["chassis"]
    if layout.chassis(view, name) is None:
        return None
    base = POWER.format(chassis=name)
    volts = [each for each in sensors.shown(view, name) if each.kind is SensorKind.VOLTAGE]
    there = supplies(view, name)
    return {
        "Id": "Power",
        "Name": "Power",
        "PowerControl": [_control(view, base, name, there)],
        "PowerControl@odata.count": 1,
        "Voltages": [
            sensors.legacy_reading(view, f"{base}#/Voltages", index, each, "Volts") for index, each in enumerate(volts)
        ],
        "Voltages@odata.count": len(volts),
        "PowerSupplies": [_legacy_supply(view, base, index, each) for index, each in enumerate(there)],
        "PowerSupplies@odata.count": len(there),
    }


def _control(view: View, base: str, chassis: str, there: list[Asset]) -> Body:
    sensor = total(view, chassis)
    watts = sum(layout.number(each, "rated_watts") or 0 for each in there if each.present)
    return known(
        {
            "@odata.id": f"{base}#/PowerControl/0",
            "MemberId": "0",
            "Name": f"Power of {chassis}",
            "PowerConsumedWatts": sensors.value(sensor) if sensor is not None else None,
            "PowerCapacityWatts": watts or None,
            "PhysicalContext": "Chassis",
            "Status": sensors.status(sensor) if sensor is not None else {"State": "Enabled", "Health": health.OK},
            "RelatedItem": links([CHASSIS.format(chassis=chassis)]),
            "RelatedItem@odata.count": 1,
        }
    )


def _legacy_supply(view: View, base: str, index: int, part: Asset) -> Body:
    def at(kind: SensorKind, side: str) -> float | None:
        sensor = _reading(view, part.name, kind, side)
        return sensors.value(sensor) if sensor is not None else None

    return {
        "@odata.id": f"{base}#/PowerSupplies/{index}",
        "MemberId": str(index),
        "Name": part.name,
        **known(_identity(part)),
        "PowerSupplyType": "Unknown",
        "LineInputVoltage": at(SensorKind.VOLTAGE, "in"),
        "PowerInputWatts": at(SensorKind.POWER, "in"),
        "PowerOutputWatts": at(SensorKind.POWER, "out"),
        "LastPowerOutputWatts": at(SensorKind.POWER, "out"),
        "PowerCapacityWatts": layout.number(part, "rated_watts"),
        "Status": _status(view, part),
        "RelatedItem": links(sensors.related(view, part.name)),
        "RelatedItem@odata.count": len(sensors.related(view, part.name)),
    }


RESOURCES = (
    Resource(POWER, "Power", power, about="Power, voltages and supplies, in the form of old."),
    Resource(SUBSYSTEM, "PowerSubsystem", subsystem, about="Power supply as a whole."),
    Resource(SUPPLIES, "PowerSupplyCollection", collection, about="All power supplies."),
    Resource(SUPPLY, "PowerSupply", supply, about="One power supply."),
    Resource(METRICS, "PowerSupplyMetrics", metrics, about="What one power supply measures."),
    Resource(ENVIRONMENT, "EnvironmentMetrics", environment, about="What a chassis takes and gives off."),
)
