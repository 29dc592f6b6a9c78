"""Which calls a change would have come to that somebody may not make: what the audit trail names."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from ubmc.kit import schema
from ubmc.protocols.redfish.resource import Found
from ubmc.protocols.redfish.tree import TREE
from ubmc.services.websrv.redfish.context import Families, Rpc
from ubmc.services.websrv.redfish.families import families
from ubmc.services.websrv.redfish.mount import offered
from ubmc.services.websrv.redfish.refusals import calls_behind
from ubmc.v1alpha1.access_pb import Privilege

FAMILIES = Families(families(), offered(TREE))
SYSTEM = "/redfish/v1/Systems/host.0"
ACCOUNT = "/redfish/v1/AccountService/Accounts/admin"
NO_SERVICE = ("VirtualMedia", "VolumeCollection", "UpdateService")


def found(path: str) -> Found:
    """What is at a path that exists."""
    at = TREE.find(path)
    assert at is not None, path
    return at


def names(path: str, method: str, body: object = None) -> list[str]:
    """The calls behind a change, as people know them."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return [f"{rpc.short}.{rpc.method}" for rpc in calls_behind(FAMILIES, found(path), method, data)]


@pytest.mark.parametrize(
    ("path", "method", "body", "expected"),
    [
        (f"{SYSTEM}/Actions/ComputerSystem.Reset", "POST", {"ResetType": "On"}, ["HostService.ChangeHostPower"]),
        (SYSTEM, "PATCH", {"Boot": {"BootSourceOverrideTarget": "Pxe"}}, ["HostService.UpdateHost"]),
        (SYSTEM, "PATCH", {"AssetTag": "7"}, ["InventoryService.UpdateAsset"]),
        (
            SYSTEM,
            "PATCH",
            {"AssetTag": "7", "PowerRestorePolicy": "AlwaysOn", "Boot": {"BootSourceOverrideTarget": "Pxe"}},
            ["HostService.UpdateHost", "InventoryService.UpdateAsset"],
        ),
        (ACCOUNT, "PATCH", {"Password": "x"}, ["UserService.ChangePassword"]),
        (ACCOUNT, "PATCH", {"RoleId": "Administrator"}, ["UserService.UpdateUser"]),
        (ACCOUNT, "DELETE", None, ["UserService.DeleteUser"]),
        ("/redfish/v1/AccountService/Accounts", "POST", {}, ["UserService.CreateUser"]),
        (
            "/redfish/v1/Managers/bmc.0/NetworkProtocol",
            "PATCH",
            {"NTP": {"NTPServers": []}},
            ["TimeService.UpdateTime"],
        ),
    ],
)
def test_an_attempt_is_known_by_the_call_that_it_would_have_been(
    path: str, method: str, body: object, expected: list[str]
) -> None:
    assert names(path, method, body) == expected


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"Boot": []}', b'{"Boot": "Pxe", "Nothing": 1}'])
def test_an_attempt_that_makes_no_sense_is_one_all_the_same(body: bytes) -> None:
    assert names(SYSTEM, "PATCH", body) == [
        "HostService.UpdateHost",
        "InventoryService.UpdateAsset",
        "ChassisService.SetChassisIdentify",
    ]


def _changes() -> Iterator[tuple[str, tuple[Privilege, ...], list[Rpc]]]:
    for resource in TREE:
        for action in resource.actions:
            rpc = FAMILIES.actions[(resource.template, action.name)].rpc
            yield f"{resource.type} {action.name}", action.needs, [rpc] if rpc is not None else []
        calls = [unit.rpc for unit in FAMILIES.patches.get(resource.template, ())]
        if resource.create is not None and not resource.open_create:
            calls.append(FAMILIES.creates[resource.template].rpc)
        if resource.delete:
            calls.append(FAMILIES.deletes[resource.template].rpc)
        if calls:
            yield resource.type, resource.write, [rpc for rpc in calls if rpc is not None]


def test_whoever_lacks_what_a_change_needs_may_not_make_a_call_behind_it() -> None:
    """Otherwise nobody could be asked to refuse it, and it would not be recorded."""
    known = schema.load()
    seen = 0
    for what, needs, rpcs in _changes():
        if not rpcs:
            assert what.startswith(NO_SERVICE), what
            continue
        seen += 1
        assert any(known.method(rpc).privilege in needs for rpc in rpcs), what
        for rpc in rpcs:
            assert not known.method(rpc).side_effect_free, what
    assert seen > 20
