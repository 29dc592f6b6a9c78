"""Platform event filtering, of which there is none: alerts go out as event subscriptions (Spec chapter 30)."""

from __future__ import annotations

from ubmc.protocols.ipmi.codes import Code, Completion

VERSION = 0x51
"""1.5, the digits reversed (Spec table 30-2, byte 2)."""
CAPABILITIES = bytes((VERSION, 0x00, 0x00))
"""No action, no filter (Spec section 30.1, table 30-2)."""
REVISION = 0x11

_PARAMETERS = {
    0: b"\x00",  # set in progress
    1: b"\x00",  # PEF is off
    2: b"\x00",  # no action is enabled
    3: b"\x00",  # start-up delay, seconds
    4: b"\x00",  # alert start-up delay, seconds
    5: b"\x00",  # number of event filters
    8: b"\x00",  # number of alert policy entries
    10: bytes(17),  # system GUID: that of Get System GUID is used
    11: b"\x00",  # number of alert strings
}
"""Spec table 30-6."""
READ_ONLY = (5, 8, 11)


_STRING_KEYS, _STRINGS = 12, 13


def parameter(number: int, selector: int = 0, block: int = 0) -> bytes:
    """The data of a PEF parameter (Spec section 30.4, table 30-6).

    Args:
        number: which one.
        selector: of the alert string; there is only 0, the volatile one, and it is empty.
        block: of the string.

    Raises:
        Completion: 80h, it is not offered; C9h, there is no such string or block.
    """
    if number in (_STRING_KEYS, _STRINGS):
        if selector or block not in (0, 1):
            raise Completion(Code.OUT_OF_RANGE)
        return bytes(3) if number == _STRING_KEYS else bytes((0, block)) + bytes(16)
    if number not in _PARAMETERS:
        raise Completion(0x80)
    return _PARAMETERS[number]


def check_set(number: int, data: bytes) -> None:
    """Whether a Set PEF Configuration Parameters changes nothing that cannot be changed (Spec table 30-4).

    Raises:
        Completion: 80h or 82h, it does.
    """
    if parameter(number) == data or number == 0:
        return
    raise Completion(0x82)


def last_processed(record_id: int, seconds: int) -> bytes:
    """What Get Last Processed Event ID tells: the newest record; none was processed (Spec section 30.6, table 30-8)."""
    return seconds.to_bytes(4, "little") + record_id.to_bytes(2, "little") + b"\xff\xff\x00\x00"
