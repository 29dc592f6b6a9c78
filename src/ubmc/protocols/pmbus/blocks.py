"""Block reads of PMBus: text (MFR_ID and its like) and the energy counters READ_EIN and READ_EOUT."""

from __future__ import annotations

from dataclasses import dataclass

from ubmc.kit.errors import Invalid
from ubmc.protocols.pmbus.formats import Direct, decode_linear11

_ENERGY_BYTES = 6
_SAMPLES = 1 << 24
_ROLLOVERS = 1 << 8


@dataclass(frozen=True, slots=True)
class Energy:
    """A sum of power samples (section 18.13.1): an accumulator, how often it rolled over, and how many samples."""

    accumulator: int
    """A word in the format in which the device writes power."""
    rollovers: int
    """0 to 255, then 0 again."""
    samples: int
    """0 to 16,777,215, then 0 again."""


def text(block: bytes) -> str:
    """The text of a block: up to the first zero byte, without blanks around it; each byte is a character of ISO 8859-1.

    Nothing is escaped: whoever shows it makes it safe.
    """
    return block.partition(b"\0")[0].decode("latin-1").strip()


def read_ein(block: bytes) -> Energy:
    """The counters of READ_EIN or READ_EOUT, without the byte that says how many bytes follow.

    Raises:
        Invalid: it is not of six bytes.
    """
    if len(block) != _ENERGY_BYTES:
        raise Invalid(f"the energy counters have {len(block)} bytes; PMBus has {_ENERGY_BYTES}")
    return Energy(int.from_bytes(block[:2], "little"), block[2], int.from_bytes(block[3:], "little"))


def full_scale_direct(direct: Direct) -> float:
    """At which value the accumulator of a device that writes power in the DIRECT format rolls over."""
    return direct.decode(0x7FFF)


def full_scale_linear11(accumulator: int) -> float:
    """At which value the accumulator of a device that writes power as LINEAR11 rolls over, at this word's exponent."""
    return decode_linear11(accumulator & 0xF800 | 0x3FF)


def average_watts(
    before: Energy, after: Energy, *, watts_before: float, watts_after: float, full_scale: float
) -> float | None:
    """The average power between two reads.

    Args:
        before: the counters of the first read.
        after: those of the second.
        watts_before: the accumulator of the first, decoded.
        watts_after: that of the second.
        full_scale: at which value the accumulator rolls over.

    Returns:
        Watts; None if no sample was taken in between.
    """
    samples = (after.samples - before.samples) % _SAMPLES
    if samples == 0:
        return None
    rollovers = (after.rollovers - before.rollovers) % _ROLLOVERS
    return (rollovers * full_scale + watts_after - watts_before) / samples
