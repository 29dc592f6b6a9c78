"""From the value of a sensor to the one byte that IPMI has for it, and back: y = (M x + B 10^K1) 10^K2.

Spec section 36.3. The steps are chosen so that the limits of a sensor are exact where that is possible, because clients
show them; a reading is then right to half a step. Where a sensor has values on both sides of zero, x is signed, and B
is 0 wherever that costs little: some clients add B to differences too, such as a hysteresis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_COUNTS = 255
_LOWEST, _HIGHEST = -128, 127
_MANTISSAS = (100, 120, 125, 150, 200, 250, 300, 400, 500, 600, 750, 800)
"""Steps that people can follow, times a power of ten."""
_EXACT = 1e-6  # of a step
_LARGEST_B = 511
_EXPONENTS = range(-8, 8)
_FINE = 2.5  # a step may be so much larger than the smallest one, if limits become exact by it


@dataclass(frozen=True, slots=True)
class Scale:
    """A conversion (Spec table 43-1, bytes 21 and 25 to 30)."""

    m: int = 1
    b: int = 0
    b_exponent: int = 0
    """K1, -8 to 7."""
    exponent: int = 0
    """K2, -8 to 7."""
    signed: bool = False
    """x is -128 to 127, as a two's complement; else 0 to 255."""

    @property
    def step(self) -> float:
        """Of one count."""
        return float(self.m * 10.0**self.exponent)

    @property
    def _zero(self) -> float:
        """What x = 0 means."""
        return float(self.b * 10.0 ** (self.b_exponent + self.exponent))

    @property
    def _ends(self) -> tuple[int, int]:
        return (_LOWEST, _HIGHEST) if self.signed else (0, _COUNTS)

    @property
    def lowest(self) -> float:
        """The lowest value that can be shown."""
        return self._zero + self._ends[0] * self.step

    @property
    def highest(self) -> float:
        """The highest value that can be shown."""
        return self._zero + self._ends[1] * self.step

    def value(self, raw: int) -> float:
        """What a byte means."""
        x = raw - 256 if self.signed and raw > _HIGHEST else raw
        return (self.m * x + self.b * 10.0**self.b_exponent) * 10.0**self.exponent

    def raw(self, value: float) -> int:
        """The byte for a value; what lies beyond both ends is shown at the end."""
        low, high = self._ends
        return min(high, max(low, _nearest((value - self._zero) / self.step))) & 0xFF

    def delta(self, value: float) -> int:
        """The byte for a difference of values, such as a hysteresis."""
        return min(self._ends[1], max(0, _nearest(value / self.step)))


def choose(low: float, high: float, exact: Iterable[float] = ()) -> Scale:
    """The conversion for a sensor.

    Args:
        low: the lowest value that it can show.
        high: the highest, above `low`.
        exact: values that shall be shown exactly, if possible.
    """
    wanted = tuple(exact)
    signed = low < 0 < high
    if 0 <= low <= high / 2:
        low = 0.0
    smallest = max(-low / -_LOWEST, high / _HIGHEST) if signed else (high - low) / _COUNTS
    found: Scale | None = None
    for scale in _candidates(low, high, smallest, signed=signed):
        if found is not None and scale.step > smallest * _FINE:
            break
        found = found or scale
        if all(abs(scale.value(scale.raw(each)) - each) <= _EXACT * scale.step for each in wanted):
            return scale
    return found or Scale(m=100, exponent=_EXPONENTS[-1])


def _candidates(low: float, high: float, smallest: float, *, signed: bool) -> Iterable[Scale]:
    """The conversions that reach from low to high, the finest first."""
    begin = math.floor(math.log10(smallest)) - 2
    for power in range(begin, _EXPONENTS[-1] + 1):
        for mantissa in _MANTISSAS:
            scale = _scale(mantissa, power, low, signed=signed)
            slack = scale.step * _EXACT if scale is not None else 0.0
            if scale is not None and scale.lowest <= low + slack and scale.highest >= high - slack:
                yield scale


def _scale(mantissa: int, power: int, low: float, *, signed: bool) -> Scale | None:
    """The conversion of this step; if it is not signed, its lowest value is the multiple of it at or below `low`."""
    m, exponent = mantissa, power
    while m % 10 == 0:
        m, exponent = m // 10, exponent + 1
    if exponent not in _EXPONENTS:
        return None
    if signed:
        return Scale(m, exponent=exponent, signed=True)
    b, b_exponent = math.floor(low / (m * 10.0**exponent) + _EXACT) * m, 0
    while abs(b) > _LARGEST_B:
        if b % 10:
            return None  # it cannot be said exactly
        b, b_exponent = b // 10, b_exponent + 1
    return Scale(m, b, b_exponent, exponent) if b_exponent in _EXPONENTS else None


def _nearest(value: float) -> int:
    return math.floor(value + 0.5)
