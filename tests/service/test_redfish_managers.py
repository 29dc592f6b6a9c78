"""Redfish before the real event log, audit trail and metric reports: parts and filters of logs, units, changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import httpx
import pytest
import pytest_asyncio
from protobuf.wkt import FieldMask
from tests.service.redfish_managers_house import House, house

from ubmc.kit.errors import Invalid
from ubmc.services.securitymgr import audit
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.report_pb import CreateTriggerRequest, Trigger, TriggerThreshold
from ubmc.v1alpha1.report_rpc import ReportService
from ubmc.v1alpha1.security_pb import (
    ListAuditRecordsRequest,
    SecurityPolicy,
    UpdateSecurityPolicyRequest,
)
from ubmc.v1alpha1.security_rpc import SecurityService

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEL = "/Systems/host.0/LogServices/SEL/Entries"
AUDIT = "/Managers/bmc.0/LogServices/Audit/Entries"
SENSORS = "/redfish/v1/Chassis/chassis.0/Sensors"
TELEMETRY = "/redfish/v1/TelemetryService"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def h() -> AsyncIterator[House]:
    """One door for all tests of this file: it takes a second to open."""
    async with house() as opened:
        yield opened


async def until(what: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await what():
            await asyncio.sleep(0.02)


def keys(answer: httpx.Response) -> list[str]:
    """The message keys of an answer."""
    body = answer.json()
    infos = body["error"]["@Message.ExtendedInfo"] if "error" in body else body["@Message.ExtendedInfo"]
    return [info["MessageId"].rpartition(".")[2] for info in infos]


# --- logs ---------------------------------------------------------------------------------------------------------


async def all_parts(h: House, path: str) -> tuple[list[dict[str, Any]], list[int]]:
    """The members of all parts in their order, and what each part gives as the count of all."""
    found: list[dict[str, Any]] = []
    counts = []
    following = path
    while following:
        part = await h.get(following)
        found += part["Members"]
        counts.append(part["Members@odata.count"])
        following = part.get("Members@odata.nextLink", "").removeprefix("/redfish/v1")
        assert len(counts) < 50
    return found, counts


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(h: House) -> int:
    """Many events of which three are critical, the newest of these not among the newest fifty."""
    for number in range(70):
        await h.board.tell(f"number {number}", Severity.CRITICAL if number in (2, 9, 11) else Severity.OK)

    async def is_in_the_log() -> bool:
        newest = (await h.get(f"{SEL}?$top=1"))["Members"]
        return bool(newest) and "number 69" in newest[0]["Message"]

    await until(is_in_the_log)
    return 70


async def test_a_filter_of_a_log_comes_before_its_parts(h: House, told: int) -> None:
    critical = f"{SEL}?$filter=Severity eq 'Critical'"
    whole = await h.get(critical)
    assert whole["Members@odata.count"] == 3
    assert [entry["Message"][-9:].strip() for entry in whole["Members"]] == ["number 11", "number 9", "number 2"]
    assert "Members@odata.nextLink" not in whole
    parts, counts = await all_parts(h, f"{critical}&$top=2")
    assert (parts, counts) == (whole["Members"], [3, 3])
    rest = await h.get(f"{critical}&$skip=2")
    assert (rest["Members"], rest["Members@odata.count"]) == (whole["Members"][2:], 3)
    none = await h.get(f"{SEL}?$filter=Severity eq 'Warning' and Id eq 'x'")
    assert (none["Members"], none["Members@odata.count"]) == ([], 0)


async def test_all_parts_of_a_log_are_the_log(h: House, told: int) -> None:
    found, counts = await all_parts(h, f"{SEL}?$top=9")
    numbers = [int(entry["Id"]) for entry in found]
    assert numbers == list(range(numbers[0], 0, -1))
    assert {*counts} == {numbers[0]}
    assert numbers[0] >= told
    far = await h.get(f"{SEL}?$skip={numbers[0] - 1}")
    assert [entry["Id"] for entry in far["Members"]] == ["1"]
    assert (await h.get(f"{SEL}?$top=0"))["Members"] == []
    assert (await h.get(f"{SEL}?$skip=5000"))["Members"] == []


async def test_an_entry_that_can_be_none_is_not_there(h: House) -> None:
    for number in ("0", "x", "-1", "9" * 30, "999999"):
        for base in (SEL, AUDIT):
            for method in ("GET", "DELETE"):
                answer = await h.client.request(method, f"/redfish/v1{base}/{number}")
                expected = 405 if (method, base) == ("DELETE", AUDIT) else 404
                assert answer.status_code == expected, f"{method} {base}/{number}"


async def test_the_audit_trail_is_read_without_looking_through_all_of_it(
    h: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def policy(*, basic: bool) -> None:
        change = UpdateSecurityPolicyRequest(policy=SecurityPolicy(basic_auth=basic))
        await h.ask(SecurityService.UpdateSecurityPolicy, change)

    for number in range(12):
        await policy(basic=number % 2 == 1)

    async def recorded() -> bool:
        answer = await h.ask(SecurityService.ListAuditRecords, ListAuditRecordsRequest(page_size=1))
        return answer.total_size >= 12

    await until(recorded)

    def verify(_connection: object) -> NoReturn:
        raise AssertionError("nobody has asked for that")

    monkeypatch.setattr(audit, "verify", verify)
    found, counts = await all_parts(h, f"{AUDIT}?$top=5")
    numbers = [int(entry["Id"]) for entry in found]
    assert numbers == list(range(numbers[0], 0, -1))
    assert {*counts} == {numbers[0]}
    for entry in (found[0], found[-1]):
        one = await h.get(f"{AUDIT}/{entry['Id']}")
        assert {name: value for name, value in one.items() if name != "@odata.etag"} == entry
    mine = await h.get(f"{AUDIT}?$filter=Username eq 'olga'&$top=2")
    assert len(mine["Members"]) == 2
    assert mine["Members@odata.count"] == sum(entry["Username"] == "olga" for entry in found)
    assert (await h.get(f"{AUDIT}?$filter=Username eq 'nobody'"))["Members"] == []


async def test_nothing_has_logs_that_is_not_there(h: House) -> None:
    for path in ("/Systems/nope/LogServices", "/Managers/nope/LogServices", "/Systems/nope/LogServices/SEL/Entries"):
        assert (await h.client.get(f"/redfish/v1{path}")).status_code == 404


# --- what others change -------------------------------------------------------------------------------------------


async def test_a_policy_that_somebody_else_changes_is_seen_at_once(h: House) -> None:
    async def versions() -> list[str]:
        shown = await h.get("/Managers/bmc.0/SecurityPolicy")
        return list(shown["TLS"]["Server"]["Allowed"]["Versions"])

    assert await versions() == ["1.3"]
    change = UpdateSecurityPolicyRequest(policy=SecurityPolicy(tls_1_2=True), update_mask=FieldMask(paths=["tls_1_2"]))
    await h.ask(SecurityService.UpdateSecurityPolicy, change)
    async with asyncio.timeout(1):
        while await versions() != ["1.2", "1.3"]:
            await asyncio.sleep(0.01)


# --- telemetry ----------------------------------------------------------------------------------------------------


async def test_a_report_says_what_the_sensors_say(h: House) -> None:
    body = {
        "Id": "air",
        "MetricReportDefinitionType": "OnRequest",
        "MetricProperties": [f"{SENSORS}/{name}#/Reading" for name in ("air_flow", "air_pressure", "inlet_temp")],
    }
    made = await h.client.post(f"{TELEMETRY}/MetricReportDefinitions", json=body)
    assert made.status_code == 201, made.text
    await until(lambda: _values(h, 3))
    for value in (await h.get("/TelemetryService/MetricReports/air"))["MetricValues"]:
        sensor = await h.get(f"/Chassis/chassis.0/Sensors/{value['MetricId']}")
        assert float(value["MetricValue"]) == sensor["Reading"], value
    assert (await h.get("/Chassis/chassis.0/Sensors/air_flow"))["Reading"] == 4.281


async def _values(h: House, count: int) -> bool:
    return len((await h.get("/TelemetryService/MetricReports/air"))["MetricValues"]) == count


async def test_a_trigger_is_changed_and_the_rest_of_it_stays(h: House) -> None:
    body = {
        "Id": "thin",
        "MetricProperties": [f"{SENSORS}/air_pressure#/Reading"],
        "NumericThresholds": {
            "LowerWarning": {"Reading": 700, "Activation": "Decreasing", "DwellTime": "PT5S"},
            "LowerCritical": {"Reading": 650, "Activation": "Decreasing"},
        },
    }
    made = await h.client.post(f"{TELEMETRY}/Triggers", json=body)
    assert made.status_code == 201, made.text
    path = made.headers["location"]

    async def patch(change: dict[str, Any]) -> dict[str, Any]:
        answer = await h.client.patch(path, json=change)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    shown = await patch({"NumericThresholds": {"LowerWarning": {"Reading": 710}}})
    warning = {"Reading": 710.0, "Activation": "Decreasing", "DwellTime": "PT5S"}
    assert shown["NumericThresholds"]["LowerWarning"] == warning
    shown = await patch({"NumericThresholds": {"LowerCritical": None}})
    assert shown["NumericThresholds"] == {"LowerWarning": warning}
    shown = await patch({"NumericThresholds": {"LowerWarning": {"DwellTime": "PT1S"}}})
    assert shown["NumericThresholds"] == {"LowerWarning": {**warning, "DwellTime": "PT1S"}}
    assert shown["MetricProperties"] == body["MetricProperties"]
    last = await h.client.patch(path, json={"NumericThresholds": {"LowerWarning": None}})
    assert last.status_code == 400
    assert "NumericThresholds" in str(last.json())
    assert (await h.client.get(path)).json()["NumericThresholds"].keys() == {"LowerWarning"}


async def test_a_name_that_leads_elsewhere_is_refused_at_every_door(h: House) -> None:
    limit = {"NumericThresholds": {"UpperWarning": {"Reading": 1}}}
    body = {"Id": "..", "MetricProperties": [f"{SENSORS}/inlet_temp#/Reading"], **limit}
    answer = await h.client.post(f"{TELEMETRY}/Triggers", json=body)
    assert (answer.status_code, keys(answer)) == (400, ["PropertyValueFormatError"])
    trigger = Trigger(name="..", sensors=["inlet_temp"], upper_warning=TriggerThreshold(reading=1.0))
    with pytest.raises(Invalid, match="letter or a digit"):
        await h.ask(ReportService.CreateTrigger, CreateTriggerRequest(trigger=trigger))
