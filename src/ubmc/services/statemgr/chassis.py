"""The table of a chassis: what follows in each phase from each request and each fact. Pure data.

Whether a host runs is not known here: `GUARDED` says which requests wait for the word of those who know. It serves a
chassis with a supply of its own, and one that is on while a host in it is on; only what the effects drive differs.
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
from ubmc.v1alpha1.chassis_pb import ChassisPowerAction, ChassisState
from ubmc.v1alpha1.internal_pb import PowerLevel


class ChassisPhase(Enum):
    """Where a chassis is, finer than the state that is shown."""

    UNKNOWN = "unknown"
    OFF = "off"
    POWERING_ON = "powering on"
    ON = "on"
    POWERING_OFF = "powering off"
    CYCLING_DOWN = "powering off to cycle"
    CYCLING_UP = "powering on again"


class ChassisRequest(Enum):
    """What can be wanted of a chassis."""

    ON = "on"
    OFF = "off"
    CYCLE = "cycle"
    FORCE_OFF = "force off"
    FORCE_CYCLE = "force cycle"


REQUESTS = MappingProxyType(
    {
        ChassisPowerAction.ON: ChassisRequest.ON,
        ChassisPowerAction.OFF: ChassisRequest.OFF,
        ChassisPowerAction.CYCLE: ChassisRequest.CYCLE,
        ChassisPowerAction.FORCE_OFF: ChassisRequest.FORCE_OFF,
        ChassisPowerAction.FORCE_CYCLE: ChassisRequest.FORCE_CYCLE,
    }
)

STATES = MappingProxyType(
    {
        ChassisPhase.UNKNOWN: ChassisState.UNKNOWN,
        ChassisPhase.OFF: ChassisState.OFF,
        ChassisPhase.POWERING_ON: ChassisState.POWERING_ON,
        ChassisPhase.ON: ChassisState.ON,
        ChassisPhase.POWERING_OFF: ChassisState.POWERING_OFF,
        ChassisPhase.CYCLING_DOWN: ChassisState.CYCLING,
        ChassisPhase.CYCLING_UP: ChassisState.CYCLING,
    }
)
"""The state that is shown in each phase."""

GUARDED = MappingProxyType({ChassisRequest.OFF: "force-off", ChassisRequest.CYCLE: "force-cycle"})
"""Requests that are refused unless every host is off; each with its forced form."""

_Requests = Mapping[ChassisRequest, Outcome[ChassisPhase]]
_Facts = Mapping[Fact, Step[ChassisPhase]]

_STAY: Step[ChassisPhase] = Step(HERE)
_OFF_FIRST = Refusal("{name} is off: power it on instead")
_UNREADABLE = Refusal("the power of {name} cannot be read, so only on and force-off are possible; check its wires")

_STABLE_FACTS: _Facts = {
    Fact.SEEN_ON: Step(ChassisPhase.ON),
    Fact.SEEN_OFF: Step(ChassisPhase.OFF),
    Fact.SEEN_UNKNOWN: Step(ChassisPhase.UNKNOWN),
    Fact.MAINS_LOST: Step(ChassisPhase.OFF),
    Fact.DRIVEN: _STAY,
    Fact.DRIVE_FAILED: _STAY,
    Fact.TIMEOUT: _STAY,
}

# A phase on its way yields to a forced off and to nothing else.
_ON_ITS_WAY: _Requests = dict.fromkeys(ChassisRequest, BUSY) | {
    ChassisRequest.FORCE_OFF: Step(ChassisPhase.POWERING_OFF, Effect.FORCE_OFF, Verdict.CANCELLED)
}


def _waiting(advice: str) -> _Facts:
    """The facts of a phase that waits, as far as all of those agree; `advice` is for when patience is over."""
    return {
        Fact.SEEN_ON: _STAY,
        Fact.SEEN_OFF: _STAY,
        Fact.SEEN_UNKNOWN: _STAY,
        Fact.MAINS_LOST: Step(ChassisPhase.OFF, verdict=Verdict.FAILED, text="Mains was lost"),
        Fact.DRIVEN: Step(HERE, Effect.LOOK),
        Fact.DRIVE_FAILED: Step(AS_SEEN, verdict=Verdict.FAILED, text="Check its wires, then try again"),
        Fact.TIMEOUT: Step(AS_SEEN, verdict=Verdict.FAILED, text=advice),
    }


_DARK = "Power did not come; check the supply, and the hosts' own failures"
_HARD = "The power does not go; take mains off"
_COMES_UP: Step[ChassisPhase] = Step(ChassisPhase.ON, verdict=Verdict.COMPLETED)

CHASSIS: Table[ChassisPhase, ChassisRequest] = Table(
    as_seen={
        PowerLevel.UNKNOWN: ChassisPhase.UNKNOWN,
        PowerLevel.OFF: ChassisPhase.OFF,
        PowerLevel.ON: ChassisPhase.ON,
    },
    rows={
        ChassisPhase.UNKNOWN: Row(
            # A supply is held at a level, so driving it on does no harm if it is on already.
            requests=dict.fromkeys(ChassisRequest, _UNREADABLE)
            | {
                ChassisRequest.ON: Step(ChassisPhase.POWERING_ON, Effect.DRIVE_ON),
                ChassisRequest.FORCE_OFF: Step(ChassisPhase.POWERING_OFF, Effect.FORCE_OFF),
            },
            facts=_STABLE_FACTS,
        ),
        ChassisPhase.OFF: Row(
            requests={
                ChassisRequest.ON: Step(ChassisPhase.POWERING_ON, Effect.DRIVE_ON),
                ChassisRequest.OFF: Refusal("{name} is off already"),
                ChassisRequest.CYCLE: _OFF_FIRST,
                ChassisRequest.FORCE_OFF: Step(HERE, verdict=Verdict.COMPLETED, text="{name} was off already"),
                ChassisRequest.FORCE_CYCLE: _OFF_FIRST,
            },
            facts=_STABLE_FACTS,
        ),
        ChassisPhase.ON: Row(
            requests={
                ChassisRequest.ON: Refusal("{name} is on already: to power it off and on, use cycle"),
                ChassisRequest.OFF: Step(ChassisPhase.POWERING_OFF, Effect.FORCE_OFF),
                ChassisRequest.CYCLE: Step(ChassisPhase.CYCLING_DOWN, Effect.FORCE_OFF),
                ChassisRequest.FORCE_OFF: Step(ChassisPhase.POWERING_OFF, Effect.FORCE_OFF),
                ChassisRequest.FORCE_CYCLE: Step(ChassisPhase.CYCLING_DOWN, Effect.FORCE_OFF),
            },
            facts=_STABLE_FACTS,
        ),
        ChassisPhase.POWERING_ON: Row(
            requests=_ON_ITS_WAY,
            facts={**_waiting(_DARK), Fact.SEEN_ON: _COMES_UP},
            patience="power_on",
        ),
        ChassisPhase.POWERING_OFF: Row(
            requests={**_ON_ITS_WAY, ChassisRequest.FORCE_OFF: JOIN},
            facts={
                **_waiting(_HARD),
                Fact.SEEN_OFF: Step(ChassisPhase.OFF, verdict=Verdict.COMPLETED),
                Fact.MAINS_LOST: Step(ChassisPhase.OFF, verdict=Verdict.COMPLETED),
            },
            patience="cut",
        ),
        ChassisPhase.CYCLING_DOWN: Row(
            requests=_ON_ITS_WAY,
            facts={**_waiting(_HARD), Fact.SEEN_OFF: Step(ChassisPhase.CYCLING_UP, Effect.DRIVE_ON)},
            patience="cut",
        ),
        ChassisPhase.CYCLING_UP: Row(
            requests=_ON_ITS_WAY,
            facts={**_waiting(_DARK), Fact.SEEN_ON: _COMES_UP},
            patience="power_on",
        ),
    },
)
