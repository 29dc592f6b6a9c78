"""The privileges by their names in Redfish, and the registry of which resource needs which: made of the resources."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ubmc.protocols.redfish.resource import Body, Resource
from ubmc.v1alpha1.access_pb import Privilege

NAMES: dict[Privilege, str] = {
    Privilege.LOGIN: "Login",
    Privilege.CONFIGURE_COMPONENTS: "ConfigureComponents",
    Privilege.CONFIGURE_MANAGER: "ConfigureManager",
    Privilege.CONFIGURE_USERS: "ConfigureUsers",
    Privilege.CONFIGURE_SELF: "ConfigureSelf",
}
BY_NAME = {name: privilege for privilege, name in NAMES.items()}
ORDER = tuple(NAMES.values())
_NOBODY: dict[str, list[str]] = {"Privilege": []}
"""Of what is done without logging in."""


def privilege_registry(resources: Iterable[Resource]) -> Body:
    """Which privileges the methods of each type of resource need; any one of a list is enough.

    The first resource of a type that takes a method says what it needs; one that needs something else is named as an
    exception, with what stands in braces as in the resource map.
    """
    mappings: dict[str, dict[str, Any]] = {}
    exceptions: dict[str, list[Body]] = {}
    for resource in resources:
        if not resource.read:
            continue
        usual = mappings.setdefault(resource.type, {})
        own = _needs(resource)
        for method, needs in own.items():
            usual.setdefault(method, needs)
        if any(usual[method] != needs for method, needs in own.items()):
            exceptions.setdefault(resource.type, []).append({"Targets": [resource.template], "OperationMap": own})
    return {
        "Id": "PrivilegeMap",
        "Name": "Privilege Map",
        "PrivilegesUsed": list(ORDER),
        "OEMPrivilegesUsed": [],
        "Mappings": [
            {"Entity": name, "OperationMap": mappings[name]}
            | ({"ResourceURIOverrides": exceptions[name]} if name in exceptions else {})
            for name in sorted(mappings)
        ],
    }


def _needs(resource: Resource) -> dict[str, Any]:
    """What each method that a resource takes needs."""
    taken = {*resource.methods, *(("POST",) if resource.actions else ())}
    return {
        method: [{"Privilege": [NAMES[one]]} for one in resource.needs(method)] or [_NOBODY]
        for method in ("GET", "HEAD", "PATCH", "PUT", "POST", "DELETE")
        if method in taken
    }
