"""The SDR repository: which sensors, FRU devices and controllers there are, with numbers that stay.

A sensor has its number by its place in the board file, so it is the same after a restart. The records are made of what
is known; when they come out other than before, the repository has a new time, by which clients see that what they keep
of it is old.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ubmc.protocols.ipmi import scale as scales
from ubmc.protocols.ipmi import sdr, sensor
from ubmc.protocols.ipmi.scale import Scale
from ubmc.protocols.ipmi.sdr import Analog, Discrete, Entity, EventType, Place, SensorType, Unit
from ubmc.v1alpha1.inventory_pb import Asset
from ubmc.v1alpha1.sensor_pb import Sensor, SensorKind, SensorLevel, SensorQuality, SensorSide

LUNS = (0, 1, 3)
"""Those of sensors; 2 is that of software on the host (Spec table 7-2)."""
PER_LUN = 0xEF
"""Sensors have the numbers 1 to EFh; those above are of the BMC itself."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a kind of sensor is in IPMI."""

    kind: SensorType
    unit: Unit
    low: float
    high: float
    """What it shows if the board file does not say."""
    modifier: int = 0
    factor: float = 1.0
    """From our unit to that of IPMI."""


QUANTITIES: Mapping[SensorKind, Quantity] = MappingProxyType(
    {
        SensorKind.TEMPERATURE: Quantity(SensorType.TEMPERATURE, Unit.CELSIUS, -40, 150),
        SensorKind.VOLTAGE: Quantity(SensorType.VOLTAGE, Unit.VOLT, 0, 25),
        SensorKind.CURRENT: Quantity(SensorType.CURRENT, Unit.AMPERE, 0, 200),
        SensorKind.FAN_SPEED: Quantity(SensorType.FAN, Unit.RPM, 0, 30000),
        SensorKind.POWER: Quantity(SensorType.OTHER, Unit.WATT, 0, 2000),
        SensorKind.HUMIDITY: Quantity(SensorType.OTHER, Unit.UNSPECIFIED, 0, 100, sdr.PERCENT),
        SensorKind.PRESSURE: Quantity(SensorType.OTHER, Unit.KILOPASCAL, 0, 125, factor=0.001),
        SensorKind.FLOW: Quantity(SensorType.OTHER, Unit.LITER, 0, 10000, sdr.PER_MINUTE),
        SensorKind.PERCENT: Quantity(SensorType.OTHER, Unit.UNSPECIFIED, 0, 100, sdr.PERCENT),
    }
)
"""A counter of energy has no end, so there is no byte for it; it is left out."""
ENTITIES: Mapping[str, Entity] = MappingProxyType(
    {
        "cpu": Entity.PROCESSOR,
        "dimm": Entity.MEMORY_DEVICE,
        "drive": Entity.DISK,
        "psu": Entity.POWER_SUPPLY,
        "fan": Entity.FAN,
        "nic": Entity.ADD_IN_CARD,
        "board": Entity.SYSTEM_BOARD,
        "chassis": Entity.SYSTEM_CHASSIS,
        "bmc": Entity.MANAGEMENT,
        "host": Entity.OPERATING_SYSTEM,
    }
)
"""By the kind of component: the part of its name before the dot."""
_HEADROOM = 1.25  # a temperature is shown up to so many times its highest limit
_PRESENCE = frozenset({"absent", "present"})
_LEVELS = {SensorLevel.WARNING: 1, SensorLevel.CRITICAL: 2, SensorLevel.FATAL: 3}


def level_of(level: SensorLevel) -> int:
    """0 normal, 1 warning, 2 critical, 3 fatal."""
    return _LEVELS.get(level, 0)


@dataclass(slots=True)
class Entry:
    """One sensor of the repository."""

    name: str
    """As the board calls it."""
    place: Place
    kind: SensorType
    event: EventType
    quantity: Quantity | None = None
    scale: Scale | None = None
    """None for a sensor with states."""
    record_id: int = 0

    def limits(self, known: Sensor) -> list[float | None]:
        """The limits in the unit of IPMI, in the order of `sensor.LIMITS`; None: not watched."""
        given = known.thresholds
        factor = self.quantity.factor if self.quantity is not None else 1.0
        found: list[float | None] = []
        for name in sensor.LIMITS:
            there = given is not None and given.has_field(name)
            found.append(float(getattr(given, name)) * factor if there else None)
        return found

    def raw(self, known: Sensor) -> int | None:
        """The byte of the reading; None: there is none."""
        if self.scale is None or self.quantity is None or not _readable(known) or not known.has_field("value"):
            return None
        return self.scale.raw(known.value * self.quantity.factor)

    def passed(self, known: Sensor) -> int:
        """The bits of the limits that are passed."""
        watched = [limit is not None for limit in self.limits(known)]
        upper = known.side is SensorSide.UPPER
        return sensor.passed_limits(level_of(known.level), upper=upper, watched=watched)

    def states(self, known: Sensor) -> int | None:
        """The bits of the states of a sensor with states; None: they are not known."""
        if not _readable(known) or known.state not in known.states:
            return None
        index = list(known.states).index(known.state)
        match self.kind, self.event:
            case (SensorType.POWER_SUPPLY | SensorType.DRIVE, EventType.SENSOR_SPECIFIC):
                return 0x0001 if known.state == "present" else 0
            case (_, EventType.PRESENCE):
                return 0x0002 if known.state == "present" else 0x0001
            case (SensorType.CHASSIS_INTRUSION, _):
                return 0x0001 if index else 0
            case (_, EventType.SEVERITY):
                return 1 << level_of(known.level)
        return 1 << min(index, 1)

    def all_states(self) -> int:
        """The bits of the states that there can be."""
        match self.event:
            case EventType.SENSOR_SPECIFIC:
                return 0x0001
            case EventType.SEVERITY:
                return 0x000F
        return 0x0003


def _readable(known: Sensor) -> bool:
    return known.quality is SensorQuality.GOOD


OWN = (
    Entry(
        "host_power",
        Place(0, 0xF0, Entity.OPERATING_SYSTEM, 1, "host_power"),
        SensorType.ACPI_POWER,
        EventType.SENSOR_SPECIFIC,
    ),
    Entry(
        "host_watchdog",
        Place(0, 0xF1, Entity.MANAGEMENT, 1, "host_watchdog"),
        SensorType.WATCHDOG,
        EventType.SENSOR_SPECIFIC,
    ),
    Entry(
        "event_log",
        Place(0, 0xF2, Entity.MANAGEMENT, 1, "event_log"),
        SensorType.EVENT_LOGGING,
        EventType.SENSOR_SPECIFIC,
    ),
)
"""What the BMC tells of itself and the host; the numbers are not those of any other sensor."""
OWN_STATES = MappingProxyType({"host_power": 0x0041, "host_watchdog": 0x000F, "event_log": 0x0014})
"""The states that they can have (Spec table 42-3): S0 and soft off; the four of the watchdog; cleared and full."""


def _told(number: int, name: str, kind: SensorType, entity: Entity) -> Entry:
    return Entry(name, Place(0, number, entity, 1, name), kind, EventType.SENSOR_SPECIFIC)


TOLD: Mapping[SensorType, Entry] = MappingProxyType(
    {
        entry.kind: entry
        for entry in (
            _told(0xF3, "host_os", SensorType.OS_STOP, Entity.OPERATING_SYSTEM),
            _told(0xF4, "host_boot", SensorType.SYSTEM_BOOT, Entity.OPERATING_SYSTEM),
            _told(0xF5, "power_button", SensorType.BUTTON, Entity.SYSTEM_CHASSIS),
            _told(0xF6, "host_nmi", SensorType.CRITICAL_INTERRUPT, Entity.SYSTEM_BOARD),
            _told(0xF7, "thermal_trip", SensorType.PROCESSOR, Entity.PROCESSOR),
            _told(0xF8, "bmc_health", SensorType.MANAGEMENT_HEALTH, Entity.MANAGEMENT),
        )
    }
)
"""What has no reading and is only told of in the event log: so that clients have a name for it."""


def entity_of(component: str) -> tuple[Entity, int]:
    """Of which part of the machine a component is, and which one of them, from 1 on."""
    kind, _, number = component.partition(".")
    entity = ENTITIES.get(kind, Entity.UNSPECIFIED)
    return entity, int(number) + 1 if number.isdigit() and int(number) < 0x5F else 1


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Names of at most 16 characters, each another one: the longest word of a longer one is cut."""
    found: dict[str, str] = {}
    for name in names:
        words = name.split("_")
        while len("_".join(words)) > sdr.ID_BYTES:
            longest = max(range(len(words)), key=lambda index: (len(words[index]), index))
            words[longest] = words[longest][:-1]
        short, number = "_".join(words), 1
        while short in found.values():
            number += 1
            short = f"{'_'.join(words)[: sdr.ID_BYTES - len(str(number)) - 1]}~{number}"
        found[name] = short
    return found


def entry_of(known: Sensor, number: int, short: str) -> Entry | None:
    """A sensor in the repository; None for one that IPMI cannot show.

    Args:
        known: the sensor.
        number: its place in the board file, from 0 on.
        short: its name, of at most 16 characters.
    """
    lun = LUNS[number // PER_LUN] if number // PER_LUN < len(LUNS) else None
    if lun is None:
        return None
    entity, instance = entity_of(known.component)
    if known.kind is SensorKind.TEMPERATURE and "inlet" in known.name:
        entity = Entity.AIR_INLET
    place = Place(lun, number % PER_LUN + 1, entity, instance, short)
    if known.kind is SensorKind.STATE:
        kind, event = _state_kind(known)
        return Entry(known.name, place, kind, event)
    quantity = QUANTITIES.get(known.kind)
    if quantity is None:
        return None
    entry = Entry(known.name, place, quantity.kind, EventType.THRESHOLD, quantity)
    entry.scale = _scale_of(entry, known, quantity)
    return entry


def _state_kind(known: Sensor) -> tuple[SensorType, EventType]:
    part = known.component.partition(".")[0]
    if frozenset(known.states) == _PRESENCE:
        kinds = {"psu": SensorType.POWER_SUPPLY, "drive": SensorType.DRIVE}
        if part in kinds:
            return kinds[part], EventType.SENSOR_SPECIFIC
        others = {"fan": SensorType.FAN, "dimm": SensorType.MEMORY, "cpu": SensorType.PROCESSOR}
        return others.get(part, SensorType.OTHER), EventType.PRESENCE
    if "intrusion" in known.name:
        return SensorType.CHASSIS_INTRUSION, EventType.SENSOR_SPECIFIC
    event = EventType.STATE_ASSERTED if len(known.states) <= 2 else EventType.SEVERITY
    return SensorType.POWER_SUPPLY if part == "psu" else SensorType.OTHER, event


def _scale_of(entry: Entry, known: Sensor, quantity: Quantity) -> Scale:
    limits = [limit for limit in entry.limits(known) if limit is not None]
    low = known.range_minimum * quantity.factor if known.has_field("range_minimum") else quantity.low
    high = known.range_maximum * quantity.factor if known.has_field("range_maximum") else quantity.high
    if known.kind is SensorKind.TEMPERATURE and limits and max(limits) > 0:
        high = min(high, max(limits) * _HEADROOM)
    low, high = min([low, *limits]), max([high, *limits])
    return scales.choose(low, high if high > low else low + 1, limits)


@dataclass(frozen=True, slots=True)
class FruDevice:
    """A FRU device: the number that commands name, and its asset."""

    number: int
    asset: str
    place: Place


class Repository:
    """All records.

    Args:
        sensors: the names of the board's sensors, in the order of the board file.
        controller: what the controller is called in its record.
        capabilities: of the controller, as in Get Device ID.
    """

    def __init__(self, sensors: Sequence[str], controller: str, capabilities: int) -> None:
        self._order = tuple(sensors)
        self._controller = Place(0, 0, Entity.MANAGEMENT, 1, controller[: sdr.ID_BYTES])
        self._capabilities = capabilities
        self._by_name: dict[str, Entry] = {entry.name: entry for entry in OWN}
        self._by_number: dict[tuple[int, int], Entry] = {(e.place.lun, e.place.number): e for e in OWN}
        self._scales: dict[str, Scale] = {}
        self.records: tuple[bytes, ...] = ()
        self.digest = 0
        """Of all records."""

    def entry(self, lun: int, number: int) -> Entry | None:
        """The sensor of a number."""
        return self._by_number.get((lun, number))

    def named(self, name: str) -> Entry | None:
        """The sensor that the board calls so."""
        return self._by_name.get(name)

    def build(self, sensors: Mapping[str, Sensor], frus: Iterable[FruDevice]) -> None:
        """Make the records anew.

        A sensor keeps the scale that it had: clients convert with it what they ask for later.
        """
        order = [*self._order, *sorted(sensors.keys() - set(self._order))]
        short = short_names(order)
        entries = list(OWN)
        for number, name in enumerate(order):
            entry = entry_of(sensors[name], number, short[name]) if name in sensors else None
            if entry is not None:
                if entry.scale is not None:
                    entry.scale = self._scales.setdefault(name, entry.scale)
                entries.append(entry)
        records: list[bytes] = []
        for entry in sorted(entries, key=lambda each: each.scale is None):
            entry.record_id = len(records) + 1
            records.append(_record(entry, sensors.get(entry.name)))
        for entry in TOLD.values():
            records.append(sdr.event_only(len(records) + 1, entry.place, entry.kind, entry.event))
        for device in frus:
            records.append(sdr.fru(len(records) + 1, device.number, device.place))
        records.append(sdr.controller(len(records) + 1, self._capabilities, self._controller))
        self._by_name = {entry.name: entry for entry in entries}
        self._by_number = {(entry.place.lun, entry.place.number): entry for entry in entries}
        self.records = tuple(records)
        self.digest = zlib.crc32(b"".join(records))


def _record(entry: Entry, known: Sensor | None) -> bytes:
    if entry.scale is None or entry.quantity is None or known is None:
        states = OWN_STATES.get(entry.name) if known is None else entry.all_states()
        return sdr.discrete(entry.record_id, Discrete(entry.place, entry.kind, entry.event, states or 0))
    hysteresis = known.thresholds.hysteresis if known.thresholds is not None else 0.0
    return sdr.analog(
        entry.record_id,
        Analog(
            place=entry.place,
            kind=entry.kind,
            unit=entry.quantity.unit,
            scale=entry.scale,
            thresholds=tuple(entry.scale.raw(limit) if limit is not None else None for limit in entry.limits(known)),
            hysteresis=entry.scale.delta(hysteresis * entry.quantity.factor),
            modifier=entry.quantity.modifier,
        ),
    )


def fru_devices(names: Sequence[str], assets: Mapping[str, Asset], system: str) -> tuple[FruDevice, ...]:
    """The FRU devices: 0 is the system's, then those with storage of their own in the order of the board file.

    Args:
        names: the parts of the board, in the order of the board file.
        assets: those that are known.
        system: the part that stands for the system.
    """
    order = [system, *(name for name in names if name != system and name in assets and assets[name].fru is not None)]
    short = short_names(name.replace(".", "_") for name in order)
    return tuple(
        FruDevice(number, name, Place(0, 0, *entity_of(name), short[name.replace(".", "_")]))
        for number, name in enumerate(order)
    )
