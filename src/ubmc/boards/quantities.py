"""What the sensors of a board measure, also where the file does not say it because the input does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from ubmc.boards.rows import Row, text, texts
from ubmc.boards.spec_sensors import Quantity, SensorSpec

_HWMON = MappingProxyType(
    {
        "temp": Quantity.TEMPERATURE,
        "in": Quantity.VOLTAGE,
        "fan": Quantity.FAN_SPEED,
        "curr": Quantity.CURRENT,
        "power": Quantity.POWER,
        "energy": Quantity.ENERGY,
        "humidity": Quantity.HUMIDITY,
        "pwm": Quantity.PERCENT,
        "intrusion": Quantity.STATE,
    }
)
_IIO = MappingProxyType(
    {
        "temp": Quantity.TEMPERATURE,
        "voltage": Quantity.VOLTAGE,
        "current": Quantity.CURRENT,
        "power": Quantity.POWER,
        "energy": Quantity.ENERGY,
        "humidityrelative": Quantity.HUMIDITY,
        "pressure": Quantity.PRESSURE,
    }
)
_PMBUS = MappingProxyType(
    {
        "READ_VIN": Quantity.VOLTAGE,
        "READ_IIN": Quantity.CURRENT,
        "READ_VCAP": Quantity.VOLTAGE,
        "READ_VOUT": Quantity.VOLTAGE,
        "READ_IOUT": Quantity.CURRENT,
        "READ_TEMPERATURE": Quantity.TEMPERATURE,
        "READ_FAN_SPEED": Quantity.FAN_SPEED,
        "READ_DUTY_CYCLE": Quantity.PERCENT,
        "READ_POUT": Quantity.POWER,
        "READ_PIN": Quantity.POWER,
    }
)

_BY_INPUT: Mapping[str, Mapping[str, Quantity]] = MappingProxyType({"hwmon": _HWMON, "iio": _IIO, "pmbus": _PMBUS})
_FIXED = MappingProxyType({"smbus": Quantity.TEMPERATURE, "gpio": Quantity.STATE})


def quantities(sensors: Iterable[Row]) -> Mapping[str, Quantity]:
    """What each sensor measures, by name; one of which that is not known is not there.

    Args:
        sensors: tables of the list `sensors`, as read or as models write them.
    """
    rows = {name: row for row in sensors if (name := text(row, "name")) is not None}
    found: dict[str, Quantity] = {}

    def find(name: str, seen: frozenset[str]) -> Quantity | None:
        row = rows.get(name)
        if row is None or name in seen:
            return None
        if name not in found:
            sources = [find(source, seen | {name}) for _, source in texts(row, "of")]
            quantity = _said(row) or (sources[0] if row.get("kind") == "virtual" and sources else None)
            if quantity is None:
                return None
            found[name] = quantity
        return found[name]

    for name in rows:
        find(name, frozenset())
    return found


def quantities_of(sensors: Iterable[SensorSpec]) -> Mapping[str, Quantity]:
    """What each sensor of a board that was checked measures, by name."""
    return quantities(sensor.model_dump(mode="json") for sensor in sensors)


def _said(row: Row) -> Quantity | None:
    """What the table itself says."""
    if (measures := row.get("measures")) is not None:
        return next((each for each in Quantity if measures in (each, each.value)), None)
    kind = text(row, "kind") or ""
    if kind == "hwmon" and (text(row, "input") or "").endswith(("_alarm", "_fault")):
        return Quantity.STATE
    head = re.sub(r"_?\d+$", "", text(row, "command") or text(row, "input") or "")
    return _FIXED.get(kind) or _BY_INPUT.get(kind, {}).get(head)
