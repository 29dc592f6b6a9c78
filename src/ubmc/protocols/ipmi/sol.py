"""Serial over LAN (Spec chapter 15): its packets, and the state of one line without any I/O.

Each direction has one packet under way at a time, numbered 1 to 15 and acknowledged with the count of characters that
were taken. The one thing to know: ipmitool gives up characters that are refused (NACK), and forgets those of a partial
acknowledgement when another packet comes first. So a packet is acknowledged when all of it has been taken, which may
last until `ACK_SECONDS`, and nothing is sent meanwhile; a partial acknowledgement is for lines that stand still.
FreeIPMI's ipmiconsole acknowledges what it has no room for (it keeps 16 KiB) and then ends with "internal error". So
nothing is sent faster than `RATE`, though a host without a real serial line could.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

HEADER = 4
"""Bytes before the characters (Spec tables 15-2 and 15-3)."""
PAYLOAD_SIZE = 255
"""The longest payload, in either direction, as Activate Payload says (Spec table 24-2)."""
LONGEST = PAYLOAD_SIZE - HEADER
BUFFER = 16 * 1024
"""So many characters may wait for the remote console."""
ACK_SECONDS = 0.7
"""ipmitool waits 1 s for an acknowledgement."""
SLOW_SECONDS = 2.0
"""So often a packet is repeated after its retries are used up; the session ends when its client stays silent."""
RATE = 48 * 1024.0
"""Characters in a second for the remote console, in the long run; a fast serial line has 11,520."""
BURST = 4 * LONGEST
WAITING = 8
"""Packets of the remote console that are taken before the line has taken the first of them."""

REMEMBERED = 7
"""Packets whose repetition is known as such: with those that wait, all numbers that there are."""

# Operation of a packet to us (Spec table 15-2)
NACK = 0x40
BREAK = 0x10
CTS_PAUSE = 0x08
FLUSH_INBOUND = 0x02
FLUSH_OUTBOUND = 0x01
# Status of a packet of ours (Spec table 15-3)
TRANSFER_UNAVAILABLE = 0x20
DEACTIVATING = 0x10


class SolPacket(NamedTuple):
    """A SOL payload, of either direction."""

    sequence: int
    """1 to 15; 0: it only acknowledges."""
    acked: int
    """The number of the packet that it acknowledges; 0: none."""
    accepted: int
    """Characters of that packet that were taken."""
    operation: int
    """Operation (to us) or status (from us)."""
    data: bytes

    def payload(self) -> bytes:
        """As it is on the wire."""
        return bytes((self.sequence, self.acked, self.accepted, self.operation)) + self.data


def parse(payload: bytes) -> SolPacket | None:
    """The packet in a payload; None if it is none."""
    if not HEADER <= len(payload) <= HEADER + 0xFF:
        return None
    return SolPacket(payload[0] & 0x0F, payload[1] & 0x0F, payload[2], payload[3], payload[HEADER:])


@dataclass(frozen=True, slots=True)
class Timing:
    """When packets are sent, and sent again (Spec table 26-5)."""

    accumulate_seconds: float
    threshold: int
    retries: int
    retry_seconds: float


class Sink(Protocol):
    """The line to the host."""

    def take(self, data: bytes) -> int:
        """Take what can be taken now; how many bytes that was."""
        ...

    def send_break(self) -> None:
        """Send a BREAK after what was taken."""
        ...

    def flush(self) -> None:
        """Forget what was taken and has not been sent yet."""
        ...


@dataclass(slots=True)
class _Inbound:
    """A packet of the remote console, until it is acknowledged."""

    sequence: int
    data: bytes
    due: float
    breaks: bool
    accepted: int = 0


@dataclass(slots=True)
class _Outbound:
    """The packet of ours that is under way."""

    packet: SolPacket
    due: float
    tries: int = 1


class SolLine:
    """Both directions of one line.

    Args:
        timing: when packets are sent.
        sink: the host.
    """

    def __init__(self, timing: Timing, sink: Sink) -> None:
        self.timing = timing
        self.unavailable = False
        """The line to the host does not work; each packet of ours says so."""
        self._sink = sink
        self._out = bytearray()
        self._since = 0.0  # when the first of the waiting characters came
        self._flying: _Outbound | None = None
        self._sequence = 0
        self._in: deque[_Inbound] = deque()
        self._taken: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)
        self._acks: deque[tuple[int, int]] = deque(maxlen=WAITING)
        self._paused = False
        self._hold_until = 0.0
        self._paid_until = 0.0  # by when what was sent would have been sent at the rate

    @property
    def room(self) -> int:
        """How many more characters of the host may wait."""
        return max(0, BUFFER - len(self._out))

    @property
    def idle(self) -> bool:
        """Whether the remote console has got everything."""
        return not self._out and self._flying is None

    # --- the host's side ------------------------------------------------------------------------------------------

    def feed(self, data: bytes, now: float) -> None:
        """Characters of the host, for the remote console."""
        if not self._out:
            self._since = now
        self._out += data

    # --- the remote console's side ---------------------------------------------------------------------------------

    def received(self, packet: SolPacket, now: float) -> None:
        """Take a packet."""
        self._paused = bool(packet.operation & CTS_PAUSE)
        if packet.operation & FLUSH_OUTBOUND:
            self._out.clear()
            self._flying = None
        if packet.acked:
            self._acknowledged(packet, now)
        if packet.operation & FLUSH_INBOUND:
            self._sink.flush()
        if packet.sequence:
            self._arrived(packet, now)
        elif packet.operation & BREAK:
            self._sink.send_break()

    def _acknowledged(self, packet: SolPacket, now: float) -> None:
        flying = self._flying
        if flying is None or flying.packet.sequence != packet.acked:
            return
        taken = min(packet.accepted, len(flying.packet.data))
        rest = flying.packet.data[taken:]
        self._flying = None
        if rest:  # goes in the next packet, in front of all else
            self._out[:0] = rest
            self._since = now - self.timing.accumulate_seconds
            if not taken or packet.operation & NACK:
                self._hold_until = now + self.timing.retry_seconds

    def _arrived(self, packet: SolPacket, now: float) -> None:
        if any(each.sequence == packet.sequence for each in self._in):
            return  # repeated while it is worked on
        for taken in self._taken:
            if taken[0] == packet.sequence:  # a repetition; the numbers come round only after all others
                self._acks.append(taken)
                return
        if len(self._in) >= WAITING:
            return
        breaks = bool(packet.operation & BREAK)
        self._in.append(_Inbound(packet.sequence, packet.data, now + ACK_SECONDS, breaks))
        self._take(now)

    def _take(self, now: float) -> None:
        """Hand on what the line takes, in order, and acknowledge what it has taken or will not take soon."""
        while self._in:
            first = self._in[0]
            if first.accepted < len(first.data):
                first.accepted += self._sink.take(first.data[first.accepted :])
            whole = first.accepted == len(first.data)
            if not whole and now < first.due:
                return
            if whole and first.breaks:
                self._sink.send_break()
            self._in.popleft()
            self._taken.append((first.sequence, first.accepted))
            self._acks.append((first.sequence, first.accepted))
            for each in self._in:
                each.due = max(each.due, now + ACK_SECONDS)

    # --- what is to be sent ---------------------------------------------------------------------------------------

    def poll(self, now: float) -> Iterator[bytes]:
        """The payloads that are to be sent now."""
        self._take(now)
        flying = self._flying
        if flying is not None and now >= flying.due:
            yield self._repeat(flying, now)
        elif flying is None and self._may_send(now):
            yield self._next(now)
        while self._acks:
            yield SolPacket(0, *self._acks.popleft(), self._status, b"").payload()

    @property
    def _status(self) -> int:
        return TRANSFER_UNAVAILABLE if self.unavailable else 0

    def _repeat(self, flying: _Outbound, now: float) -> bytes:
        """Once more; after the retries more slowly, rather than lose characters (Spec table 26-5 drops them)."""
        flying.tries += 1
        worn_out = flying.tries > self.timing.retries
        flying.due = now + (max(SLOW_SECONDS, self.timing.retry_seconds) if worn_out else self.timing.retry_seconds)
        flying.packet = flying.packet._replace(acked=0, accepted=0, operation=self._status)
        return flying.packet.payload()

    def _may_send(self, now: float) -> bool:
        return not self._paused and not self._in and bool(self._out) and now >= self._ready()

    def _ready(self) -> float:
        """When what waits may be sent."""
        full = len(self._out) >= self.timing.threshold
        gathered = self._since + (0.0 if full else self.timing.accumulate_seconds)
        return max(self._hold_until, self._paid_until - BURST / RATE, gathered)

    def _next(self, now: float) -> bytes:
        data = bytes(self._out[:LONGEST])
        del self._out[:LONGEST]
        self._since = now
        self._paid_until = max(now, self._paid_until) + len(data) / RATE
        self._sequence = self._sequence % 0x0F + 1
        acked, accepted = self._acks.popleft() if len(self._acks) == 1 else (0, 0)
        packet = SolPacket(self._sequence, acked, accepted, self._status, data)
        self._flying = _Outbound(packet, now + self.timing.retry_seconds)
        return packet.payload()

    def due(self) -> float | None:
        """When `poll` has something to do, on the same clock; None: not before something comes."""
        times = []
        if self._in:
            times.append(self._in[0].due)
        if self._flying is not None:
            times.append(self._flying.due)
        if self._flying is None and self._out and not self._in and not self._paused:
            times.append(self._ready())
        return min(times, default=None)


def deactivating() -> bytes:
    """The last packet of a line that ends without its remote console having asked for it (Spec table 15-3)."""
    return SolPacket(0, 0, 0, DEACTIVATING, b"").payload()
