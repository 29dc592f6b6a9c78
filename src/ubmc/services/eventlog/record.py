"""From an envelope on the bus to what is stored: the text for people, the arguments for programs, all bounded. No I/O.

The text comes from the `event` option of the message's type in the schema. Whatever cannot be read that well is stored
with less, never lost; only what is no envelope at all is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import orjson
from protobuf import Message
from protobuf.wkt import Timestamp
from ulid import ULID

from ubmc.kit import subjects
from ubmc.kit.errors import Invalid
from ubmc.v1alpha1.event_kind_pb import EventKind, Severity
from ubmc.v1alpha1.event_pb import Event, EventDeleted, EventEnvelope, EventLogCleared
from ubmc.v1alpha1.host_pb import Cause

Kinds = Mapping[str, type[Message[Any]]]

MESSAGE_BYTES = 2048
ARGUMENT_BYTES = 512
MAX_ARGUMENTS = 32
NAME_BYTES = 64
TYPE_BYTES = 128
UNKNOWN = "Unknown"
"""The message id of an event whose type this program does not know."""
EVENTS_LOST = "EventLog.EventsLost"
"""The message id of the event log's own event: it never came over the bus, so the schema has no message for it."""

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_UNITS = MappingProxyType({"Cel": "\N{DEGREE SIGN}C"})
"""Units that people write in another way than UCUM does."""
_PLACE = re.compile(r"\{([a-z0-9_]+)\}")
_FIRST_SECOND = -62_135_596_800  # 0001-01-01 and 9999-12-31: google/protobuf/timestamp.proto
_LAST_SECOND = 253_402_300_799


@dataclass(frozen=True, slots=True)
class Record:
    """One event as it is stored."""

    ulid: str
    time_us: int  # microseconds since 1970, UTC
    severity: int
    component: str
    message_id: str
    message: str
    arguments: bytes  # a JSON object of strings
    cause: bytes | None  # a Cause


def read(data: bytes, kinds: Kinds) -> Record:
    """The record of an envelope.

    Args:
        data: what came over the bus.
        kinds: the messages that are news, by full name, as `Schema.events` has them.

    Raises:
        Invalid: it is no envelope, or has no ULID by which it could be told from others.
    """
    try:
        envelope = EventEnvelope.from_binary(data)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Invalid(f"this is no event: {error}") from error
    if not _ULID.fullmatch(envelope.ulid):
        raise Invalid("an event without a ULID")
    cls = kinds.get(envelope.type)
    kind = subjects.kind_of(cls) if cls is not None else EventKind(message_id=UNKNOWN)
    message, arguments = _content(cls, kind, envelope)
    return Record(
        ulid=envelope.ulid,
        time_us=microseconds(envelope.time or Timestamp()),
        severity=_severity(envelope.severity) or _severity(kind.severity) or Severity.OK.value,
        component=bounded(envelope.component, NAME_BYTES),
        message_id=kind.message_id,
        message=bounded(message, MESSAGE_BYTES),
        arguments=orjson.dumps(arguments),
        cause=_cause(envelope.cause),
    )


def lost(count: int, ulid: str, time_us: int) -> Record:
    """The event log's own event: so many events are missing at this place."""
    return Record(
        ulid=ulid,
        time_us=time_us,
        severity=Severity.CRITICAL.value,
        component="bmc.0",
        message_id=EVENTS_LOST,
        message=f"events were lost: {count}",
        arguments=orjson.dumps({"count": str(count)}),
        cause=None,
    )


def cleared(count: int, cause: Cause | None, kinds: Kinds) -> Record:
    """The event log's own event: somebody took so many events out of it."""
    return _own(EventLogCleared(cleared=count), cause, kinds)


def deleted(event: Event, cause: Cause | None, kinds: Kinds) -> Record:
    """The event log's own event: somebody took this event out of it."""
    return _own(EventDeleted(id=event.id, message_id=event.message_id), cause, kinds)


def _own(news: Message[Any], cause: Cause | None, kinds: Kinds) -> Record:
    """The record of news of the event log itself, which do not come over the bus."""
    envelope = EventEnvelope(
        ulid=str(ULID()),
        time=Timestamp.now(),
        component="bmc.0",
        cause=cause,
        type=type(news).desc().type_name,
        body=news.to_binary(),
    )
    return read(envelope.to_binary(), kinds)


def microseconds(time: Timestamp) -> int:
    """Microseconds since 1970, within the years 1 to 9999."""
    seconds = min(max(time.seconds, _FIRST_SECOND), _LAST_SECOND)
    return seconds * 1_000_000 + min(max(time.nanos, 0), 999_999_999) // 1000


def bounded(text: str, size: int) -> str:
    """The text without anything that a terminal or a log would obey, in at most `size` bytes of UTF-8."""
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:size])
    encoded = clean.encode(errors="replace")
    if len(encoded) <= size and len(text) <= size:
        return encoded.decode()
    ellipsis = "…"
    return encoded[: size - len(ellipsis.encode())].decode(errors="ignore") + ellipsis


def render(template: str, news: Message[Any]) -> str:
    """The text of news: `{field}` is replaced by the field of that name; braces in a field mean nothing."""
    fields = {field.name: field.local_name for field in news.desc().fields}

    def word(place: re.Match[str]) -> str:
        name = fields.get(place[1])
        if name == "unit":
            return _UNITS.get(news.unit, news.unit)  # type: ignore[attr-defined]  # this news has one
        return plain(getattr(news, name)) if name is not None else place[0]

    return _PLACE.sub(word, template).strip()


def plain(value: object) -> str:
    """A value in plain words: an enum as `powering on`, a switch as `on`, a number without needless digits."""
    match value:
        case None:
            return ""
        case IntEnum():
            return _word(value)
        case bool():
            return "on" if value else "off"
        case float():
            return f"{value:.15g}"
        case Message():
            return value.to_json()
        case _:
            return str(value)


def _word(value: IntEnum) -> str:
    name: str | None = value.name  # None for a number that this program has no name for
    if name is None:
        return str(value.value)
    return "unknown" if name == "UNSPECIFIED" else name.lower().replace("_", " ")


def _content(cls: type[Message[Any]] | None, kind: EventKind, envelope: EventEnvelope) -> tuple[str, dict[str, str]]:
    """The text and the arguments."""
    type_name = bounded(envelope.type, TYPE_BYTES)
    if cls is None:
        return f"an event of a kind that this program does not know: {type_name}", {"type": type_name}
    try:
        news = cls.from_binary(envelope.body)
        return render(kind.text, news), _arguments(news)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return f"{kind.message_id}; its content cannot be read", {"type": type_name}


def _arguments(news: Message[Any]) -> dict[str, str]:
    """The fields under their names in the schema; enums as the schema writes them."""
    content = orjson.loads(news.to_json(always_emit_implicit=True, use_proto_field_name=True))
    return {
        name: bounded(value if isinstance(value, str) else orjson.dumps(value).decode(), ARGUMENT_BYTES)
        for name, value in list(content.items())[:MAX_ARGUMENTS]
    }


def _severity(value: Severity) -> int:
    """The number of a severity; 0 for one that is not said or not known."""
    return value.value if value.value in {known.value for known in Severity} else 0


def _cause(cause: Cause | None) -> bytes | None:
    if cause is None:
        return None
    return Cause(
        kind=bounded(cause.kind, NAME_BYTES),
        user=bounded(cause.user, NAME_BYTES),
        trace_id=bounded(cause.trace_id, NAME_BYTES),
    ).to_binary()
