"""Envelopes: RMCP, the presence ping, messages outside of sessions, the session header of RMCP+."""

from __future__ import annotations

import pytest

from ubmc.protocols.ipmi import lan15, message, rmcp, rmcpplus
from ubmc.protocols.ipmi.rmcpplus import Payload

# Figures of the ASF 2.0 specification (section 3.2.4): ping with message tag 1, and the pong of an IPMI 2.0 BMC.
PING = bytes.fromhex("0600ff06 000011be 80 01 00 00")
PONG = bytes.fromhex("0600ff06 000011be 40 01 00 10 000011be 00000000 81 00 000000000000")
# What ipmitool 1.8.19 sends first of all: Get Channel Authentication Capabilities, channel Eh, administrator.
CAPABILITIES = bytes.fromhex("0600ff07000000000000000000092018c88100388e04b5")
ANSWER = bytes.fromhex("0600ff0700000000000000000010811c6320003800018004020000000021")


def test_ping_is_answered_with_its_tag() -> None:
    kind, body = rmcp.unwrap(PING)
    assert kind == rmcp.CLASS_ASF
    assert rmcp.pong(body) == PONG
    assert rmcp.pong(rmcp.unwrap(PING.replace(b"\x80\x01", b"\x80\x7f"))[1])[9] == 0x7F


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        PING[:4],
        b"\x05" + PING[1:],
        PING[:3] + b"\x86" + PING[4:],  # an acknowledgement
        PING + bytes(rmcp.LONGEST),
    ],
)
def test_what_is_no_rmcp_message_is_nothing(datagram: bytes) -> None:
    assert rmcp.unwrap(datagram) == (0, b"")


@pytest.mark.parametrize(
    ("at", "byte"),
    [(4, 0x01), (8, 0x40), (8, 0x81), (11, 0x01)],
    ids=["other enterprise", "a pong", "other message", "a ping has no data"],
)
def test_other_asf_messages_are_not_answered(at: int, byte: int) -> None:
    datagram = bytearray(PING)
    datagram[at] = byte
    assert rmcp.pong(rmcp.unwrap(bytes(datagram))[1]) == b""


def test_short_asf_message_is_not_answered() -> None:
    assert rmcp.pong(PING[4:11]) == b""


def test_message_outside_of_sessions_is_read_and_answered_as_ipmitool_knows_it() -> None:
    kind, body = rmcp.unwrap(CAPABILITIES)
    assert kind == rmcp.CLASS_IPMI
    request = message.parse(lan15.unwrap(body))
    assert request is not None
    assert (request.netfn, request.command, request.data) == (0x06, 0x38, b"\x8e\x04")
    assert lan15.wrap(message.respond(request, bytes.fromhex("00 01 80 04 02 00 00 00 00"))) == ANSWER


@pytest.mark.parametrize(
    "change",
    [
        lambda body: b"\x02" + body[1:],  # MD5: a session of IPMI 1.5
        lambda body: body[:5] + b"\x01" + body[6:],  # a session id
        lambda body: body + b"\x00\x00",  # longer than its length, by more than a pad
        lambda body: body[:9] + b"\x0a" + body[10:-2],
        lambda body: body[:10],
    ],
)
def test_no_session_of_ipmi_15_gets_through(change: object) -> None:
    assert callable(change)
    assert lan15.unwrap(change(rmcp.unwrap(CAPABILITIES)[1])) == b""


def test_legacy_pad_is_let_pass() -> None:
    body = rmcp.unwrap(CAPABILITIES)[1]
    assert lan15.unwrap(body + b"\x00") == lan15.unwrap(body)


def test_checksums_make_the_sums_zero() -> None:
    made = message.request(0x06, 0x01, b"\x05\x06", sequence=9)
    assert sum(made[:3]) & 0xFF == 0
    assert sum(made[3:]) & 0xFF == 0
    parsed = message.parse(made)
    assert parsed == message.Request(6, 0, 0x81, 9, 0, 1, b"\x05\x06")


@pytest.mark.parametrize("at", range(9))
def test_one_wrong_byte_makes_a_message_void(at: int) -> None:
    made = bytearray(message.request(0x06, 0x01, b"\x05\x06"))
    made[at] ^= 0x10
    assert message.parse(bytes(made)) is None


def test_a_response_is_no_request() -> None:
    assert message.parse(message.request(0x07, 0x01)) is None
    assert message.parse(b"") is None


def test_header_says_what_is_in_the_packet() -> None:
    body = bytes.fromhex("06 c0 04030201 08070605 0300 aabbcc 0000")
    packet = rmcpplus.header(body)
    assert packet is not None
    assert (packet.kind, packet.encrypted, packet.authenticated) == (Payload.IPMI, True, True)
    assert (packet.session_id, packet.sequence, packet.length) == (0x01020304, 0x05060708, 3)


@pytest.mark.parametrize(
    "body",
    [
        "00 00 00000000 00000000 0000",  # IPMI 1.5
        "06 00 00000000 00000000 00",
        "06 00 00000000 00000000 0200 aa",  # longer than the datagram
        "06 02 00000000 00000000 0000",  # OEM explicit
    ],
)
def test_header_of_something_else_is_none(body: str) -> None:
    assert rmcpplus.header(bytes.fromhex(body)) is None


def test_payload_outside_of_sessions_fills_the_datagram() -> None:
    datagram = rmcpplus.wrap_plain(Payload.OPEN_SESSION_REQUEST, b"abc")
    body = rmcp.unwrap(datagram)[1]
    packet = rmcpplus.header(body)
    assert packet is not None
    assert rmcpplus.plain(body, packet) == b"abc"
    longer = rmcpplus.header(body + b"x")
    assert longer is not None
    assert rmcpplus.plain(body + b"x", longer) is None
    assert rmcpplus.plain(body, packet._replace(session_id=1)) is None
    assert rmcpplus.plain(body, packet._replace(authenticated=True)) is None


@pytest.mark.parametrize("length", range(9))
def test_trailer_makes_the_packet_a_multiple_of_four(length: int) -> None:
    made = rmcpplus.to_sign(Payload.IPMI, 1, 1, bytes(length))
    assert len(made) % 4 == 0
    assert made[-1] == 0x07
    pad = made[-2]
    assert made[12 + length : -2] == b"\xff" * pad
    packet = rmcpplus.header(made + bytes(12))
    assert packet is not None
    assert rmcpplus.signed_part(made + bytes(12), packet, 12) == made
    assert rmcpplus.signed_part(made + bytes(16), packet, 12) is None
    assert rmcpplus.signed_part(made[:-1] + b"\x06" + bytes(12), packet, 12) is None
