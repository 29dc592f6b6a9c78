"""Words of 16 bits as SMBus devices use them."""

from __future__ import annotations


def swapped(word: int) -> int:
    """A word with its two bytes exchanged."""
    return (word & 0xFF) << 8 | word >> 8 & 0xFF


def signed(value: int, bits: int) -> int:
    """The lowest so many bits, as a two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value
