"""Records of the system event log (Spec chapter 32), and the commands about it (Spec chapter 31)."""

from __future__ import annotations

from dataclasses import dataclass

from ubmc.protocols.ipmi.codes import BMC_ADDRESS, Code, Completion

RECORD_BYTES = 16
SYSTEM_EVENT = 0x02
FIRST, LAST = 0x0000, 0xFFFF
"""In requests: the first, the last record; in answers LAST: there is no further one (Spec table 31-5)."""
_OEM_TIMED, _OEM = 0xC0, 0xE0  # record types C0h to DFh have a time, E0h to FFh have none (Spec tables 32-2 and 32-3)
_DEASSERTED = 0x80
_EVENT_VERSION = 0x04
VERSION = 0x51
"""Of the SEL commands: 1.5, the digits reversed (Spec table 31-2, byte 2)."""
_SUPPORTS = 0x0B
"""Delete SEL, Reserve SEL, Get SEL Allocation Info (Spec table 31-2, byte 15)."""
_OVERFLOW = 0x80
NO_TIME = 0xFFFFFFFF
_IDS = 0xFFFE


@dataclass(frozen=True, slots=True)
class Event:
    """Bytes 8 to 16 of a system event record (Spec table 32-1)."""

    kind: int
    """The type of the sensor (Spec table 42-3)."""
    number: int
    event: int
    """The event/reading type (Spec table 42-1)."""
    offset: int
    deasserted: bool = False
    data: tuple[int, int] | None = None
    """Event data 2 and 3 of a threshold event: the reading, the limit (Spec table 29-6)."""
    lun: int = 0

    def pack(self) -> bytes:
        """From the generator id on."""
        first = self.offset | (0x50 if self.data is not None else 0)
        second, third = self.data if self.data is not None else (0xFF, 0xFF)
        direction = self.event | (_DEASSERTED if self.deasserted else 0)
        head = bytes((BMC_ADDRESS, self.lun, _EVENT_VERSION, self.kind, self.number, direction))
        return head + bytes((first, second, third))


def system_record(record_id: int, seconds: int, tail: bytes) -> bytes:
    """A system event record; `tail` are its bytes from the generator id on (Spec table 32-1)."""
    return record_id.to_bytes(2, "little") + bytes((SYSTEM_EVENT,)) + _time(seconds) + tail


def given_record(record_id: int, seconds: int, body: bytes) -> bytes:
    """A record that somebody wrote: its bytes 3 to 16, with our time where the type has one (Spec section 31.6)."""
    if body[0] < _OEM:
        body = body[:1] + _time(seconds) + body[5:]
    return record_id.to_bytes(2, "little") + body


def check_added(data: bytes) -> bytes:
    """The bytes 3 to 16 of the record of an Add SEL Entry.

    Raises:
        Completion: 80h, there is no such record type (Spec table 31-6).
    """
    kind = data[2]
    if kind != SYSTEM_EVENT and kind < _OEM_TIMED:
        raise Completion(0x80)
    return data[2:RECORD_BYTES]


def platform_event(data: bytes, *, inband: bool, software: int = BMC_ADDRESS) -> bytes:
    """The bytes 3 to 16 of the record for a Platform Event Message (Spec section 29.3, table 29-4).

    Args:
        data: what came. Over the system interface the generator id comes first.
        inband: it came over the system interface.
        software: the slave address or software id of who sent it over the LAN.

    Raises:
        Completion: C7h, bytes are missing.
    """
    if inband:
        if len(data) != 8:
            raise Completion(Code.LENGTH_INVALID)
        generator, event = bytes((data[0], 0x00)), data[1:]
    else:
        if len(data) != 7:
            raise Completion(Code.LENGTH_INVALID)
        generator, event = bytes((software, 0x00)), data
    return bytes((SYSTEM_EVENT,)) + bytes(4) + generator + event


def record_id(event_id: int) -> int:
    """The record id of an event of the log: always the same one, as long as not 65,534 younger ones came."""
    return (event_id - 1) % _IDS + 1


def info(count: int, free: int, added: int, erased: int, *, overflow: bool) -> bytes:
    """What Get SEL Info tells (Spec section 31.2, table 31-2); `free` in bytes, times in Unix seconds or NO_TIME."""
    head = bytes((VERSION,)) + min(count, 0xFFFF).to_bytes(2, "little") + min(free, 0xFFFF).to_bytes(2, "little")
    return head + _time(added) + _time(erased) + bytes((_SUPPORTS | (_OVERFLOW if overflow else 0),))


def allocation(total: int, free: int) -> bytes:
    """What Get SEL Allocation Info tells, in records (Spec section 31.3, table 31-3)."""
    most = min(total, 0xFFFF)
    left = min(free, most)
    sizes = (most, RECORD_BYTES, left, left)
    return b"".join(each.to_bytes(2, "little") for each in sizes) + b"\x01"


def part(record: bytes, following: int, offset: int, count: int) -> bytes:
    """What Get SEL Entry and Get SDR tell: the next record's id, and the bytes that were asked for.

    Raises:
        Completion: C9h, the offset lies behind the record.
    """
    if offset >= len(record):
        raise Completion(Code.OUT_OF_RANGE)
    end = len(record) if count == 0xFF else offset + count
    return following.to_bytes(2, "little") + record[offset:end]


def _time(seconds: int) -> bytes:
    return min(max(0, seconds), NO_TIME).to_bytes(4, "little")
