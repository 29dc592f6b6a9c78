"""Which light shows what: the decision table, and how each pattern looks. Pure data and one look-up.

A new meaning is a new row. Rows are tried from the top: what comes first outranks what comes after.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from ubmc.hw.leds.port import Blink, LedState, Steady
from ubmc.v1alpha1.chassis_pb import ChassisState
from ubmc.v1alpha1.host_pb import HostState
from ubmc.v1alpha1.led_pb import LedPattern, LedRole


class Condition(Enum):
    """What can hold for a light."""

    IDENTIFY = "identify was asked for"
    CRITICAL = "something is critical"
    WARNING = "something needs a look"
    WELL = "all is well"
    CHANGING = "a change of power is under way"
    ON = "it is on"
    OFF = "it is off"
    QUIET = "identify was not asked for"


Row = tuple[Condition, LedPattern]

# Identify on a light of another role: that one stands in for it, because the chassis has no identify light.
_STAND_IN: Row = (Condition.IDENTIFY, LedPattern.FLASH)

TABLE: Mapping[LedRole, tuple[Row, ...]] = MappingProxyType(
    {
        LedRole.IDENTIFY: (
            (Condition.IDENTIFY, LedPattern.BLINK_SLOW),
            (Condition.QUIET, LedPattern.OFF),
        ),
        LedRole.FAULT: (
            _STAND_IN,
            (Condition.CRITICAL, LedPattern.ON),
            (Condition.WARNING, LedPattern.BLINK_SLOW),
            (Condition.WELL, LedPattern.OFF),
        ),
        LedRole.STATUS: (
            _STAND_IN,
            (Condition.CRITICAL, LedPattern.BLINK_FAST),
            (Condition.WARNING, LedPattern.BLINK_SLOW),
            (Condition.WELL, LedPattern.ON),
        ),
        LedRole.POWER: (
            _STAND_IN,
            (Condition.CHANGING, LedPattern.BLINK_SLOW),
            (Condition.ON, LedPattern.ON),
            (Condition.OFF, LedPattern.OFF),
        ),
    }
)

STANDS_IN = (LedRole.IDENTIFY, LedRole.STATUS, LedRole.FAULT, LedRole.POWER)
"""Identify is shown by the lights of the first of these roles that the chassis has any of."""

HOST_POWER: Mapping[HostState, Condition] = MappingProxyType(
    {
        HostState.UNSPECIFIED: Condition.OFF,
        HostState.UNKNOWN: Condition.OFF,
        HostState.OFF: Condition.OFF,
        HostState.POWERING_ON: Condition.CHANGING,
        HostState.ON: Condition.ON,
        HostState.POWERING_OFF: Condition.CHANGING,
        HostState.RESTARTING: Condition.CHANGING,
    }
)
CHASSIS_POWER: Mapping[ChassisState, Condition] = MappingProxyType(
    {
        ChassisState.UNSPECIFIED: Condition.OFF,
        ChassisState.UNKNOWN: Condition.OFF,
        ChassisState.OFF: Condition.OFF,
        ChassisState.POWERING_ON: Condition.CHANGING,
        ChassisState.ON: Condition.ON,
        ChassisState.POWERING_OFF: Condition.CHANGING,
        ChassisState.CYCLING: Condition.CHANGING,
    }
)

LOOKS: Mapping[LedPattern, LedState] = MappingProxyType(
    {
        LedPattern.OFF: Steady.OFF,
        LedPattern.ON: Steady.ON,
        LedPattern.BLINK_SLOW: Blink(on_seconds=0.5, off_seconds=0.5),
        LedPattern.BLINK_FAST: Blink(on_seconds=0.125, off_seconds=0.125),
        LedPattern.FLASH: Blink(on_seconds=0.125, off_seconds=0.375),
    }
)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a light shows, and why."""

    pattern: LedPattern
    reason: str


UNKNOWN = Shown(LedPattern.UNSPECIFIED, "the BMC has just begun and does not know yet")


def decide(role: LedRole, holding: Mapping[Condition, str] | Collection[Condition]) -> Shown:
    """What a light of this role shows: the first row whose condition holds.

    Args:
        role: of the light.
        holding: the conditions that hold, each with the reason for people if it has one.
    """
    for condition, pattern in TABLE[role]:
        if condition in holding:
            reason = holding[condition] if isinstance(holding, Mapping) else ""
            return Shown(pattern, reason or condition.value)
    return UNKNOWN
