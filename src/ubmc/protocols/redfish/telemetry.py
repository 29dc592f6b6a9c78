"""Telemetry: definitions of metric reports, the reports, and triggers, over the readings of sensors.

A metric property is the path of a sensor with `#/Reading`; patterns of sensors are wildcards.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ubmc.protocols.redfish.resource import MANAGER, Body, Resource, known, link, links
from ubmc.protocols.redfish.sensors import tidy
from ubmc.protocols.redfish.shape import Prop, Removable, Shape, leaves
from ubmc.protocols.redfish.types import ROOT
from ubmc.protocols.redfish.when import duration, fine_stamp
from ubmc.v1alpha1.report_pb import (
    Report,
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

SERVICE = f"{ROOT}/TelemetryService"
DEFINITIONS = f"{SERVICE}/MetricReportDefinitions"
REPORTS = f"{SERVICE}/MetricReports"
TRIGGERS = f"{SERVICE}/Triggers"


@dataclass(frozen=True, slots=True)
class Sensors:
    """What reports and triggers know of the sensors of the board."""

    names: Sequence[str]
    """Of those that Redfish shows."""
    place: Callable[[str], str]
    """The path of a sensor by its name; empty for one that Redfish does not show."""
    scale: Callable[[str], float]
    """What a reading of ours is multiplied by to be in the unit that Redfish has for this sensor."""

    def meant(self, patterns: Iterable[str]) -> list[str]:
        """The sensors that names and patterns stand for, each once."""
        wanted = set(patterns)
        loose = [pattern for pattern in wanted if "*" in pattern or "?" in pattern]
        return [
            name
            for name in self.names
            if name in wanted or any(fnmatch.fnmatchcase(name, pattern) for pattern in loose)
        ]


_WILDCARD = "Sensor"
KINDS = {ReportKind.PERIODIC: "Periodic", ReportKind.ON_CHANGE: "OnChange", ReportKind.ON_REQUEST: "OnRequest"}
UPDATES = {
    ReportUpdates.OVERWRITE: "Overwrite",
    ReportUpdates.APPEND_WRAPS: "AppendWrapsWhenFull",
    ReportUpdates.APPEND_STOPS: "AppendStopsWhenFull",
}
ACTIONS = {ReportAction.LOG: "LogToMetricReportsCollection"}
"""`RedfishEvent` would push the report itself, as an event of the format MetricReport, which is not offered here. That
one is ready can be told, which is asked for by u-bmc's own API."""
TRIGGER_ACTIONS = {
    "RedfishEvent": TriggerAction.EVENT,
    "LogToLogService": TriggerAction.EVENT,
    "RedfishMetricReport": TriggerAction.REPORT,
}
ACTIVATIONS = {
    TriggerActivation.INCREASING: "Increasing",
    TriggerActivation.DECREASING: "Decreasing",
    TriggerActivation.EITHER: "Either",
}
THRESHOLDS = {
    "UpperCritical": "upper_critical",
    "UpperWarning": "upper_warning",
    "LowerWarning": "lower_warning",
    "LowerCritical": "lower_critical",
}
_MOST_VALUES = 1000


def service() -> Body:
    """The service."""
    return {
        "Id": "TelemetryService",
        "Name": "Telemetry Service",
        "Status": {"State": "Enabled", "Health": "OK"},
        "ServiceEnabled": True,
        "MinCollectionInterval": "PT1S",
        "SupportedCollectionFunctions": [],
        "MetricReportDefinitions": link(DEFINITIONS),
        "MetricReports": link(REPORTS),
        "Triggers": link(TRIGGERS),
    }


def definition(of: ReportDefinition, sensors: Sensors) -> Body:
    """What goes into a report, and when it is made."""
    enabled = of.enabled or not of.has_field("enabled")
    actions = of.actions or [ReportAction.LOG]
    return known(
        {
            "Id": of.name,
            "Name": of.title or of.name,
            "MetricReportDefinitionType": KINDS.get(of.kind, "OnRequest"),
            "MetricReportDefinitionEnabled": enabled,
            "Schedule": {"RecurrenceInterval": duration(of.interval)} if of.interval is not None else None,
            "ReportActions": [ACTIONS[action] for action in actions if action in ACTIONS],
            "ReportUpdates": UPDATES.get(of.updates, "Overwrite"),
            "AppendLimit": of.append_limit or _MOST_VALUES,
            "SuppressRepeatedMetricValue": of.suppress_repeated,
            "Status": _status(enabled=enabled, fault=of.fault),
            **properties(of.sensors, sensors),
            "MetricReport": link(f"{REPORTS}/{of.name}") if enabled and ReportAction.LOG in actions else None,
        }
    )


def _status(*, enabled: bool, fault: str = "") -> Body:
    found: Body = {"State": "Enabled" if enabled else "Disabled", "Health": "Warning" if fault else "OK"}
    if fault:
        found["Conditions"] = [{"Message": fault, "Severity": "Warning", "MessageId": "Ubmc.1.0.ReportSettingsChanged"}]
    return found


def properties(wanted: Iterable[str], sensors: Sensors) -> Body:
    """Names of sensors and patterns of them as paths; a pattern for all of them is a wildcard."""
    properties: list[str] = []
    everything = False
    for pattern in wanted:
        if pattern == "*":
            everything = True
            continue
        names = sensors.meant([pattern]) if "*" in pattern or "?" in pattern else [pattern]
        properties += [f"{sensors.place(name)}#/Reading" for name in names]
    found: Body = {}
    if everything:
        any_one = sensors.place(f"{{{_WILDCARD}}}")
        properties.append(f"{any_one}#/Reading")
        found["Wildcards"] = [{"Name": _WILDCARD, "Values": ["*"]}]
    return {**found, "MetricProperties": list(dict.fromkeys(properties))}


def report(of: Report, sensors: Sensors) -> Body:
    """The latest report of a definition; its values are in the units of the sensors as Redfish shows them."""
    return known(
        {
            "Id": of.name,
            "Name": f"Metric Report {of.name}",
            "Timestamp": fine_stamp(of.time),
            "MetricValues": [_value(value, sensors) for value in of.values],
            "MetricReportDefinition": link(f"{DEFINITIONS}/{of.name}"),
        }
    )


def _value(of: ReportValue, sensors: Sensors) -> Body:
    reading = f"{tidy(of.value * sensors.scale(of.sensor)):.10g}" if of.has_field("value") else None
    text = of.state or reading
    place = sensors.place(of.sensor)
    found: Body = {"MetricId": of.sensor, "MetricValue": text, "Timestamp": fine_stamp(of.time)}
    return found | ({"MetricProperty": f"{place}#/Reading"} if place else {})


def trigger(of: Trigger, sensors: Sensors) -> Body:
    """What happens when a reading passes a value, which is in the unit of the sensors as Redfish shows them."""
    enabled = of.enabled or not of.has_field("enabled")
    actions = []
    if TriggerAction.EVENT in of.actions:
        actions += ["LogToLogService", "RedfishEvent"]
    if TriggerAction.REPORT in of.actions:
        actions.append("RedfishMetricReport")
    scale = scale_of(of.sensors, sensors) or 1.0
    thresholds = {name: getattr(of, field) for name, field in THRESHOLDS.items()}
    return {
        "Id": of.name,
        "Name": of.title or of.name,
        "MetricType": "Numeric",
        "TriggerEnabled": enabled,
        "Status": _status(enabled=enabled),
        "TriggerActions": actions,
        "NumericThresholds": {name: _threshold(each, scale) for name, each in thresholds.items() if each is not None},
        **properties(of.sensors, sensors),
        "Links": {"MetricReportDefinitions": links([f"{DEFINITIONS}/{name}" for name in of.report_definitions])},
    }


def _threshold(of: TriggerThreshold, scale: float) -> Body:
    return {
        "Reading": tidy(of.reading * scale),
        "Activation": ACTIVATIONS.get(of.activation, "Either"),
        "DwellTime": duration(of.dwell) or "PT0S",
    }


def scale_of(wanted: Iterable[str], sensors: Sensors) -> float | None:
    """What readings of ours are multiplied by for Redfish; None if that differs among the sensors that are meant."""
    found = {sensors.scale(name) for name in sensors.meant(wanted)} or {1.0}
    return found.pop() if len(found) == 1 else None


_WILDCARDS = Prop(
    "array", longest=16, items={"Name": Prop(required=True, longest=64), "Values": Prop("strings", required=True)}
)
_DEFINITION: dict[str, Prop | Shape] = {
    "Name": Prop(longest=128),
    "MetricReportDefinitionEnabled": Prop("boolean"),
    "Schedule": {"RecurrenceInterval": Prop(longest=32)},
    "ReportActions": Prop("strings", values=tuple(ACTIONS.values()), longest=1),
    "ReportUpdates": Prop(values=tuple(UPDATES.values())),
    "AppendLimit": Prop("integer", minimum=1, maximum=_MOST_VALUES),
    "SuppressRepeatedMetricValue": Prop("boolean"),
    "MetricProperties": Prop("strings", longest=300),
    "Metrics": Prop("array", longest=300, items={"MetricProperties": Prop("strings", longest=300)}),
    "Wildcards": _WILDCARDS,
}
_THRESHOLD = Removable(
    {
        "Reading": Prop("number", nullable=True),
        "Activation": Prop(values=tuple(ACTIVATIONS.values())),
        "DwellTime": Prop(longest=32),
    }
)
_TRIGGER: dict[str, Prop | Shape] = {
    "Name": Prop(longest=128),
    "TriggerEnabled": Prop("boolean"),
    "TriggerActions": Prop("strings", values=tuple(TRIGGER_ACTIONS), longest=3),
    "NumericThresholds": dict.fromkeys(THRESHOLDS, _THRESHOLD),
    "MetricProperties": Prop("strings", longest=300),
    "Wildcards": _WILDCARDS,
    "Links": {"MetricReportDefinitions": Prop("links", longest=16)},
}
DEFINITION_PROPERTIES = tuple(leaves(_DEFINITION))
TRIGGER_PROPERTIES = tuple(leaves(_TRIGGER))
_ID = Prop(longest=64, pattern="([A-Za-z0-9][A-Za-z0-9_.-]*)?")
CREATE_DEFINITION: Shape = {
    **_DEFINITION,
    "Id": _ID,
    "MetricReportDefinitionType": Prop(required=True, values=tuple(KINDS.values())),
}
CREATE_TRIGGER: Shape = {**_TRIGGER, "Id": _ID, "MetricType": Prop(values=("Numeric",))}

RESOURCES = (
    Resource(SERVICE, "TelemetryService", lambda _view, _params: service(), about="Metric reports and triggers."),
    Resource(
        DEFINITIONS, "MetricReportDefinitionCollection", write=MANAGER, create=CREATE_DEFINITION, about="Definitions."
    ),
    Resource(
        f"{DEFINITIONS}/{{report}}",
        "MetricReportDefinition",
        write=MANAGER,
        patch=_DEFINITION,
        delete=True,
        about="What goes into a report, and when it is made.",
    ),
    Resource(REPORTS, "MetricReportCollection", about="The latest reports."),
    Resource(f"{REPORTS}/{{report}}", "MetricReport", about="The latest report of one definition."),
    Resource(TRIGGERS, "TriggersCollection", write=MANAGER, create=CREATE_TRIGGER, about="Triggers."),
    Resource(
        f"{TRIGGERS}/{{trigger}}",
        "Triggers",
        write=MANAGER,
        patch=_TRIGGER,
        delete=True,
        about="What happens when a reading passes a value.",
    ),
)
