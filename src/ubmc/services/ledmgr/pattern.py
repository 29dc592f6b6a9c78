"""What a light shows for a state. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ubmc.hw.leds.port import Blink, LedState, Steady
from ubmc.v1alpha1.host_pb import HostState

_UNDER_WAY = Blink(on_seconds=0.5, off_seconds=0.5)

POWER: Mapping[HostState, LedState] = MappingProxyType(
    {
        HostState.UNSPECIFIED: Steady.OFF,
        HostState.UNKNOWN: Steady.OFF,
        HostState.OFF: Steady.OFF,
        HostState.POWERING_ON: _UNDER_WAY,
        HostState.ON: Steady.ON,
        HostState.POWERING_OFF: _UNDER_WAY,
        HostState.RESTARTING: _UNDER_WAY,
    }
)


def identify(on: bool) -> LedState:
    """The identify light."""
    return Blink(on_seconds=0.25, off_seconds=0.25) if on else Steady.OFF
