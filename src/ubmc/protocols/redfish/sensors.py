"""Sensors of a chassis, and the excerpts of them that other resources show.

A sensor whose reading cannot be believed, or whose host is off, has a null reading and says why in its `Status`; never
the last value, and never zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ubmc.protocols.redfish import health, layout
from ubmc.protocols.redfish.facts import View, given
from ubmc.protocols.redfish.resource import NULL, Action, Body, Params, Resource, known, links, members
from ubmc.protocols.redfish.shape import Prop, Removable, Shape
from ubmc.protocols.redfish.types import ROOT
from ubmc.v1alpha1.inventory_pb import Asset, AssetKind
from ubmc.v1alpha1.sensor_pb import Sensor, SensorKind, SensorThresholds

SENSORS = f"{ROOT}/Chassis/{{chassis}}/Sensors"
SENSOR = f"{SENSORS}/{{sensor}}"
RESET_METRICS = "Sensor.ResetMetrics"

_TYPES: Mapping[SensorKind, tuple[str, str]] = {
    SensorKind.TEMPERATURE: ("Temperature", "Cel"),
    SensorKind.VOLTAGE: ("Voltage", "V"),
    SensorKind.CURRENT: ("Current", "A"),
    SensorKind.FAN_SPEED: ("Rotational", "RPM"),
    SensorKind.POWER: ("Power", "W"),
    SensorKind.ENERGY: ("EnergyJoules", "J"),
    SensorKind.HUMIDITY: ("Humidity", "%"),
    SensorKind.PRESSURE: ("PressurePa", "Pa"),
    SensorKind.FLOW: ("LiquidFlowLPM", "L/min"),
    SensorKind.PERCENT: ("Percent", "%"),
}
"""Sensors that have states instead of readings are shown where their states belong: presence at a supply, intrusion at
the chassis; Redfish has no sensor of that kind."""
_OTHERWISE = (
    (SensorKind.FLOW, "air", ("AirFlowCMM", "m3/min", 0.001)),
    (SensorKind.PRESSURE, "chassis.", ("Barometric", "mm[Hg]", 1 / 133.322)),
)
"""By what a part of the name or the component says: air is counted in cubic metres, that around us in mercury."""
THRESHOLDS = {
    "UpperFatal": "upper_fatal",
    "UpperCritical": "upper_critical",
    "UpperCaution": "upper_warning",
    "LowerCaution": "lower_warning",
    "LowerCritical": "lower_critical",
    "LowerFatal": "lower_fatal",
}
_CONTEXTS = {
    AssetKind.CHASSIS: "Chassis",
    AssetKind.HOST: "SystemBoard",
    AssetKind.BOARD: "SystemBoard",
    AssetKind.MANAGEMENT_CONTROLLER: "Manager",
    AssetKind.PROCESSOR: "CPU",
    AssetKind.MEMORY: "Memory",
    AssetKind.DRIVE: "StorageDevice",
    AssetKind.POWER_SUPPLY: "PowerSupply",
    AssetKind.FAN: "Fan",
    AssetKind.NETWORK_CARD: "NetworkingDevice",
}
_PLACES = (
    ("inlet", "Intake"),
    ("outlet", "Exhaust"),
    ("exhaust", "Exhaust"),
    ("ambient", "Room"),
    ("vrm", "VoltageRegulator"),
)


def shown(view: View, chassis: str) -> list[Sensor]:
    """The sensors of a chassis that have readings, in the order of their names."""
    return [
        sensor
        for sensor in view.table("sensor")
        if sensor.kind in _TYPES and layout.chassis_of(view, sensor.component) == chassis
    ]


def names(view: View, chassis: str) -> list[str]:
    """Which these are; changes only when sensors come or go."""
    table = view.table("alarm")
    return [
        name
        for name in table.names()
        if (alarm := table.get(name)) is not None
        and alarm.kind in _TYPES
        and layout.chassis_of(view, alarm.component) == chassis
    ]


def all_names(view: View) -> list[str]:
    """Those of all chassis."""
    table = view.table("alarm")
    return [name for name in table.names() if (alarm := table.get(name)) is not None and alarm.kind in _TYPES]


def scale(view: View, name: str) -> float:
    """What a reading of a sensor is multiplied by to be in the unit that Redfish has for it; 1 if it is not there."""
    sensor: Sensor | None = view.table("sensor").get(name)
    return measure(sensor)[2] if sensor is not None and sensor.kind in _TYPES else 1.0


def of_component(view: View, component: str, *kinds: SensorKind) -> list[Sensor]:
    """The sensors of one part."""
    return [each for each in view.table("sensor") if each.component == component and each.kind in kinds]


def uri(view: View, sensor: Sensor) -> str:
    """Where a sensor is."""
    return SENSOR.format(chassis=layout.chassis_of(view, sensor.component), sensor=sensor.name)


def context(view: View, sensor: Sensor) -> str:
    """What it measures at, in the words of `PhysicalContext`."""
    for name, place in _PLACES:
        if name in sensor.name:
            return place
    part: Asset | None = view.table("asset").get(sensor.component)
    return _CONTEXTS.get(part.kind, "SystemBoard") if part is not None else "SystemBoard"


def measure(sensor: Sensor) -> tuple[str, str, float]:
    """Type and unit in the words of Redfish, and what a reading of ours is multiplied by to be in that unit."""
    for kind, part, found in _OTHERWISE:
        if sensor.kind is kind and (part in sensor.name or sensor.component.startswith(part)):
            return found
    return (*_TYPES[sensor.kind], 1.0)


def value(sensor: Sensor) -> float | None:
    """The reading in the unit that Redfish has for it; None if there is none that can be believed."""
    if not sensor.has_field("value"):
        return None
    return tidy(sensor.value * measure(sensor)[2])


def tidy(number: float) -> float:
    """Without the tail that binary fractions have."""
    return round(number, 4)


def status(sensor: Sensor) -> Body:
    """Its `Status`."""
    return health.status(health.state_of(sensor.quality), health.of_alarm(sensor.level, sensor.quality))


def excerpt(view: View, sensor: Sensor, **more: object) -> Body:
    """What other resources show of a sensor."""
    reading = value(sensor)
    return {"DataSourceUri": uri(view, sensor), "Reading": reading, **more}


def collection(view: View, params: Params) -> Body | None:
    """The sensors of a chassis."""
    name = params["chassis"]
    if layout.chassis(view, name) is None:
        return None
    return {"Name": "Sensors", **members(SENSORS.format(chassis=name), names(view, name))}


def one(view: View, params: Params) -> Body | None:
    """One sensor."""
    sensor: Sensor | None = view.table("sensor").get(params["sensor"])
    if sensor is None or sensor.kind not in _TYPES:
        return None
    if layout.chassis_of(view, sensor.component) != params["chassis"]:
        return None
    kind, unit, scale = measure(sensor)
    reading = value(sensor)
    return known(
        {
            "Id": sensor.name,
            "Name": sensor.name,
            "ReadingType": kind,
            "ReadingUnits": unit,
            "Reading": NULL if reading is None else reading,
            "ReadingRangeMin": _scaled(given(sensor, "range_minimum"), scale),
            "ReadingRangeMax": _scaled(given(sensor, "range_maximum"), scale),
            "PhysicalContext": context(view, sensor),
            "Implementation": "Synthesized" if sensor.sources else "PhysicalSensor",
            "Thresholds": thresholds(sensor, scale),
            "Status": status(sensor),
            "RelatedItem": links(related(view, sensor.component)),
            "RelatedItem@odata.count": len(related(view, sensor.component)),
            "Actions": {
                f"#{RESET_METRICS}": {"target": f"{uri(view, sensor)}/Actions/{RESET_METRICS}"},
            },
        }
    )


def thresholds(sensor: Sensor, scale: float = 1.0) -> Body:
    """The limits that are watched."""
    limits = sensor.thresholds or SensorThresholds()
    found = {}
    for name, field in THRESHOLDS.items():
        limit = given(limits, field)
        if limit is not None:
            found[name] = {
                "Reading": tidy(limit * scale),
                "Activation": "Increasing" if name[0] == "U" else "Decreasing",
            }
    return found


def legacy_thresholds(sensor: Sensor) -> Body:
    """The limits as Thermal and Power have them."""
    limits = sensor.thresholds or SensorThresholds()
    return known(
        {
            "UpperThresholdNonCritical": given(limits, "upper_warning"),
            "UpperThresholdCritical": given(limits, "upper_critical"),
            "UpperThresholdFatal": given(limits, "upper_fatal"),
            "LowerThresholdNonCritical": given(limits, "lower_warning"),
            "LowerThresholdCritical": given(limits, "lower_critical"),
            "LowerThresholdFatal": given(limits, "lower_fatal"),
        }
    )


def legacy_range(sensor: Sensor, lowest: str, highest: str) -> Body:
    """What it can measure, as Thermal and Power have it."""
    return known({lowest: given(sensor, "range_minimum"), highest: given(sensor, "range_maximum")})


def legacy_reading(view: View, path: str, index: int, sensor: Sensor, unit: str, suffix: str = "") -> Body:
    """A member of an array of readings as Thermal and Power have them.

    Args:
        view: what is known.
        path: of the array, with its fragment.
        index: the place in it.
        sensor: the sensor.
        unit: the end of the property with the value, as `Volts`.
        suffix: the end of the properties with the range.
    """
    shown = related(view, sensor.component)
    return {
        "@odata.id": f"{path}/{index}",
        "MemberId": str(index),
        "Name": sensor.name,
        "SensorNumber": index + 1,
        f"Reading{unit}": value(sensor),
        **legacy_thresholds(sensor),
        **legacy_range(sensor, f"MinReadingRange{suffix}", f"MaxReadingRange{suffix}"),
        "PhysicalContext": context(view, sensor),
        "Status": status(sensor),
        "RelatedItem": links(shown),
        "RelatedItem@odata.count": len(shown),
    }


def related(view: View, component: str) -> list[str]:
    """The resources that a part has, as far as there are any."""
    part = view.table("asset").get(component)
    if component in view.table("chassis").names():
        return [f"{ROOT}/Chassis/{component}"]
    if component in view.table("host").names():
        return [f"{ROOT}/Systems/{component}"]
    if part is None:
        return []
    box, hosts = layout.chassis_of(view, component), layout.hosts_of(view, component)
    own = layout.place(view, part, hosts[0] if hosts else "", box)
    if own:
        return [own]
    return [f"{ROOT}/Chassis/{box}"] if box else []


def _scaled(number: float | None, scale: float) -> float | None:
    return None if number is None else tidy(number * scale)


def first(sensors: Iterable[Sensor], *parts: str) -> Sensor | None:
    """The first one whose name has one of these parts."""
    return next((each for each in sensors if any(part in each.name for part in parts)), None)


PATCH: Shape = {"Thresholds": {name: Removable({"Reading": Prop("number", nullable=True)}) for name in THRESHOLDS}}

RESOURCES = (
    Resource(SENSORS, "SensorCollection", collection, about="All sensors of a chassis; `$expand` gets them at once."),
    Resource(
        SENSOR,
        "Sensor",
        one,
        patch=PATCH,
        actions=(Action(RESET_METRICS),),
        about="One sensor: reading, limits, and whether it can be believed.",
    ),
)
