"""Serial over LAN without a network: acknowledgements, retries, back-pressure, BREAK; golden bytes, whole streams."""

from __future__ import annotations

import random

import pytest

from ubmc.protocols.ipmi import sol
from ubmc.protocols.ipmi.sol import ACK_SECONDS, BUFFER, LONGEST, SLOW_SECONDS, SolLine, SolPacket, Timing

TIMING = Timing(accumulate_seconds=0.05, threshold=96, retries=3, retry_seconds=0.5)


class Host:
    """A line that takes so much and no more."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.got = bytearray()
        self.breaks: list[int] = []
        self.flushed = 0

    def take(self, data: bytes) -> int:
        taken = min(len(data), self.room)
        self.got += data[:taken]
        self.room -= taken
        return taken

    def send_break(self) -> None:
        self.breaks.append(len(self.got))

    def flush(self) -> None:
        self.flushed += 1


def made(room: int = 1 << 30, timing: Timing = TIMING) -> tuple[SolLine, Host]:
    host = Host(room)
    return SolLine(timing, host), host


def sent(line: SolLine, now: float) -> list[SolPacket]:
    packets = []
    for payload in line.poll(now):
        packet = sol.parse(payload)
        assert packet is not None
        packets.append(packet)
    return packets


def typed(sequence: int, data: bytes = b"", operation: int = 0) -> SolPacket:
    return SolPacket(sequence, 0, 0, operation, data)


def ack(packet: SolPacket, count: int | None = None, operation: int = 0) -> SolPacket:
    return SolPacket(0, packet.sequence, len(packet.data) if count is None else count, operation, b"")


def test_bytes_are_those_of_tables_15_2_and_15_3() -> None:
    assert sol.parse(bytes.fromhex("05 03 0a 10 6869")) == SolPacket(5, 3, 10, sol.BREAK, b"hi")
    assert sol.parse(bytes.fromhex("f5 f3 00 00")) == SolPacket(5, 3, 0, 0, b"")  # the high nibbles are reserved
    assert SolPacket(5, 3, 10, sol.BREAK, b"hi").payload() == bytes.fromhex("05030a106869")
    assert sol.deactivating() == bytes.fromhex("00000010")
    assert sol.parse(b"\1\0\0") is None
    assert sol.parse(bytes(4 + 256)) is None


def test_what_is_typed_is_acknowledged_with_its_count() -> None:
    line, host = made()
    line.received(typed(1, b"root\r"), 0.0)
    assert sent(line, 0.0) == [SolPacket(0, 1, 5, 0, b"")]
    assert host.got == b"root\r"
    assert sent(line, 1.0) == []
    assert line.due() is None


def test_a_keep_alive_without_characters_is_acknowledged() -> None:
    line, host = made()
    line.received(typed(7), 0.0)
    assert sent(line, 0.0) == [SolPacket(0, 7, 0, 0, b"")]
    line.received(SolPacket(0, 0, 0, 0, b""), 0.0)
    assert sent(line, 0.0) == []
    assert host.got == b""


def test_a_repeated_packet_is_acknowledged_again_and_typed_once() -> None:
    line, host = made()
    for _ in range(3):
        line.received(typed(1, b"once"), 0.0)
        assert sent(line, 0.0) == [SolPacket(0, 1, 4, 0, b"")]
    assert host.got == b"once"


def test_a_late_repetition_is_acknowledged_as_before_and_never_typed() -> None:
    line, host = made(room=9)
    for number in range(1, 10):
        line.received(typed(number, b"%d" % number), 0.0)
        sent(line, 0.0)
    host.room = 1
    line.received(typed(10, b"ab"), 1.0)
    assert sent(line, 1.0 + ACK_SECONDS) == [SolPacket(0, 10, 1, 0, b"")]  # in part
    host.room = 100
    line.received(typed(11, b"b"), 2.0)
    sent(line, 2.0)
    for number, count in ((5, 1), (10, 1), (11, 1), (10, 1)):
        data = b"ab" if number == 10 else b"%d" % number
        line.received(typed(number, data, sol.BREAK), 3.0)
        assert sent(line, 3.0) == [SolPacket(0, number, count, 0, b"")]
    assert host.got == b"123456789ab"
    assert host.breaks == []


def test_a_repetition_while_the_next_one_waits_is_not_taken_as_new() -> None:
    line, host = made()
    line.received(typed(1, b"one"), 0.0)
    sent(line, 0.0)
    host.room = 0
    line.received(typed(2, b"two"), 0.1)
    line.received(typed(1, b"one"), 0.2)
    host.room = 100
    acks = sent(line, 0.3)
    assert {(packet.acked, packet.accepted) for packet in acks} == {(1, 3), (2, 3)}
    assert host.got == b"onetwo"


def test_all_numbers_come_round() -> None:
    line, host = made()
    for turn in range(60):
        line.received(typed(turn % 15 + 1, b"%02d" % turn), float(turn))
        assert [packet.accepted for packet in sent(line, float(turn))] == [2]
    assert host.got == b"".join(b"%02d" % turn for turn in range(60))


def test_each_packet_says_while_the_line_to_the_host_does_not_work() -> None:
    line, _ = made()
    line.unavailable = True
    line.received(typed(1, b"x"), 0.0)
    assert sent(line, 0.0) == [SolPacket(0, 1, 1, sol.TRANSFER_UNAVAILABLE, b"")]
    line.feed(bytes(96), 0.0)
    (first,) = sent(line, 0.0)
    assert first.operation == sol.TRANSFER_UNAVAILABLE
    line.unavailable = False
    assert [packet.operation for packet in sent(line, 0.5)] == [0]  # repeated


def test_few_characters_are_gathered_and_many_sent_at_once() -> None:
    line, _ = made()
    line.feed(b"a" * 10, 0.0)
    assert sent(line, 0.0) == []
    assert line.due() == pytest.approx(0.05)
    assert [packet.data for packet in sent(line, 0.05)] == [b"a" * 10]
    other, _ = made()
    other.feed(b"b" * 96, 0.0)
    assert [packet.data for packet in sent(other, 0.0)] == [b"b" * 96]


def test_one_packet_is_under_way_at_a_time() -> None:
    line, _ = made()
    line.feed(bytes(1000), 0.0)
    (first,) = sent(line, 0.0)
    assert len(first.data) == LONGEST
    assert sent(line, 0.1) == []
    line.received(ack(first), 0.1)
    (second,) = sent(line, 0.1)
    assert (first.sequence, second.sequence) == (1, 2)
    assert not line.idle


def test_numbers_go_from_one_to_fifteen() -> None:
    line, _ = made()
    numbers = []
    for turn in range(17):
        line.feed(b"x" * 96, float(turn))
        (packet,) = sent(line, float(turn))
        numbers.append(packet.sequence)
        line.received(ack(packet), float(turn))
    assert numbers == [*range(1, 16), 1, 2]
    assert line.idle


def test_what_is_not_acknowledged_is_repeated_and_never_dropped() -> None:
    line, _ = made()
    line.feed(b"x" * 96, 0.0)
    (first,) = sent(line, 0.0)
    assert sent(line, 0.4) == []
    assert sent(line, 0.5) == [first]
    assert sent(line, 1.0) == [first]
    assert sent(line, 1.5) == [first]
    assert sent(line, 2.0) == []  # the retries are used up; slowly now
    assert line.due() == pytest.approx(1.5 + SLOW_SECONDS)
    assert sent(line, 1.5 + SLOW_SECONDS) == [first]
    line.received(ack(first), 4.0)
    assert line.idle


@pytest.mark.parametrize("operation", [0, sol.NACK])
def test_what_was_not_taken_goes_in_the_next_packet(operation: int) -> None:
    line, _ = made()
    line.feed(bytes(range(96)), 0.0)
    (first,) = sent(line, 0.0)
    line.received(ack(first, 40, operation), 0.1)
    wait = 0.1 + (TIMING.retry_seconds if operation else 0.0)
    (second,) = sent(line, wait)
    assert second.data == bytes(range(40, 96))
    assert second.sequence == 2


def test_who_takes_nothing_is_not_pressed() -> None:
    line, _ = made()
    line.feed(b"x" * 96, 0.0)
    (first,) = sent(line, 0.0)
    line.received(ack(first, 0, sol.NACK), 0.1)
    assert sent(line, 0.2) == []
    assert line.due() == pytest.approx(0.6)
    assert [packet.data for packet in sent(line, 0.6)] == [first.data]


def test_an_acknowledgement_of_another_packet_changes_nothing() -> None:
    line, _ = made()
    line.feed(b"x" * 96, 0.0)
    (first,) = sent(line, 0.0)
    line.received(SolPacket(0, 9, 96, 0, b""), 0.1)
    assert not line.idle
    line.received(ack(first, 255), 0.1)  # more than was sent
    assert line.idle


def test_a_slow_line_delays_the_acknowledgement() -> None:
    line, host = made(room=3)
    line.received(typed(1, b"abcdef"), 0.0)
    line.feed(b"x" * 96, 0.0)
    assert sent(line, 0.0) == []  # nothing else meanwhile: ipmitool would take it for the answer
    line.received(typed(1, b"abcdef"), 0.3)
    assert sent(line, 0.3) == []
    host.room = 10
    (packet,) = sent(line, 0.4)
    assert (packet.acked, packet.accepted, len(packet.data)) == (1, 6, 96)
    assert host.got == b"abcdef"


def test_a_line_that_stands_still_is_acknowledged_in_part() -> None:
    line, host = made(room=3)
    line.received(typed(1, b"abcdef"), 0.0)
    assert line.due() == pytest.approx(ACK_SECONDS)
    assert sent(line, ACK_SECONDS) == [SolPacket(0, 1, 3, 0, b"")]
    host.room = 10
    line.received(typed(2, b"def"), 1.0)
    assert sent(line, 1.0) == [SolPacket(0, 2, 3, 0, b"")]
    assert host.got == b"abcdef"


def test_packets_that_come_early_keep_their_order() -> None:
    line, host = made(room=0)
    for number in range(1, 5):
        line.received(typed(number, b"%d" % number), 0.0)
    host.room = 10
    acks = sent(line, 0.1)
    assert [(packet.acked, packet.accepted) for packet in acks] == [(number, 1) for number in range(1, 5)]
    assert host.got == b"1234"


def test_too_many_packets_at_once_are_dropped() -> None:
    line, host = made(room=0)
    for number in range(1, 15):
        line.received(typed(number, b"x"), 0.0)
    host.room = 100
    assert len(sent(line, 0.1)) == sol.WAITING


def test_break_comes_after_what_was_typed_before() -> None:
    line, host = made()
    line.received(typed(1, b"abc"), 0.0)
    line.received(typed(2, b"", sol.BREAK), 0.0)
    line.received(typed(2, b"", sol.BREAK), 0.0)  # repeated
    line.received(SolPacket(0, 0, 0, sol.BREAK, b""), 0.0)
    assert host.breaks == [3, 3]
    assert [packet.acked for packet in sent(line, 0.0)] == [1, 2, 2]


def test_pause_holds_back_what_the_host_says() -> None:
    line, _ = made()
    line.received(typed(0, b"", sol.CTS_PAUSE), 0.0)
    line.feed(b"x" * 96, 0.0)
    assert sent(line, 1.0) == []
    assert line.due() is None
    line.received(typed(0), 2.0)
    assert len(sent(line, 2.0)) == 1


def test_flushes_forget_what_waits() -> None:
    line, host = made()
    line.feed(bytes(500), 0.0)
    sent(line, 0.0)
    line.received(typed(0, b"", sol.FLUSH_OUTBOUND | sol.FLUSH_INBOUND), 0.1)
    assert line.idle
    assert host.flushed == 1


def test_room_is_bounded() -> None:
    line, _ = made()
    assert line.room == BUFFER
    line.feed(bytes(BUFFER), 0.0)
    assert line.room == 0


def test_nothing_is_sent_faster_than_a_client_can_show() -> None:
    line, _ = made()
    now = sent_bytes = 0.0
    while now < 2.0:
        line.feed(bytes(line.room), now)
        for packet in sent(line, now):
            sent_bytes += len(packet.data)
            line.received(ack(packet), now)
        now += 0.001
    assert 1.9 * sol.RATE < sent_bytes < 2.0 * sol.RATE + sol.BURST + LONGEST


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_streams_arrive_byte_for_byte_over_a_network_that_loses_packets(loss: float) -> None:
    """64 KiB in each direction at once, with a client that repeats what is not acknowledged."""
    dice = random.Random(7)
    down, up = dice.randbytes(64 * 1024), dice.randbytes(64 * 1024)
    line, host = made(timing=Timing(0.02, 96, 7, 0.1))
    shown, fed, now = bytearray(), 0, 0.0
    number, begun, last_shown, repeat_at = 1, 0, 0, 0.0
    while len(shown) < len(down) or len(host.got) < len(up):
        now += 0.01
        host.room = dice.randrange(0, 600)
        part = down[fed : fed + min(line.room, dice.randrange(0, 400))]
        line.feed(part, now)
        fed += len(part)
        if begun < len(up) and now >= repeat_at:
            repeat_at = now + 0.9
            if dice.random() >= loss:
                line.received(typed(number, up[begun : begun + 200]), now)
        for packet in sent(line, now):
            if dice.random() < loss:
                continue
            if packet.acked == number:
                begun += packet.accepted
                number, repeat_at = number % 15 + 1, now
            if packet.sequence:
                if packet.sequence != last_shown:
                    shown += packet.data
                    last_shown = packet.sequence
                if dice.random() >= loss:
                    line.received(ack(packet), now)
        assert now < 3600.0
    assert bytes(shown) == down
    assert bytes(host.got) == up
