"""The client's side of the Connect protocol, without I/O."""

from __future__ import annotations

import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.client.wire import Frames, check_answer, decode_answer, decode_error, envelope, headers, is_read
from ubmc.kit.errors import (
    ERRORS,
    FACES,
    Internal,
    Invalid,
    NotFound,
    Refused,
    Unavailable,
    Violation,
)
from ubmc.v1alpha1.deps.buf.validate.validate_pb import FieldPath, FieldPathElement, Violations
from ubmc.v1alpha1.deps.buf.validate.validate_pb import Violation as WireViolation
from ubmc.v1alpha1.event_rpc import EventService
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.system_rpc import TelemetryService


def end(content: object) -> bytes:
    body = json.dumps(content).encode()
    return struct.pack(">BI", 2, len(body)) + body


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 13))
def test_a_stream_is_cut_into_the_same_messages_in_whatever_pieces_it_comes(messages: list[bytes], size: int) -> None:
    raw = b"".join(map(envelope, messages)) + end({})
    frames = Frames()
    found = [body for at in range(0, len(raw), size) for body in frames.feed(raw[at : at + size])]
    assert found == messages
    assert frames.ended


def test_a_stream_that_ends_with_an_error_gives_its_messages_first() -> None:
    raw = envelope(b"a") + end({"error": {"code": "unavailable", "message": "going down"}})
    stream = Frames().feed(raw)
    assert next(stream) == b"a"
    with pytest.raises(Unavailable, match="going down"):
        next(stream)


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack(">BI", 0, 1 << 31),
        struct.pack(">BI", 1, 0),
        struct.pack(">BI", 2, 1) + b"{",
    ],
    ids=["too large", "compressed", "end is no JSON"],
)
def test_what_is_no_stream_is_an_error_of_ours(raw: bytes) -> None:
    with pytest.raises(Internal):
        list(Frames().feed(raw))


@pytest.mark.parametrize("name", sorted(FACES))
def test_every_error_of_the_house_comes_back_as_itself(name: str) -> None:
    error = decode_error({"code": FACES[name].connect, "message": "why"})
    assert type(error) is ERRORS[name]
    assert error.message == "why"


def test_errors_may_be_garbage() -> None:
    for content in ({}, {"code": 5}, {"code": "nonsense", "message": 7, "details": "x"}, {"code": [], "details": [1]}):
        assert isinstance(decode_error(content), Internal)


def test_violations_name_fields_as_in_json() -> None:
    path = FieldPath(elements=[FieldPathElement(field_name="boot_override"), FieldPathElement(field_name="target")])
    wire = Violations(violations=[WireViolation(field=path, rule_id="enum.defined_only", message="is not known")])
    value = base64.b64encode(wire.to_binary()).decode().rstrip("=")
    details = [{"type": "google.rpc.Help", "value": "!"}, {"type": "buf.validate.Violations", "value": value}]
    error = decode_error({"code": "invalid_argument", "message": "wrong", "details": details})
    assert isinstance(error, Invalid)
    assert error.violations == (Violation("bootOverride.target", "enum.defined_only", "is not known"),)


def test_broken_details_leave_the_message() -> None:
    details = [{"type": "buf.validate.Violations", "value": "/////w"}]
    error = decode_error({"code": "failed_precondition", "message": "is off", "details": details})
    assert isinstance(error, Refused)
    assert error.violations == ()


def test_what_is_no_bmc_is_said_so() -> None:
    for status in (200, 302):
        with pytest.raises(NotFound, match="no u-bmc"):
            check_answer(status, "text/html", "application/proto", b"<html>")
    with pytest.raises(Unavailable, match="502"):
        check_answer(502, "text/html", "application/proto", b"")
    with pytest.raises(Internal, match="500"):
        check_answer(500, "application/json", "application/proto", b"[1]")
    check_answer(200, "application/proto; x=y", "application/proto", b"")


def test_an_answer_that_is_no_message_is_an_error_of_ours() -> None:
    with pytest.raises(Internal, match=r"HostService\.GetHost"):
        decode_answer(HostService.GetHost, b"\xff\xff")


def test_reads_are_known_from_the_schema() -> None:
    assert is_read(HostService.GetHost)
    assert is_read(EventService.WatchEvents)
    assert is_read(TelemetryService.GetMetrics)
    assert not is_read(HostService.ChangeHostPower)
    assert not is_read(SessionService.Login)


def test_headers() -> None:
    found = headers(token="t", content_type="application/proto", timeout_seconds=1.5, key="k")
    assert found["authorization"] == "Bearer t"
    assert found["connect-timeout-ms"] == "1500"
    assert found["idempotency-key"] == "k"
    bare = headers(token="", content_type="application/proto", timeout_seconds=None)
    assert not {"authorization", "connect-timeout-ms", "idempotency-key"} & set(bare)
    assert headers(token="", content_type="", timeout_seconds=1e-6)["connect-timeout-ms"] == "1"
