"""Event subscriptions as Redfish shows them, and what a client's body asks of the event log."""

from __future__ import annotations

import pytest
from protobuf.wkt import Duration
from tests.unit.redfish_world import check_golden

from ubmc.protocols.redfish import events
from ubmc.protocols.redfish.event_payload import place
from ubmc.protocols.redfish.messages import RedfishError
from ubmc.protocols.redfish.origin import origin
from ubmc.protocols.redfish.shape import check_new
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.event_pb import Event
from ubmc.v1alpha1.subscription_pb import Delivery, RetryPolicy, Subscription, SubscriptionFilter, SubscriptionState

SENT = {
    "Destination": "https://192.0.2.1/events",
    "Protocol": "Redfish",
    "Context": "mine",
    "Severities": ["Critical"],
    "RegistryPrefixes": ["Ubmc"],
    "HttpHeaders": [{"Authorization": "secret"}, {"X-Rack": "7"}],
    "DeliveryRetryPolicy": "RetryForever",
    "VerifyCertificate": False,
}


def test_what_is_shown() -> None:
    active = Subscription(id="1", destination="https://192.0.2.1/", state=SubscriptionState.ACTIVE)
    failing = Subscription(
        id="2",
        destination="https://192.0.2.2/",
        context="x",
        state=SubscriptionState.RETRYING,
        failure_reason="connection refused",
        http_header_names=["Authorization"],
        verify_certificate=False,
        filter=SubscriptionFilter(severities=[Severity.WARNING], resource_types=["Sensor"]),
    )
    made = {
        "service": events.service(Delivery(enabled=True, retry_attempts=3, retry_interval=Duration.from_seconds(30.0))),
        "active": events.destination(active),
        "failing": events.destination(failing),
        "stream": events.stream_destination(events.OpenStream("sse-1", "olga", "192.0.2.9")),
    }
    check_golden("events", made)
    assert made["active"]["VerifyCertificate"] is True  # not said means it must be good
    assert made["failing"]["HttpHeaders"] == []  # never shown again


def test_what_is_asked_for() -> None:
    checked = check_new(events.CREATE, SENT)
    assert checked.problems == ()
    wanted = events.subscription(checked.values)
    assert (wanted.destination, wanted.context) == (SENT["Destination"], "mine")
    assert dict(wanted.http_headers) == {"Authorization": "secret", "X-Rack": "7"}
    assert wanted.retry_policy is RetryPolicy.RETRY_FOREVER
    assert wanted.has_field("verify_certificate")
    assert not wanted.verify_certificate
    assert wanted.filter is not None
    assert wanted.filter.severities == [Severity.CRITICAL]
    unsaid = events.subscription({"Destination": "https://192.0.2.1/", "Protocol": "Redfish"})
    assert not unsaid.has_field("verify_certificate")


def test_what_is_refused() -> None:
    wrong = {**SENT, "Protocol": "FTP", "Destination": "gopher://x", "Severities": ["Grave"]}
    problems = {each.related[0]: each.key for each in check_new(events.CREATE, wrong).problems}
    assert problems == {
        "/Protocol": "PropertyValueNotInList",
        "/Destination": "PropertyValueFormatError",
        "/Severities": "PropertyValueNotInList",
    }


def test_types_of_events_are_taken_shown_and_refused() -> None:
    checked = check_new(events.CREATE, {**SENT, "EventTypes": ["Alert", "Alert"]})
    assert checked.problems == ()
    made = events.subscription(checked.values)
    assert made.filter is not None
    assert made.filter.event_types == ["Alert"]
    assert events.destination(made)["EventTypes"] == ["Alert"]
    assert "EventTypes" not in events.destination(events.subscription(check_new(events.CREATE, SENT).values))
    with pytest.raises(RedfishError, match="PropertyValueNotInList") as caught:
        events.wanted({"EventTypes": ["Alert", "StatusChange"]})
    assert caught.value.messages[0].related == ("/EventTypes",)


def test_every_origin_is_of_a_type_that_can_be_asked_for() -> None:
    components = ("host.0", "chassis.0", "bmc.0", "psu.1", "fan.0", "cpu.0", "dimm.3", "usermgr", "whatever")
    for component in components:
        assert origin(component)[0] in events.RESOURCE_TYPES
    reading = Event(component="cpu0_temp", message_id="Sensor.StateChanged")
    assert place(reading) == ("Sensor", "/redfish/v1/Chassis/chassis.0/Sensors/cpu0_temp")
