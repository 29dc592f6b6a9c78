"""Changing limits: which fields, whether they make sense together, and their form in messages and in the file. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from protobuf import Message
from protobuf.wkt import FieldMask

from ubmc.kit.errors import Invalid, Violation
from ubmc.services.sensormon.plan import Limits
from ubmc.v1alpha1.sensor_pb import SensorKind, SensorThresholds

LOW_TO_HIGH = ("lower_fatal", "lower_critical", "lower_warning", "upper_warning", "upper_critical", "upper_fatal")
FIELDS = (*LOW_TO_HIGH, "hysteresis", "debounce_seconds")
MAX_DEBOUNCE_SECONDS = 3600.0


def message(limits: Limits, kind: SensorKind) -> SensorThresholds:
    """Limits as they are told."""
    found = SensorThresholds(hysteresis=limits.margin(kind), debounce_seconds=limits.debounce_seconds)
    for name in LOW_TO_HIGH:
        limit: float | None = getattr(limits, name)
        if limit is not None:
            setattr(found, name, limit)
    return found


def changed(limits: Limits, wanted: SensorThresholds, mask: FieldMask | None, kind: SensorKind) -> Limits:
    """The limits after an update.

    Args:
        limits: those before.
        wanted: the new values.
        mask: which of them to take; without one, those that are set.
        kind: of the sensor.

    Raises:
        Invalid: the mask names something else, nothing is to be changed, or the limits contradict each other.
    """
    named = tuple(mask.paths) if mask is not None else ()
    unknown = [path for path in named if path not in FIELDS]
    if unknown:
        text = f"{', '.join(unknown)} cannot be changed; name some of {', '.join(FIELDS)}"
        raise Invalid(f"updateMask: {text}", violations=[Violation("updateMask", "known", text)])
    paths = named or tuple(path for path in FIELDS if _is_set(wanted, path))
    if not paths:
        text = f"set what is to change: some of {', '.join(FIELDS)}"
        raise Invalid(f"thresholds: {text}", violations=[Violation("thresholds", "required", text)])
    values: dict[str, Any] = {path: getattr(wanted, path) if _is_set(wanted, path) else None for path in paths}
    if values.get("debounce_seconds", 0.0) is None:
        values["debounce_seconds"] = 0.0
    after = replace(limits, **values)
    violations = list(wrongs(after, kind))
    if violations:
        raise Invalid("; ".join(f"{each.field}: {each.message}" for each in violations), violations=violations)
    return after


def _is_set(message: Message[Any], path: str) -> bool:
    return message.has_field(path)


def wrongs(limits: Limits, kind: SensorKind) -> Iterator[Violation]:
    """What is wrong with these limits."""
    values = {name: getattr(limits, name) for name in FIELDS}
    for name, value in values.items():
        if value is not None and not math.isfinite(value):
            yield _wrong(name, "finite", "must be a number")
            return
    for name in ("hysteresis", "debounce_seconds"):
        if values[name] is not None and values[name] < 0:
            yield _wrong(name, "gte", "must not be negative")
    if limits.debounce_seconds > MAX_DEBOUNCE_SECONDS:
        yield _wrong("debounce_seconds", "lte", f"must be at most {MAX_DEBOUNCE_SECONDS:g}")
    given = [(name, values[name]) for name in LOW_TO_HIGH if values[name] is not None]
    for (lower, low), (upper, high) in itertools.pairwise(given):
        if low >= high:
            yield _wrong(upper, "order", f"must be above {_json(lower)}, which is {low:g}")
    yield from _room(limits, given, kind)


def _room(limits: Limits, given: Sequence[tuple[str, float]], kind: SensorKind) -> Iterator[Violation]:
    """Between the sides there must be room to come back to normal."""
    highest = max((value for name, value in given if name.startswith("lower")), default=-math.inf)
    lowest = min((value for name, value in given if name.startswith("upper")), default=math.inf)
    margin = limits.margin(kind)
    if highest < lowest and margin >= (lowest - highest):
        yield _wrong(
            "hysteresis", "room", f"is {margin:g}: between {highest:g} and {lowest:g} nothing is left of normal"
        )


def _wrong(field: str, rule: str, text: str) -> Violation:
    return Violation(f"thresholds.{_json(field)}", rule, text)


def _json(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)


def to_stored(limits: Limits) -> dict[str, float]:
    """Limits as they are kept in the file; what is absent is not watched."""
    return {name: value for name, value in asdict(limits).items() if value is not None}


def from_stored(stored: object, kind: SensorKind) -> Limits | None:
    """Limits from the file; None if they are damaged or make no sense."""
    if not isinstance(stored, Mapping) or not set(stored) <= set(FIELDS):
        return None
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in stored.values()):
        return None
    limits = Limits(**{name: float(value) for name, value in stored.items()})
    return None if any(wrongs(limits, kind)) else limits
