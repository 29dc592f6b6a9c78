"""Temperature registers of the common SMBus sensors: words in, degrees Celsius out.

The one thing to know: these chips send the high byte first, an SMBus word has the low byte first. Give `swapped(word)`
of what an SMBus word read returned.
"""

from __future__ import annotations

from dataclasses import dataclass

from ubmc.protocols.smbus.words import signed


@dataclass(frozen=True, slots=True)
class Jc42:
    """The temperature register (05h) of a JEDEC JC-42.4 sensor, as found on memory modules."""

    celsius: float
    """-256 to +255.9375, in steps of 1/16."""
    critical: bool
    """At or above the critical limit."""
    high: bool
    """Above the upper alarm limit."""
    low: bool
    """Below the lower alarm limit."""


def jc42(word: int) -> Jc42:
    """Read the temperature register (JEDEC JC-42.4, TSE2004): three flags above a two's complement of 13 bits."""
    return Jc42(signed(word, 13) / 16, bool(word & 0x8000), bool(word & 0x4000), bool(word & 0x2000))


def lm75(word: int, bits: int = 9) -> float:
    """Read the temperature register (00h) of an LM75 and its many relatives: a two's complement, left-justified.

    Args:
        word: the register.
        bits: the resolution: 9 for LM75 (0.5 degrees), 11 for LM75A, 12 for TMP75 (0.0625 degrees); what is below is
            ignored.

    Returns:
        Degrees Celsius, -128 to below +128.
    """
    if not 9 <= bits <= 16:
        raise ValueError(f"a resolution of {bits} bits; an LM75 has 9 to 16")
    return signed(word & 0xFFFF & -1 << 16 - bits, 16) / 256


def temperature_8_4(high: int, low: int = 0, *, extended: bool = False) -> float:
    """Read a pair of registers of TMP421, EMC1412, LM95245 and relatives: 8 bits of degrees, up to 4 bits below.

    Args:
        high: the register of whole degrees.
        low: the register of parts of a degree, in its upper 4 bits; 0 for a chip without it.
        extended: the chip is set to its extended range, which begins at -64 (TMP421, configuration register 1, bit 2).

    Returns:
        Degrees Celsius: -128 to below +128, extended -64 to below +192.
    """
    whole = (high & 0xFF) - 64 if extended else signed(high, 8)
    return whole + (low >> 4 & 0x0F) / 16


def tmp421_open(low: int) -> bool:
    """Whether a TMP421's register of parts of a degree says that no sensor is wired to the channel (bit 0)."""
    return bool(low & 0x01)
