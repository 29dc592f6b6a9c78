"""Packets of a session: what a real client sealed, windows, repeated requests."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ipmi_talk import FREEIPMI_17, IPMITOOL_3, IPMITOOL_17
from tests.unit.test_ipmi_rakp import exchange_of

from ubmc.protocols.ipmi import message, rmcp, rmcpplus
from ubmc.protocols.ipmi.cipher import SUITES, Sealer
from ubmc.protocols.ipmi.message import Request
from ubmc.protocols.ipmi.rmcpplus import Packet, Payload
from ubmc.protocols.ipmi.sequence import WINDOW, Window, following
from ubmc.protocols.ipmi.session import REMEMBERED, REMEMBERED_SECONDS, Repeats, SecureChannel

K1, K2 = bytes(range(32)), bytes(range(32, 64))
ASK = message.request(0x06, 0x01, sequence=1)


def channel_of(talk: Sequence[bytes], suite: int) -> SecureChannel:
    exchange = exchange_of(talk, suite)
    return SecureChannel(Sealer(SUITES[suite], *exchange.keys(exchange.sik())), exchange.console_id)


def taken(channel: SecureChannel, datagram: bytes) -> bytes | None:
    body = rmcp.unwrap(datagram)[1]
    packet = rmcpplus.header(body)
    assert packet is not None
    return channel.open(body, packet)


@pytest.mark.parametrize(
    ("talk", "suite", "command"),
    [(IPMITOOL_17, 17, 0x3B), (IPMITOOL_3, 3, 0x3B), (FREEIPMI_17, 17, 0x3B)],
    ids=["ipmitool 17", "ipmitool 3", "FreeIPMI 17"],
)
def test_what_a_client_sealed_is_opened(talk: Sequence[bytes], suite: int, command: int) -> None:
    opened = taken(channel_of(talk, suite), talk[6])
    assert opened is not None
    request = message.parse(opened)
    assert request is not None
    assert (request.netfn, request.command) == (0x06, command)
    assert request.data == b"\x04"


@pytest.mark.parametrize(
    ("talk", "suite"), [(IPMITOOL_17, 17), (IPMITOOL_3, 3), (FREEIPMI_17, 17)], ids=["17", "3", "FreeIPMI"]
)
def test_what_a_client_took_is_what_is_sealed(talk: Sequence[bytes], suite: int) -> None:
    """The answer that the client took, opened as the client does, is sealed to the same bytes but for the vector."""
    exchange = exchange_of(talk, suite)
    answer = taken(channel_of(talk, suite), talk[7])
    assert answer is not None
    assert answer[6:-1] == b"\x00\x04"  # done; administrator
    again = channel_of(talk, suite).seal(Payload.IPMI, answer)
    assert again[:16] == talk[7][:16]
    assert len(again) == len(talk[7])
    assert exchange.console_id == int.from_bytes(again[6:10], "little")


@pytest.mark.parametrize("suite", [3, 17])
@pytest.mark.parametrize("length", [0, 1, 14, 15, 16, 17, 255])
def test_encryption_is_that_of_table_13_20(suite: int, length: int) -> None:
    plain = bytes(range(length))
    sealer = Sealer(SUITES[suite], K1, K2)
    data = sealer.encrypt(plain)
    decryptor = Cipher(algorithms.AES(K2[:16]), modes.CBC(data[:16])).decryptor()
    padded = decryptor.update(data[16:]) + decryptor.finalize()
    pad = padded[-1]
    assert padded == plain + bytes(range(1, pad + 1)) + bytes((pad,))
    assert len(padded) % 16 == 0
    assert pad < 16
    assert sealer.decrypt(data) == plain
    assert sealer.encrypt(plain)[:16] != data[:16]


def test_wrong_padding_is_not_taken() -> None:
    sealer = Sealer(SUITES[17], K1, K2)
    for padded in (bytes(15) + b"\x10", bytes(14) + b"\x05\x01", b"\xff" * 16):
        encryptor = Cipher(algorithms.AES(K2[:16]), modes.CBC(bytes(16))).encryptor()
        assert sealer.decrypt(bytes(16) + encryptor.update(padded) + encryptor.finalize()) is None
    for data in (b"", bytes(16), bytes(17), bytes(33)):
        assert sealer.decrypt(data) is None


def test_a_packet_is_taken_once() -> None:
    channel = channel_of(IPMITOOL_17, 17)
    assert taken(channel, IPMITOOL_17[6]) is not None
    assert taken(channel, IPMITOOL_17[6]) is None


@pytest.mark.parametrize("at", [5, 6, 10, 14, 20, -20, -17, -16, -1])
def test_a_changed_packet_is_not_taken_and_does_no_harm(at: int) -> None:
    channel = channel_of(IPMITOOL_17, 17)
    changed = bytearray(IPMITOOL_17[6])
    changed[at] ^= 0x01
    body = bytes(changed)[4:]
    packet = rmcpplus.header(body)
    assert packet is None or channel.open(body, packet) is None
    assert taken(channel, IPMITOOL_17[6]) is not None


def test_what_is_not_sealed_is_not_of_the_session() -> None:
    channel = SecureChannel(Sealer(SUITES[17], K1, K2), 1)
    body = rmcpplus.wrap_plain(Payload.IPMI, ASK)[4:]
    for packet in (
        Packet(0, encrypted=False, authenticated=False, session_id=1, sequence=1, length=len(ASK)),
        Packet(0, encrypted=True, authenticated=False, session_id=1, sequence=1, length=len(ASK)),
        Packet(0, encrypted=False, authenticated=True, session_id=1, sequence=1, length=len(ASK)),
    ):
        assert channel.open(body, packet) is None


def test_signed_but_not_encrypted_is_not_taken() -> None:
    sealer = Sealer(SUITES[17], K1, K2)
    made = bytearray(rmcpplus.to_sign(Payload.IPMI, 1, 1, ASK))
    made[1] = 0x40  # authenticated only
    body = bytes(made) + sealer.sign(bytes(made))
    packet = rmcpplus.header(body)
    assert packet is not None
    assert SecureChannel(sealer, 1).open(body, packet) is None


def test_our_packets_are_counted_from_one() -> None:
    channel = SecureChannel(Sealer(SUITES[3], K1, K2), 0x01020304)
    for number in (1, 2, 3):
        packet = rmcpplus.header(channel.seal(Payload.SOL, b"x")[4:])
        assert packet is not None
        assert (packet.session_id, packet.sequence) == (0x01020304, number)
        assert packet.encrypted
        assert packet.authenticated


def test_zero_is_left_out_of_sequence_numbers() -> None:
    assert following(0) == 1
    assert following(2**32 - 1) == 1


def test_window_takes_what_is_late_and_drops_what_is_old() -> None:
    window = Window()
    assert window.take(100)
    assert not window.take(100)
    assert window.take(100 - WINDOW + 1)
    assert not window.take(100 - WINDOW + 1)
    assert not window.take(100 - WINDOW)
    assert window.take(101)
    assert not window.take(100)
    assert window.take(99)


def test_window_goes_around() -> None:
    window = Window()
    assert window.take(2**31 - 1)
    assert window.take(2**32 - 2)
    assert window.take(2**32 - 1)
    assert not window.take(0)
    assert window.take(1)
    assert not window.take(2**32 - 1)
    assert not window.take(2**32)
    assert not window.take(-1)


def test_a_leap_ahead_forgets_all_that_was_seen() -> None:
    window = Window()
    assert window.take(5)
    assert window.take(5000)
    assert not window.take(5)
    assert window.take(4999)


@given(st.lists(st.integers(min_value=1, max_value=120), max_size=200))
def test_no_number_is_taken_twice(numbers: list[int]) -> None:
    window = Window()
    accepted = [number for number in numbers if window.take(number)]
    assert len(accepted) == len(set(accepted))


def request(sequence: int, data: bytes = b"") -> Request:
    return Request(6, 0, 0x81, sequence, 0, 1, data)


def test_a_repeated_request_is_answered_and_not_done_again() -> None:
    repeats = Repeats()
    assert repeats.begin(request(1), 0.0) == (True, None)
    assert repeats.begin(request(1), 0.1) == (False, None)  # it is being worked on
    repeats.answered(request(1), b"answer", 0.2)
    assert repeats.begin(request(1), 1.0) == (False, b"answer")
    assert repeats.begin(request(1, b"other"), 1.0) == (True, None)


def test_a_sequence_number_is_good_again_after_a_while() -> None:
    repeats = Repeats()
    repeats.begin(request(1), 0.0)
    repeats.answered(request(1), b"answer", 0.0)
    assert repeats.begin(request(1), REMEMBERED_SECONDS + 0.1) == (True, None)


def test_what_was_not_answered_may_come_again() -> None:
    repeats = Repeats()
    repeats.begin(request(1), 0.0)
    repeats.forget(request(1))
    assert repeats.begin(request(1), 0.1) == (True, None)


def test_few_answers_are_remembered() -> None:
    repeats = Repeats()
    for number in range(20):
        repeats.begin(request(number), 0.0)
        repeats.answered(request(number), b"answer", 0.0)
    assert repeats.begin(request(19), 0.0) == (False, b"answer")
    assert repeats.begin(request(20 - REMEMBERED - 1), 0.0) == (True, None)
