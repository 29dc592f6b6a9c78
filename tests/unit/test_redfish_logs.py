"""Log entries, deliveries and the registry of our messages, made of the events of the schema."""

from __future__ import annotations

import datetime as dt
import re

from protobuf.wkt import Timestamp
from tests.unit.redfish_world import check_golden

from ubmc.kit.schema import load
from ubmc.protocols.redfish import event_payload, logs
from ubmc.protocols.redfish.health import SEVERITIES
from ubmc.protocols.redfish.query import NOTHING, parse_query
from ubmc.protocols.redfish.registry import NO_VALUE, fields, kinds, message_args, message_id, registry
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.event_pb import Event, EventLogState
from ubmc.v1alpha1.host_pb import Cause
from ubmc.v1alpha1.security_pb import AuditRecord

KINDS = kinds(load().events.values())
WHEN = Timestamp.from_datetime(dt.datetime(2026, 11, 23, 5, 0, 0, 123456, tzinfo=dt.UTC))
SWITCHED = Event(
    id=7,
    ulid="01M83CF1N09WNR4NH6A1872RHP",
    time=WHEN,
    severity=Severity.OK,
    component="host.0",
    message_id="Host.StateChanged",
    message="host.0 is on",
    arguments={name: f"the {name}" for name in fields(KINDS["Host.StateChanged"].text)},
    cause=Cause(kind="user", user="olga"),
)
HOT = Event(
    id=8,
    ulid="01M83CF19TRWX6JYRQHPD9R3W3",
    time=WHEN,
    severity=Severity.CRITICAL,
    component="cpu.0",
    message_id="Sensor.ThresholdCrossed",
    message="cpu0_temp is critical",
    arguments={"name": "cpu0_temp"},
)
STRANGE = Event(id=9, ulid="01M83CF19TRWX6JYRQHPD9R3W4", time=WHEN, component="gone.0", message_id="Future.Thing")


def place(event: Event) -> str | None:
    return {"host.0": "/redfish/v1/Systems/host.0"}.get(event.component)


def test_entries() -> None:
    made = [logs.entry(event, KINDS, place, sel=sel) for event in (SWITCHED, HOT, STRANGE) for sel in (False, True)]
    record = AuditRecord(
        id=3, time=WHEN, user="olga", source="192.0.2.1", action="UserService.CreateUser", outcome="ok"
    )
    check_golden("logs_entries", {"events": made, "audit": logs.audit_entry(record)})
    assert "Links" not in made[2]  # what is not there any more is not linked to
    assert made[0]["MessageArgs"] == [f"the {name}" for name in fields(KINDS["Host.StateChanged"].text)]
    assert made[2]["MessageArgs"] == [
        "cpu0_temp",
        *[NO_VALUE] * (len(fields(KINDS["Sensor.ThresholdCrossed"].text)) - 1),
    ]


def test_services() -> None:
    state = EventLogState(count=2, max_count=10_000, dropped=1)
    base = "/redfish/v1/Managers/bmc.0/LogServices"
    made = {
        "log": logs.log_service(f"{base}/EventLog", state),
        "sel": logs.log_service("/redfish/v1/Systems/host.0/LogServices/SEL", state),
        "audit": logs.audit_service(f"{base}/Audit"),
    }
    check_golden("logs_services", made)
    assert "Actions" not in made["audit"]


def test_pages_say_where_the_next_one_is() -> None:
    first = logs.page("/x", [{}] * 2, 5, parse_query("$top=2"))
    assert (first["Members@odata.count"], first["Members@odata.nextLink"]) == (5, "/x?$skip=2&$top=2")
    assert "Members@odata.nextLink" not in logs.page("/x", [{}], 5, parse_query("$skip=4&$top=2"))
    assert "Members@odata.nextLink" not in logs.page("/x", [], 5, parse_query("$skip=9&$top=2"))
    plain = logs.page("/x", [{}] * logs.TOP, logs.TOP + 1, NOTHING)
    assert plain["Members@odata.nextLink"] == f"/x?$skip={logs.TOP}&$top={logs.TOP}"


def test_the_next_page_is_of_the_same_query() -> None:
    asked = "$filter=Severity+eq+%27Critical%27+or+Id+eq+%271%262%27&$skip=1&only_me&$select=Id,Message&$top=1"
    following = logs.page("/x", [{}], 5, parse_query(asked))["Members@odata.nextLink"]
    path, _, raw = following.partition("?")
    again = parse_query(raw)
    assert (path, again.skip, again.top, again.select) == ("/x", 2, 1, {"Id": {}, "Message": {}})
    assert again.filter is not None
    assert [
        again.filter({"Severity": severity, "Id": number})
        for severity, number in (("Critical", "9"), ("OK", "1&2"), ("OK", "1"))
    ] == [True, True, False]
    assert "only_me" in raw
    assert not set(raw) & set(' "<>')  # it can be sent as it is


def test_a_delivery() -> None:
    check_golden("event_payload", event_payload.payload([SWITCHED, HOT, STRANGE], KINDS, "my context"))
    assert event_payload.filterable(HOT)["ResourceType"] == "Sensor"
    assert event_payload.filterable(SWITCHED)["MessageId"] == "Ubmc.1.0.HostStateChanged"


def test_every_kind_of_news_is_in_the_registry_with_its_arguments() -> None:
    messages = registry(KINDS)["Messages"]
    for name, kind in KINDS.items():
        if kind.unlogged:
            assert name.replace(".", "") not in messages
            continue
        message = messages[name.replace(".", "")]
        numbers = {int(number) for number in re.findall(r"%(\d+)", message["Message"])}
        assert numbers == set(range(1, message["NumberOfArgs"] + 1)), name
        assert "{" not in message["Message"]
        assert message["MessageSeverity"] in SEVERITIES.values()
        arguments = {field: field for field in fields(kind.text)}
        assert len(message_args(kind.text, arguments)) == message["NumberOfArgs"]
    assert len({message_id(name) for name in KINDS}) == len(KINDS)
