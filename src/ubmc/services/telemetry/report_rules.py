"""Definitions of reports and triggers: what can be asked for, which sensors are meant, when a trigger fires. Pure."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ubmc.kit.errors import Invalid, Violation
from ubmc.kit.pages import natural
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.report_pb import (
    ReportAction,
    ReportDefinition,
    ReportKind,
    ReportUpdates,
    ReportValue,
    Trigger,
    TriggerAction,
    TriggerActivation,
    TriggerThreshold,
)
from ubmc.v1alpha1.sensor_pb import Sensor, SensorQuality

DEFINITION_FIELDS = (
    "title",
    "enabled",
    "interval",
    "sensors",
    "actions",
    "updates",
    "append_limit",
    "suppress_repeated",
)
THRESHOLDS = ("upper_critical", "upper_warning", "lower_warning", "lower_critical")
TRIGGER_FIELDS = ("title", "enabled", "sensors", *THRESHOLDS, "actions", "report_definitions")
MAX_DEFINITIONS = 24
MAX_TRIGGERS = 24
MAX_VALUES = 1000
SEVERITIES = MappingProxyType(
    {
        "upper_critical": Severity.CRITICAL,
        "upper_warning": Severity.WARNING,
        "lower_warning": Severity.WARNING,
        "lower_critical": Severity.CRITICAL,
    }
)


def definition(wanted: ReportDefinition) -> ReportDefinition:
    """A definition with what was left out. Raises `Invalid` for what makes no sense."""
    made = copy.deepcopy(wanted)
    made.enabled = wanted.enabled or not wanted.has_field("enabled")
    if made.kind is ReportKind.UNSPECIFIED:
        raise _wrong("report_definition.kind", "say when reports are made: periodic, on change or on request")
    if made.kind is ReportKind.PERIODIC and made.interval is None:
        raise _wrong("report_definition.interval", "a periodic report needs one, from 1 s to 1 day")
    if not made.sensors:
        raise _wrong("report_definition.sensors", "name sensors, or * for all of them")
    made.actions = list(made.actions) or [ReportAction.LOG]
    made.updates = made.updates or ReportUpdates.OVERWRITE
    made.append_limit = made.append_limit or MAX_VALUES
    made.fault = ""
    return made


def trigger(wanted: Trigger, known: Iterable[str]) -> Trigger:
    """A trigger with what was left out; `known` are the names of the definitions. Raises `Invalid`."""
    made = copy.deepcopy(wanted)
    made.enabled = wanted.enabled or not wanted.has_field("enabled")
    if not made.sensors:
        raise _wrong("trigger.sensors", "name sensors, or * for all of them")
    if not any(getattr(made, each) is not None for each in THRESHOLDS):
        raise _wrong("trigger.upper_critical", f"at least one of {', '.join(THRESHOLDS)} is needed")
    if strangers := sorted(set(made.report_definitions) - set(known)):
        raise _wrong("trigger.report_definitions", f"there is no report definition {strangers[0]}")
    if TriggerAction.REPORT in made.actions and not made.report_definitions:
        raise _wrong("trigger.report_definitions", "say which reports are to be made")
    made.actions = list(made.actions) or [TriggerAction.EVENT]
    return made


def check_name(asked: str) -> None:
    """A name that is part of a path must not mean another one. Raises `Invalid`."""
    if asked and not asked[0].isalnum():
        raise _wrong("name", "begin it with a letter or a digit")


def matching(patterns: Iterable[str], names: Iterable[str]) -> list[str]:
    """The sensors that are meant, each once, in the order in which people count."""
    wanted = tuple(patterns)
    found = [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted)]
    return sorted(found, key=natural)


def value_of(sensor: Sensor) -> float | None:
    """The value of a sensor that can be believed; None if there is none."""
    good = sensor.quality is SensorQuality.GOOD and sensor.has_field("value")
    return sensor.value if good else None


def reading(sensor: Sensor) -> ReportValue:
    """A sensor as a report has it."""
    made = ReportValue(sensor=sensor.name, time=sensor.reading_time, unit=sensor.unit, state=sensor.state)
    value = value_of(sensor)
    if value is not None:
        made.value = value
    return made


def updated(of: ReportDefinition, before: Sequence[ReportValue], new: Sequence[ReportValue]) -> list[ReportValue]:
    """The values of a report after these came."""
    limit = min(of.append_limit or MAX_VALUES, MAX_VALUES)
    match of.updates:
        case ReportUpdates.APPEND_WRAPS:
            return [*before, *new][-limit:]
        case ReportUpdates.APPEND_STOPS:
            return [*before, *new][:limit]
        case _:
            return list(new)[:limit]


def says(value: ReportValue) -> tuple[float | None, str]:
    """What a value says, whenever it was read."""
    return (value.value if value.has_field("value") else None, value.state)


@dataclass(slots=True)
class Watch:
    """One way in which one sensor may pass one value."""

    upwards: bool
    limit: float
    dwell_seconds: float
    armed: bool = False
    """It was seen on the other side since it fired last: a reading that is past the value from the first moment on has
    not passed it."""
    since: float | None = None
    """When it passed; it fires when it has stayed there."""

    def see(self, value: float | None, now: float) -> bool:
        """Whether it fires with this reading; None is none."""
        if value is None:
            self.since = None
            return False
        past = value >= self.limit if self.upwards else value <= self.limit
        if not past:
            self.armed, self.since = True, None
            return False
        if not self.armed:
            return False
        self.since = now if self.since is None else self.since
        return self.look(now)

    def look(self, now: float) -> bool:
        """Whether it fires because it has stayed past the value for long enough."""
        if self.since is None or now < self.since + self.dwell_seconds:
            return False
        self.armed, self.since = False, None
        return True

    @property
    def due(self) -> float | None:
        """When to look again, though no reading comes; None if there is no need."""
        return None if self.since is None else self.since + self.dwell_seconds


def watches(threshold: TriggerThreshold) -> list[Watch]:
    """The ways in which a sensor may pass this threshold."""
    dwell = threshold.dwell.to_seconds() if threshold.dwell is not None else 0.0
    ways = {TriggerActivation.INCREASING: (True,), TriggerActivation.DECREASING: (False,)}
    return [Watch(upwards, threshold.reading, dwell) for upwards in ways.get(threshold.activation, (True, False))]


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", violations=[Violation(field, "report", message)])
