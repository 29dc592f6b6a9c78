"""The packet error code (SMBus 3.2, section 6.4): a CRC-8 over all bytes of a transfer, addresses included."""

from __future__ import annotations

_POLYNOMIAL = 0x07  # x^8 + x^2 + x + 1


def _step(value: int) -> int:
    for _ in range(8):
        value = (value << 1 ^ _POLYNOMIAL if value & 0x80 else value << 1) & 0xFF
    return value


_TABLE = bytes(_step(value) for value in range(256))


def crc8(data: bytes, start: int = 0) -> int:
    """The code of these bytes; `start` is the code of the bytes before them.

    For a read of one word of command C from address A the bytes are: A with the write bit, C, A with the read bit, and
    both bytes of data as they went over the wire. With the right code appended the result is 0.
    """
    code = start & 0xFF
    for byte in data:
        code = _TABLE[code ^ byte]
    return code
