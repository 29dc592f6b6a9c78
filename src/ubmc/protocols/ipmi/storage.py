"""Commands of the network function Storage about the SDR repository and FRU devices (Spec chapters 33 and 34)."""

from __future__ import annotations

from ubmc.protocols.ipmi.codes import Code, Completion

SDR_VERSION = 0x51
"""Of the SDR commands: 1.5, the digits reversed (Spec table 33-3, byte 2)."""
_SUPPORTS = 0x23
"""Non-modal update, Reserve SDR Repository, Get SDR Repository Allocation Info (Spec table 33-3, byte 15); records
cannot be added or deleted: they are made of the board file."""
FRU_WRITE_PROTECTED = 0x80
"""Spec table 34-4."""
FIRST, LAST = 0x0000, 0xFFFF


def repository_info(count: int, added: int, erased: int) -> bytes:
    """What Get SDR Repository Info tells (Spec section 33.9, table 33-3): it is full, because nothing can be added."""
    head = bytes((SDR_VERSION,)) + count.to_bytes(2, "little") + (0).to_bytes(2, "little")
    return head + added.to_bytes(4, "little") + erased.to_bytes(4, "little") + bytes((_SUPPORTS,))


def repository_allocation(count: int) -> bytes:
    """What Get SDR Repository Allocation Info tells (Spec section 33.10, table 33-4)."""
    return count.to_bytes(2, "little") + (64).to_bytes(2, "little") + bytes(4) + b"\x01"


def fru_info(size: int) -> bytes:
    """What Get FRU Inventory Area Info tells: it is accessed by bytes (Spec section 34.1, table 34-2)."""
    return min(size, 0xFFFF).to_bytes(2, "little") + b"\x00"


def fru_part(data: bytes, offset: int, count: int) -> bytes:
    """What Read FRU Data tells (Spec section 34.2, table 34-3).

    Raises:
        Completion: C9h, the offset lies behind the end.
    """
    if offset >= len(data) or count == 0:
        raise Completion(Code.OUT_OF_RANGE)
    found = data[offset : offset + count]
    return bytes((len(found),)) + found
