"""The number formats of PMBus (specification 1.3, part II, sections 7 and 8): words in, floats out, and back.

Every 16-bit word decodes to something. What is no number (a half float may be NaN or infinite, a VID may mean "off")
comes out as NaN or infinity: whether a value can be believed is for who reads it.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from ubmc.protocols.smbus.words import signed

_WORD = 0xFFFF


def _finite(value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{value} has no form on a PMBus")


# --- LINEAR11 and ULINEAR16 (sections 7.3 and 8.4.1) -----------------------------------------------------------------

_MAX_LINEAR11 = 1023 * 2.0**15
_MIN_LINEAR11 = -1024 * 2.0**15


def decode_linear11(word: int) -> float:
    """Y * 2^N: bits 15 to 11 are N, bits 10 to 0 are Y, both in two's complement."""
    return math.ldexp(signed(word, 11), signed(word >> 11, 5))


def encode_linear11(value: float) -> int:
    """The nearest word, with the finest exponent that holds the value.

    Raises:
        ValueError: the value is not finite, or beyond -33,554,432 to 33,521,664.
    """
    _finite(value)
    if not _MIN_LINEAR11 <= value <= _MAX_LINEAR11:
        raise ValueError(f"{value} is beyond what LINEAR11 can say")
    for exponent in range(-16, 16):
        mantissa = round(math.ldexp(value, -exponent))
        if -1024 <= mantissa <= 1023:
            return (exponent & 0x1F) << 11 | mantissa & 0x7FF
    raise ValueError(f"{value} is beyond what LINEAR11 can say")


def decode_linear16(word: int, exponent: int) -> float:
    """V * 2^N: the word is V, without a sign; N comes from `VOUT_MODE` (-16 to 15)."""
    return math.ldexp(word & _WORD, exponent)


def encode_linear16(value: float, exponent: int) -> int:
    """The nearest word.

    Raises:
        ValueError: the value is not finite, below 0, or too large for the exponent.
    """
    _finite(value)
    mantissa = round(math.ldexp(value, -exponent))
    if not 0 <= mantissa <= _WORD:
        raise ValueError(f"{value} is beyond what ULINEAR16 can say with an exponent of {exponent}")
    return mantissa


# --- DIRECT (section 7.4) and half floats (section 7.5) --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Direct:
    """The coefficients of the DIRECT format: X = (Y * 10^-R - b) / m, where Y is the word in two's complement."""

    m: int
    """Slope; not 0."""
    b: int = 0
    """Offset."""
    r: int = 0
    """Exponent of ten, -128 to 127."""

    def __post_init__(self) -> None:
        if self.m == 0:
            raise ValueError("the slope m of the DIRECT format cannot be 0")
        if not -128 <= self.r <= 127:
            raise ValueError(f"the exponent R of the DIRECT format is {self.r}; it is -128 to 127")

    def decode(self, word: int) -> float:
        """The value of a word."""
        return (signed(word, 16) * 10.0**-self.r - self.b) / self.m

    def encode(self, value: float) -> int:
        """The nearest word.

        Raises:
            ValueError: the value is not finite, or does not fit in 16 bits.
        """
        _finite(value)
        exact = (self.m * value + self.b) * 10.0**self.r
        if not -0x8000 <= exact <= 0x7FFF:
            raise ValueError(f"{value} is beyond what DIRECT can say with m={self.m}, b={self.b}, R={self.r}")
        return round(exact) & _WORD


def decode_half(word: int) -> float:
    """A half-precision float of IEEE 754; may be NaN or infinite."""
    return float(struct.unpack("<e", struct.pack("<H", word & _WORD))[0])


def encode_half(value: float) -> int:
    """The nearest half-precision float.

    Raises:
        ValueError: the value is not finite, or beyond 65,504.
    """
    _finite(value)
    try:
        return int(struct.unpack("<H", struct.pack("<e", value))[0])
    except OverflowError as error:
        raise ValueError(f"{value} is beyond what a half float can say") from error


# --- VID (section 8.4.2, and Intel's and AMD's tables as formulae) ---------------------------------------------------


class Vid(Enum):
    """Tables of voltage identifications; a regulator's data sheet says which one it uses."""

    VR11 = "vr11"  # 1.6 V less 6.25 mV a step from 02h on, to B2h
    VR12 = "vr12"  # 0.25 V and 5 mV a step from 01h on
    VR13 = "vr13"  # 0.5 V and 10 mV a step from 01h on (VR12.5 and VR13 with 10 mV steps)
    IMVP9 = "imvp9"  # 0.2 V and 10 mV a step from 01h on
    AMD625MV = "amd625mv"  # 1.55 V less 6.25 mV a step, to D8h


@dataclass(frozen=True, slots=True)
class _Ramp:
    first: int  # the lowest code with a voltage
    last: int
    volts: float  # at the first
    step: float  # volts a code


_RAMPS = MappingProxyType(
    {
        Vid.VR11: _Ramp(0x02, 0xB2, 1.6, -0.00625),
        Vid.VR12: _Ramp(0x01, 0xFF, 0.25, 0.005),
        Vid.VR13: _Ramp(0x01, 0xFF, 0.5, 0.01),
        Vid.IMVP9: _Ramp(0x01, 0xFF, 0.2, 0.01),
        Vid.AMD625MV: _Ramp(0x00, 0xD8, 1.55, -0.00625),
    }
)


def decode_vid(word: int, table: Vid) -> float:
    """The voltage of a code; 0 for a code that means "off", as all outside of the table do."""
    code, ramp = word & _WORD, _RAMPS[table]
    if not ramp.first <= code <= ramp.last:
        return 0.0
    return ramp.volts + (code - ramp.first) * ramp.step


# --- VOUT_MODE (section 8.3) -----------------------------------------------------------------------------------------


class Mode(Enum):
    """How a device writes its output voltage: bits 6 and 5 of `VOUT_MODE`."""

    LINEAR = 0
    VID = 1
    DIRECT = 2
    HALF = 3


@dataclass(frozen=True, slots=True)
class VoutMode:
    """The byte of `VOUT_MODE`, read."""

    mode: Mode
    exponent: int
    """Of ULINEAR16, -16 to 15; 0 in the other modes."""
    vid_type: int
    """Which table a VID is of, by the manufacturer's numbers; 0 in the other modes."""
    relative: bool
    """Limits and margins are relative to `VOUT_COMMAND`; readings never are."""


def parse_vout_mode(byte: int) -> VoutMode:
    """Read `VOUT_MODE`; every byte means something."""
    mode = Mode(byte >> 5 & 0x03)
    return VoutMode(
        mode,
        exponent=signed(byte, 5) if mode is Mode.LINEAR else 0,
        vid_type=byte & 0x1F if mode is Mode.VID else 0,
        relative=bool(byte & 0x80),
    )


def decode_vout(word: int, vout_mode: VoutMode, *, vid: Vid | None = None, direct: Direct | None = None) -> float:
    """The voltage of `READ_VOUT`.

    Args:
        word: as read.
        vout_mode: what the device said of itself.
        vid: the table, for a device in VID mode.
        direct: the coefficients, for a device in DIRECT mode.

    Raises:
        ValueError: the device is in a mode for which the table or the coefficients were not given.
    """
    match vout_mode.mode:
        case Mode.LINEAR:
            return decode_linear16(word, vout_mode.exponent)
        case Mode.HALF:
            return decode_half(word)
        case Mode.VID:
            if vid is None:
                raise ValueError(f"the device writes its voltage as VID (type {vout_mode.vid_type}); name the table")
            return decode_vid(word, vid)
        case Mode.DIRECT:
            if direct is None:
                raise ValueError("the device writes its voltage in the DIRECT format; give m, b and R")
            return direct.decode(word)
