"""Changing: PATCH, POST of new members, DELETE and actions, checked against what the resource offers, done by RPCs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import orjson

from ubmc.kit.errors import Invalid, UbmcError
from ubmc.protocols.redfish.facts import NotFed
from ubmc.protocols.redfish.messages import Message, RedfishError, of_error, success
from ubmc.protocols.redfish.render import annotate, same_tag
from ubmc.protocols.redfish.resource import Action, Body
from ubmc.protocols.redfish.shape import (
    Shape,
    Values,
    check_action,
    check_apply_time,
    check_new,
    check_patch,
    is_of_value,
    of_action,
    parse,
)
from ubmc.protocols.redfish.types import ROOT
from ubmc.services.websrv.redfish.cache import Rendered
from ubmc.services.websrv.redfish.context import Context, Done, Families, Made, Unit
from ubmc.services.websrv.redfish.families.blame import blamed, same
from ubmc.services.websrv.redfish.reader import Reader

MONITORS = f"{ROOT}/TaskService/TaskMonitors"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a change answers."""

    status: int
    body: Body | None = None
    resource: Rendered | None = None
    """The resource as it is now, instead of a body."""
    headers: tuple[tuple[str, str], ...] = ()


class Writer:
    """Carries out what callers want changed."""

    def __init__(self, reader: Reader, families: Families) -> None:
        self._reader = reader
        self._families = families
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # --- PATCH ----------------------------------------------------------------------------------------------------

    async def patch(self, context: Context, data: bytes) -> Outcome:
        """Change properties; what works is done, and what does not is told beside the property.

        Raises:
            RedfishError: nothing was changed.
        """
        lock = self._locks.setdefault(context.path, asyncio.Lock())
        async with lock:  # of many who change the same with the same If-Match, one wins and the others hear 412
            return await self._patch(context, data)

    async def _patch(self, context: Context, data: bytes) -> Outcome:
        resource = context.found.resource
        assert resource.patch is not None
        now = await self._reader.read(context)
        _check_tag(context.headers, now)
        body = parse(data)
        if not body:
            raise RedfishError(400, Message("EmptyJSON"))
        check_apply_time(body, resource.apply_times)
        checked = check_patch(resource.patch, body, orjson.loads(now.data))
        if not checked.values and not checked.problems:
            raise RedfishError(400, Message("NoOperation"))
        units = self._families.patches[resource.template]
        refusals, done = await self._run(context, units, checked.values)
        problems = [*checked.problems, *(message for refused in refusals for message in refused.messages)]
        if not done:
            told = refusals[0] if refusals and not checked.problems else RedfishError(400)
            raise RedfishError(told.status, *problems, retry_seconds=told.retry_seconds)
        try:
            after = await self._reader.read(context)
        except UbmcError:  # whoever changes their own password may have to log in again; it is changed all the same
            return Outcome(200, annotate({}, tuple(problems))) if problems else Outcome(204)
        if problems:
            return Outcome(200, annotate(orjson.loads(after.data), tuple(problems)), headers=_tags(after))
        return Outcome(200, resource=after)

    async def _run(self, context: Context, units: Iterable[Unit], values: Values) -> tuple[list[RedfishError], bool]:
        """Do what concerns the values: what went wrong, and whether anything was done."""
        refusals: list[RedfishError] = []
        done = False
        for unit in units:
            wanted = {path: values[path] for path in unit.paths if path in values}
            if not wanted:
                continue
            try:
                await _fed(context, unit.run(context, wanted))
                done = True
            except UbmcError as error:
                refused = of_error(error, context.path, _blamed(error, wanted) or tuple(wanted))
                if error.name in ("unauthenticated", "denied") and not done:
                    raise refused from None
                refusals.append(refused)
            except RedfishError as error:
                refusals.append(error)
        return refusals, done

    # --- POST -----------------------------------------------------------------------------------------------------

    async def create(self, context: Context, data: bytes) -> Outcome:
        """Make a member of a collection."""
        resource = context.found.resource
        assert resource.create is not None
        values = _new(resource.create, data)
        with _telling(context.path, values):
            made = await _fed(context, self._families.creates[resource.template].run(context, values))
        headers = (("location", made.path), *made.headers)
        if made.body is not None:
            return Outcome(201, made.body, headers=headers)
        return Outcome(201, resource=await self._made(context, made), headers=headers)

    async def _made(self, context: Context, made: Made) -> Rendered:
        found = self._reader.find(made.path)
        inner = Context(
            made.path,
            found,
            context.headers,
            context.peer,
            context.identity,
            self._reader.view(),
            context.model,
            context.forwarder,
            context.schema,
        )
        return await self._reader.read(inner)

    async def act(self, context: Context, action: Action, data: bytes) -> Outcome:
        """Do an action. `If-Match` has no say here: clients send it along without meaning it (FIELD, 22)."""
        resource = context.found.resource
        now = orjson.loads((await self._reader.read(context)).data)
        offered = now.get("Actions", {}).get(f"#{action.name}")
        if offered is None:
            raise RedfishError(400, Message("ActionNotSupported", (action.name,)))
        checked = check_action(action.name, action.parameters, parse(data) if data.strip() else {}, offered)
        if checked.problems:
            raise RedfishError(400, *checked.problems)
        work = self._families.actions[(resource.template, action.name)].run(context, checked.values)
        with _telling(context.path, checked.values, action.name):
            done = await _fed(context, work)
        return _acted(done, context.headers)

    # --- DELETE ---------------------------------------------------------------------------------------------------

    async def delete(self, context: Context) -> Outcome:
        """Delete a member.

        Raises:
            RedfishError: 412, it is not what `If-Match` says.
        """
        lock = self._locks.setdefault(context.path, asyncio.Lock())
        async with lock:
            _check_tag(context.headers, await self._reader.read(context))
            await _fed(context, self._families.deletes[context.found.resource.template].run(context))
        return Outcome(204)


async def _fed(context: Context, work: Any) -> Any:
    """Let a handler work; a fact that it lacks is no fault of the caller."""
    try:
        return await work
    except NotFed as error:
        await context.model.fed(error.kind)
        raise RedfishError(503, Message("ServiceTemporarilyUnavailable", ("1",)), retry_seconds=1) from None


def _new(shape: Shape, data: bytes) -> Values:
    body = parse(data)
    if not body:
        raise RedfishError(400, Message("EmptyJSON"))
    checked = check_new(shape, body)
    if checked.problems:
        raise RedfishError(400, *checked.problems)
    return checked.values


def _acted(done: Done, headers: Mapping[str, str]) -> Outcome:
    if done.task is not None and "respond-async" in headers.get("prefer", ""):
        return Outcome(202, _accepted(done), headers=(("location", f"{MONITORS}/{done.task.id}"),))
    if done.body is None and done.status == 200:
        return Outcome(200, success(), headers=done.headers)
    return Outcome(done.status, done.body, headers=done.headers)


def _accepted(done: Done) -> Body:
    assert done.task is not None
    return {
        "@odata.id": f"{ROOT}/TaskService/Tasks/{done.task.id}",
        "@odata.type": "#Task.v1_7_4.Task",
        "Id": done.task.id,
        "Name": done.task.id,
        "TaskState": "Running",
        "TaskMonitor": f"{MONITORS}/{done.task.id}",
    }


def _check_tag(headers: Mapping[str, str], now: Rendered) -> None:
    asked = headers.get("if-match", "")
    if asked and not same_tag(asked, now.tag):
        raise RedfishError(412, Message("PreconditionFailed"))


def _tags(rendered: Rendered) -> tuple[tuple[str, str], ...]:
    return (("etag", rendered.tag.decode()),)


def _blamed(error: UbmcError, values: Values) -> tuple[str, ...]:
    """The properties that an error is about, by their names; none if it says no name that was sent."""
    return blamed(error, {path.rpartition("/")[2]: path for path in values})


@contextlib.contextmanager
def _telling(path: str, values: Values, action: str = "") -> Iterator[None]:
    """Turn what services say about fields into what was sent: properties, or the parameters of an action."""
    try:
        yield
    except Invalid as error:
        refused = of_error(error, path, _blamed(error, values))
    except RedfishError as error:
        refused = error
    else:
        return
    if action:
        messages = [_of_parameter(message, action, values) for message in refused.messages]
        refused = RedfishError(refused.status, *messages, retry_seconds=refused.retry_seconds)
    raise refused


def _of_parameter(message: Message, action: str, values: Values) -> Message:
    """About the parameter that it names, in our words or in the service's; else about the only one there is."""
    if not is_of_value(message):
        return message
    said = message.related or message.args[:1]
    parameter = next((name for name in values for each in said if same(name) == same(each.removeprefix("/"))), "")
    parameter = parameter or (next(iter(values)) if len(values) == 1 else "")
    return of_action(message, action, parameter) if parameter else message
