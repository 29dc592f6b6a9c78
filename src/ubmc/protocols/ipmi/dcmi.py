"""Commands of DCMI: capabilities, power, asset tag, identifier, sensors ("Spec" here: DCMI 1.5, revision 1.0)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from ubmc.protocols.ipmi.codes import Code, Completion

_CONFORMANCE = bytes((0x01, 0x05, 0x02))  # DCMI 1.5, parameter revision 2 (Spec section 6.1.1, table 6-2)
_CONFORMANCE_CONFIG = bytes((0x01, 0x05, 0x01))  # Spec section 6.1.3, table 6-5
MOST_TEXT = 16
"""Bytes of a text in one request (Spec tables 6-8, 6-9, 6-11, 6-12)."""
ASSET_TAG_BYTES = 63
IDENTIFIER_BYTES = 64
PERIODS = {0x1E: 30.0, 0x41: 60.0, 0x45: 300.0}
"""The times over which power is averaged besides: bits 7:6 the unit, 5:0 how many of it (Spec table 6-3); seconds."""


class Capability(IntEnum):
    """Parameters of Get DCMI Capabilities Info (Spec section 6.1.1, table 6-3)."""

    SUPPORTED = 1
    MANDATORY = 2
    OPTIONAL = 3
    ACCESS = 4
    POWER = 5


def capabilities(parameter: int, *, power: bool, lan_channel: int, sel_entries: int, temperature_seconds: int) -> bytes:
    """What Get DCMI Capabilities Info tells (Spec section 6.1.1, table 6-3).

    Args:
        parameter: which.
        power: power can be read.
        lan_channel: the channel for clients in the network.
        sel_entries: how many records the SEL can have; when it is full, the oldest ones go.
        temperature_seconds: how often temperatures are read.

    Raises:
        Completion: CCh, there is no such parameter.
    """
    values = {
        Capability.SUPPORTED: bytes((0x00, 0x01 if power else 0x00, 0x01)),  # the guest's own channel
        Capability.MANDATORY: (0xA000 | min(sel_entries, 0x0FFF)).to_bytes(2, "little")
        + bytes((0x00, 0x00, min(temperature_seconds, 255))),
        Capability.OPTIONAL: bytes((0x20, 0x00)),  # power readings come from the BMC itself
        Capability.ACCESS: bytes((lan_channel, 0xFF, 0xFF)),  # no second LAN, no serial channel
        Capability.POWER: bytes((len(PERIODS), *PERIODS)),
    }
    try:
        return _CONFORMANCE + values[Capability(parameter)]
    except ValueError as error:
        raise Completion(Code.INVALID_FIELD) from error


@dataclass(frozen=True, slots=True)
class Power:
    """Power in watts, over a time."""

    current: float
    lowest: float
    highest: float
    average: float
    seconds: int
    """When it was read, Unix seconds."""
    period_seconds: float


def power_reading(power: Power) -> bytes:
    """What Get Power Reading tells (Spec section 6.6.1, table 6-16)."""
    watts = (power.current, power.lowest, power.highest, power.average)
    head = b"".join(min(max(0, round(each)), 0xFFFF).to_bytes(2, "little") for each in watts)
    period = min(round(power.period_seconds * 1000), 0xFFFFFFFF)
    return head + (power.seconds & 0xFFFFFFFF).to_bytes(4, "little") + period.to_bytes(4, "little") + b"\x40"


NO_POWER_LIMIT = 0x80
"""Get Power Limit: none is set (Spec table 6-17); the data follow all the same."""
NO_POWER_LIMIT_DATA = bytes(2 + 1 + 2 + 4 + 2 + 2)
"""Reserved, no action, 0 W, no correction time, reserved, no sampling."""


def text_part(text: bytes, offset: int, count: int) -> bytes:
    """What Get Asset Tag and Get Management Controller Identifier String tell (Spec sections 6.4.2 and 6.4.6.1).

    Raises:
        Completion: C9h, it is longer than one answer can be, or behind the end.
    """
    if count > MOST_TEXT or offset > len(text):
        raise Completion(Code.OUT_OF_RANGE)
    return bytes((len(text),)) + text[offset : offset + count]


class TextDraft:
    """A text that comes in parts."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._data = bytearray()

    def take(self, data: bytes, present: bytes) -> bytes:
        """Take a part: offset, count, bytes; the text as far as it is known then.

        Args:
            data: of the request.
            present: what is kept now, for a part that does not begin at its start.

        Raises:
            Completion: C7h or C9h, the part is not as long as it says, or lies behind the end.
        """
        offset, count, part = data[0], data[1], data[2:]
        if len(part) != count:
            raise Completion(Code.LENGTH_INVALID)
        if offset == 0:
            self._data.clear()
        elif not self._data:
            self._data[:] = present
        if count > MOST_TEXT or offset > len(self._data) or offset + count > self._longest:
            raise Completion(Code.OUT_OF_RANGE)
        self._data[offset:] = part
        return bytes(self._data)


class Place(IntEnum):
    """Entities of DCMI sensors (Spec table 6-14), the same as those of IPMI 37h, 03h and 07h."""

    INLET = 0x40
    CPU = 0x41
    BOARD = 0x42


def sensors(count: int, record_ids: Sequence[int]) -> bytes:
    """What Get DCMI Sensor Info tells: how many there are, and some record ids (Spec section 6.5.2, table 6-13)."""
    shown = record_ids[:8]
    return bytes((count, len(shown))) + b"".join(each.to_bytes(2, "little") for each in shown)


def temperatures(count: int, readings: Sequence[tuple[int, float]]) -> bytes:
    """What Get Temperature Readings tells: pairs of instance and degrees (Spec section 6.7.3, table 6-22)."""
    shown = readings[:8]
    return bytes((count, len(shown))) + b"".join(bytes((_degrees(value), number)) for number, value in shown)


def _degrees(value: float) -> int:
    whole = min(127, max(-127, round(value)))
    return abs(whole) | (0x80 if whole < 0 else 0)


def configuration(parameter: int, *, dhcp_identifier: bool) -> bytes:
    """What Get DCMI Configuration Parameters tells (Spec section 6.1.3, tables 6-5 and 6-6).

    Raises:
        Completion: 80h, there is no such parameter.
    """
    values = {
        2: bytes((0x01 if dhcp_identifier else 0x00,)),  # DHCP discovery: option 12
        3: b"\x04",  # initial time-out, seconds
        4: (120).to_bytes(2, "little"),  # server contact time-out, seconds
        5: (64).to_bytes(2, "little"),  # retry interval, seconds
    }
    if parameter not in values:
        raise Completion(0x80)
    return _CONFORMANCE_CONFIG + values[parameter]
