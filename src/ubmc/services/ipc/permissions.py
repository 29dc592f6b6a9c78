"""Who may publish and subscribe to what, made from what the services of each process declare. Pure.

A process gets exactly: its own inboxes, the calls it answers, the calls it declares, the news it tells and follows, and
the inboxes of those who may ask it. A door gets every call that is not internal, and answers only what it was asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ubmc.kit import subjects
from ubmc.kit.handlers import handlers_of
from ubmc.kit.schema import Method, Schema
from ubmc.kit.service import Service
from ubmc.v1alpha1.system_pb import AuditedCall

EVENTS_STREAM = "EVENTS"
EVENTS_CONSUMER = "eventlog"

_LOG_KEEPER_PUBLISHES = (
    "$JS.API.INFO",
    f"$JS.API.STREAM.CREATE.{EVENTS_STREAM}",
    f"$JS.API.STREAM.UPDATE.{EVENTS_STREAM}",
    f"$JS.API.STREAM.INFO.{EVENTS_STREAM}",
    f"$JS.API.CONSUMER.CREATE.{EVENTS_STREAM}.>",
    f"$JS.API.CONSUMER.DURABLE.CREATE.{EVENTS_STREAM}.{EVENTS_CONSUMER}",
    f"$JS.API.CONSUMER.INFO.{EVENTS_STREAM}.{EVENTS_CONSUMER}",
    f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS_STREAM}.{EVENTS_CONSUMER}",
    f"$JS.ACK.{EVENTS_STREAM}.{EVENTS_CONSUMER}.>",
)


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process: the services in it, and whether it is a door to the network."""

    name: str
    services: tuple[type[Service], ...]
    door: bool = False


@dataclass(frozen=True, slots=True)
class Permissions:
    """What one process may do on the bus."""

    publish: frozenset[str]
    subscribe: frozenset[str]
    allow_responses: bool = False


@dataclass(slots=True)
class _Draft:
    publish: set[str] = field(default_factory=set)
    subscribe: set[str] = field(default_factory=set)


def matrix(processes: Iterable[ProcessSpec], schema: Schema) -> Mapping[str, Permissions]:
    """The permissions of every process.

    Raises:
        ValueError: a service declares a call of an internal RPC that does not name it as a caller, or two processes
            answer the same call.
    """
    specs = tuple(processes)
    drafts = {spec.name: _Draft() for spec in specs}
    owners = _owners(specs, schema)
    for spec in specs:
        draft = drafts[spec.name]
        draft.subscribe |= {f"{subjects.inbox(spec.name)}.>", subjects.stream(spec.name, "*")}
        for service in spec.services:
            _allow_service(draft, service, schema, owners)
        if spec.door:
            _allow_door(draft, schema, owners)
    for spec in specs:
        _allow_answers(spec, specs, drafts[spec.name], schema)
    return {
        spec.name: Permissions(
            frozenset(drafts[spec.name].publish), frozenset(drafts[spec.name].subscribe), allow_responses=spec.door
        )
        for spec in specs
    }


def _owners(specs: tuple[ProcessSpec, ...], schema: Schema) -> dict[str, str]:
    owners: dict[str, str] = {}
    for spec in specs:
        for method in _answered(spec, schema):
            if method.everywhere:
                continue
            if method.name in owners:
                raise ValueError(f"{method.name} is answered by {owners[method.name]} and by {spec.name}")
            owners[method.name] = spec.name
    return owners


def _answered(spec: ProcessSpec, schema: Schema) -> list[Method]:
    return [
        schema.method(handler.what)
        for service in spec.services
        for handler in handlers_of(service)
        if not isinstance(handler.what, type)
    ]


def _allow_service(draft: _Draft, service: type[Service], schema: Schema, owners: Mapping[str, str]) -> None:
    for handler in handlers_of(service):
        if isinstance(handler.what, type):
            draft.subscribe.add(subjects.event(handler.what))
            continue
        method = schema.method(handler.what)
        draft.subscribe.add(subjects.peer(handler.what))
        if not method.internal:
            draft.subscribe.add(subjects.rpc(handler.what))
        if method.audited:
            draft.publish.add(subjects.event(AuditedCall))
    for token in service.calls:
        method = schema.method(token)
        if method.internal and service.name not in method.callers:
            raise ValueError(f"{service.name} calls {method.name}, which does not name it as a caller")
        draft.publish.add(subjects.peer(token))
        if method.streams and method.name in owners:
            draft.publish.add(subjects.stream(owners[method.name], "*"))
    draft.publish |= {subjects.event(news) for news in service.tells}
    if getattr(service, "keeps_log", False):
        draft.publish.update(_LOG_KEEPER_PUBLISHES)


def _allow_door(draft: _Draft, schema: Schema, owners: Mapping[str, str]) -> None:
    for method in schema.methods:
        if method.internal or method.name not in owners:
            continue
        draft.publish.add(subjects.rpc(method.token))
        if method.streams:
            draft.publish.add(subjects.stream(owners[method.name], "*"))


def _allow_answers(spec: ProcessSpec, specs: tuple[ProcessSpec, ...], draft: _Draft, schema: Schema) -> None:
    """The inboxes of those who may ask; a door answers by the server's permission for responses instead."""
    if spec.door:
        return
    answered = _answered(spec, schema)
    names = {method.name for method in answered}
    for other in specs:
        asks = any(schema.method(token).name in names for service in other.services for token in service.calls)
        forwards = other.door and any(not method.internal for method in answered)
        if asks or forwards:
            draft.publish.add(f"{subjects.inbox(other.name)}.>")
