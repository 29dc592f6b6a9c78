"""A system that is not well says why, in messages that our own registry has."""

from __future__ import annotations

import copy
from typing import Any

from protobuf.wkt import Timestamp
from tests.unit.redfish_world import body, facts

from ubmc.kit.schema import load
from ubmc.protocols.redfish.registry import kinds, registry
from ubmc.v1alpha1.host_pb import HostPowerAction, HostPowerFailure, HostState

SYSTEM = "/redfish/v1/Systems/host.0"
FAILED = HostPowerFailure(
    action=HostPowerAction.GRACEFUL_OFF,
    patience_seconds=2.5,
    current=HostState.ON,
    advice="Use force-off.",
    time=Timestamp(seconds=1_700_000_000),
)


def status(**fields: Any) -> dict[str, Any]:
    of = facts("on")
    host = copy.deepcopy(of.rows("host")["host.0"])
    for name, value in fields.items():
        setattr(host, name, value)
    of.put("host", "host.0", host)
    made = body(of, SYSTEM)
    assert made is not None
    return dict(made["Status"])


def test_a_host_that_is_well_has_no_conditions() -> None:
    assert status() == {"State": "Enabled", "Health": "OK", "HealthRollup": "OK"}


def test_a_power_action_that_failed_is_a_warning_with_its_reason() -> None:
    found = status(power_failure=FAILED)
    assert (found["State"], found["Health"], found["HealthRollup"]) == ("Enabled", "Warning", "Warning")
    [condition] = found["Conditions"]
    assert condition == {
        "MessageId": "Ubmc.1.0.HostPowerActionFailed",
        "MessageArgs": ["host.0", "HOST_POWER_ACTION_GRACEFUL_OFF", "2.5", "HOST_STATE_ON", "Use force-off."],
        "Message": "host.0: graceful off had no effect after 2.5 s; the host was on then. Use force-off.",
        "Severity": "Warning",
        "Timestamp": "2023-11-14T22:13:20Z",
    }


def test_the_worst_counts_and_all_messages_are_in_the_registry() -> None:
    found = status(trip_reason="zone cpu: 101", power_failure=FAILED)
    assert found["Health"] == "Critical"
    messages = registry(kinds(load().events.values()))["Messages"]
    for condition in found["Conditions"]:
        listed = messages[condition["MessageId"].rpartition(".")[2]]
        assert listed["NumberOfArgs"] == len(condition["MessageArgs"])
        assert listed["MessageSeverity"] == condition["Severity"]
