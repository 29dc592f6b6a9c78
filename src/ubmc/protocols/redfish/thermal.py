"""Cooling of a chassis: ThermalSubsystem with its fans, and the Thermal resource of old with the same content."""

from __future__ import annotations

from collections.abc import Iterable

from ubmc.protocols.redfish import health, layout, sensors
from ubmc.protocols.redfish.facts import View, ZoneState
from ubmc.protocols.redfish.resource import Body, Params, Resource, known, link, links, members
from ubmc.protocols.redfish.types import ROOT
from ubmc.v1alpha1.inventory_pb import Asset
from ubmc.v1alpha1.sensor_pb import Sensor, SensorKind, SensorQuality
from ubmc.v1alpha1.thermal_pb import CoolingDevice, CoolingDeviceState

CHASSIS = f"{ROOT}/Chassis/{{chassis}}"
THERMAL = f"{CHASSIS}/Thermal"
SUBSYSTEM = f"{CHASSIS}/ThermalSubsystem"
METRICS = f"{SUBSYSTEM}/ThermalMetrics"
FANS = f"{SUBSYSTEM}/Fans"
FAN = f"{FANS}/{{fan}}"


def devices(view: View, chassis: str) -> list[CoolingDevice]:
    """The fans and pumps of a chassis."""
    return [each for each in view.table("fan") if layout.chassis_of(view, each.name) == chassis]


def subsystem(view: View, params: Params) -> Body | None:
    """How cooling is as a whole."""
    name = params["chassis"]
    if layout.chassis(view, name) is None:
        return None
    of_it = devices(view, name)
    there = {each.name for each in of_it}
    zones: Iterable[ZoneState] = view.table("zone-state")
    own = health.worst(health.ZONES.get(each.state, health.OK) for each in zones if there & {*each.cooling_devices})
    fans = [str(_status(view, each).get("Health", health.OK)) for each in of_it]
    return known(
        {
            "Id": "ThermalSubsystem",
            "Name": "Thermal Subsystem",
            "Status": health.status("Enabled", own, health.worst(fans)),
            "Fans": link(FANS.format(chassis=name)),
            "ThermalMetrics": link(METRICS.format(chassis=name)),
        }
    )


def fans(view: View, params: Params) -> Body | None:
    """All fans."""
    name = params["chassis"]
    if layout.chassis(view, name) is None:
        return None
    names = [each for each in view.table("fan").names() if layout.chassis_of(view, each) == name]
    return {"Name": "Fans", **members(FANS.format(chassis=name), names)}


def fan(view: View, params: Params) -> Body | None:
    """One fan or pump."""
    device: CoolingDevice | None = view.table("fan").get(params["fan"])
    if device is None or layout.chassis_of(view, device.name) != params["chassis"]:
        return None
    tachometers = _tachometers(view, device)
    part: Asset | None = view.table("asset").get(device.name)
    return known(
        {
            "Id": device.name,
            "Name": device.name,
            **(_identity(part) if part is not None else {}),
            "PhysicalContext": "Fan",
            "SpeedPercent": _speed(view, device, tachometers, 0),
            "SecondarySpeedPercent": _speed(view, device, tachometers, 1) if len(tachometers) > 1 else None,
            "Status": _status(view, device),
            "Location": _location(device.location),
            "Links": {"CoolingChassis": links([CHASSIS.format(**params)]), "CoolingChassis@odata.count": 1},
        }
    )


def _identity(part: Asset) -> Body:
    return {
        "Manufacturer": part.manufacturer,
        "Model": part.model,
        "PartNumber": part.part_number,
        "SerialNumber": part.serial_number,
    }


def _location(text: str) -> Body | None:
    return {"PartLocation": {"ServiceLabel": text, "LocationType": "Slot"}} if text else None


def _tachometers(view: View, device: CoolingDevice) -> list[Sensor]:
    table = view.table("sensor")
    return [sensor for name in device.tachometers if (sensor := table.get(name)) is not None]


def _speed(view: View, device: CoolingDevice, tachometers: list[Sensor], rotor: int) -> Body:
    """The duty in percent, with the speed of one rotor; null where there is no good reading of that."""
    duty = sensors.first(sensors.of_component(view, device.name, SensorKind.PERCENT), "duty")
    found: Body = {"Reading": _duty(device, duty)}
    if rotor < len(tachometers):
        found["SpeedRPM"] = sensors.value(tachometers[rotor])
        found["DeviceName"] = tachometers[rotor].name
    return {"DataSourceUri": sensors.uri(view, duty), **found} if duty is not None else found


def _duty(device: CoolingDevice, sensor: Sensor | None) -> float | None:
    """The duty as it reads back, else as it was given; of a fan that does not take what it is given nobody knows it."""
    read = sensors.value(sensor) if sensor is not None else None
    if read is not None or device.state is CoolingDeviceState.UNWRITABLE:
        return read
    return sensors.tidy(device.duty_percent)


def _status(view: View, device: CoolingDevice) -> Body:
    return fan_status(device, _tachometers(view, device), view.table("asset").get(device.name))


def fan_status(device: CoolingDevice, tachometers: list[Sensor], part: Asset | None) -> Body:
    """How a fan is; one that nobody can read because its host has no power is offline, not broken."""
    own = health.worst((health.FANS.get(device.state, health.OK), health.of_part(part)))
    if device.state is CoolingDeviceState.ABSENT:
        return {"State": "Absent"}
    offline = tachometers and all(each.quality is SensorQuality.UNAVAILABLE for each in tachometers)
    read = [health.of_alarm(each.level, each.quality) for each in tachometers]
    return health.status("UnavailableOffline" if offline else "Enabled", health.worst((own, *read)))


def metrics(view: View, params: Params) -> Body | None:
    """All temperatures at a glance."""
    name = params["chassis"]
    if layout.chassis(view, name) is None:
        return None
    all_of_it = sensors.shown(view, name)
    warm = [each for each in all_of_it if each.kind is SensorKind.TEMPERATURE]
    places = {"Intake": ("inlet",), "Exhaust": ("outlet", "exhaust"), "Ambient": ("ambient",)}
    summary = {
        place: sensors.excerpt(view, sensor)
        for place, parts in places.items()
        if (sensor := sensors.first(warm, *parts)) is not None
    }
    air = next((each for each in all_of_it if each.kind is SensorKind.FLOW and "air" in each.name), None)
    return known(
        {
            "Id": "ThermalMetrics",
            "Name": "Thermal Metrics",
            "TemperatureSummaryCelsius": summary or None,
            "TemperatureReadingsCelsius": [
                sensors.excerpt(view, each, DeviceName=each.name, PhysicalContext=sensors.context(view, each))
                for each in warm
            ],
            "TemperatureReadingsCelsius@odata.count": len(warm),
            "AirFlowCubicMetersPerMinute": sensors.excerpt(view, air) if air is not None else None,
        }
    )


def thermal(view: View, params: Params) -> Body | None:
    """Temperatures and fans as clients of old expect them."""
    name = params["chassis"]
    if layout.chassis(view, name) is None:
        return None
    base = THERMAL.format(chassis=name)
    warm = [each for each in sensors.shown(view, name) if each.kind is SensorKind.TEMPERATURE]
    turning = [(device, each) for device in devices(view, name) for each in _tachometers(view, device)]
    return {
        "Id": "Thermal",
        "Name": "Thermal",
        "Temperatures": [
            sensors.legacy_reading(view, f"{base}#/Temperatures", index, each, "Celsius", "Temp")
            for index, each in enumerate(warm)
        ],
        "Temperatures@odata.count": len(warm),
        "Fans": [_legacy_fan(view, base, index, *each) for index, each in enumerate(turning)],
        "Fans@odata.count": len(turning),
    }


def _legacy_fan(view: View, base: str, index: int, device: CoolingDevice, sensor: Sensor) -> Body:
    part: Asset | None = view.table("asset").get(device.name)
    speed = sensors.value(sensor)
    return {
        "@odata.id": f"{base}#/Fans/{index}",
        "MemberId": str(index),
        "Name": f"{device.name} {sensor.name}",
        **(known(_identity(part)) if part is not None else {}),
        "Reading": None if speed is None else round(speed),
        "ReadingUnits": "RPM",
        **{name: round(limit) for name, limit in sensors.legacy_thresholds(sensor).items()},
        **{
            name: round(limit)
            for name, limit in sensors.legacy_range(sensor, "MinReadingRange", "MaxReadingRange").items()
        },
        "PhysicalContext": "Fan",
        "Status": fan_status(device, [sensor], part),
        "RelatedItem": links(sensors.related(view, device.name)),
        "RelatedItem@odata.count": len(sensors.related(view, device.name)),
    }


RESOURCES = (
    Resource(THERMAL, "Thermal", thermal, about="Temperatures and fans, in the form of old."),
    Resource(SUBSYSTEM, "ThermalSubsystem", subsystem, about="Cooling as a whole."),
    Resource(METRICS, "ThermalMetrics", metrics, about="All temperatures at a glance."),
    Resource(FANS, "FanCollection", fans, about="All fans and pumps."),
    Resource(FAN, "Fan", fan, about="One fan or pump: duty, speed, state."),
)
