"""Profiles: how a zone weighs noise against temperature. No profile brings a set-point near to a limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from ubmc.services.thermalmgr.plan import ControllerPlan, MarginPlan, PidPlan, SensorLimits, StepwisePlan

NEAREST = 2.0
"""No set-point comes nearer to a warning limit, in degrees."""


class Name(Enum):
    """The profiles there are."""

    QUIET = "quiet"
    BALANCED = "balanced"
    AGGRESSIVE = "aggressive"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile."""

    name: Name
    offset: float = 0.0
    """Added to all set-points, in degrees."""
    minimum_percent: float = 0.0
    """The controllers give at least this; below the minimum of the zone it has no effect."""


PRESETS = MappingProxyType(
    {
        Name.QUIET: Profile(Name.QUIET, 4.0),
        Name.BALANCED: Profile(Name.BALANCED),
        Name.AGGRESSIVE: Profile(Name.AGGRESSIVE, -6.0),
    }
)


def set_point(plan: PidPlan | MarginPlan, profile: Profile, limits: Mapping[str, SensorLimits]) -> float:
    """The set-point of a controller, in degrees; that of a margin is the negative distance."""
    if isinstance(plan, MarginPlan):
        pairs = ((limit.critical, limit.warning) for limit in _limits(plan, limits))
        highest = [warning - critical - NEAREST for critical, warning in pairs if critical is not None and warning]
        return min([-plan.margin + profile.offset, -NEAREST, *highest])
    return min([plan.set_point + profile.offset, *_highest(plan, limits)])


def shift(plan: StepwisePlan, profile: Profile, limits: Mapping[str, SensorLimits]) -> float:
    """By how many degrees the steps of a table move; never so that the last one is near to a warning limit."""
    last = plan.steps[-1][0]
    rooms = [max(highest - last, 0.0) for highest in _highest(plan, limits)]
    return min([profile.offset, *rooms])


def _highest(plan: ControllerPlan, limits: Mapping[str, SensorLimits]) -> Iterable[float]:
    """As near as it may come to the lowest upper limit of each of its sensors."""
    for each in _limits(plan, limits):
        given = [limit for limit in (each.warning, each.critical, each.fatal) if limit is not None]
        if given:
            yield min(given) - NEAREST


def _limits(plan: ControllerPlan, limits: Mapping[str, SensorLimits]) -> Iterable[SensorLimits]:
    return (limits[name] for name in plan.sensors if name in limits)
