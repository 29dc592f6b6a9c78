"""What of the event log is in the SEL, and as which record. Pure.

The SEL is a view of the one event log: each event of a kind that IPMI has a record for is in it, under an id that
follows from its own; all else (who logged in, who changed what) is not, because IPMI has no record for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ubmc.protocols.ipmi import sel
from ubmc.protocols.ipmi.sdr import EventType, SensorType
from ubmc.services.ipmisrv.commands.repository import TOLD, Entry, Repository
from ubmc.v1alpha1.event_pb import Event
from ubmc.v1alpha1.sensor_pb import Sensor

PLATFORM_EVENT = "Ipmi.PlatformEvent"
CLEARED = "EventLog.Cleared"
DELETED = "EventLog.EventDeleted"
_UNKNOWN = 0xFF
_RANKS = {"SENSOR_LEVEL_WARNING": 1, "SENSOR_LEVEL_CRITICAL": 2, "SENSOR_LEVEL_FATAL": 3}
_UPPER = "SENSOR_SIDE_UPPER"
_FAILING = frozenset({"SENSOR_QUALITY_STALE", "SENSOR_QUALITY_IMPLAUSIBLE", "SENSOR_QUALITY_FAILED"})
_GOOD = "SENSOR_QUALITY_GOOD"
_SPECIFIC = EventType.SENSOR_SPECIFIC

Arguments = Mapping[str, str]
Sensors = Mapping[str, Sensor]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is remembered of an event."""

    id: int
    seconds: int
    """When it was, Unix seconds, by the clock that dates events."""
    message_id: str
    arguments: Arguments


def kept(event: Event) -> Kept | None:
    """What to remember of an event; None: it is not in the SEL."""
    keep = _IN_SEL.get(event.message_id)
    if keep is None or not keep(event.arguments):
        return None
    seconds = event.time.seconds if event.time is not None else 0
    return Kept(event.id, seconds, event.message_id, dict(event.arguments))


def record(event: Kept, repository: Repository, sensors: Sensors, offset_seconds: float) -> bytes:
    """The record of an event.

    Args:
        event: what is remembered of it.
        repository: the numbers of sensors.
        sensors: as they are.
        offset_seconds: how far the BMC's clock is ahead of the one that dates events.
    """
    record_id, seconds = sel.record_id(event.id), int(event.seconds + offset_seconds)
    if event.message_id == PLATFORM_EVENT:
        return sel.given_record(record_id, seconds, bytes.fromhex(event.arguments["record"]))
    found = _MADE[event.message_id](event.arguments, repository, sensors)
    return sel.system_record(record_id, seconds, found.pack())


# --- sensors ----------------------------------------------------------------------------------------------------------


def _threshold(arguments: Arguments, repository: Repository, _sensors: Sensors) -> sel.Event:
    """A limit that was passed is asserted; one that was left is deasserted (Spec table 42-2)."""
    before, now = (_RANKS.get(arguments.get(name, ""), 0) for name in ("previous", "current"))
    rank = max(before, now, 1)
    bit = rank - 1 + (3 if arguments.get("side") == _UPPER else 0)
    offset = 2 * bit if bit < 3 else 2 * bit + 1
    entry = repository.named(arguments.get("name", ""))
    kind = entry.kind if entry is not None else SensorType.OTHER
    lun, number = _place(entry)
    return sel.Event(
        kind, number, EventType.THRESHOLD, offset, deasserted=now < before, data=_values(entry, arguments), lun=lun
    )


def _values(entry: Entry | None, arguments: Arguments) -> tuple[int, int] | None:
    """Reading and limit as bytes."""
    if entry is None or entry.scale is None or entry.quantity is None:
        return None
    try:
        value, limit = (float(arguments[name]) * entry.quantity.factor for name in ("value", "threshold"))
    except (KeyError, ValueError):
        return None
    return entry.scale.raw(value), entry.scale.raw(limit)


def _quality(arguments: Arguments, repository: Repository, _sensors: Sensors) -> sel.Event:
    """A sensor that cannot be read any more goes off line (Spec table 42-2, type 0Ah), or comes back from there.

    It has the type of the sensor's SDR: clients look up the name by number and type. A sensor without an SDR fails as
    management subsystem health does (Spec table 42-3, type 28h).
    """
    entry = repository.named(arguments.get("name", ""))
    failing = arguments.get("current") in _FAILING
    if entry is None:
        return _told(SensorType.MANAGEMENT_HEALTH, 0x04, deasserted=not failing)
    lun, number = _place(entry)
    return sel.Event(entry.kind, number, EventType.AVAILABILITY, 0x04, deasserted=not failing, lun=lun)


def _state(arguments: Arguments, repository: Repository, sensors: Sensors) -> sel.Event:
    """A state that was entered; where IPMI has only one of the two, it is asserted or deasserted."""
    name, current = arguments.get("name", ""), arguments.get("current", "")
    entry, known = repository.named(name), sensors.get(name)
    lun, number = _place(entry)
    if entry is None or known is None or current not in known.states:
        return sel.Event(SensorType.OTHER, number, EventType.STATE_ASSERTED, 0x01, lun=lun)
    index = list(known.states).index(current)
    if entry.event is _SPECIFIC:
        return sel.Event(entry.kind, number, _SPECIFIC, 0x00, deasserted=index == 0, lun=lun)
    return sel.Event(entry.kind, number, entry.event, min(index, 3), lun=lun)


def _place(entry: Entry | None) -> tuple[int, int]:
    return (entry.place.lun, entry.place.number) if entry is not None else (0, _UNKNOWN)


def _entered(arguments: Arguments) -> bool:
    return bool(arguments.get("previous")) and arguments.get("current") not in ("", "unavailable")


def _broke_or_mended(arguments: Arguments) -> bool:
    before, now = arguments.get("previous"), arguments.get("current")
    return (now in _FAILING and before not in _FAILING) or (before in _FAILING and now == _GOOD)


# --- the host ---------------------------------------------------------------------------------------------------------

_POWER = {"HOST_STATE_ON": 0x00, "HOST_STATE_OFF": 0x06}
"""S0/G0 working; S4/S5 soft off (Spec table 42-3, type 22h)."""
_NEWS = {
    "HOST_NEWS_KIND_WATCHDOG_EXPIRED": (SensorType.WATCHDOG, 0x00),
    "HOST_NEWS_KIND_PANICKED": (SensorType.OS_STOP, 0x01),
    "HOST_NEWS_KIND_GUEST_SHUTDOWN": (SensorType.OS_STOP, 0x03),
    "HOST_NEWS_KIND_GUEST_RESET": (SensorType.SYSTEM_BOOT, 0x02),
    "HOST_NEWS_KIND_BUTTON_PRESSED": (SensorType.BUTTON, 0x00),
    "HOST_NEWS_KIND_NMI_SENT": (SensorType.CRITICAL_INTERRUPT, 0x00),
}
"""Timer expired; run-time critical stop; graceful shutdown; warm reset; power button; diagnostic interrupt
(Spec table 42-3)."""


def _power(arguments: Arguments, repository: Repository, _sensors: Sensors) -> sel.Event:
    lun, number = _place(repository.named("host_power"))
    return sel.Event(SensorType.ACPI_POWER, number, _SPECIFIC, _POWER[arguments["current"]], lun=lun)


def _news(arguments: Arguments, repository: Repository, _sensors: Sensors) -> sel.Event:
    kind, offset = _NEWS[arguments["kind"]]
    if kind is not SensorType.WATCHDOG:
        return _told(kind, offset)
    lun, number = _place(repository.named("host_watchdog"))
    return sel.Event(kind, number, _SPECIFIC, offset, lun=lun)


def _trip(_arguments: Arguments, _repository: Repository, _sensors: Sensors) -> sel.Event:
    """Processor: thermal trip (Spec table 42-3, type 07h)."""
    return _told(SensorType.PROCESSOR, 0x01)


def _told(kind: SensorType, offset: int, *, deasserted: bool = False) -> sel.Event:
    """Of what has no reading; its name is in an event-only record."""
    return sel.Event(kind, TOLD[kind].place.number, _SPECIFIC, offset, deasserted=deasserted)


def _log_cleared(_arguments: Arguments, repository: Repository, _sensors: Sensors) -> sel.Event:
    """Event logging: log area cleared (Spec table 42-3, type 10h)."""
    lun, number = _place(repository.named("event_log"))
    return sel.Event(SensorType.EVENT_LOGGING, number, _SPECIFIC, 0x02, lun=lun)


def _written(arguments: Arguments) -> bool:
    try:
        return len(bytes.fromhex(arguments.get("record", ""))) == sel.RECORD_BYTES - 2
    except ValueError:
        return False


_IN_SEL: Mapping[str, Callable[[Arguments], bool]] = MappingProxyType(
    {
        "Sensor.ThresholdCrossed": lambda _arguments: True,
        "Sensor.QualityChanged": _broke_or_mended,
        "Sensor.StateChanged": _entered,
        "Host.StateChanged": lambda arguments: arguments.get("current") in _POWER,
        "Host.News": lambda arguments: arguments.get("kind") in _NEWS,
        "Thermal.Tripped": lambda _arguments: True,
        CLEARED: lambda _arguments: True,
        PLATFORM_EVENT: _written,
    }
)
_MADE: Mapping[str, Callable[[Arguments, Repository, Sensors], sel.Event]] = MappingProxyType(
    {
        "Sensor.ThresholdCrossed": _threshold,
        "Sensor.QualityChanged": _quality,
        "Sensor.StateChanged": _state,
        "Host.StateChanged": _power,
        "Host.News": _news,
        "Thermal.Tripped": _trip,
        CLEARED: _log_cleared,
    }
)
