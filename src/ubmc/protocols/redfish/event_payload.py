"""Events as they are delivered, pushed or streamed: the Event resource of Redfish (DSP0266, "Eventing")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from ubmc.protocols.redfish.health import OK, SEVERITIES
from ubmc.protocols.redfish.origin import origin
from ubmc.protocols.redfish.registry import message_args, message_id
from ubmc.protocols.redfish.types import ROOT, odata_type
from ubmc.protocols.redfish.when import fine_stamp
from ubmc.v1alpha1.event_kind_pb import EventKind, Severity
from ubmc.v1alpha1.event_pb import Event

Kinds = Mapping[str, EventKind]
_LOG = f"{ROOT}/Managers/bmc.0/LogServices/EventLog/Entries"
TEST_EVENT = "EventLog.TestEvent"
_ALERTS = (Severity.WARNING, Severity.CRITICAL)
ALERT, OTHER = "Alert", "Other"
EVENT_TYPES = (ALERT, OTHER)
"""The types of events that there are."""
_SENSORS = {
    "Sensor.QualityChanged": "name",
    "Sensor.ThresholdCrossed": "name",
    "Sensor.ThresholdsChanged": "name",
    "Trigger.Fired": "sensor",
}
"""The events that are about a sensor, and the argument that names it: their component is the part that it is at. A
sensor with states has no resource, so a change of state is about that part."""
_ZONES = ("Thermal.SettingChanged", "Thermal.ZoneStateChanged")


def payload(events: Sequence[Event], kinds: Kinds, context: str = "", *, log: str = _LOG) -> dict[str, Any]:
    """One delivery.

    Args:
        events: at least one, in their order.
        kinds: the kinds of news by their message ids, from `registry.kinds`.
        context: the subscriber's own text.
        log: where the log entries of the events are.
    """
    return {
        "@odata.type": odata_type("Event"),
        "Id": str(events[-1].id),
        "Name": "Events",
        "Context": context,
        "Events": [record(event, kinds, str(number), log=log) for number, event in enumerate(events)],
        "Events@odata.count": len(events),
    }


def record(event: Event, kinds: Kinds, member: str = "0", *, log: str = _LOG) -> dict[str, Any]:
    """One event of a delivery."""
    kind = kinds.get(event.message_id)
    severity = SEVERITIES.get(event.severity, OK)
    made = {
        "MemberId": member,
        "EventId": event.ulid,
        "EventType": event_type(event),
        "EventTimestamp": fine_stamp(event.time),
        "Severity": severity,
        "MessageSeverity": severity,
        "Message": event.message,
        "MessageId": named(event),
        "MessageArgs": message_args(kind.text, event.arguments) if kind is not None else [],
        "OriginOfCondition": {"@odata.id": place(event)[1]},
        "LogEntry": {"@odata.id": f"{log}/{event.id}"},
    }
    return made | _asked_for(event) if event.message_id == TEST_EVENT else made


def event_type(event: Event) -> str:
    """What kind of event it is: an alert if somebody should look at it."""
    return ALERT if event.severity in _ALERTS else OTHER


def named(event: Event) -> str:
    """The message of an event, as Redfish names it; a test event has the one that was asked for."""
    asked = event.arguments.get("message_id", "") if event.message_id == TEST_EVENT else ""
    return asked or message_id(event.message_id)


def _asked_for(event: Event) -> dict[str, Any]:
    """What somebody wants a test event to say (DSP0268, `SubmitTestEvent`)."""
    told = event.arguments
    made: dict[str, Any] = {}
    for name, field in (("EventId", "event_id"), ("EventTimestamp", "event_time")):
        if told.get(field):
            made[name] = told[field]
    if told.get("message_id"):
        made["MessageArgs"] = _list(told.get("message_args", ""))
    if told.get("origin"):
        made["OriginOfCondition"] = {"@odata.id": told["origin"]}
    if (group := told.get("event_group_id", "")).isdecimal() and int(group):
        made["EventGroupId"] = int(group)
    return made


def _list(text: str) -> list[str]:
    """The texts of a list as the log has it; what was cut because it was too long is left out whole."""
    try:
        return [str(each) for each in orjson.loads(text)]
    except (orjson.JSONDecodeError, TypeError):
        return []


def place(event: Event) -> tuple[str, str]:
    """The type of the resource that an event is about, and where that is."""
    sensor = event.arguments.get(_SENSORS.get(event.message_id, ""), "")
    return origin(sensor or event.component, sensor=bool(sensor), zone=event.message_id in _ZONES)


def filterable(event: Event) -> dict[str, Any]:
    """What the filter of a stream can look at (DSP0266, "SSE $filter properties")."""
    kind, where = place(event)
    return {
        "EventFormatType": "Event",
        "MessageId": named(event),
        "OriginResource": where,
        "RegistryPrefix": named(event).partition(".")[0],
        "ResourceType": kind,
    }
