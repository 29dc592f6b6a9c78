"""What a resource is: where, of which type, who may do what with it, and how it is built. Families are tables of these.

Reading follows DMTF's privilege registry. Who may change something is decided by the schema at the RPC behind it; the
privilege here is only asked first, so that nobody learns from a message about a body whether it would have worked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.shape import Shape
from ubmc.protocols.redfish.types import odata_type
from ubmc.v1alpha1.access_pb import Privilege

Params = Mapping[str, str]
Body = dict[str, Any]
Builder = Callable[[View, Params], Body | None]

LOGIN = (Privilege.LOGIN,)
SELF = (Privilege.CONFIGURE_SELF,)
SELF_OR_MANAGER = (Privilege.CONFIGURE_SELF, Privilege.CONFIGURE_MANAGER)
USERS = (Privilege.CONFIGURE_USERS,)
COMPONENTS = (Privilege.CONFIGURE_COMPONENTS,)
MANAGER = (Privilege.CONFIGURE_MANAGER,)
PUBLIC: tuple[Privilege, ...] = ()
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done with a resource, by POST to `{resource}/Actions/{name}`."""

    name: str
    """`ComputerSystem.Reset`"""
    parameters: Shape = field(default_factory=dict)
    needs: tuple[Privilege, ...] = COMPONENTS
    info: str = ""
    """The name of its ActionInfo resource below the same URI; none if empty."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of resource at one URI template."""

    template: str
    """`/redfish/v1/Systems/{system}`"""
    type: str
    """`ComputerSystem`; the version comes from `types.py`."""
    build: Builder | None = None
    """Makes the body without `@odata.id`, `@odata.type` and `@odata.etag`; gives None where nothing is. A resource
    without a builder is loaded live, by the services' part of its family."""
    read: tuple[Privilege, ...] = LOGIN
    """Any one of these; empty is everybody, also without logging in."""
    write: tuple[Privilege, ...] = COMPONENTS
    """Any one of these, for PATCH, POST and, if `remove` does not say otherwise, DELETE."""
    remove: tuple[Privilege, ...] = ()
    """Any one of these, for DELETE; empty: as `write`."""
    patch: Shape | None = None
    """What can be changed."""
    create: Shape | None = None
    """What can be sent to make a member (collections)."""
    open_create: bool = False
    """Members can be made without logging in (sessions)."""
    delete: bool = False
    actions: tuple[Action, ...] = ()
    apply_times: tuple[str, ...] = ("Immediate",)
    """When changes can be made; who changes something may say one of these by `@Redfish.SettingsApplyTime`."""
    volatile: tuple[str, ...] = ()
    """Properties that do not count for the ETag: a clock."""
    pages: bool = False
    """It is loaded live and does `$top` and `$skip` itself."""
    about: str = ""
    """One line for the resource map in the documentation."""

    @property
    def collection(self) -> bool:
        """Whether it has members."""
        return self.type.endswith("Collection")

    @property
    def methods(self) -> tuple[str, ...]:
        """What it takes, as in the header Allow."""
        found = ["GET", "HEAD"]
        if self.patch is not None:
            found.append("PATCH")
        if self.create is not None:
            found.append("POST")
        if self.delete:
            found.append("DELETE")
        return (*found, "OPTIONS")

    def needs(self, method: str) -> tuple[Privilege, ...]:
        """Which privileges a method needs, any one of these; none for what everybody may."""
        if method in ("GET", "HEAD"):
            return self.read
        if method == "POST" and self.open_create:
            return PUBLIC
        return (self.remove or self.write) if method == "DELETE" else self.write

    @property
    def odata_type(self) -> str:
        """Its `@odata.type`."""
        return odata_type(self.type)


@dataclass(frozen=True, slots=True)
class Found:
    """What a path leads to."""

    resource: Resource
    params: Params
    action: Action | None = None


class Tree:
    """All resources by their paths.

    Raises:
        ValueError: two resources are at the same place.
    """

    def __init__(self, resources: Sequence[Resource]) -> None:
        self.resources = tuple(resources)
        self._root: dict[str | None, Any] = {}
        for resource in resources:
            self._place(resource)

    def _place(self, resource: Resource) -> None:
        node: dict[str | None, Any] = self._root
        for segment in resource.template.strip("/").split("/"):
            key = "{}" if segment.startswith("{") else segment
            node = node.setdefault(key, {})
        if None in node:
            raise ValueError(f"two resources are at {resource.template}")
        node[None] = resource

    def find(self, path: str) -> Found | None:
        """What is at a path; one slash at its end is the same as none (DSP0266, "Resource URIs")."""
        segments = path.strip("/").split("/") if path.startswith("/") and "//" not in path else []
        found = self._resource(segments)
        if found is not None:
            return found
        if len(segments) > 2 and segments[-2] == "Actions":
            found = self._resource(segments[:-2])
            if found is not None:
                for action in found.resource.actions:
                    if action.name == segments[-1]:
                        return Found(found.resource, found.params, action)
        return None

    def _resource(self, segments: Sequence[str]) -> Found | None:
        node: Any = self._root
        values: list[str] = []
        for segment in segments:
            if segment in node and segment != "{}":
                node = node[segment]
            elif "{}" in node and segment:
                node = node["{}"]
                values.append(segment)
            else:
                return None
        resource = node.get(None)
        if resource is None:
            return None
        names = _PLACE.findall(resource.template)
        return Found(resource, dict(zip(names, values, strict=True)))

    def __iter__(self) -> Iterator[Resource]:
        return iter(self.resources)


def uri(template: str, params: Params) -> str:
    """The path of one resource."""
    return _PLACE.sub(lambda match: params[match[1]], template)


def link(path: str) -> Body:
    """A reference to a resource."""
    return {"@odata.id": path}


def members(base: str, names: Sequence[str]) -> Body:
    """What a collection is made of."""
    return {"Members": [link(f"{base}/{name}") for name in names], "Members@odata.count": len(names)}


def links(paths: Sequence[str]) -> list[Body]:
    """References to some resources."""
    return [link(path) for path in paths]


def known(body: Mapping[str, Any]) -> Body:
    """Without what is not known: properties whose value is None or an empty string. Null is said by `NULL`."""
    return {name: None if value is NULL else value for name, value in body.items() if value is not None and value != ""}


class _Null:
    """A property that is there and has no value."""


NULL = _Null()
