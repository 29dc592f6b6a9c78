from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.harness.made_schema import made

from ubmc.kit.errors import ERRORS, FACES, Invalid, Refused, Violation
from ubmc.protocols.rest import HEARTBEAT, comment, cursor_of, encode, error_event, event, problem
from ubmc.v1alpha1.event_pb import Event, WatchEventsResponse
from ubmc.v1alpha1.host_pb import GetHostResponse, Host, HostWatchdog, ListHostsResponse


def test_fields_without_presence_are_always_there_and_others_only_if_set() -> None:
    assert orjson.loads(encode(ListHostsResponse())) == {"hosts": [], "nextPageToken": ""}
    host = orjson.loads(encode(GetHostResponse(host=Host(name="host.0", watchdog=HostWatchdog()))))["host"]
    assert host["state"] == "HOST_STATE_UNSPECIFIED"
    assert host["powerActions"] == []
    assert host["watchdog"]["running"] is False
    assert host["watchdog"]["action"] == "WATCHDOG_ACTION_UNSPECIFIED"
    assert not host["watchdog"].keys() & {"timeout", "remaining"}
    assert not {"stateTime", "bootOverride"} & host.keys()


def test_oneofs_maps_and_large_numbers() -> None:
    message: Any = made(None).methods[0].desc.output.type()
    message.an_int64 = 2**53 + 1
    message.labels["a"] = 1
    value = orjson.loads(encode(message))
    assert value["anInt64"] == "9007199254740993"
    assert value["labels"] == {"a": 1}
    assert not {"choiceText", "choiceInner", "inner"} & value.keys()


def test_text_is_utf8() -> None:
    assert "ä\u2028\U0001f600".encode() in encode(Host(name="ä\u2028\U0001f600"))


def test_a_problem_has_everything_a_client_needs() -> None:
    status, body = problem(Invalid("no", violations=[Violation("host.name", "string.pattern", "bad")]), "4bf92f")
    assert status == 400
    assert orjson.loads(body) == {
        "code": "invalid_argument",
        "message": "no",
        "details": [{"field": "host.name", "rule": "string.pattern", "message": "bad"}],
        "traceId": "4bf92f",
    }


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_error_has_the_status_of_the_table(name: str) -> None:
    status, body = problem(ERRORS[name]("why"), "")
    assert status == FACES[name].http
    assert orjson.loads(body) == {"code": FACES[name].connect, "message": "why", "details": [], "traceId": ""}


def parse_events(stream: bytes) -> list[dict[str, str]]:
    """What a browser makes of a stream (HTML Living Standard, 9.2.6), as far as we use it."""
    found = []
    for block in stream.decode().split("\n\n")[:-1]:
        pairs = [line.partition(": ") for line in block.split("\n") if not line.startswith(":")]
        if pairs:
            found.append({name: value for name, _, value in pairs})
    return found


def test_server_sent_events() -> None:
    message = WatchEventsResponse(event=Event(id=5, message="two\nlines\r\n"), cursor="c.5")
    stream = comment("hello\nworld") + event(message, cursor_of(message)) + HEARTBEAT + event(message)
    stream += error_event(Refused("gone"), "77") + comment("")
    first, second, last = parse_events(stream)
    assert (first["id"], list(first)) == ("c.5", ["id", "data"])
    assert WatchEventsResponse.from_json(first["data"]) == message
    assert second == {"data": first["data"]}
    assert last["event"] == "error"
    assert orjson.loads(last["data"]) == orjson.loads(problem(Refused("gone"), "77")[1])


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b", "\n"])
def test_an_id_cannot_forge_events(bad: str) -> None:
    with pytest.raises(ValueError, match="line breaks"):
        event(Host(), bad)


def test_a_message_without_cursor_has_none() -> None:
    assert cursor_of(Host()) == ""
