"""Bodies of right names and wrong values, through the whole program: each is done or refused, none finds a bug.

What `check_patch` alone lets through comes to the handlers of the families and to the services behind them.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.harness.program import Program, until

from ubmc.protocols.redfish.resource import Resource
from ubmc.protocols.redfish.shape import Prop, Shape, leaves
from ubmc.protocols.redfish.tree import TREE
from ubmc.protocols.redfish.types import ROOT

pytestmark = pytest.mark.e2e

SEED = 20_261_123
BODIES = 4000
AT_A_TIME = 25
"""Members of one collection that are looked at."""
LOCKS_OUT = {
    "AccountService": {
        "MultiFactorAuth/ClientCertificate/Enabled",
        "MultiFactorAuth/ClientCertificate/RespondToUnauthenticatedClients",
    },
    "Manager": {"ResetType"},
    "ManagerAccount": {
        "Password",
        "NewPassword",
        "SessionAccountPassword",
        "Enabled",
        "RoleId",
        "PasswordChangeRequired",
    },
    "SecurityPolicy": {"TLS/Server/VerifyCertificate"},
    "SessionService": {"SessionTimeout"},
}
"""What could be right by chance, and would end the test: only values of another type are sent for these."""
GOOD: dict[str, Any] = {
    "CertificateCollection": {"@odata.id": "/redfish/v1/Managers/bmc.0/NetworkProtocol/HTTPS/Certificates"},
    "CertificateUri": {"@odata.id": "/redfish/v1/Managers/bmc.0/NetworkProtocol/HTTPS/Certificates/https"},
    "CommonName": "bmc.example.org",
    "Destination": "https://192.0.2.1/events",
    "Image": "https://192.0.2.1/image.iso",
    "ImageURI": "https://192.0.2.1/image.iso",
    "MessageId": "Ubmc.1.0.HostStateChanged",
    "Password": "long enough for anybody",
    "RoleId": "Operator",
    "UserName": "olga",
}
"""What gets a body past what is required, so that the rest of it is looked at."""
MEMBERS = ("Address", "Gateway", "SubnetMask", "PrefixLength", "RemoteGroup", "LocalRole", "MetricId",
           "MetricProperties", "CollectionFunction", "Name", "Values", "Bogus")  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 5, 2**31, 2**63 - 1, 2**64, 1.5, -0.0, 1e308, 5e-324,
    "", " ", "x", "\0", "\ufeff", "5", "..", "a/b~c", "x" * 3000, "None", "Enabled", "On",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-30T00:00:00Z", "2026-11-23T05:00:00Z",
    "P1Y", "PT0S", "PT9999999999H", "PT1S", "P" + "9" * 400 + "D",
    "ldap://[bad", "ldaps://a:99999999", "https://[::1", "https://x", "10.0.0.1", "255.255.255.0", "::1",
    "fe80::1%x", "0.0.0.0/0",
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "/redfish/v1/Nope#/x", "+14:00",
    [], [None], [{}], [[]], [""], ["x"], [5], ["1.3"], ["::1"], [{"@odata.id": 5}], [{"@odata.id": "/x"}], ["x"] * 400,
    {}, {"": 1}, {"@odata.id": None}, {"@odata.id": "/redfish/v1/Managers/bmc.0"}, {"x": {"y": [1, {"z": None}]}},
    {"a/b": "x"},
)  # fmt: skip


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("bodies") / "state") as running:
        running.login()
        yield running


def places(rf: httpx.Client) -> list[tuple[str, Resource]]:
    """All that can be written, found by following links; the last one found of each kind."""
    found: dict[str, tuple[str, Resource]] = {}
    seen, waiting = {ROOT}, [ROOT]
    while waiting:
        path = waiting.pop()
        at = TREE.find(path)
        assert at is not None, path
        answer = rf.get(path)
        if answer.status_code != 200:
            continue
        found[at.resource.template] = (path, at.resource)
        for link in _links(answer.json()):
            if link not in seen and "#" not in link and TREE.find(link) is not None:
                seen.add(link)
                waiting.append(link)
    return [
        (path, resource) for path, resource in found.values() if resource.patch or resource.create or resource.actions
    ]


def _links(value: Any) -> list[str]:
    if isinstance(value, list):
        return [link for each in value[:AT_A_TIME] for link in _links(each)]
    if not isinstance(value, dict):
        return []
    own = [value["@odata.id"]] if set(value) == {"@odata.id"} else []
    return own + [link for each in value.values() for link in _links(each)]


def spec_of(shape: Shape, path: str) -> Prop:
    spec: Any = shape
    for name in path.split("/"):
        spec = spec[name]
    assert isinstance(spec, Prop)
    return spec


def value(dice: random.Random, name: str, spec: Prop, *, wrong: bool) -> Any:
    """Something that might be sent for a property: of its type or of any other."""
    if wrong:
        kinds = {"boolean": bool, "integer": int, "string": str}
        fits = kinds.get(spec.kind, object)
        return dice.choice([each for each in ODD if not isinstance(each, fits)] if fits is not object else [None])
    roll = dice.random()
    if spec.required and name in GOOD and roll < 0.8:
        return GOOD[name]
    if spec.values and roll < 0.3:
        chosen = dice.choice(spec.values)
        return [chosen] if spec.kind == "strings" else chosen
    if spec.kind in ("integer", "number") and roll < 0.5:
        return dice.choice([spec.minimum or 0, spec.maximum or 9, 7])
    if spec.kind == "array" and roll < 0.8:
        names = tuple(spec.items) if spec.items else MEMBERS
        return [
            {dice.choice(names): dice.choice(ODD) for _ in range(dice.randint(0, 3))} for _ in range(dice.randint(1, 2))
        ]
    if spec.kind == "strings" and roll < 0.8:
        return [dice.choice([each for each in ODD if isinstance(each, str)])]
    if spec.kind == "time" and roll < 0.6:
        return dice.choice([each for each in ODD if isinstance(each, str) and "T" in each])
    if spec.kind == "object" and roll < 0.7:
        return {dice.choice(("NetworkBoot", "a/b~c", "", "x")): dice.choice(ODD)}
    return dice.choice(ODD)


def body(dice: random.Random, resource: Resource, shape: Shape) -> dict[str, Any]:
    """Some properties of a shape, and everything that a new member or an action needs."""
    paths = leaves(shape)
    chosen = {path for path in paths if spec_of(shape, path).required and dice.random() < 0.9}
    chosen |= set(dice.sample(paths, min(len(paths), dice.randint(1, 3))))
    found: dict[str, Any] = {}
    for path in sorted(chosen):
        node = found
        *way, last = path.split("/")
        for name in way:
            node = node.setdefault(name, {})
        node[last] = value(dice, last, spec_of(shape, path), wrong=path in LOCKS_OUT.get(resource.type, ()))
    return found


def furnish(rf: httpx.Client) -> None:
    """Make one of everything that can be made, so that it can be changed."""
    sensor = "/redfish/v1/Chassis/chassis.0/Sensors/inlet_temp#/Reading"
    wanted: dict[str, dict[str, Any]] = {
        "AccountService/Accounts": {"UserName": "otto", "Password": GOOD["Password"], "RoleId": "ReadOnly"},
        "AccountService/Roles": {"RoleId": "watcher", "AssignedPrivileges": ["Login"]},
        "EventService/Subscriptions": {"Destination": GOOD["Destination"], "Protocol": "Redfish"},
        "TelemetryService/MetricReportDefinitions": {
            "Id": "air",
            "MetricReportDefinitionType": "OnRequest",
            "MetricProperties": [sensor],
        },
        "TelemetryService/Triggers": {
            "Id": "hot",
            "MetricProperties": [sensor],
            "NumericThresholds": {"UpperCritical": {"Reading": 60}},
        },
    }
    for place, sent in wanted.items():
        made = rf.post(f"{ROOT}/{place}", json=sent)
        assert made.status_code == 201, made.text


def requests(path: str, resource: Resource) -> Iterator[tuple[str, str, Shape]]:
    """Ways to change a resource."""
    if resource.patch:
        yield "PATCH", path, resource.patch
    if resource.create:
        yield "POST", path, resource.create
    for action in resource.actions:
        if action.parameters:
            yield "POST", f"{path}/Actions/{action.name}", action.parameters


def ask(rf: httpx.Client, method: str, path: str, data: bytes) -> httpx.Response:
    """One request; again on a new connection where a new policy of TLS has ended the one that there was."""

    def once() -> httpx.Response | None:
        with contextlib.suppress(httpx.RemoteProtocolError, httpx.ConnectError, httpx.ReadError):
            return rf.request(method, path, content=data, headers={"content-type": "application/json"})
        return None

    return until(once, 10, f"an answer to {method} {path}")


def test_no_body_is_a_bug(program: Program) -> None:
    dice = random.Random(SEED)
    with program.client(headers={"x-auth-token": program.token}) as rf:
        furnish(rf)
        ways = [
            (resource, *way)
            for path, resource in places(rf)
            if not resource.open_create
            for way in requests(path, resource)
        ]
        assert len(ways) > 20
        counts: Counter[int] = Counter()
        for number in range(BODIES):
            resource, method, path, shape = ways[number % len(ways)]
            sent = body(dice, resource, shape)
            data = json.dumps(sent).encode()
            answer = ask(rf, method, path, data)
            counts[answer.status_code] += 1
            assert answer.status_code not in (500, 401), f"{number}: {method} {path} {data[:2000]!r}: {answer.text}"
            answer.json() if answer.content else None
    assert counts[400] > BODIES / 4, counts
    assert counts[200] + counts[201] > BODIES / 20, counts
