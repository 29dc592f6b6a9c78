"""A CD image that boots one sector, as El Torito has it, without emulation of a floppy or a disk."""

from __future__ import annotations

import struct

_SECTOR = 2048
_CATALOG, _IMAGE, _ROOT = 19, 20, 21  # sectors; 16 to 18 are the volume descriptors (ECMA-119 section 8)


def _both(value: int) -> bytes:
    """A 32-bit number in both byte orders (ECMA-119 section 7.3.3)."""
    return struct.pack("<I", value) + struct.pack(">I", value)


def _both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _directory_entry(name: bytes) -> bytes:
    """The entry of the root directory, for itself (ECMA-119 section 9.1)."""
    body = b"\0" + _both(_ROOT) + _both(_SECTOR) + bytes(7) + b"\x02\0\0" + _both16(1) + bytes([len(name)]) + name
    return bytes([len(body) + 1]) + body


def _primary(sectors: int) -> bytes:
    """The primary volume descriptor (ECMA-119 section 8.4)."""
    head = b"\x01CD001\x01\0" + b" " * 32 + b"UBMC".ljust(32) + bytes(8) + _both(sectors) + bytes(32)
    head += _both16(1) + _both16(1) + _both16(_SECTOR) + _both(0) + bytes(16) + _directory_entry(b"\0")
    return head.ljust(881, b" ") + b"\x01"


def _catalog() -> bytes:
    """The boot catalog: validation entry, then the default entry (El Torito 1.0, sections 2.1 and 2.2)."""
    validation = bytearray(b"\x01\0\0\0" + b"UBMC".ljust(24, b"\0") + b"\0\0\x55\xaa")
    checksum = -sum(struct.unpack("<16H", validation)) & 0xFFFF
    struct.pack_into("<H", validation, 28, checksum)
    # Bootable, no emulation, segment 0x7C0, one virtual sector of 512 bytes.
    return bytes(validation) + struct.pack("<BBHBBHI", 0x88, 0, 0x7C0, 0, 0, 1, _IMAGE)


def cd_image(boot: bytes) -> bytes:
    """The image; `boot` is 16-bit code for address 0x7C00, at most 512 bytes."""
    assert len(boot) <= 512
    record = b"\0CD001\x01" + b"EL TORITO SPECIFICATION".ljust(64, b"\0") + struct.pack("<I", _CATALOG)
    root = _directory_entry(b"\0") + _directory_entry(b"\x01")
    parts = [*[b""] * 16, _primary(_ROOT + 1), record, b"\xffCD001\x01", _catalog(), boot, root]
    return b"".join(part.ljust(_SECTOR, b"\0") for part in parts)
