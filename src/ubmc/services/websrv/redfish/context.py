"""What the handlers of families get and give: one request, and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ubmc.kit.errors import Unauthenticated
from ubmc.kit.schema import Schema
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.query import Query
from ubmc.protocols.redfish.resource import Body, Found, Params
from ubmc.protocols.redfish.shape import Values
from ubmc.rpc import Req, Res, Unary
from ubmc.services.websrv.forward import CALL_SECONDS, Forwarder
from ubmc.services.websrv.http.asgi import Receive, Scope, Send
from ubmc.services.websrv.identities import Identity
from ubmc.services.websrv.peer import Peer
from ubmc.services.websrv.redfish.model import Model
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.task_pb import Task


@dataclass(slots=True)
class Context:
    """One request to one resource, with the identity of who makes it."""

    path: str
    found: Found
    headers: Mapping[str, str]
    peer: Peer
    identity: Identity | None
    view: View
    model: Model
    forwarder: Forwarder
    schema: Schema

    @property
    def params(self) -> Params:
        """What stands in the places of the template."""
        return self.found.params

    @property
    def user(self) -> str:
        """Who asks; empty if nobody is logged in."""
        return self.identity.principal.user if self.identity is not None else ""

    def may(self, *privileges: Privilege) -> bool:
        """Whether the caller has one of these."""
        return self.identity is not None and any(each in self.identity.principal.privileges for each in privileges)

    async def call(self, token: Unary[Req, Res], request: Req, seconds: float = CALL_SECONDS) -> Res:
        """Call a service for the caller: with their identity, checked, audited and traced like at every other door.

        Raises:
            UbmcError: what the service answers, or that the caller may not.
        """
        method = self.schema.method(token)
        if method.public:
            admitted = await self.forwarder.admit(method, self.headers, self.peer)
        elif self.identity is None:
            raise Unauthenticated("log in first: POST /redfish/v1/SessionService/Sessions")
        else:
            admitted = await self.forwarder.authorize(method, self.identity, self.headers, self.peer)
        answer = await self.forwarder.call(admitted, request, seconds)
        assert isinstance(answer, token.response)
        return answer


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an action."""

    body: Body | None = None
    """What it answers; without one it is 204."""
    task: Task | None = None
    """Tells how it ends. Who prefers (`Prefer: respond-async`) gets 202 and the monitor of this task."""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """A new member of a collection."""

    path: str
    body: Body | None = None
    """What is answered; without one, the new resource as anybody reads it."""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """Properties that are changed together by one call."""

    paths: tuple[str, ...]
    """`Boot/BootSourceOverrideTarget`, ...: all that `run` takes."""
    run: Callable[[Context, Values], Awaitable[None]]
    """Gets those that were sent. What it raises is told at each of these properties."""
    rpc: Rpc | None
    """As in `By`."""


Handler = TypeVar("Handler")


@dataclass(frozen=True, slots=True)
class By(Generic[Handler]):
    """What carries out a change, and the call by which it does."""

    run: Handler
    rpc: Rpc | None
    """The first call that changes something, which the audit trail names when somebody may not do this. None where no
    service does it."""


Rpc = Unary[Any, Any]
Stream = Callable[["Context", Scope, Receive, Send], Awaitable[None]]
Load = Callable[[Context, Query], Awaitable[Body | None]]
Act = Callable[[Context, Values], Awaitable[Done]]
Create = Callable[[Context, Values], Awaitable[Made]]
Delete = Callable[[Context], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Family:
    """What services do for one family of resources. All keys are templates of `protocols/redfish`."""

    patches: Mapping[str, tuple[Unit, ...]] = field(default_factory=dict)
    actions: Mapping[tuple[str, str], By[Act]] = field(default_factory=dict)
    """By template and name of the action."""
    creates: Mapping[str, By[Create]] = field(default_factory=dict)
    deletes: Mapping[str, By[Delete]] = field(default_factory=dict)
    streams: Mapping[str, Stream] = field(default_factory=dict)
    """By path: what answers a GET itself, bytes and all, to whoever may log in (server-sent events). A path that ends
    in `/*` stands for all below it."""
    loads: Mapping[str, Load] = field(default_factory=dict)
    """Resources that are read live, with the caller's identity, because they are not the same for everybody or too many
    to be kept."""


class Families:
    """All families together.

    Raises:
        ValueError: a resource offers what nobody does, or something is done that no resource offers.
    """

    def __init__(self, families: tuple[Family, ...], offered: frozenset[tuple[str, str]]) -> None:
        self.patches: dict[str, tuple[Unit, ...]] = {}
        self.actions: dict[tuple[str, str], By[Act]] = {}
        self.creates: dict[str, By[Create]] = {}
        self.deletes: dict[str, By[Delete]] = {}
        self.loads: dict[str, Load] = {}
        self.streams: dict[str, Stream] = {}
        for family in families:
            self.patches.update(family.patches)
            self.actions.update(family.actions)
            self.creates.update(family.creates)
            self.deletes.update(family.deletes)
            self.loads.update(family.loads)
            self.streams.update(family.streams)
        done = {
            (template, f"patch {path}") for template, units in self.patches.items() for u in units for path in u.paths
        }
        done |= {(template, f"action {name}") for template, name in self.actions}
        done |= {(template, "create") for template in self.creates}
        done |= {(template, "delete") for template in self.deletes}
        done |= {(template, "load") for template in self.loads}
        if odd := sorted(done ^ offered):
            raise ValueError(f"offered and done differ: {odd}")


def text(value: Any) -> str:
    """A value as a service takes it where empty means none."""
    return "" if value is None else str(value)
