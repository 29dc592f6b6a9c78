"""Commands of the network function Sensor/Event (Spec chapters 29 and 35)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ubmc.protocols.ipmi.codes import Code, Completion
from ubmc.protocols.ipmi.scale import Scale

Limit = Literal["lower_warning", "lower_critical", "lower_fatal", "upper_warning", "upper_critical", "upper_fatal"]
LIMITS: tuple[Limit, ...] = (
    "lower_warning",
    "lower_critical",
    "lower_fatal",
    "upper_warning",
    "upper_critical",
    "upper_fatal",
)
"""The limits in the order of the commands, as this project calls them: non-critical, critical, non-recoverable
(Spec tables 35-8 and 35-9, bits 0 to 5)."""
_EVENTS_ENABLED, _SCANNING = 0x80, 0x40
_UNAVAILABLE = 0x20
_RESERVED_SET = 0xC0  # of the comparison byte (Spec table 35-15, byte 4)


@dataclass(frozen=True, slots=True)
class Enabled:
    """What of a sensor is enabled (Spec tables 35-10 and 35-11)."""

    events: bool = True
    scanning: bool = True

    @property
    def bits(self) -> int:
        """As in the answers of several commands."""
        return (_EVENTS_ENABLED if self.events else 0) | (_SCANNING if self.scanning else 0)

    @staticmethod
    def parse(data: bytes) -> Enabled:
        """What a Set Sensor Event Enable says of the sensor as a whole.

        Raises:
            Completion: CCh, it wants to choose single events, which is not offered.
        """
        if data[0] & 0x30 and any(data[1:]):
            raise Completion(Code.INVALID_FIELD)
        return Enabled(bool(data[0] & _EVENTS_ENABLED), bool(data[0] & _SCANNING))


def analog_reading(raw: int | None, passed: int, enabled: Enabled) -> bytes:
    """What Get Sensor Reading tells of a sensor that measures (Spec section 35.14, table 35-15).

    Args:
        raw: the reading; None: there is none, which has a bit of its own.
        passed: a bit for each limit that is passed, as in `LIMITS`.
        enabled: whether it is read and tells events.
    """
    if raw is None:
        return bytes((0, enabled.bits | _UNAVAILABLE, _RESERVED_SET))
    return bytes((raw, enabled.bits, _RESERVED_SET | passed))


def discrete_reading(states: int | None, enabled: Enabled) -> bytes:
    """What Get Sensor Reading tells of a sensor with states (Spec section 35.14, table 35-15)."""
    if states is None:
        return bytes((0, enabled.bits | _UNAVAILABLE, 0, 0x80))
    return bytes((0, enabled.bits, states & 0xFF, 0x80 | states >> 8 & 0x7F))


def passed_limits(level: int, *, upper: bool, watched: Sequence[bool]) -> int:
    """The bits of the limits that are passed.

    Args:
        level: 0 normal, 1 warning, 2 critical, 3 fatal.
        upper: on the upper side.
        watched: which limits there are, as in `LIMITS`.
    """
    start = 3 if upper else 0
    return sum(1 << bit for bit in range(start, start + level) if watched[bit])


def events_of(limits: int) -> int:
    """The events of limits: a lower one is passed going low, an upper one going high (Spec table 42-2).

    Args:
        limits: a bit for each, as in `LIMITS`.
    """
    return sum(1 << (2 * bit if bit < 3 else 2 * bit + 1) for bit in range(6) if limits & 1 << bit)


def thresholds(limits: Sequence[float | None], scale: Scale) -> bytes:
    """What Get Sensor Thresholds tells (Spec section 35.9, table 35-9)."""
    mask = sum(1 << bit for bit, limit in enumerate(limits) if limit is not None)
    return bytes((mask,)) + bytes(scale.raw(limit) if limit is not None else 0 for limit in limits)


def new_thresholds(data: bytes, scale: Scale) -> dict[Limit, float]:
    """The limits of a Set Sensor Thresholds (Spec section 35.8, table 35-8), by their names in `LIMITS`."""
    if data[0] & 0xC0 or not data[0]:
        raise Completion(Code.INVALID_FIELD)
    return {name: round(scale.value(data[1 + bit]), 9) for bit, name in enumerate(LIMITS) if data[0] & 1 << bit}


def hysteresis(amount: float, scale: Scale) -> bytes:
    """What Get Sensor Hysteresis tells: the same on both sides (Spec section 35.7, table 35-7)."""
    return bytes((scale.delta(amount),)) * 2


def new_hysteresis(data: bytes, scale: Scale) -> float:
    """The hysteresis of a Set Sensor Hysteresis (Spec section 35.6, table 35-6).

    Raises:
        Completion: CCh, the two sides differ.
    """
    sides = {each for each in data[2:4] if each != 0xFF} or {0}
    if len(sides) > 1:
        raise Completion(Code.INVALID_FIELD)
    return round(sides.pop() * scale.step, 9)


def reading_factors(raw: int, scale: Scale) -> bytes:
    """What Get Sensor Reading Factors tells: the same for each reading (Spec section 35.5, table 35-5)."""
    exponents = (scale.exponent & 0x0F) << 4 | scale.b_exponent & 0x0F
    head = bytes((min(raw + 1, 255), scale.m & 0xFF, scale.m >> 2 & 0xC0 | 0x01))
    return head + bytes((scale.b & 0xFF, scale.b >> 2 & 0xC0, 0, exponents))


def event_enables(enabled: Enabled, events: int) -> bytes:
    """What Get Sensor Event Enable tells (Spec section 35.11, table 35-11); `events` has a bit for each offset."""
    mask = (events if enabled.events else 0).to_bytes(2, "little")
    return bytes((enabled.bits,)) + mask + mask


def event_status(enabled: Enabled, events: int | None) -> bytes:
    """What Get Sensor Event Status tells: the events that stand (Spec section 35.13, table 35-13)."""
    if events is None:
        return bytes((enabled.bits | _UNAVAILABLE,)) + bytes(4)
    return bytes((enabled.bits,)) + events.to_bytes(2, "little") + bytes(2)
