"""Sensor data records (Spec chapter 43): what sensors, field-replaceable units and controllers there are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ubmc.protocols.ipmi.codes import BMC_ADDRESS
from ubmc.protocols.ipmi.scale import Scale
from ubmc.protocols.ipmi.sensor import events_of

VERSION = 0x51
"""Of the records: 1.5, the digits reversed (Spec table 43-1, byte 3)."""
ID_BYTES = 16
"""The longest name of a sensor or device (Spec section 43.15)."""
HEADER_BYTES = 5
_ASCII = 0xC0  # 8-bit ASCII and Latin 1 (Spec section 43.15, bits 7:6)


class SensorType(IntEnum):
    """Spec table 42-3."""

    TEMPERATURE = 0x01
    VOLTAGE = 0x02
    CURRENT = 0x03
    FAN = 0x04
    CHASSIS_INTRUSION = 0x05
    PROCESSOR = 0x07
    POWER_SUPPLY = 0x08
    POWER_UNIT = 0x09
    OTHER = 0x0B
    MEMORY = 0x0C
    DRIVE = 0x0D
    EVENT_LOGGING = 0x10
    CRITICAL_INTERRUPT = 0x13
    BUTTON = 0x14
    SYSTEM_BOOT = 0x1D
    OS_STOP = 0x20
    ACPI_POWER = 0x22
    WATCHDOG = 0x23
    MANAGEMENT_HEALTH = 0x28


class EventType(IntEnum):
    """Event/reading types (Spec tables 42-1 and 42-2)."""

    THRESHOLD = 0x01
    STATE_ASSERTED = 0x03
    SEVERITY = 0x07
    """00h OK, 01h non-critical, 02h critical, 03h non-recoverable."""
    PRESENCE = 0x08
    """00h absent, 01h present."""
    AVAILABILITY = 0x0A
    """00h running, 04h off line."""
    SENSOR_SPECIFIC = 0x6F


class Entity(IntEnum):
    """Spec table 43-13."""

    UNSPECIFIED = 0x00
    PROCESSOR = 0x03
    DISK = 0x04
    MANAGEMENT = 0x06
    SYSTEM_BOARD = 0x07
    POWER_SUPPLY = 0x0A
    ADD_IN_CARD = 0x0B
    SYSTEM_CHASSIS = 0x17
    FAN = 0x1D
    MEMORY_DEVICE = 0x20
    OPERATING_SYSTEM = 0x23
    AIR_INLET = 0x37


class Unit(IntEnum):
    """Spec section 43.17, "sensor units 2"; with those in which percent stands in "sensor units 1"."""

    UNSPECIFIED = 0
    CELSIUS = 1
    VOLT = 4
    AMPERE = 5
    WATT = 6
    JOULE = 7
    KILOPASCAL = 14
    RPM = 18
    LITER = 37


PERCENT = 0x01
PER_MINUTE = 0x20
"""Of "sensor units 1" (Spec table 43-1, byte 21): percentage; rate unit, bits 5:3."""
NO_ANALOG = 0xC0
_SIGNED = 0x80
_EVENTS = 0x40  # auto re-arm
_HYSTERESIS = 0x20  # readable and settable
_THRESHOLDS = 0x08  # readable and settable
_PER_SENSOR = 0x01  # events can be disabled for the whole sensor


@dataclass(frozen=True, slots=True)
class Place:
    """Which sensor or device of which part of the machine."""

    lun: int
    number: int
    entity: Entity
    instance: int
    """1 for the first."""
    name: str
    """At most 16 characters."""


@dataclass(frozen=True, slots=True)
class Analog:
    """A sensor that measures (a full sensor record)."""

    place: Place
    kind: SensorType
    unit: Unit
    scale: Scale
    thresholds: tuple[int | None, ...]
    """As bytes, in the order of `sensor.LIMITS`; None: not watched."""
    hysteresis: int = 0
    modifier: int = 0
    """PERCENT or PER_MINUTE."""


@dataclass(frozen=True, slots=True)
class Discrete:
    """A sensor that has states (a compact sensor record)."""

    place: Place
    kind: SensorType
    event: EventType
    states: int
    """A bit for each offset that can be."""


def analog(record_id: int, sensor: Analog) -> bytes:
    """A full sensor record (Spec section 43.1, table 43-1)."""
    scale, mask = sensor.scale, _mask(sensor.thresholds)
    events = events_of(mask)
    capabilities = _EVENTS | _PER_SENSOR | ((_HYSTERESIS | _THRESHOLDS) if mask else 0)
    body = _owner(sensor.place) + bytes((0x7F, capabilities, sensor.kind, EventType.THRESHOLD))
    body += (events | mask << 12 & 0x7000).to_bytes(2, "little")  # and which lower limits a reading compares with
    body += (events | mask << 9 & 0x7000).to_bytes(2, "little")  # and which upper ones
    body += bytes((mask, mask, sensor.modifier | (_SIGNED if scale.signed else 0), sensor.unit, 0, 0))
    body += bytes((scale.m & 0xFF, scale.m >> 2 & 0xC0 | 0x01))  # tolerance: half a count
    body += bytes((scale.b & 0xFF, scale.b >> 2 & 0xC0, 0, (scale.exponent & 0x0F) << 4 | scale.b_exponent & 0x0F))
    ends = scale.raw(scale.highest), scale.raw(scale.lowest)
    body += bytes((0, 0, 0, 0, *ends))  # no nominal and normal readings; sensor maximum and minimum
    body += bytes(_or_zero(sensor.thresholds[index]) for index in (5, 4, 3, 2, 1, 0))
    body += bytes((sensor.hysteresis, sensor.hysteresis, 0, 0, 0))
    return _record(record_id, 0x01, body + _name(sensor.place.name))


def discrete(record_id: int, sensor: Discrete) -> bytes:
    """A compact sensor record (Spec section 43.2, table 43-2)."""
    body = _owner(sensor.place) + bytes((0x67, _EVENTS | _PER_SENSOR, sensor.kind, sensor.event))
    body += sensor.states.to_bytes(2, "little") * 3
    body += bytes((NO_ANALOG, 0, 0)) + bytes((0x01, 0x00)) + bytes(6)  # shared by one
    return _record(record_id, 0x02, body + _name(sensor.place.name))


def event_only(record_id: int, place: Place, kind: SensorType, event: EventType) -> bytes:
    """The record of a sensor that has no reading and only tells events (Spec section 43.3, table 43-3)."""
    body = _owner(place) + bytes((kind, event, 0x01, 0x00, 0x00, 0x00))  # shared by one
    return _record(record_id, 0x03, body + _name(place.name))


def fru(record_id: int, device_id: int, place: Place) -> bytes:
    """The locator of a logical FRU device of ours (Spec section 43.8, table 43-7)."""
    body = bytes((BMC_ADDRESS, device_id, 0x80, 0x00, 0x00, 0x10, 0x00, place.entity, place.instance, 0x00))
    return _record(record_id, 0x11, body + _name(place.name))


def controller(record_id: int, capabilities: int, place: Place) -> bytes:
    """The locator of the BMC (Spec section 43.9, table 43-8); capabilities as in Get Device ID, byte 7."""
    body = bytes((BMC_ADDRESS, 0x00, 0x00, capabilities, 0, 0, 0, place.entity, place.instance, 0x00))
    return _record(record_id, 0x12, body + _name(place.name))


def _record(record_id: int, kind: int, body: bytes) -> bytes:
    return record_id.to_bytes(2, "little") + bytes((VERSION, kind, len(body))) + body


def _owner(place: Place) -> bytes:
    return bytes((BMC_ADDRESS, place.lun, place.number, place.entity, place.instance))


def _name(text: str) -> bytes:
    data = text.encode("latin-1", "replace")[:ID_BYTES]
    return bytes((_ASCII | len(data),)) + data


def _mask(thresholds: tuple[int | None, ...]) -> int:
    return sum(1 << bit for bit, limit in enumerate(thresholds) if limit is not None)


def _or_zero(limit: int | None) -> int:
    return limit if limit is not None else 0
