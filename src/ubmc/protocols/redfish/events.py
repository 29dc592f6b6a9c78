"""Event subscriptions: by push, which eventlog owns, and by stream (SSE), which live as long as their connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ubmc.protocols.redfish.event_payload import EVENT_TYPES
from ubmc.protocols.redfish.messages import Message, RedfishError
from ubmc.protocols.redfish.registry import PREFIX
from ubmc.protocols.redfish.resource import MANAGER, Action, Body, Resource, known, link
from ubmc.protocols.redfish.shape import Prop, Shape
from ubmc.protocols.redfish.types import ROOT
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.subscription_pb import (
    Delivery,
    RetryPolicy,
    Subscription,
    SubscriptionFilter,
    SubscriptionProtocol,
    SubscriptionState,
)

SERVICE = f"{ROOT}/EventService"
SUBSCRIPTIONS = f"{SERVICE}/Subscriptions"
STREAM = f"{SERVICE}/SSE"

RESOURCE_TYPES = (
    "AccountService", "CertificateService", "Chassis", "ComputerSystem", "Control", "Drive", "EventService", "Fan",
    "Manager", "Memory", "PowerSupply", "Processor", "Sensor", "TelemetryService",
)  # fmt: skip
STREAM_FILTERS = {
    "EventFormatType": True,
    "MessageId": True,
    "MetricReportDefinition": False,
    "OriginResource": False,
    "RegistryPrefix": True,
    "ResourceType": True,
    "SubordinateResources": False,
}
"""What `$filter` of a stream can look at."""
_SEVERITIES = {Severity.OK: "OK", Severity.WARNING: "Warning", Severity.CRITICAL: "Critical"}
_BY_SEVERITY = {name: value for value, name in _SEVERITIES.items()}
_POLICIES = {
    RetryPolicy.TERMINATE_AFTER_RETRIES: "TerminateAfterRetries",
    RetryPolicy.SUSPEND_RETRIES: "SuspendRetries",
    RetryPolicy.RETRY_FOREVER: "RetryForever",
}
_BY_POLICY = {name: value for value, name in _POLICIES.items()}
_STATES = {
    SubscriptionState.ACTIVE: ("Enabled", "OK"),
    SubscriptionState.RETRYING: ("Enabled", "Warning"),
    SubscriptionState.SUSPENDED: ("StandbyOffline", "Warning"),
    SubscriptionState.DISABLED: ("Disabled", "OK"),
}
_ACTIONS = ("EventDestination.SuspendSubscription", "EventDestination.ResumeSubscription")


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A subscription by an open connection."""

    id: str
    user: str
    source: str

    @property
    def context(self) -> str:
        """What comes with its events."""
        return f"{self.user} at {self.source}"


def service(delivery: Delivery) -> Body:
    """The service."""
    interval = delivery.retry_interval
    return {
        "Id": "EventService",
        "Name": "Event Service",
        "Status": {"State": "Enabled" if delivery.enabled else "Disabled", "Health": "OK"},
        "ServiceEnabled": delivery.enabled,
        "DeliveryRetryAttempts": delivery.retry_attempts,
        "DeliveryRetryIntervalSeconds": int(interval.to_seconds()) if interval is not None else 0,
        "EventFormatTypes": ["Event"],
        "RegistryPrefixes": [PREFIX],
        "ResourceTypes": list(RESOURCE_TYPES),
        "Severities": list(_BY_SEVERITY),
        "ExcludeMessageId": True,
        "ExcludeRegistryPrefix": True,
        "IncludeOriginOfConditionSupported": False,
        "SubordinateResourcesSupported": False,
        "OriginResourcesSupported": False,
        "ServerSentEventUri": STREAM,
        "SSEFilterPropertiesSupported": dict(STREAM_FILTERS),
        "Subscriptions": link(SUBSCRIPTIONS),
        "Actions": {"#EventService.SubmitTestEvent": {"target": f"{SERVICE}/Actions/EventService.SubmitTestEvent"}},
    }


def _filter(wanted: SubscriptionFilter | None) -> Body:
    chosen = wanted or SubscriptionFilter()
    return ({"EventTypes": list(chosen.event_types)} if chosen.event_types else {}) | {
        "RegistryPrefixes": list(chosen.registry_prefixes),
        "ExcludeRegistryPrefixes": list(chosen.exclude_registry_prefixes),
        "MessageIds": list(chosen.message_ids),
        "ExcludeMessageIds": list(chosen.exclude_message_ids),
        "ResourceTypes": list(chosen.resource_types),
        "Severities": [_SEVERITIES[each] for each in chosen.severities if each in _SEVERITIES],
    }


def destination(of: Subscription) -> Body:
    """A subscription by push."""
    state, health = _STATES.get(of.state, ("Enabled", "OK"))
    own = f"{SUBSCRIPTIONS}/{of.id}"
    return known(
        {
            "Id": of.id,
            "Name": f"Event Subscription {of.id}",
            "Destination": of.destination,
            "SubscriptionType": "RedfishEvent",
            "Protocol": "Redfish",
            "EventFormatType": "Event",
            "DeliveryRetryPolicy": _POLICIES.get(of.retry_policy, "TerminateAfterRetries"),
            "VerifyCertificate": of.verify_certificate or not of.has_field("verify_certificate"),
            "Status": _status(state, health, of.failure_reason),
            **_filter(of.filter),
            "Actions": {f"#{name}": {"target": f"{own}/Actions/{name}"} for name in _ACTIONS},
        }
    ) | {"Context": of.context, "HttpHeaders": []}


def _status(state: str, health: str, reason: str) -> Body:
    found: Body = {"State": state, "Health": health}
    if reason:
        severity = "Warning" if health == "OK" else health
        condition = {"Message": reason, "Severity": severity, "MessageId": f"{PREFIX}.1.0.SubscriptionChanged"}
        found["Conditions"] = [condition]
    return found


def stream_destination(of: OpenStream) -> Body:
    """A subscription by stream."""
    return {
        "Id": of.id,
        "Name": f"Event Stream {of.id}",
        "Context": of.context,
        "SubscriptionType": "SSE",
        "Protocol": "Redfish",
        "EventFormatType": "Event",
        "Status": {"State": "Enabled", "Health": "OK"},
        **_filter(None),
    }


def subscription(values: Mapping[str, Any]) -> Subscription:
    """The subscription that a new member asks for.

    Args:
        values: what was sent, checked against `CREATE`.
    """
    return Subscription(
        destination=values["Destination"],
        context=values.get("Context") or "",
        protocol=SubscriptionProtocol.REDFISH,
        filter=wanted(values),
        http_headers=headers(values.get("HttpHeaders") or ()),
        retry_policy=_BY_POLICY.get(values.get("DeliveryRetryPolicy") or "", RetryPolicy.UNSPECIFIED),
        verify_certificate=values.get("VerifyCertificate"),
    )


def headers(sent: Sequence[Any]) -> dict[str, str]:
    """The headers that a body asks for: a list of objects, each with one or more."""
    found: dict[str, str] = {}
    for each in sent:
        found.update({str(name): str(value) for name, value in each.items()} if isinstance(each, dict) else {})
    return found


def retry_policy(name: str) -> RetryPolicy:
    """What to do when a destination does not take events."""
    return _BY_POLICY[name]


def wanted(values: Mapping[str, Any]) -> SubscriptionFilter:
    """Which events a body asks for.

    Raises:
        RedfishError: it asks for a type of events that there is none of.
    """
    types = list(dict.fromkeys(values.get("EventTypes") or ()))
    if strange := [name for name in types if name not in EVENT_TYPES]:
        text = f"no event of the type {strange[0]} is ever sent: ask for {' or '.join(EVENT_TYPES)}, or for no type"
        raise RedfishError(400, Message("PropertyValueNotInList", (strange[0], "EventTypes"), ("/EventTypes",), text))

    def names(key: str) -> list[str]:
        return list(values.get(key) or ())

    return SubscriptionFilter(
        severities=[_BY_SEVERITY[name] for name in names("Severities")],
        message_ids=names("MessageIds"),
        exclude_message_ids=names("ExcludeMessageIds"),
        registry_prefixes=names("RegistryPrefixes"),
        exclude_registry_prefixes=names("ExcludeRegistryPrefixes"),
        resource_types=names("ResourceTypes"),
        event_types=types,
    )


def severity(name: str | None) -> Severity:
    """The severity of a test event."""
    return _BY_SEVERITY.get(name or "", Severity.UNSPECIFIED)


_TEXTS = Prop("strings", longest=32, nullable=True)
_POLICY = Prop(values=tuple(_BY_POLICY))
CREATE: Shape = {
    "Destination": Prop(required=True, longest=1024, pattern="https?://.+"),
    "Protocol": Prop(required=True, values=("Redfish",)),
    "Context": Prop(longest=256, nullable=True),
    "SubscriptionType": Prop(values=("RedfishEvent",)),
    "EventFormatType": Prop(values=("Event",)),
    "EventTypes": Prop("strings", longest=16, nullable=True),
    "HttpHeaders": Prop("array", longest=16),
    "RegistryPrefixes": _TEXTS,
    "ExcludeRegistryPrefixes": _TEXTS,
    "MessageIds": Prop("strings", longest=64, nullable=True),
    "ExcludeMessageIds": Prop("strings", longest=64, nullable=True),
    "ResourceTypes": _TEXTS,
    "Severities": Prop("strings", values=tuple(_BY_SEVERITY), nullable=True),
    "DeliveryRetryPolicy": _POLICY,
    "VerifyCertificate": Prop("boolean"),
}
PATCH: Shape = {
    "Context": Prop(longest=256, nullable=True),
    "DeliveryRetryPolicy": _POLICY,
    "VerifyCertificate": Prop("boolean"),
    "HttpHeaders": Prop("array", longest=16),
}
_TEST: Shape = {
    "EventType": Prop(),
    "EventId": Prop(longest=64),
    "EventTimestamp": Prop("time"),
    "Severity": Prop(values=tuple(_BY_SEVERITY)),
    "MessageSeverity": Prop(values=tuple(_BY_SEVERITY)),
    "Message": Prop(longest=512),
    "MessageId": Prop(required=True, longest=128),
    "MessageArgs": Prop("strings", longest=16),
    "OriginOfCondition": Prop(longest=256),
    "EventGroupId": Prop("integer", minimum=0),
}
RESOURCES = (
    Resource(
        SERVICE,
        "EventService",
        write=MANAGER,
        patch={
            "ServiceEnabled": Prop("boolean"),
            "DeliveryRetryAttempts": Prop("integer", minimum=0, maximum=100),
            "DeliveryRetryIntervalSeconds": Prop("integer", minimum=1, maximum=86400),
        },
        actions=(Action("EventService.SubmitTestEvent", _TEST, MANAGER),),
        about="How events are delivered, and where they are streamed.",
    ),
    Resource(SUBSCRIPTIONS, "EventDestinationCollection", write=MANAGER, create=CREATE, about="Subscriptions."),
    Resource(
        f"{SUBSCRIPTIONS}/{{subscription}}",
        "EventDestination",
        write=MANAGER,
        patch=PATCH,
        delete=True,
        actions=(
            Action("EventDestination.SuspendSubscription", {}, MANAGER),
            Action(
                "EventDestination.ResumeSubscription", {"DeliverBufferedEventDuration": Prop(nullable=True)}, MANAGER
            ),
        ),
        about="One subscription, by push or by an open stream.",
    ),
)
