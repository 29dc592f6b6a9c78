"""The table of a host: what follows in each phase from each request and each fact. Pure data.

The rules behind it: forced off is accepted wherever power may be on; lost power is believed everywhere; whoever waits,
waits with a patience; nothing happens by itself while the power cannot be read; and no button is pressed on a host that
is off, except to power it on.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from ubmc.services.statemgr.table import (
    AS_SEEN,
    BUSY,
    HERE,
    JOIN,
    Effect,
    Fact,
    Outcome,
    Refusal,
    Row,
    Step,
    Table,
    Verdict,
)
from ubmc.v1alpha1.host_pb import HostPowerAction, HostState, WatchdogAction
from ubmc.v1alpha1.internal_pb import PowerLevel, WireAction


class HostPhase(Enum):
    """Where a host is, finer than the state that is shown."""

    UNKNOWN = "unknown"
    OFF = "off"
    POWERING_ON = "powering on"
    ON = "on"
    SHUTTING_DOWN = "shutting down"
    CUTTING = "being cut"
    REBOOTING_DOWN = "shutting down to reboot"
    REBOOTING_UP = "powering on again"
    RESETTING = "being reset"
    CYCLING_DOWN = "being cut to power on again"
    RESTING = "off for a moment"


class HostRequest(Enum):
    """What can be wanted of a host."""

    ON = "on"
    GRACEFUL_OFF = "graceful off"
    FORCE_OFF = "force off"
    REBOOT = "reboot"
    FORCE_RESTART = "force restart"
    NMI = "NMI"
    FORCE_CYCLE = "power cycle"
    """Cut and power on again."""


REST = "rest"
"""The patience that is no giving up: so long the power stays off in a power cycle."""

REQUESTS = MappingProxyType(
    {
        HostPowerAction.ON: HostRequest.ON,
        HostPowerAction.GRACEFUL_OFF: HostRequest.GRACEFUL_OFF,
        HostPowerAction.FORCE_OFF: HostRequest.FORCE_OFF,
        HostPowerAction.REBOOT: HostRequest.REBOOT,
        HostPowerAction.FORCE_RESTART: HostRequest.FORCE_RESTART,
        HostPowerAction.NMI: HostRequest.NMI,
        HostPowerAction.POWER_CYCLE: HostRequest.FORCE_CYCLE,
    }
)

STATES = MappingProxyType(
    {
        HostPhase.UNKNOWN: HostState.UNKNOWN,
        HostPhase.OFF: HostState.OFF,
        HostPhase.POWERING_ON: HostState.POWERING_ON,
        HostPhase.ON: HostState.ON,
        HostPhase.SHUTTING_DOWN: HostState.POWERING_OFF,
        HostPhase.CUTTING: HostState.POWERING_OFF,
        HostPhase.REBOOTING_DOWN: HostState.RESTARTING,
        HostPhase.REBOOTING_UP: HostState.RESTARTING,
        HostPhase.RESETTING: HostState.RESTARTING,
        HostPhase.CYCLING_DOWN: HostState.RESTARTING,
        HostPhase.RESTING: HostState.RESTARTING,
    }
)
"""The state that is shown in each phase."""

UPWARDS = frozenset({HostRequest.ON, HostRequest.REBOOT, HostRequest.FORCE_RESTART, HostRequest.FORCE_CYCLE})
"""Whoever asks for these wants the host on."""
DOWNWARDS = frozenset({HostRequest.GRACEFUL_OFF, HostRequest.FORCE_OFF})
"""Whoever asks for these wants it off."""
TWO_HALVES = frozenset({HostRequest.REBOOT, HostRequest.FORCE_CYCLE})
"""They power down first: who was answered is owed the second half."""
NEED_SUPPLY = frozenset({HostRequest.ON, HostRequest.REBOOT, HostRequest.FORCE_CYCLE})
"""They cannot end well while the chassis has no power."""

ACTIONS = MappingProxyType({request: action for action, request in REQUESTS.items()})
"""What each request is called in news."""

WIRES = MappingProxyType(
    {
        Effect.DRIVE_ON: WireAction.ON,
        Effect.SOFT_OFF: WireAction.SOFT_OFF,
        Effect.FORCE_OFF: WireAction.FORCE_OFF,
        Effect.RESET: WireAction.RESET,
        Effect.NMI: WireAction.NMI,
    }
)
"""What the wires do for each effect."""

NEEDS = MappingProxyType(
    {
        HostRequest.ON: frozenset({WireAction.ON}),
        HostRequest.GRACEFUL_OFF: frozenset({WireAction.SOFT_OFF}),
        HostRequest.FORCE_OFF: frozenset({WireAction.FORCE_OFF}),
        HostRequest.REBOOT: frozenset({WireAction.SOFT_OFF, WireAction.ON}),
        HostRequest.FORCE_RESTART: frozenset({WireAction.RESET}),
        HostRequest.NMI: frozenset({WireAction.NMI}),
        HostRequest.FORCE_CYCLE: frozenset({WireAction.FORCE_OFF, WireAction.ON}),
    }
)
"""What the wires must be able to do for each request."""

ON_PRESS = MappingProxyType({HostPhase.OFF: HostRequest.ON, HostPhase.ON: HostRequest.GRACEFUL_OFF})
"""What somebody wants who presses the power button; in other phases a press on the front is news only."""

ON_EXPIRY = MappingProxyType(
    {
        WatchdogAction.RESET: HostRequest.FORCE_RESTART,
        WatchdogAction.FORCE_OFF: HostRequest.FORCE_OFF,
        WatchdogAction.POWER_CYCLE: HostRequest.FORCE_CYCLE,
    }
)
"""What an expired watchdog wants."""

_Requests = Mapping[HostRequest, Outcome[HostPhase]]
_Facts = Mapping[Fact, Step[HostPhase]]

_STAY: Step[HostPhase] = Step(HERE)
_OFF_FIRST = Refusal("{name} is off: power it on first")
_UNREADABLE = Refusal("the power of {name} cannot be read, so only force-off is possible; check its wires")

_STABLE_FACTS: _Facts = {
    Fact.SEEN_ON: Step(HostPhase.ON),
    Fact.SEEN_OFF: Step(HostPhase.OFF),
    Fact.SEEN_UNKNOWN: Step(HostPhase.UNKNOWN),
    Fact.MAINS_LOST: Step(HostPhase.OFF),
    Fact.DRIVEN: _STAY,
    Fact.DRIVE_FAILED: _STAY,
    Fact.TIMEOUT: _STAY,
}

# A phase on its way yields to a forced off and to nothing else.
_ON_ITS_WAY: _Requests = dict.fromkeys(HostRequest, BUSY) | {
    HostRequest.FORCE_OFF: Step(HostPhase.CUTTING, Effect.FORCE_OFF, Verdict.CANCELLED)
}


def _waiting(advice: str) -> _Facts:
    """The facts of a phase that waits, as far as all of those agree; `advice` is for when patience is over."""
    return {
        Fact.SEEN_ON: _STAY,
        Fact.SEEN_OFF: _STAY,
        Fact.SEEN_UNKNOWN: _STAY,
        Fact.MAINS_LOST: Step(HostPhase.OFF, verdict=Verdict.FAILED, text="Mains was lost"),
        Fact.DRIVEN: _STAY,
        Fact.DRIVE_FAILED: Step(AS_SEEN, verdict=Verdict.FAILED, text="Check its wires, then try again"),
        Fact.TIMEOUT: Step(AS_SEEN, verdict=Verdict.FAILED, text=advice),
    }


_DEAF = "The operating system does not shut down; use force-off to cut the power"
_DARK = "Power-good did not come; check supply and board, and the host's own log"
_HARD = "The power cannot be cut by the wires; take the chassis off, or mains"

HOST: Table[HostPhase, HostRequest] = Table(
    as_seen={
        PowerLevel.UNKNOWN: HostPhase.UNKNOWN,
        PowerLevel.OFF: HostPhase.OFF,
        PowerLevel.ON: HostPhase.ON,
    },
    rows={
        HostPhase.UNKNOWN: Row(
            requests=dict.fromkeys(HostRequest, _UNREADABLE)
            | {HostRequest.FORCE_OFF: Step(HostPhase.CUTTING, Effect.FORCE_OFF)},
            facts=_STABLE_FACTS,
        ),
        HostPhase.OFF: Row(
            requests={
                HostRequest.ON: Step(HostPhase.POWERING_ON, Effect.DRIVE_ON),
                HostRequest.GRACEFUL_OFF: Refusal("{name} is off already: there is nothing to shut down"),
                HostRequest.FORCE_OFF: Step(HERE, verdict=Verdict.COMPLETED, text="{name} was off already"),
                HostRequest.REBOOT: _OFF_FIRST,
                HostRequest.FORCE_RESTART: _OFF_FIRST,
                HostRequest.NMI: _OFF_FIRST,
                HostRequest.FORCE_CYCLE: _OFF_FIRST,
            },
            facts=_STABLE_FACTS,
        ),
        HostPhase.ON: Row(
            requests={
                HostRequest.ON: Refusal("{name} is on already: to restart it, use reboot or force-restart"),
                HostRequest.GRACEFUL_OFF: Step(HostPhase.SHUTTING_DOWN, Effect.SOFT_OFF),
                HostRequest.FORCE_OFF: Step(HostPhase.CUTTING, Effect.FORCE_OFF),
                HostRequest.REBOOT: Step(HostPhase.REBOOTING_DOWN, Effect.SOFT_OFF),
                HostRequest.FORCE_RESTART: Step(HostPhase.RESETTING, Effect.RESET),
                HostRequest.NMI: Step(HERE, Effect.NMI),
                HostRequest.FORCE_CYCLE: Step(HostPhase.CYCLING_DOWN, Effect.FORCE_OFF),
            },
            facts=_STABLE_FACTS,
        ),
        HostPhase.POWERING_ON: Row(
            requests=_ON_ITS_WAY,
            facts={**_waiting(_DARK), Fact.SEEN_ON: Step(HostPhase.ON, verdict=Verdict.COMPLETED)},
            patience="power_on",
        ),
        HostPhase.SHUTTING_DOWN: Row(
            requests=_ON_ITS_WAY,
            facts={**_waiting(_DEAF), Fact.SEEN_OFF: Step(HostPhase.OFF, verdict=Verdict.COMPLETED)},
            patience="soft_off",
        ),
        HostPhase.CUTTING: Row(
            requests={**_ON_ITS_WAY, HostRequest.FORCE_OFF: JOIN},
            facts={
                **_waiting(_HARD),
                Fact.SEEN_OFF: Step(HostPhase.OFF, verdict=Verdict.COMPLETED),
                Fact.MAINS_LOST: Step(HostPhase.OFF, verdict=Verdict.COMPLETED),
                Fact.DRIVEN: Step(HERE, Effect.LOOK),
            },
            patience="cut",
        ),
        HostPhase.REBOOTING_DOWN: Row(
            requests=_ON_ITS_WAY,
            facts={**_waiting(_DEAF), Fact.SEEN_OFF: Step(HostPhase.REBOOTING_UP, Effect.DRIVE_ON)},
            patience="soft_off",
        ),
        HostPhase.REBOOTING_UP: Row(
            requests=_ON_ITS_WAY,
            facts={**_waiting(_DARK), Fact.SEEN_ON: Step(HostPhase.ON, verdict=Verdict.COMPLETED)},
            patience="power_on",
        ),
        HostPhase.RESETTING: Row(
            requests=_ON_ITS_WAY,
            facts={
                **_waiting("The reset line was not driven in time; check its wires"),
                Fact.DRIVEN: Step(AS_SEEN, verdict=Verdict.COMPLETED),
                Fact.SEEN_OFF: Step(HostPhase.OFF, verdict=Verdict.FAILED, text="{name} lost its power"),
            },
            patience="reset",
        ),
        HostPhase.CYCLING_DOWN: Row(
            requests=_ON_ITS_WAY,
            facts={**_waiting(_HARD), Fact.SEEN_OFF: Step(HostPhase.RESTING)},
            patience="cut",
        ),
        HostPhase.RESTING: Row(
            requests=_ON_ITS_WAY,
            facts={
                **_waiting(""),
                Fact.SEEN_ON: Step(HostPhase.ON, verdict=Verdict.COMPLETED),
                Fact.TIMEOUT: Step(HostPhase.REBOOTING_UP, Effect.DRIVE_ON, text="It is powered on again"),
            },
            patience=REST,
        ),
    },
)
