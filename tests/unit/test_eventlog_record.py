"""What is stored of an event: its text, its arguments, its bounds."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from protobuf import Message
from protobuf.wkt import Timestamp
from ulid import ULID

from ubmc.kit import subjects
from ubmc.kit.errors import Invalid
from ubmc.kit.schema import load
from ubmc.services.eventlog import record
from ubmc.services.eventlog.record import Record, bounded, plain, read, render
from ubmc.v1alpha1.chassis_pb import ChassisIdentifyChange
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.event_pb import EventEnvelope
from ubmc.v1alpha1.host_pb import Cause, HostNews, HostPowerAction, HostPowerActionFailure, HostState, HostStateChange

SCHEMA = load()
ON = HostStateChange(name="host.0", previous=HostState.POWERING_ON, current=HostState.ON)


def envelope(news: Message[Any], **fields: object) -> EventEnvelope:
    told = EventEnvelope(
        ulid=str(ULID()), time=Timestamp.now(), component="host.0", type=news.desc().type_name, body=news.to_binary()
    )
    for name, value in fields.items():
        setattr(told, name, value)
    return told


def stored(told: EventEnvelope) -> Record:
    return read(told.to_binary(), SCHEMA.events)


@pytest.mark.parametrize(
    ("news", "text"),
    [
        (ON, "host.0 went from powering on to on"),
        (HostStateChange(name="host.0", current=HostState(99)), "host.0 went from unknown to 99"),
        (ChassisIdentifyChange(name="chassis.0", identify=True), "chassis.0: identify is on"),
        (ChassisIdentifyChange(name="chassis.0"), "chassis.0: identify is off"),
        (
            HostPowerActionFailure(
                name="host.0", action=HostPowerAction.ON, patience_seconds=300.0, current=HostState.OFF, advice="Look."
            ),
            "host.0: on had no effect after 300 s; the host is off. Look.",
        ),
        (HostNews(name="{what}", what="{name} {0.__class__}"), "{what}: {name} {0.__class__}"),
    ],
)
def test_text(news: Message[Any], text: str) -> None:
    assert stored(envelope(news)).message == text


def test_place_without_field_stays_as_it_is() -> None:
    assert render("{name} {nonsense} {}", ON) == "host.0 {nonsense} {}"


def test_every_kind_of_the_schema_names_only_fields_that_it_has() -> None:
    assert len(SCHEMA.events) > 5
    for cls in SCHEMA.events.values():
        assert "{" not in render(subjects.kind_of(cls).text, cls()), cls


def test_plain_words() -> None:
    class Odd(IntEnum):
        UNSPECIFIED = 0

    assert [plain(value) for value in (None, 1.5, 2.0, 7, "x", Odd.UNSPECIFIED)] == [
        "",
        "1.5",
        "2",
        "7",
        "x",
        "unknown",
    ]


def test_arguments_are_the_fields_as_the_schema_writes_them() -> None:
    failure = HostPowerActionFailure(name="host.0", action=HostPowerAction.FORCE_OFF, patience_seconds=1.5)
    assert orjson.loads(stored(envelope(failure)).arguments) == {
        "name": "host.0",
        "action": "HOST_POWER_ACTION_FORCE_OFF",
        "patience_seconds": "1.5",
        "current": "HOST_STATE_UNSPECIFIED",
        "advice": "",
    }


def test_time_severity_and_cause_come_from_the_envelope() -> None:
    cause = Cause(kind="user", user="olga")
    told = envelope(ON, time=Timestamp(seconds=5, nanos=7000), severity=Severity.CRITICAL, cause=cause)
    row = stored(told)
    assert (row.time_us, row.severity, row.message_id) == (5_000_007, 3, "Host.StateChanged")
    assert row.cause is not None
    assert Cause.from_binary(row.cause).user == "olga"
    assert stored(envelope(ON)).severity == Severity.OK.value
    assert stored(envelope(ON, severity=Severity(77))).severity == Severity.OK.value


def test_unknown_kind_is_stored() -> None:
    row = stored(envelope(ON, type="ubmc.v9.Something"))
    assert row.message_id == "Unknown"
    assert "ubmc.v9.Something" in row.message
    assert orjson.loads(row.arguments) == {"type": "ubmc.v9.Something"}


def test_unreadable_body_is_stored_with_its_kind() -> None:
    row = stored(envelope(ON, body=b"\x0a\x7f\xff"))
    assert (row.message_id, row.message) == ("Host.StateChanged", "Host.StateChanged; its content cannot be read")


@pytest.mark.parametrize("data", [b"\xff\xff", b"", EventEnvelope(ulid="x").to_binary(), b"\x0a\x02\xff\xfe"])
def test_what_is_no_event_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        read(data, SCHEMA.events)


def test_impossible_time_is_moved_to_the_nearest_possible() -> None:
    assert stored(envelope(ON, time=Timestamp(seconds=2**62))).time_us == 253_402_300_799_000_000
    assert stored(envelope(ON, time=None)).time_us == 0


def test_hostile_strings_are_bounded_and_harmless() -> None:
    evil = "\x1b[2J\r\n\x00\u202e" + "ä" * 100_000
    row = stored(envelope(HostNews(name=evil, what=evil), component=evil, cause=Cause(user=evil)))
    assert len(row.message.encode()) <= record.MESSAGE_BYTES
    assert len(row.component.encode()) <= record.NAME_BYTES
    assert row.cause is not None
    arguments = orjson.loads(row.arguments)
    told = Cause.from_binary(row.cause)
    for text in (row.message, row.component, arguments["name"], arguments["what"], told.user):
        assert text.isprintable()
        assert text.startswith("\ufffd[2J")
        assert text.endswith("…")
        assert len(text.encode()) <= record.MESSAGE_BYTES


@given(st.text(st.characters(), max_size=80), st.integers(8, 64))
def test_bounded(text: str, size: int) -> None:
    result = bounded(text, size)
    assert len(result.encode()) <= size
    assert result.isprintable()
    if text.isprintable() and len(text.encode()) <= size:
        assert result == text


@given(st.binary(max_size=200))
def test_any_body_is_stored(body: bytes) -> None:
    row = stored(envelope(HostPowerActionFailure(), body=body))
    assert row.message_id == "Host.PowerActionFailed"
    assert all(isinstance(value, str) for value in orjson.loads(row.arguments).values())
