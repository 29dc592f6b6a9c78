"""Event subscriptions as Redfish shows them, and what a client's body asks of the event log."""

from __future__ import annotations

import pytest
from protobuf.wkt import Duration
from tests.unit.redfish_world import body, check_golden, facts

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
    components = ("host.0", "chassis.0", "bmc.0", "psu.1", "fan.0", "cpu.0", "dimm.3", "drive.3", "usermgr", "whatever")
    for component in components:
        assert origin(component)[0] in events.RESOURCE_TYPES


CHASSIS = "/redfish/v1/Chassis/chassis.0"


@pytest.mark.parametrize(
    ("component", "message_id", "arguments", "expected"),
    [
        ("cpu.0", "Sensor.ThresholdCrossed", {"name": "cpu0_temp"}, ("Sensor", f"{CHASSIS}/Sensors/cpu0_temp")),
        ("chassis.0", "Sensor.QualityChanged", {"name": "inlet_temp"}, ("Sensor", f"{CHASSIS}/Sensors/inlet_temp")),
        ("psu.0", "Sensor.ThresholdsChanged", {"name": "psu0_vin"}, ("Sensor", f"{CHASSIS}/Sensors/psu0_vin")),
        ("chassis.0", "Sensor.StateChanged", {"name": "intrusion"}, ("Chassis", CHASSIS)),
        ("inlet_temp", "Trigger.Fired", {"sensor": "inlet_temp"}, ("Sensor", f"{CHASSIS}/Sensors/inlet_temp")),
        ("cpu", "Thermal.ZoneStateChanged", {"name": "cpu"}, ("Control", f"{CHASSIS}/Controls/cpu")),
        ("drive.3", "Asset.Removed", {"name": "drive.3"}, ("Drive", f"{CHASSIS}/Drives/drive.3")),
    ],
)
def test_an_event_leads_to_what_it_is_about(
    component: str, message_id: str, arguments: dict[str, str], expected: tuple[str, str]
) -> None:
    """With component and arguments as their services tell them: a sensor is told under the part that it is at."""
    event = Event(component=component, message_id=message_id, arguments=arguments)
    assert place(event) == expected
    assert expected[0] in events.RESOURCE_TYPES


def test_what_sensors_and_zones_tell_leads_to_resources_that_are_there() -> None:
    known = facts("on")
    told = [
        Event(component=sensor.component, message_id="Sensor.ThresholdCrossed", arguments={"name": name})
        for name, sensor in known.rows("sensor").items()
        if sensor.unit
    ]
    told += [Event(component=name, message_id="Thermal.ZoneStateChanged") for name in known.rows("zone")]
    told += [
        Event(component=name, message_id="Asset.Changed") for name, each in known.rows("asset").items() if each.present
    ]
    assert len(told) > 30
    for event in told:
        assert body(known, place(event)[1]) is not None, event
