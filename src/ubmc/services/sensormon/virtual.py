"""Sensors that are made of others. Pure.

Their quality is the worst of their sources. A source that is unavailable (its host is off, its unit not plugged) is
left out, unless all are, or it is a difference, to which nothing can be missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from ubmc.kit.errors import Invalid
from ubmc.kit.readings import Quality, Reading
from ubmc.services.sensormon.plan import Function, SensorPlan, Virtual

_WORST_FIRST = (Quality.FAILED, Quality.IMPLAUSIBLE, Quality.STALE)


def combine(virtual: Virtual, readings: Sequence[Reading | None]) -> tuple[Reading, str] | None:
    """The reading of a virtual sensor and why it is not good; None while a source has not been read yet.

    Its time is that of the oldest reading in it.

    Args:
        virtual: how it is made.
        readings: those of its sources, in order.
    """
    known = [reading for reading in readings if reading is not None]
    if len(known) < len(readings):
        return None
    for quality in _WORST_FIRST:
        for name, reading in zip(virtual.sources, known, strict=True):
            if reading.quality is quality:
                return Reading(math.nan, quality, reading.at), f"{name} is {quality.value}"
    good = [reading for reading in known if reading.quality is Quality.GOOD]
    if not good or (virtual.function is Function.DIFFERENCE and len(good) < len(known)):
        missing = next(
            name for name, reading in zip(virtual.sources, known, strict=True) if reading.quality is Quality.UNAVAILABLE
        )
        at = min(reading.at for reading in known)
        return Reading(math.nan, Quality.UNAVAILABLE, at), f"{missing} is unavailable"
    value = _value(virtual.function, [reading.value for reading in good])
    return Reading(value, Quality.GOOD, min(reading.at for reading in good)), ""


def _value(function: Function, values: Sequence[float]) -> float:
    if function is Function.MAXIMUM:
        return max(values)
    if function is Function.MINIMUM:
        return min(values)
    if function is Function.SUM:
        return math.fsum(values)
    if function is Function.DIFFERENCE:
        return values[0] - math.fsum(values[1:])
    return math.fsum(values) / len(values)


def ordered(plans: Iterable[SensorPlan]) -> list[SensorPlan]:
    """The virtual sensors, each behind those it is made of.

    Raises:
        Invalid: a source does not exist, or they are made of each other.
    """
    every = {plan.name: plan for plan in plans}
    done: dict[str, SensorPlan] = {}

    def visit(plan: SensorPlan, path: tuple[str, ...]) -> None:
        if plan.virtual is None or plan.name in done:
            return
        if plan.name in path:
            raise Invalid(f"these sensors are made of each other: {' of '.join((*path, plan.name))}")
        if not plan.virtual.sources:
            raise Invalid(f"{plan.name} is made of nothing; name its sources")
        for source in plan.virtual.sources:
            if source not in every:
                raise Invalid(f"{plan.name} is made of {source}, which does not exist")
            visit(every[source], (*path, plan.name))
        done[plan.name] = plan

    for plan in every.values():
        visit(plan, ())
    return list(done.values())


def users(virtuals: Sequence[SensorPlan]) -> Mapping[str, tuple[str, ...]]:
    """Which virtual sensors are made of each sensor, directly or not; in the order of `virtuals` (see `ordered`)."""
    found: dict[str, list[str]] = {}
    roots: dict[str, set[str]] = {}
    for plan in virtuals:
        sources = plan.virtual.sources if plan.virtual is not None else ()
        roots[plan.name] = set(sources).union(*(roots.get(source, set()) for source in sources))
        for source in roots[plan.name]:
            found.setdefault(source, []).append(plan.name)
    return {source: tuple(names) for source, names in found.items()}
