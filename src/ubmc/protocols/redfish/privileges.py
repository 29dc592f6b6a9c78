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


def privilege_registry(resources: Iterable[Resource]) -> Body:
    """Which privileges the methods of each type of resource need; any one of a list is enough."""
    mappings: dict[str, dict[str, Any]] = {}
    for resource in resources:
        if resource.read:
            _merge(mappings.setdefault(resource.type, {}), resource)
    return {
        "Id": "PrivilegeMap",
        "Name": "Privilege Map",
        "PrivilegesUsed": list(ORDER),
        "OEMPrivilegesUsed": [],
        "Mappings": [{"Entity": name, "OperationMap": mappings[name]} for name in sorted(mappings)],
    }


def _merge(operations: dict[str, Any], resource: Resource) -> None:
    """The first resource of a type says what holds for all of them."""
    for method in ("GET", "HEAD", "PATCH", "PUT", "POST", "DELETE"):
        operations.setdefault(method, [{"Privilege": [NAMES[one]]} for one in resource.needs(method)])
