"""Opening a session: what real clients sent, and the codes computed here once more as the specification says."""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence

import pytest
from tests.unit.ipmi_talk import FREEIPMI_17, GUID, IPMITOOL_3, IPMITOOL_17, SECRET

from ubmc.protocols.ipmi import rakp, rmcp, rmcpplus
from ubmc.protocols.ipmi.cipher import SUITES, algorithms_of, records, strongest_first
from ubmc.protocols.ipmi.codes import Level
from ubmc.protocols.ipmi.rakp import Exchange, OpenRequest, Status
from ubmc.protocols.ipmi.rmcpplus import Payload

BOTH = strongest_first((3, 17))
TALKS = [
    pytest.param(IPMITOOL_17, 17, id="ipmitool 17"),
    pytest.param(IPMITOOL_3, 3, id="ipmitool 3"),
    pytest.param(FREEIPMI_17, 17, id="FreeIPMI 17"),
]


def payload(datagram: bytes, kind: int) -> bytes:
    """The payload of a packet outside of sessions."""
    rmcp_class, body = rmcp.unwrap(datagram)
    packet = rmcpplus.header(body)
    assert rmcp_class == rmcp.CLASS_IPMI
    assert packet is not None
    assert packet.kind == kind
    plain = rmcpplus.plain(body, packet)
    assert plain is not None
    return plain


def exchange_of(talk: Sequence[bytes], suite: int) -> Exchange:
    """What both sides knew."""
    opened = rakp.parse_open(payload(talk[0], Payload.OPEN_SESSION_REQUEST))
    first = rakp.parse_rakp1(payload(talk[2], Payload.RAKP_1))
    second = payload(talk[3], Payload.RAKP_2)
    assert opened is not None
    assert first is not None
    return Exchange(
        SUITES[suite],
        opened.console_id,
        first.system_id,
        first.random,
        second[8:24],
        GUID,
        first.role,
        first.name,
        SECRET,
    )


@pytest.mark.parametrize(("talk", "suite"), TALKS)
def test_open_session_is_agreed_on_as_the_client_took_it(talk: Sequence[bytes], suite: int) -> None:
    request = rakp.parse_open(payload(talk[0], Payload.OPEN_SESSION_REQUEST))
    assert request is not None
    chosen, status = rakp.choose(request, BOTH)
    assert chosen is SUITES[suite]
    assert status is Status.OK
    (system_id,) = struct.unpack_from("<I", payload(talk[1], Payload.OPEN_SESSION_RESPONSE), 8)
    made = rakp.open_response(request, Level.ADMINISTRATOR, system_id, chosen)
    assert made == payload(talk[1], Payload.OPEN_SESSION_RESPONSE)
    assert rmcpplus.wrap_plain(Payload.OPEN_SESSION_RESPONSE, made) == talk[1]


@pytest.mark.parametrize(("talk", "suite"), TALKS)
def test_messages_are_those_that_the_client_took(talk: Sequence[bytes], suite: int) -> None:
    exchange = exchange_of(talk, suite)
    first, third = payload(talk[2], Payload.RAKP_1), payload(talk[4], Payload.RAKP_3)
    assert rakp.rakp2(first[0], exchange) == payload(talk[3], Payload.RAKP_2)
    assert rakp.rakp4(third[0], exchange, exchange.sik()) == payload(talk[5], Payload.RAKP_4)


@pytest.mark.parametrize(("talk", "suite"), TALKS)
def test_client_proves_that_it_knows_the_secret(talk: Sequence[bytes], suite: int) -> None:
    exchange = exchange_of(talk, suite)
    third = rakp.parse_rakp3(payload(talk[4], Payload.RAKP_3))
    assert third is not None
    assert third.status == Status.OK
    assert third.system_id == exchange.system_id
    assert third.code == exchange.code_3()
    assert len(third.code) == exchange.suite.key_code


@pytest.mark.parametrize(("suite", "digest", "code"), [(17, "sha256", 16), (3, "sha1", 12)])
def test_codes_are_those_of_the_specification(suite: int, digest: str, code: int) -> None:
    """Sections 13.31 and 13.32, computed here from the bytes."""
    console, system = bytes(range(16)), bytes(range(16, 32))
    guid, name, key = bytes(range(32, 48)), b"olga", b"k" * 20
    exchange = Exchange(SUITES[suite], 0xA0A1A2A3, 0x01020304, console, system, guid, 0x14, name, key)
    sidm, sidc = bytes.fromhex("a3a2a1a0"), bytes.fromhex("04030201")
    who = b"\x14\x04olga"
    assert exchange.code_2() == hmac.digest(key, sidm + sidc + console + system + guid + who, digest)
    assert exchange.code_3() == hmac.digest(key, system + sidm + who, digest)
    sik = hmac.digest(key, console + system + who, digest)
    assert exchange.sik() == sik
    assert exchange.code_4(sik) == hmac.digest(sik, console + sidc + guid, digest)[:code]
    assert exchange.keys(sik) == (hmac.digest(sik, b"\1" * 20, digest), hmac.digest(sik, b"\2" * 20, digest))


@pytest.mark.parametrize(
    ("algorithms", "status"),
    [
        ((0, 0, 0), Status.INVALID_AUTH_ALGORITHM),  # suite 0
        ((1, 0, 0), Status.INVALID_INTEGRITY_ALGORITHM),  # 1
        ((1, 1, 0), Status.INVALID_CONFIDENTIALITY_ALGORITHM),  # 2
        ((2, 0, 0), Status.INVALID_AUTH_ALGORITHM),  # 6
        ((2, 2, 1), Status.INVALID_AUTH_ALGORITHM),  # 8
        ((2, 3, 1), Status.INVALID_AUTH_ALGORITHM),  # 12
        ((3, 0, 0), Status.INVALID_INTEGRITY_ALGORITHM),  # 15
        ((3, 4, 0), Status.INVALID_CONFIDENTIALITY_ALGORITHM),  # 16
        ((3, 4, 2), Status.INVALID_CONFIDENTIALITY_ALGORITHM),  # 18
        ((1, 4, 1), Status.NO_CIPHER_SUITE),  # each is in one of ours, but not together
        ((0x3F, 4, 1), Status.INVALID_AUTH_ALGORITHM),
    ],
)
def test_every_other_suite_is_refused_by_name(algorithms: tuple[int, int, int], status: Status) -> None:
    request = OpenRequest(7, 4, 0x01020304, algorithms)
    assert rakp.choose(request, BOTH) == (None, status)
    refusal = rakp.refusal(request.tag, status, request.console_id)
    assert refusal == bytes((7, status, 0, 0)) + bytes.fromhex("04030201")


def test_suite_3_is_refused_where_it_is_not_offered() -> None:
    assert rakp.choose(OpenRequest(0, 4, 1, (1, 1, 1)), strongest_first([17])) == (None, Status.INVALID_AUTH_ALGORITHM)


def test_who_leaves_the_choice_to_us_gets_the_strongest() -> None:
    assert rakp.choose(OpenRequest(0, 4, 1, (None, None, None)), BOTH)[0] is SUITES[17]
    assert rakp.choose(OpenRequest(0, 4, 1, (1, None, None)), BOTH)[0] is SUITES[3]


def test_open_session_request_has_one_form() -> None:
    good = payload(IPMITOOL_17[0], Payload.OPEN_SESSION_REQUEST)
    parsed = rakp.parse_open(good)
    assert parsed == OpenRequest(0, 0, 0xA0A2A3A4, (3, 4, 1))
    assert rakp.parse_open(good[:-1]) is None
    assert rakp.parse_open(good + b"\0") is None
    assert rakp.parse_open(good[:8] + b"\1" + good[9:]) is None  # integrity where authentication must be
    assert rakp.parse_open(good[:11] + b"\x07" + good[12:]) is None  # an algorithm of 7 bytes
    null = rakp.parse_open(good[:11] + b"\x00" + good[12:])
    assert null is not None
    assert null.algorithms == (None, 4, 1)


def test_rakp_1_may_be_padded_and_not_cut() -> None:
    good = payload(IPMITOOL_17[2], Payload.RAKP_1)
    parsed = rakp.parse_rakp1(good)
    assert parsed is not None
    assert (parsed.name, parsed.level, parsed.role) == (b"admin", 4, 0x14)
    assert rakp.parse_rakp1(good + bytes(11)) == parsed
    assert rakp.parse_rakp1(good + bytes(12)) is None
    assert rakp.parse_rakp1(good[:-1]) is None
    assert rakp.parse_rakp1(good[:27]) is None
    longer = rakp.parse_rakp1(good[:27] + b"\x11" + b"x" * 17)
    assert longer is not None
    assert len(longer.name) == 17


def test_rakp_3_needs_its_header() -> None:
    good = payload(IPMITOOL_17[4], Payload.RAKP_3)
    assert rakp.parse_rakp3(good[:7]) is None
    assert rakp.parse_rakp3(good[:8]) == rakp.Rakp3(0, 0, 0x309E8749, b"")


def test_records_name_the_suites_as_table_22_19_has_it() -> None:
    assert records(BOTH) == bytes.fromhex("c0 11 03 44 81 c0 03 01 41 81")
    assert algorithms_of(BOTH) == bytes.fromhex("03 01 44 41 81")
    assert len(SECRET) == rakp.LONGEST_KEY


def test_there_are_no_other_suites() -> None:
    assert set(SUITES) == {3, 17}
    with pytest.raises(KeyError):
        strongest_first([17, 0])
