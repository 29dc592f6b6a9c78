"""What a client's body asks of telemetry, in the words of the services; a change is merged with what is there."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from protobuf.wkt import Duration

from ubmc.protocols.redfish.messages import Message, RedfishError
from ubmc.protocols.redfish.telemetry import (
    ACTIONS,
    ACTIVATIONS,
    KINDS,
    THRESHOLDS,
    TRIGGER_ACTIONS,
    UPDATES,
    Sensors,
    properties,
    scale_of,
)
from ubmc.protocols.redfish.when import seconds
from ubmc.v1alpha1.report_pb import ReportDefinition, Trigger, TriggerActivation, TriggerThreshold

_SENSOR = re.compile(r"/redfish/v1/Chassis/[^/]+/Sensors/(?P<sensor>\{?[A-Za-z0-9_.*?-]+\}?)(?:#?/Reading)?")
_LEAVES = ("Reading", "Activation", "DwellTime")


def sensors_of(values: Mapping[str, Any], now: Mapping[str, Any] = MappingProxyType({})) -> list[str]:
    """The names and patterns of the sensors that a body means.

    Args:
        values: what was sent.
        now: for a change, what is shown now: what was not sent stays as it is there.

    Raises:
        RedfishError: one is not the reading of a sensor, or a wildcard is not defined, or is defined for nothing.
    """
    given = _wildcards(values.get("Wildcards") or ())
    wildcards = given if "Wildcards" in values else _wildcards(now.get("Wildcards") or ())
    found: list[str] = []
    used: set[str] = set()
    for path in _paths(values if _PATHS & values.keys() else now):
        match = _SENSOR.fullmatch(path)
        name = match["sensor"] if match is not None else ""
        if not name or (name.startswith("{") and name not in wildcards):
            raise _refused("PropertyValueFormatError", "MetricProperties", path)
        used.add(name)
        found += wildcards.get(name, [name])
    if given.keys() - used:
        raise RedfishError(400, Message("PropertyValueConflict", ("Wildcards", "MetricProperties"), ("/Wildcards",)))
    return list(dict.fromkeys(found))


def _paths(values: Mapping[str, Any]) -> list[str]:
    """The metric properties of a body, wherever it has them."""
    metrics = [each for each in values.get("Metrics") or () if isinstance(each, dict)]
    if any(not isinstance(each.get("MetricProperties", []), list) for each in metrics):
        raise _refused("PropertyValueTypeError", "Metrics", "MetricProperties")
    return [str(path) for each in (values, *metrics) for path in each.get("MetricProperties") or ()]


def _wildcards(sent: Iterable[Any]) -> dict[str, list[str]]:
    """What wildcards stand for, by their places in a path."""
    found: dict[str, list[str]] = {}
    for each in sent:
        if each is None:
            continue
        chosen = each.get("Values") if isinstance(each, dict) else None
        if not isinstance(chosen, list) or not all(isinstance(value, str) for value in chosen):
            raise _refused("PropertyValueTypeError", "Wildcards", "Values")
        found[f"{{{each.get('Name')}}}"] = chosen
    return found


def _refused(key: str, path: str, value: str) -> RedfishError:
    return RedfishError(400, Message(key, (value[:100], path), (f"/{path}",)))


def definition_of(values: Mapping[str, Any], sensors: Sensors, now: ReportDefinition | None = None) -> ReportDefinition:
    """The definition that a body describes; what it does not say is not set.

    Args:
        values: what was sent.
        sensors: those of the board.
        now: for a change, the definition as it is.

    Raises:
        RedfishError: something is no sensor or no duration.
    """
    wanted = ReportDefinition(name=now.name if now is not None else values.get("Id") or "")
    wanted.title = values.get("Name") or ""
    if "MetricReportDefinitionType" in values:
        wanted.kind = _by_name(KINDS, values["MetricReportDefinitionType"])
    if "MetricReportDefinitionEnabled" in values:
        wanted.enabled = values["MetricReportDefinitionEnabled"]
    if (text := values.get("Schedule/RecurrenceInterval")) is not None:
        wanted.interval = Duration.from_seconds(_seconds(text, "Schedule/RecurrenceInterval"))
    if "ReportActions" in values:
        unseen = [action for action in (now.actions if now is not None else ()) if action not in ACTIONS]
        wanted.actions = [*(_by_name(ACTIONS, action) for action in values["ReportActions"]), *unseen]
    if "ReportUpdates" in values:
        wanted.updates = _by_name(UPDATES, values["ReportUpdates"])
    if "AppendLimit" in values:
        wanted.append_limit = values["AppendLimit"]
    if "SuppressRepeatedMetricValue" in values:
        wanted.suppress_repeated = values["SuppressRepeatedMetricValue"]
    if _METRICS & values.keys():
        wanted.sensors = sensors_of(values, properties(now.sensors, sensors) if now is not None else {})
    return wanted


_PATHS = frozenset({"MetricProperties", "Metrics"})
_METRICS = _PATHS | {"Wildcards"}
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


def trigger_of(values: Mapping[str, Any], sensors: Sensors, now: Trigger | None = None) -> Trigger:
    """The trigger that a body describes; what it does not say is not set.

    Args:
        values: what was sent.
        sensors: those of the board.
        now: for a change, the trigger as it is; of a threshold that changes, what was not sent stays as it is there.

    Raises:
        RedfishError: something is no sensor or no duration, a threshold has no reading, or one would mean different
            things for the sensors.
    """
    wanted = Trigger(name=now.name if now is not None else values.get("Id") or "", title=values.get("Name") or "")
    before = now or Trigger()
    if "TriggerEnabled" in values:
        wanted.enabled = values["TriggerEnabled"]
    if "TriggerActions" in values:
        wanted.actions = list(dict.fromkeys(TRIGGER_ACTIONS[action] for action in values["TriggerActions"]))
    if _METRICS & values.keys():
        wanted.sensors = sensors_of(values, properties(before.sensors, sensors) if now is not None else {})
    scale = scale_of(wanted.sensors or before.sensors, sensors)
    judged = [name for name, value in values.items() if name.endswith("/Reading") and value is not None]
    if scale is None and (judged or _METRICS & values.keys()):
        raise RedfishError(400, _MIXED)
    for key, field in THRESHOLDS.items():
        setattr(wanted, field, _threshold_of(values, f"NumericThresholds/{key}", getattr(before, field), scale or 1.0))
    if "Links/MetricReportDefinitions" in values:
        paths = [str(each.get("@odata.id", "")) for each in values["Links/MetricReportDefinitions"]]
        wanted.report_definitions = [path.rstrip("/").rpartition("/")[2] for path in paths]
    return wanted


_MIXED = Message(
    "PropertyValueConflict",
    ("NumericThresholds", "MetricProperties"),
    ("/MetricProperties",),
    "these sensors count in units so different that one threshold cannot be meant for all of them: make a trigger for"
    " each kind",
)


def _threshold_of(
    values: Mapping[str, Any], path: str, before: TriggerThreshold | None, scale: float
) -> TriggerThreshold | None:
    """A threshold after a change; None for one that is not there, or is taken away by a reading that is null."""
    sent = {leaf: values[f"{path}/{leaf}"] for leaf in _LEAVES if f"{path}/{leaf}" in values}
    if not sent:
        return before
    if "Reading" in sent and sent["Reading"] is None:
        return None
    if before is None and "Reading" not in sent:
        raise RedfishError(400, Message("PropertyMissing", (f"{path}/Reading",), (f"/{path}/Reading",)))
    made = TriggerThreshold(activation=TriggerActivation.EITHER) if before is None else copy.deepcopy(before)
    if "Reading" in sent:
        made.reading = float(sent["Reading"]) / scale
    if "Activation" in sent:
        made.activation = _by_name(ACTIVATIONS, sent["Activation"])
    if "DwellTime" in sent:
        made.dwell = Duration.from_seconds(_seconds(sent["DwellTime"], f"{path}/DwellTime"))
    return made


def trigger_path(name: str) -> str:
    """Which field of a trigger a property changes."""
    if name.startswith("NumericThresholds/"):
        return THRESHOLDS[name.split("/")[1]]
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
