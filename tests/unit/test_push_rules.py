"""Which events a subscription wants, how long is waited, and what a test event says."""

from __future__ import annotations

import pytest

from ubmc.kit.errors import Invalid
from ubmc.protocols.redfish.event_payload import payload
from ubmc.services.eventlog import push_rules as rules
from ubmc.services.eventlog.query import parsed
from ubmc.v1alpha1.event_kind_pb import EventKind, Severity
from ubmc.v1alpha1.event_pb import Event
from ubmc.v1alpha1.subscription_pb import RetryPolicy, Subscription, SubscriptionFilter

EVENT = Event(
    id=7, ulid="U", severity=Severity.WARNING, component="host.0", message_id="Host.StateChanged", message="m",
    arguments={"name": "host.0", "previous": "a", "current": "b"},
)  # fmt: skip
TEST = Event(
    id=8, component="bmc.0", message_id="EventLog.TestEvent", message="hello",
    arguments={
        "text": "hello", "message_id": "Base.1.0.Success", "message_args": '["a","b"]', "event_group_id": "3",
        "origin": "/redfish/v1/Systems/x", "event_id": "e", "event_time": "2026-01-31T12:00:00Z",
    },
)  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "is_wanted"),
    [
        ({}, True),
        ({"severities": [Severity.WARNING, Severity.CRITICAL]}, True),
        ({"severities": [Severity.CRITICAL]}, False),
        ({"components": ["host"]}, True),
        ({"components": ["host.0"]}, True),
        ({"components": ["host.00", "ho", "chassis"]}, False),
        ({"message_ids": ["Host"]}, True),
        ({"message_ids": ["Host.StateChanged"]}, True),
        ({"message_ids": ["Ubmc.1.0.HostStateChanged"]}, True),
        ({"message_ids": ["Ubmc.HostStateChanged"]}, True),
        ({"message_ids": ["Ubmc.1.0.HostNews", "Host.State", "HostStateChanged"]}, False),
        ({"message_ids": ["Base.1.0.HostStateChanged"]}, False),
        ({"exclude_message_ids": ["Ubmc.1.0.HostStateChanged"]}, False),
        ({"exclude_message_ids": ["Chassis"]}, True),
        ({"registry_prefixes": ["Ubmc"]}, True),
        ({"registry_prefixes": ["Base"]}, False),
        ({"exclude_registry_prefixes": ["Ubmc"]}, False),
        ({"resource_types": ["ComputerSystem", "Chassis"]}, True),
        ({"resource_types": ["Chassis"]}, False),
        ({"severities": [Severity.WARNING], "components": ["chassis"]}, False),
        ({"event_types": ["Alert"]}, True),
        ({"event_types": ["Other"]}, False),
        ({"event_types": ["Other", "Alert"]}, True),
    ],
)
def test_all_that_is_said_must_hold(wanted: dict[str, list[object]], is_wanted: bool) -> None:
    filter_ = SubscriptionFilter(**wanted)  # type: ignore[arg-type]
    assert rules.wants(filter_, EVENT) is is_wanted


def test_a_test_event_counts_as_the_message_that_was_asked_for() -> None:
    assert rules.wants(SubscriptionFilter(registry_prefixes=["Base"], message_ids=["Base.1.0.Success"]), TEST)
    assert not rules.wants(SubscriptionFilter(registry_prefixes=["Ubmc"]), TEST)
    (record,) = payload([TEST], {})["Events"]
    assert (record["MessageId"], record["MessageArgs"], record["EventGroupId"]) == ("Base.1.0.Success", ["a", "b"], 3)
    assert (record["EventId"], record["EventTimestamp"]) == ("e", "2026-01-31T12:00:00Z")
    assert record["OriginOfCondition"] == {"@odata.id": "/redfish/v1/Systems/x"}
    TEST.arguments["message_args"] = '["a","b…'  # as the log cuts what is too long
    assert payload([TEST], {})["Events"][0]["MessageArgs"] == []


def test_other_events_take_nothing_from_arguments_of_these_names() -> None:
    event = Event(id=1, message_id="Host.News", arguments={"message_id": "Base.1.0.Success", "event_id": "x"}, ulid="U")
    (record,) = payload([event], {"Host.News": EventKind(text="{name}: {what}")}, "c")["Events"]
    assert (record["MessageId"], record["EventId"]) == ("Ubmc.1.0.HostNews", "U")


def test_it_is_waited_for_longer_and_longer_once_the_attempts_are_used_up() -> None:
    attempts = rules.Attempts(again=2, interval_seconds=30.0)
    assert [attempts.wait_seconds(failures) for failures in (1, 2, 3, 4, 5, 99)] == [30, 30, 60, 120, 240, 600]
    assert [attempts.used_up(failures) for failures in (1, 2, 3)] == [False, False, True]
    assert rules.Attempts(0, 3600.0).wait_seconds(5) == 3600.0


def test_what_is_left_out_is_the_careful_choice() -> None:
    made = rules.checked(Subscription(destination="https://x/"))
    assert made.verify_certificate
    assert made.retry_policy is RetryPolicy.TERMINATE_AFTER_RETRIES
    assert not rules.checked(Subscription(destination="https://x/", verify_certificate=False)).verify_certificate


@pytest.mark.parametrize("header", ["Host", "content-LENGTH", "Transfer-Encoding", "Connection", "OData-Version"])
def test_headers_that_make_the_request_are_ours(header: str) -> None:
    with pytest.raises(Invalid, match="set by the BMC"):
        rules.check_headers({header: "x"})


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "ä", "\x00"])
def test_values_that_no_header_can_have(value: str) -> None:
    with pytest.raises(Invalid, match="no header can have"):
        rules.check_headers({"X-Token": value})
    rules.check_headers({"X-Token": "Bearer abc=="})


def test_cursors_are_read_as_the_log_writes_them() -> None:
    assert parsed("abc:17") == ("abc", 17)
    assert parsed("") == ("", 0)
    assert parsed("abc:x") == ("", 0)
