"""What travels with every call."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ubmc.kit import call as calls
from ubmc.kit.call import Call, check_key, decode_error, encode_error
from ubmc.kit.errors import ERRORS, Exhausted, Internal, Invalid, NotFound, UbmcError, Violation
from ubmc.kit.tracing import Trace
from ubmc.v1alpha1.session_pb import Principal

KEYS = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64).filter(
    lambda text: text != "-"
)


@given(
    deadline=st.floats(min_value=0, max_value=1e9),
    key=KEYS | st.just(""),
    signed=st.binary(max_size=300),
    source=st.sampled_from(["", "192.0.2.1", "2001:db8::1"]),
)
def test_what_is_sent_arrives(deadline: float, key: str, signed: bytes, source: str) -> None:
    sent = Call(deadline, Trace.new(), key, source, signed)
    text = sent.header()
    assert text == text.strip()
    assert text.isascii()
    got = Call.parse(text)
    assert got.deadline == pytest.approx(deadline, abs=1e-3)
    assert (got.trace, got.key, got.source, got.signed, got.principal) == (sent.trace, key, source, signed, None)


def test_a_stream_has_no_deadline() -> None:
    assert math.isinf(Call.parse(Call(math.inf, Trace.new()).header()).deadline)


TRACE = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1.0",
        f"1.0 {TRACE} - -",
        f"1.0 {TRACE} - - - -",
        f"soon {TRACE} - - -",
        f"nan {TRACE} - - -",
        "1.0 00-0-0-01 - - -",
        f"1.0 {TRACE} - - not*base64",
        f"1.0 {TRACE} - - YQ",
        f"1.0  {TRACE} - - -",
    ],
)
def test_what_is_not_ours_is_refused(value: str) -> None:
    with pytest.raises(Invalid):
        Call.parse(value)


@given(KEYS)
def test_keys(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["-", " ", "a b", "a\n", "é", "x" * 65, "\x7f"])
def test_what_cannot_be_a_key(key: str) -> None:
    with pytest.raises(Invalid):
        check_key(key)


def test_the_signature_is_not_printed() -> None:
    assert "secret" not in repr(Call(1.0, Trace.new(), signed=b"secret"))


def test_who_is_asking() -> None:
    assert calls.asking() is None
    token = calls.current.set(Call(1.0, Trace.new()))
    assert calls.asking() is None
    calls.current.reset(token)
    token = calls.current.set(Call(1.0, Trace.new(), principal=Principal(user="olga")))
    who = calls.asking()
    assert who is not None
    assert who.user == "olga"
    calls.current.reset(token)


@pytest.mark.parametrize("kind", list(ERRORS.values()))
def test_errors_cross(kind: type[UbmcError]) -> None:
    violation = Violation("power.action", "enum.defined_only", "must be known")
    back = decode_error(*encode_error(kind("what is wrong: é", violations=[violation])))
    assert type(back) is kind
    assert back.message == "what is wrong: é"
    assert back.violations == (violation,)


@pytest.mark.parametrize("seconds", [0.0, 1.0, 299.25])
def test_when_there_may_be_room_again_arrives_as_it_was_sent(seconds: float) -> None:
    back = decode_error(*encode_error(Exhausted("too many", retry_seconds=seconds)))
    assert isinstance(back, Exhausted)
    assert back.retry_seconds == seconds


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (NotFound.name, b""),
        (NotFound.name, b"[]"),
        (NotFound.name, b"{}"),
        ("nonsense", b'{"message": "x"}'),
        (NotFound.name, b'{"message": "x", "violations": [1]}'),
        (NotFound.name, b'{"message": "x", "violations": [["a"]]}'),
    ],
)
def test_an_error_that_cannot_be_read_is_a_bug_of_ours(name: str, body: bytes) -> None:
    assert type(decode_error(name, body)) is Internal
