"""The Redfish door: what is cached, what is told, what waits, and the protocol's details."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.service.redfish_house import SYSTEM, House, host, house

from ubmc.kit.errors import Denied, Invalid, Violation
from ubmc.protocols.redfish.tree import TREE
from ubmc.v1alpha1.host_pb import BootTarget, HostState

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOOT = {"Boot": {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_house() -> AsyncIterator[House]:
    """One door for all tests of this file: it takes a second to open."""
    async with house() as opened:
        yield opened


@pytest.fixture
def h(one_house: House) -> House:
    """The door, with its host as it was at first."""
    one_house.machines.begin_anew()
    return one_house


def keys(answer: httpx.Response) -> list[str]:
    """The message keys of an answer."""
    body = answer.json()
    infos = body["error"]["@Message.ExtendedInfo"] if "error" in body else body["@Message.ExtendedInfo"]
    return [info["MessageId"].rpartition(".")[2] for info in infos]


async def until_is(client: httpx.AsyncClient, name: str, value: Any) -> httpx.Response:
    """Read the system until a property is so; at most a second."""
    async with asyncio.timeout(1):
        while (answer := await client.get(SYSTEM)).json().get(name) != value:
            await asyncio.sleep(0.01)
    return answer


# --- the model ----------------------------------------------------------------------------------------------------


async def test_a_thousand_readers_cost_the_owner_nothing(h: House) -> None:
    client = h.client()
    first = await client.get(SYSTEM)
    assert first.json()["PowerState"] == "Off"
    async with asyncio.timeout(30):
        while not h.machines.watched:
            await asyncio.sleep(0.01)
    asked = (h.machines.listed, h.machines.watched)
    for _ in range(20):
        assert (await client.get(SYSTEM)).content == first.content
    assert (h.machines.listed, h.machines.watched) == asked


async def test_the_tag_changes_when_and_only_when_the_content_does(h: House) -> None:
    client = h.client()
    first = (await client.get(SYSTEM)).headers["etag"]
    h.machines.tell(host(power_on_time=None))  # told again, nothing is different
    await asyncio.sleep(0.1)
    assert (await client.get(SYSTEM)).headers["etag"] == first
    h.machines.tell(host(HostState.ON))
    now = await until_is(client, "PowerState", "On")
    assert now.headers["etag"] != first
    assert now.json()["@odata.etag"] == now.headers["etag"]
    h.machines.tell(host())
    assert (await until_is(client, "PowerState", "Off")).headers["etag"] == first


async def test_nothing_is_shown_that_nobody_vouches_for(h: House) -> None:
    client = h.client()
    assert (await client.get(SYSTEM)).status_code == 200
    await h.stop_machines()
    async with asyncio.timeout(30):  # a stream that ended in silence is missed after its beat, 2 s
        while (gone := await client.get(SYSTEM)).status_code == 200:
            await asyncio.sleep(0.01)
    assert (gone.status_code, keys(gone)) == (503, ["ServiceTemporarilyUnavailable"])
    assert int(gone.headers["retry-after"]) >= 1
    assert (await client.get("/redfish/v1/Managers")).status_code == 200  # what does not need it goes on
    await h.start_machines()
    assert (await client.get(SYSTEM)).json()["PowerState"] == "Off"


async def test_who_asks_too_early_waits_for_the_first_facts(h: House) -> None:
    await h.stop_machines()
    client = h.client()
    asking = asyncio.create_task(client.get(SYSTEM))
    await asyncio.sleep(0.1)
    await h.start_machines()
    assert (await asking).status_code == 200


# --- reading ------------------------------------------------------------------------------------------------------


async def test_every_answer_has_the_headers_of_the_specification(h: House) -> None:
    client = h.client()
    for path, status in ((SYSTEM, 200), ("/redfish/v1/Nope", 404), ("/redfish", 200), ("/redfish/v1/odata", 200)):
        answer = await client.get(path)
        assert answer.status_code == status
        assert answer.headers["odata-version"] == "4.0"
        assert answer.headers["cache-control"] == "no-cache"
    answer = await client.get(SYSTEM)
    assert answer.headers["allow"] == "GET, HEAD, PATCH, OPTIONS"
    assert "ComputerSystem.v1_" in answer.headers["link"]
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


async def test_one_slash_at_the_end_is_none(h: House) -> None:
    client = h.client()
    assert (await client.get(f"{SYSTEM}/")).content == (await client.get(SYSTEM)).content
    root = (await client.get("/redfish/v1")).json()
    assert root == (await client.get("/redfish/v1/")).json()
    assert root["@odata.id"] == "/redfish/v1/"
    for odd in (f"{SYSTEM}//", "/redfish//v1", "/redfish/v1/systems", "/redfish/v2"):
        assert (await client.get(odd)).status_code == 404, odd


async def test_not_modified(h: House) -> None:
    client = h.client()
    tag = (await client.get(SYSTEM)).headers["etag"]
    for shown in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = await client.get(SYSTEM, headers={"if-none-match": shown})
        assert (answer.status_code, answer.content) == (304, b""), shown
    assert (await client.get(SYSTEM, headers={"if-none-match": '"x"'})).status_code == 200
    nobody = h.client("")
    assert (await nobody.get(SYSTEM, headers={"if-none-match": tag})).status_code == 401


async def test_what_somebody_may_not_change_is_in_the_audit_trail(h: House) -> None:
    h.log.audited.clear()
    eve = h.client("ReadOnly-of-eve")
    assert (await eve.get(SYSTEM)).status_code == 200
    reset = await eve.post(f"{SYSTEM}/Actions/ComputerSystem.Reset", json={"ResetType": "On"})
    assert (reset.status_code, keys(reset)) == (403, ["InsufficientPrivilege"])
    assert (await eve.patch(SYSTEM, content=b"{" * 200_000)).status_code == 403
    assert (await eve.patch(SYSTEM, json={"AssetTag": "hers"})).status_code == 403  # this board has no such service
    assert (await h.client("Operator-of-otto").patch(SYSTEM, json=BOOT)).status_code == 200
    async with asyncio.timeout(30):
        while len(h.log.audited) < 3:
            await asyncio.sleep(0.01)
    assert [(each.user, each.method, each.outcome, each.source) for each in h.log.audited] == [
        ("eve", "HostService.ChangeHostPower", "denied", "127.0.0.1"),
        ("eve", "HostService.UpdateHost", "denied", "127.0.0.1"),
        ("otto", "HostService.UpdateHost", "ok", "127.0.0.1"),
    ]
    assert h.machines.changed == [("otto", "update boot_override")]


async def test_head_and_options(h: House) -> None:
    client = h.client()
    whole, head = await client.get(SYSTEM), await client.head(SYSTEM)
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["etag"] == whole.headers["etag"]
    asked = await client.request("OPTIONS", SYSTEM)
    assert (asked.status_code, asked.headers["allow"]) == (204, "GET, HEAD, PATCH, OPTIONS")
    for method in ("POST", "PUT", "DELETE"):
        refused = await client.request(method, SYSTEM, json={"a": 1})
        assert (refused.status_code, keys(refused)) == (405, ["OperationNotAllowed"])
        assert refused.headers["allow"] == "GET, HEAD, PATCH, OPTIONS"


async def test_who_may_read(h: House) -> None:
    nobody = h.client("")
    for path in ("/redfish", "/redfish/v1", "/redfish/v1/odata", "/redfish/v1/$metadata"):
        assert (await nobody.get(path)).status_code == 200, path
    for path in (
        SYSTEM,
        "/redfish/v1/Nope",
        "/redfish/v1/SessionService",
        f"{SYSTEM}/Actions/ComputerSystem.Reset",
    ):
        answer = await nobody.get(path)
        assert (answer.status_code, keys(answer)) == (401, ["NoValidSession"]), path
        assert answer.headers["www-authenticate"].startswith("Basic")
    assert (await h.client("Nobody-of-x").get(SYSTEM)).status_code == 401
    reader = h.client("ReadOnly-of-rita")
    assert (await reader.get(SYSTEM)).status_code == 200
    refused = await reader.patch(SYSTEM, json={"PowerRestorePolicy": "AlwaysOn"})
    assert (refused.status_code, keys(refused)) == (403, ["InsufficientPrivilege"])
    assert h.machines.changed == []


async def test_an_authorization_header_and_a_token_do_not_fight(h: House) -> None:
    both = h.client(authorization="Basic bm9ib2R5Om5v")
    assert (await both.get(SYSTEM)).status_code == 200


async def test_other_versions_of_odata_are_refused(h: House) -> None:
    answer = await h.client().get(SYSTEM, headers={"odata-version": "4.1"})
    assert (answer.status_code, keys(answer)) == (412, ["HeaderInvalid"])
    assert (await h.client().get(SYSTEM, headers={"odata-version": "4.0"})).status_code == 200


async def test_queries(h: House) -> None:
    client = h.client()
    systems = "/redfish/v1/Systems"
    plain = (await client.get(SYSTEM)).json()
    expanded = (await client.get(f"{systems}?$expand=.")).json()
    assert expanded["Members"] == [plain]
    deep = (await client.get(f"{systems}?$expand=.($levels=2)")).json()
    assert deep["Members"][0]["Processors"]["Name"] == "Processors"
    assert (await client.get(f"{systems}?only")).json() == plain
    chosen = (await client.get(f"{systems}?$expand=.&$select=PowerState")).json()["Members"][0]
    assert set(chosen) == {"@odata.id", "@odata.type", "@odata.etag", "PowerState"}
    kept = (await client.get(f"{systems}?$filter=PowerState eq 'On'")).json()
    assert (kept["Members"], kept["Members@odata.count"]) == ([], 0)
    assert (await client.get(f"{systems}?$filter=PowerState eq 'Off'")).json()["Members@odata.count"] == 1
    skipped = (await client.get(f"{systems}?$skip=1")).json()
    assert (skipped["Members"], skipped["Members@odata.count"]) == ([], 1)
    for query, status in (("$top=1", 400), ("$filter=a eq 1", 400), ("only", 400), ("$x=1", 501), ("y=1", 200)):
        assert (await client.get(f"{SYSTEM}?{query}")).status_code == status, query
    refused = await client.patch(f"{SYSTEM}?$select=Id", json={"PowerRestorePolicy": "AlwaysOn"})
    assert keys(refused) == ["QueryNotSupportedOnOperation"]


async def test_expansion_shows_nobody_more_than_they_may_read(h: House) -> None:
    anonymous = (await h.client("").get("/redfish/v1/?$expand=.")).json()
    assert anonymous["Systems"] == {"@odata.id": "/redfish/v1/Systems"}


# --- changing -----------------------------------------------------------------------------------------------------


async def test_a_change_reads_back_at_once(h: House) -> None:
    client = h.client()
    sent = {"Boot": {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}}
    answer = await client.patch(SYSTEM, json=sent)
    assert answer.status_code == 200
    for body in (answer.json(), (await client.get(SYSTEM)).json()):
        assert body["Boot"]["BootSourceOverrideTarget"] == "Pxe"
        assert body["Boot"]["BootSourceOverrideEnabled"] == "Once"
    assert h.machines.changed == [("admin", "update boot_override")]


async def test_what_works_is_done_and_what_does_not_is_told(h: House) -> None:
    client = h.client()
    sent = {"Boot": {"BootSourceOverrideTarget": "Pxe"}, "PowerState": "On", "Nope": 1}
    answer = await client.patch(SYSTEM, json=sent)
    body = answer.json()
    assert answer.status_code == 200
    assert sorted(keys(answer)) == ["PropertyNotWritable", "PropertyUnknown"]
    assert body["PowerState@Message.ExtendedInfo"][0]["MessageId"].endswith("PropertyNotWritable")
    assert body["Boot"]["BootSourceOverrideTarget"] == "Pxe"
    violation = Violation("host.restorePolicy", "rule", "that cannot be")
    h.machines.refuse_restore = Invalid("no", violations=[violation])
    answer = await client.patch(SYSTEM, json={"PowerRestorePolicy": "AlwaysOn", **sent})
    blamed = answer.json()["PowerRestorePolicy@Message.ExtendedInfo"][0]
    assert answer.status_code == 200
    assert blamed["MessageId"].endswith("PropertyValueError")
    assert blamed["RelatedProperties"] == ["/PowerRestorePolicy"]


async def test_a_denial_does_not_hide_what_is_done(h: House) -> None:
    client = h.client()
    h.machines.refuse_restore = Denied("that is for others")
    answer = await client.patch(SYSTEM, json={"PowerRestorePolicy": "AlwaysOn", **BOOT})
    assert (answer.status_code, keys(answer)) == (200, ["InsufficientPrivilege"])
    assert "PowerRestorePolicy@Message.ExtendedInfo" in answer.json()
    assert answer.json()["Boot"]["BootSourceOverrideTarget"] == "Pxe"
    assert h.machines.changed == [("admin", "update boot_override"), ("admin", "update restore_policy")]
    answer = await client.patch(SYSTEM, json={"PowerRestorePolicy": "AlwaysOn"})
    assert (answer.status_code, keys(answer)) == (403, ["InsufficientPrivilege"])


async def test_the_boot_order_can_be_sent_back_and_not_changed(h: House) -> None:
    client = h.client()
    refused = await client.patch(SYSTEM, json={"Boot": {"BootOrder": ["Pxe"]}})
    assert (refused.status_code, keys(refused)) == (400, ["PropertyNotWritable"])
    h.machines.tell(host(boot_order=[BootTarget.DISK, BootTarget.PXE]))
    async with asyncio.timeout(1):
        while (await client.get(SYSTEM)).json()["Boot"].get("BootOrder") != ["Hdd", "Pxe"]:
            await asyncio.sleep(0.01)
    assert (await client.patch(SYSTEM, json={"Boot": {"BootOrder": ["Hdd", "Pxe"]}})).status_code == 200
    refused = await client.patch(SYSTEM, json={"Boot": {"BootOrder": ["Pxe", "Hdd"]}})
    assert (refused.status_code, keys(refused)) == (400, ["PropertyNotWritable"])
    assert "BootSourceOverrideTarget" in refused.text
    assert h.machines.changed == []


async def test_what_is_not_offered_is_not_taken(h: House) -> None:
    client = h.client()
    bare = host()
    bare.power_actions, bare.boot_firmwares = [], []
    h.machines.tell(bare)
    async with asyncio.timeout(1):
        while "BootSourceOverrideMode" in (await client.get(SYSTEM)).json()["Boot"]:
            await asyncio.sleep(0.01)
    for kind in ("Foo", "On"):
        answer = await client.post(f"{SYSTEM}/Actions/ComputerSystem.Reset", json={"ResetType": kind})
        assert (answer.status_code, keys(answer)) == (400, ["ActionParameterValueNotInList"])
    answer = await client.patch(SYSTEM, json={"Boot": {"BootSourceOverrideMode": "Banana"}})
    assert (answer.status_code, keys(answer)) == (400, ["PropertyValueNotInList"])
    assert h.machines.changed == []


async def test_a_part_of_a_resource_has_its_tag(h: House) -> None:
    client = h.client()
    part = await client.get(f"{SYSTEM}?$select=PowerRestorePolicy")
    assert part.headers["etag"] == part.json()["@odata.etag"] == (await client.get(SYSTEM)).headers["etag"]
    sent, tag = {"PowerRestorePolicy": "AlwaysOn"}, {"if-match": part.headers["etag"]}
    assert (await client.patch(SYSTEM, json=sent, headers=tag)).status_code == 200
    assert (await client.patch(SYSTEM, json=sent, headers=tag)).status_code == 412
    expanded = (await client.get("/redfish/v1/Systems?$expand=.")).headers["etag"]
    assert expanded != (await client.get("/redfish/v1/Systems")).headers["etag"]  # that changes with the members


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        (b"{", "MalformedJSON"),
        (b"[1]", "UnrecognizedRequestBody"),
        (b"{}", "EmptyJSON"),
        (b'{"@odata.id": "x"}', "NoOperation"),
        (b'{"Nope": 1}', "PropertyUnknown"),
        (b'{"Id": "x"}', "PropertyNotWritable"),
        (b'{"PowerRestorePolicy": 1}', "PropertyValueTypeError"),
        (b'{"PowerRestorePolicy": "Maybe"}', "PropertyValueNotInList"),
        (b'{"Boot": {"BootSourceOverrideTarget": "Hdd"}}', "PropertyValueNotInList"),  # this host has no disk
    ],
)
async def test_nothing_is_changed_by_what_cannot_be(h: House, sent: bytes, key: str) -> None:
    answer = await h.client().patch(SYSTEM, content=sent)
    assert (answer.status_code, keys(answer)) == (400, [key])
    assert h.machines.changed == []


async def test_if_match_absent_weak_or_strong(h: House) -> None:
    client = h.client()
    sent = {"PowerRestorePolicy": "AlwaysOn"}
    tag = (await client.get(SYSTEM)).headers["etag"]
    stale = await client.patch(SYSTEM, json={"Nope": 1}, headers={"if-match": '"other"'})
    assert (stale.status_code, keys(stale)) == (412, ["PreconditionFailed"])
    for form in ("W/{}", "{}", '"x", {}', "*"):
        tag = (await client.get(SYSTEM)).headers["etag"]
        answer = await client.patch(SYSTEM, json=sent, headers={"if-match": form.format(tag)})
        assert answer.status_code == 200, form


async def test_of_many_with_the_same_tag_one_wins(h: House) -> None:
    client = h.client()
    tag = (await until_is(client, "PowerRestorePolicy", "AlwaysOff")).headers["etag"]
    sent = {"PowerRestorePolicy": "AlwaysOn"}
    changes = [client.patch(SYSTEM, json=sent, headers={"if-match": tag}) for _ in range(6)]
    statuses = sorted([answer.status_code for answer in await asyncio.gather(*changes)])
    assert statuses == [200, 412, 412, 412, 412, 412]
    assert len(h.machines.changed) == 1


async def test_actions(h: House) -> None:
    client, reset = h.client("Operator-of-olga"), f"{SYSTEM}/Actions/ComputerSystem.Reset"
    for sent, key in (
        ({}, "ActionParameterMissing"),
        ({"ResetType": "Nmi"}, "ActionParameterValueNotInList"),  # the wires cannot do that
        ({"ResetType": 5}, "ActionParameterValueTypeError"),
        ({"ResetType": "On", "Nope": 1}, "ActionParameterUnknown"),
    ):
        answer = await client.post(reset, json=sent)
        assert (answer.status_code, keys(answer)) == (400, [key])
    done = await client.post(reset, json={"ResetType": "On"}, headers={"if-match": '"stale"'})
    assert (done.status_code, keys(done)) == (200, ["Success"])
    assert (await client.get(SYSTEM)).json()["PowerState"] == "PoweringOn"
    assert h.machines.changed == [("olga", "ON")]
    again = await client.post(reset, json={"ResetType": "On"})
    assert again.status_code == 200  # it is on its way already
    assert len(h.machines.changed) == 1
    h.machines.tell(host(HostState.POWERING_OFF))
    await until_is(client, "PowerState", "PoweringOff")
    refused = await client.post(reset, json={"ResetType": "ForceOff"})
    assert (refused.status_code, keys(refused)) == (409, ["ResourceInUse"])
    assert "wait until it is off" in refused.text
    assert (await client.get(reset)).status_code == 405
    assert (await client.post(f"{SYSTEM}/Actions/Nope.Reset", json={})).status_code == 404


async def test_who_prefers_not_to_wait_gets_a_monitor(h: House) -> None:
    client = h.client()
    reset = f"{SYSTEM}/Actions/ComputerSystem.Reset"
    answer = await client.post(reset, json={"ResetType": "On"}, headers={"prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["location"] == "/redfish/v1/TaskService/TaskMonitors/7"


async def test_too_much_is_refused_before_anybody_is_known(h: House) -> None:
    large = b'{"a": "' + b"x" * 8192 + b'"}'
    answer = await h.client("").post("/redfish/v1/SessionService/Sessions", content=large)
    assert answer.status_code == 413
    answer = await h.client().patch(SYSTEM, content=b'{"a": "' + b"x" * 300_000 + b'"}')
    assert answer.status_code == 413


ODD: tuple[dict[str, str], ...] = (
    {},
    {"x-forwarded-for": "127.0.0.1"},
    {"x-server-addr": "fe80::1", "forwarded": "for=127.0.0.1"},
    {"authorization": "Bearer"},
    {"authorization": "Basic !"},
    {"x-auth-token": ""},
    {"x-auth-token": "x" * 300},
    {"cookie": "__Host-ubmc-session=x"},
)


async def test_no_header_opens_anything(h: House) -> None:
    client = h.client("")
    paths = [re.sub(r"\{\w+\}", "host.0", resource.template) for resource in TREE if resource.read]
    paths += [f"{path}/Actions/{action.name}" for path in paths[:20] for action in TREE.resources[1].actions]
    for number, path in enumerate(paths):
        for method in ("GET", "PATCH", "POST", "PUT", "DELETE", "OPTIONS"):
            if (path, method) == ("/redfish/v1/SessionService/Sessions", "POST"):
                continue  # that is where one logs in
            answer = await client.request(method, path, headers=ODD[number % len(ODD)], json={"a": 1})
            refused = (401, 403) if "cookie" in ODD[number % len(ODD)] else (401,)  # 403: without the CSRF token
            assert answer.status_code in refused, f"{method} {path} {ODD[number % len(ODD)]}: {answer.status_code}"
    assert h.machines.changed == []
