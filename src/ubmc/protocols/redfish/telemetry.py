"""Telemetry: definitions of metric reports, the reports, and triggers, over the readings of sensors.

A metric property is the path of a sensor with `#/Reading`; patterns of sensors are wildcards.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from protobuf.wkt import Duration

from ubmc.protocols.redfish.messages import Message, RedfishError
from ubmc.protocols.redfish.resource import MANAGER, Body, Resource, known, link, links
from ubmc.protocols.redfish.shape import Prop, Shape, leaves
from ubmc.protocols.redfish.types import ROOT
from ubmc.protocols.redfish.when import duration, fine_stamp, seconds
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

Place = Callable[[str], str]
"""The path of a sensor by its name."""

_WILDCARD = "Sensor"
_SENSOR = re.compile(r"/redfish/v1/Chassis/[^/]+/Sensors/(?P<sensor>\{?[A-Za-z0-9_.*?-]+\}?)(?:#?/Reading)?")
_KINDS = {ReportKind.PERIODIC: "Periodic", ReportKind.ON_CHANGE: "OnChange", ReportKind.ON_REQUEST: "OnRequest"}
_UPDATES = {
    ReportUpdates.OVERWRITE: "Overwrite",
    ReportUpdates.APPEND_WRAPS: "AppendWrapsWhenFull",
    ReportUpdates.APPEND_STOPS: "AppendStopsWhenFull",
}
_ACTIONS = {ReportAction.LOG: "LogToMetricReportsCollection", ReportAction.EVENT: "RedfishEvent"}
_TRIGGER_ACTIONS = {
    "RedfishEvent": TriggerAction.EVENT,
    "LogToLogService": TriggerAction.EVENT,
    "RedfishMetricReport": TriggerAction.REPORT,
}
_ACTIVATIONS = {
    TriggerActivation.INCREASING: "Increasing",
    TriggerActivation.DECREASING: "Decreasing",
    TriggerActivation.EITHER: "Either",
}
_THRESHOLDS = {
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


def definition(of: ReportDefinition, sensors: Sequence[str], place: Place) -> Body:
    """What goes into a report, and when it is made.

    Args:
        of: the definition.
        sensors: the names of all sensors.
        place: where a sensor is.
    """
    enabled = of.enabled or not of.has_field("enabled")
    actions = of.actions or [ReportAction.LOG]
    return known(
        {
            "Id": of.name,
            "Name": of.title or of.name,
            "MetricReportDefinitionType": _KINDS.get(of.kind, "OnRequest"),
            "MetricReportDefinitionEnabled": enabled,
            "Schedule": {"RecurrenceInterval": duration(of.interval)} if of.interval is not None else None,
            "ReportActions": [_ACTIONS[action] for action in actions if action in _ACTIONS],
            "ReportUpdates": _UPDATES.get(of.updates, "Overwrite"),
            "AppendLimit": of.append_limit or _MOST_VALUES,
            "SuppressRepeatedMetricValue": of.suppress_repeated,
            "Status": _status(enabled=enabled, fault=of.fault),
            **_properties(of.sensors, sensors, place),
            "MetricReport": link(f"{REPORTS}/{of.name}") if enabled and ReportAction.LOG in actions else None,
        }
    )


def _status(*, enabled: bool, fault: str = "") -> Body:
    found: Body = {"State": "Enabled" if enabled else "Disabled", "Health": "Warning" if fault else "OK"}
    if fault:
        found["Conditions"] = [{"Message": fault, "Severity": "Warning", "MessageId": "Ubmc.1.0.ReportSettingsChanged"}]
    return found


def _properties(wanted: Iterable[str], sensors: Sequence[str], place: Place) -> Body:
    """Names of sensors and patterns of them as paths; a pattern for all of them is a wildcard."""
    properties: list[str] = []
    everything = False
    for pattern in wanted:
        if pattern == "*":
            everything = True
            continue
        names = fnmatch.filter(sensors, pattern) if "*" in pattern or "?" in pattern else [pattern]
        properties += [f"{place(name)}#/Reading" for name in names]
    found: Body = {}
    if everything:
        any_one = place(f"{{{_WILDCARD}}}")
        properties.append(f"{any_one}#/Reading")
        found["Wildcards"] = [{"Name": _WILDCARD, "Values": ["*"]}]
    return {**found, "MetricProperties": list(dict.fromkeys(properties))}


def report(of: Report, place: Place) -> Body:
    """The latest report of a definition."""
    return known(
        {
            "Id": of.name,
            "Name": f"Metric Report {of.name}",
            "Timestamp": fine_stamp(of.time),
            "MetricValues": [_value(value, place) for value in of.values],
            "MetricReportDefinition": link(f"{DEFINITIONS}/{of.name}"),
        }
    )


def _value(of: ReportValue, place: Place) -> Body:
    text = of.state or (f"{of.value:.10g}" if of.has_field("value") else None)
    return {
        "MetricId": of.sensor,
        "MetricProperty": f"{place(of.sensor)}#/Reading",
        "MetricValue": text,
        "Timestamp": fine_stamp(of.time),
    }


def trigger(of: Trigger, sensors: Sequence[str], place: Place) -> Body:
    """What happens when a reading passes a value."""
    enabled = of.enabled or not of.has_field("enabled")
    thresholds = {name: getattr(of, field) for name, field in _THRESHOLDS.items()}
    actions = []
    if TriggerAction.EVENT in of.actions:
        actions += ["LogToLogService", "RedfishEvent"]
    if TriggerAction.REPORT in of.actions:
        actions.append("RedfishMetricReport")
    return {
        "Id": of.name,
        "Name": of.title or of.name,
        "MetricType": "Numeric",
        "TriggerEnabled": enabled,
        "Status": _status(enabled=enabled),
        "TriggerActions": actions,
        "NumericThresholds": {name: _threshold(value) for name, value in thresholds.items() if value is not None},
        **_properties(of.sensors, sensors, place),
        "Links": {"MetricReportDefinitions": links([f"{DEFINITIONS}/{name}" for name in of.report_definitions])},
    }


def _threshold(of: TriggerThreshold) -> Body:
    return {
        "Reading": of.reading,
        "Activation": _ACTIVATIONS.get(of.activation, "Either"),
        "DwellTime": duration(of.dwell) or "PT0S",
    }


# --- what is sent -------------------------------------------------------------------------------------------------


def sensors_of(values: Mapping[str, Any]) -> list[str]:
    """The names and patterns of the sensors that a body means.

    Raises:
        RedfishError: one is not the reading of a sensor.
    """
    wildcards = {}
    for each in values.get("Wildcards") or ():
        chosen = each.get("Values") if isinstance(each, dict) else None
        if isinstance(each, dict) and isinstance(chosen, list):
            wildcards[f"{{{each.get('Name')}}}"] = [str(value) for value in chosen]
    paths = [str(path) for path in values.get("MetricProperties") or ()]
    for metric in values.get("Metrics") or ():
        if isinstance(metric, dict):
            paths += [str(path) for path in metric.get("MetricProperties") or ()]
    found: list[str] = []
    for path in paths:
        match = _SENSOR.fullmatch(path)
        if match is None:
            raise RedfishError(
                400, Message("PropertyValueFormatError", (path, "MetricProperties"), ("/MetricProperties",))
            )
        name = match["sensor"]
        found += wildcards.get(name, ["*"]) if name.startswith("{") else [name]
    return list(dict.fromkeys(found))


def definition_of(values: Mapping[str, Any], name: str = "") -> ReportDefinition:
    """The definition that a body describes; what it does not say is not set."""
    wanted = ReportDefinition(name=name)
    if "Id" in values or "Name" in values:
        wanted.title = values.get("Name") or ""
        wanted.name = name or values.get("Id") or ""
    if "MetricReportDefinitionType" in values:
        wanted.kind = _by_name(_KINDS, values["MetricReportDefinitionType"])
    if "MetricReportDefinitionEnabled" in values:
        wanted.enabled = values["MetricReportDefinitionEnabled"]
    if (text := values.get("Schedule/RecurrenceInterval")) is not None:
        wanted.interval = Duration.from_seconds(_seconds(text, "Schedule/RecurrenceInterval"))
    if "ReportActions" in values:
        wanted.actions = [_by_name(_ACTIONS, action) for action in dict.fromkeys(values["ReportActions"])]
    if "ReportUpdates" in values:
        wanted.updates = _by_name(_UPDATES, values["ReportUpdates"])
    if "AppendLimit" in values:
        wanted.append_limit = values["AppendLimit"]
    if "SuppressRepeatedMetricValue" in values:
        wanted.suppress_repeated = values["SuppressRepeatedMetricValue"]
    if _METRICS & values.keys():
        wanted.sensors = sensors_of(values)
    return wanted


_METRICS = frozenset({"MetricProperties", "Metrics", "Wildcards"})
DEFINITION_PATHS = {
    "Name": "title",
    "MetricReportDefinitionEnabled": "enabled",
    "Schedule/RecurrenceInterval": "interval",
    "ReportActions": "actions",
    "ReportUpdates": "updates",
    "AppendLimit": "append_limit",
    "SuppressRepeatedMetricValue": "suppress_repeated",
    "MetricProperties": "sensors",
    "Metrics": "sensors",
    "Wildcards": "sensors",
}
"""Which field of a definition a property changes."""


def trigger_of(values: Mapping[str, Any], name: str = "") -> Trigger:
    """The trigger that a body describes; what it does not say is not set."""
    wanted = Trigger(name=name or values.get("Id") or "", title=values.get("Name") or "")
    if "TriggerEnabled" in values:
        wanted.enabled = values["TriggerEnabled"]
    if "TriggerActions" in values:
        wanted.actions = list(dict.fromkeys(_TRIGGER_ACTIONS[action] for action in values["TriggerActions"]))
    if _METRICS & values.keys():
        wanted.sensors = sensors_of(values)
    for key, field in _THRESHOLDS.items():
        if (reading := values.get(f"NumericThresholds/{key}/Reading")) is not None:
            activation = values.get(f"NumericThresholds/{key}/Activation") or "Either"
            dwell = values.get(f"NumericThresholds/{key}/DwellTime") or "PT0S"
            setattr(
                wanted,
                field,
                TriggerThreshold(
                    reading=float(reading),
                    activation=_by_name(_ACTIVATIONS, activation),
                    dwell=Duration.from_seconds(_seconds(dwell, f"NumericThresholds/{key}/DwellTime")),
                ),
            )
    if "Links/MetricReportDefinitions" in values:
        paths = [str(each.get("@odata.id", "")) for each in values["Links/MetricReportDefinitions"]]
        wanted.report_definitions = [path.rstrip("/").rpartition("/")[2] for path in paths]
    return wanted


def trigger_path(name: str) -> str:
    """Which field of a trigger a property changes."""
    if name.startswith("NumericThresholds/"):
        return _THRESHOLDS[name.split("/")[1]]
    return {
        "Name": "title",
        "TriggerEnabled": "enabled",
        "TriggerActions": "actions",
        "Links/MetricReportDefinitions": "report_definitions",
    }.get(name, "sensors")


def _by_name(names: Mapping[Any, str], name: str) -> Any:
    return next(value for value, each in names.items() if each == name)


def _seconds(text: str, path: str) -> float:
    found = seconds(text)
    if found is None:
        raise RedfishError(400, Message("PropertyValueFormatError", (text, path), (f"/{path}",)))
    return found


_DEFINITION: dict[str, Prop | Shape] = {
    "Name": Prop(longest=128),
    "MetricReportDefinitionEnabled": Prop("boolean"),
    "Schedule": {"RecurrenceInterval": Prop(longest=32)},
    "ReportActions": Prop("strings", values=tuple(_ACTIONS.values()), longest=2),
    "ReportUpdates": Prop(values=tuple(_UPDATES.values())),
    "AppendLimit": Prop("integer", minimum=1, maximum=_MOST_VALUES),
    "SuppressRepeatedMetricValue": Prop("boolean"),
    "MetricProperties": Prop("strings", longest=300),
    "Metrics": Prop("array", longest=300),
    "Wildcards": Prop("array", longest=16),
}
_THRESHOLD: Shape = {
    "Reading": Prop("number"),
    "Activation": Prop(values=tuple(_ACTIVATIONS.values())),
    "DwellTime": Prop(longest=32),
}
_TRIGGER: dict[str, Prop | Shape] = {
    "Name": Prop(longest=128),
    "TriggerEnabled": Prop("boolean"),
    "TriggerActions": Prop("strings", values=tuple(_TRIGGER_ACTIONS), longest=3),
    "NumericThresholds": dict.fromkeys(_THRESHOLDS, _THRESHOLD),
    "MetricProperties": Prop("strings", longest=300),
    "Wildcards": Prop("array", longest=16),
    "Links": {"MetricReportDefinitions": Prop("links", longest=16)},
}
DEFINITION_PROPERTIES = tuple(leaves(_DEFINITION))
TRIGGER_PROPERTIES = tuple(leaves(_TRIGGER))
_ID = Prop(longest=64, pattern="[A-Za-z0-9_.-]*")
CREATE_DEFINITION: Shape = {
    **_DEFINITION,
    "Id": _ID,
    "MetricReportDefinitionType": Prop(required=True, values=tuple(_KINDS.values())),
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
