"""Log services: pages of the event log and of the audit trail, read with the caller's own rights."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from functools import cache, lru_cache, partial

from ubmc.kit.schema import Schema
from ubmc.protocols.redfish import logs
from ubmc.protocols.redfish.event_payload import place
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.messages import missing
from ubmc.protocols.redfish.query import Query
from ubmc.protocols.redfish.registry import kinds
from ubmc.protocols.redfish.resource import Body
from ubmc.protocols.redfish.shape import Values
from ubmc.protocols.redfish.tree import TREE
from ubmc.protocols.redfish.types import odata_type
from ubmc.services.websrv.redfish.context import By, Context, Done, Family, Load
from ubmc.v1alpha1.event_kind_pb import EventKind
from ubmc.v1alpha1.event_pb import (
    ClearEventsRequest,
    DeleteEventRequest,
    Event,
    EventLogState,
    GetEventLogRequest,
    GetEventRequest,
    ListEventsRequest,
)
from ubmc.v1alpha1.event_rpc import EventService
from ubmc.v1alpha1.security_pb import (
    GetAuditRecordRequest,
    ListAuditRecordsRequest,
    ListAuditRecordsResponse,
)
from ubmc.v1alpha1.security_rpc import SecurityService

PAGE = 1000
_EVENT_LOG = f"{logs.OF_MANAGER}/{logs.EVENT_LOG}"
_AUDIT = f"{logs.OF_MANAGER}/{logs.AUDIT}"
_SEL = f"{logs.OF_SYSTEM}/{logs.SEL}"


@lru_cache(maxsize=1)
def _kinds(schema: Schema) -> dict[str, EventKind]:
    return kinds(schema.events.values())


def _there(context: Context) -> bool:
    return logs.there(context.view, context.params)


def _there_now(view: View, path: str) -> bool:
    """Whether there is something at a path."""
    found = TREE.find(path)
    if found is None:
        return False
    return found.resource.build is None or found.resource.build(view, found.params) is not None


def _entries_at(context: Context, base: str) -> Callable[[Event], Body]:
    """What makes an event an entry of the log at a path; it looks for each resource once."""
    sel = f"/{logs.SEL}/" in f"{base}/"
    known = _kinds(context.schema)
    there = cache(partial(_there_now, context.view))

    def origin(event: Event) -> str | None:
        path = place(event)[1]
        return path if there(path) else None

    return lambda event: _placed(base, logs.entry(event, known, origin, sel=sel))


def _placed(base: str, body: Body) -> Body:
    return {"@odata.id": f"{base}/{body['Id']}", "@odata.type": odata_type("LogEntry"), **body}


# --- parts of logs ------------------------------------------------------------------------------------------------


async def _first(bodies: AsyncGenerator[Body, None], most: int) -> list[Body]:
    """The first ones."""
    found: list[Body] = []
    async with contextlib.aclosing(bodies):
        async for body in bodies:
            found.append(body)
            if len(found) >= most:
                break
    return found


async def _filtered(context: Context, query: Query, bodies: AsyncGenerator[Body, None]) -> Body:
    """The part that is asked for of those that the filter lets through (DSP0266: `$filter` comes before the others)."""
    assert query.filter is not None
    skip, top = logs.window(query)
    found: list[Body] = []
    total = 0
    async with contextlib.aclosing(bodies):
        async for body in bodies:
            if query.filter(body):
                total += 1
                if skip < total <= skip + top:
                    found.append(body)
    return logs.page(context.path, found, total, query)


def _number(context: Context) -> int | None:
    """The id of the entry that is asked for; None if it can be none."""
    text = context.params["entry"]
    return int(text) if text.isascii() and text.isdecimal() and 0 < len(text) < 19 and int(text) > 0 else None


# --- the event log ------------------------------------------------------------------------------------------------


async def _state(context: Context) -> EventLogState:
    return (await context.call(EventService.GetEventLog, GetEventLogRequest())).log or EventLogState()


async def _service(context: Context, _query: Query) -> Body | None:
    return logs.log_service(context.path, await _state(context)) if _there(context) else None


async def _events(context: Context, size: int, skip: int = 0) -> AsyncGenerator[Body, None]:
    """Entries, the newest first."""
    made = _entries_at(context, context.path)
    request = ListEventsRequest(page_size=size, newest_first=True, skip=skip)
    while True:
        answer = await context.call(EventService.ListEvents, request)
        for event in answer.events:
            yield made(event)
        if not answer.next_page_token:
            return
        request = ListEventsRequest(page_size=size, newest_first=True, page_token=answer.next_page_token)


async def _entries(context: Context, query: Query) -> Body | None:
    if not _there(context):
        return None
    if query.filter is not None:
        return await _filtered(context, query, _events(context, PAGE))
    total = (await _state(context)).count
    skip, top = logs.window(query)
    found = await _first(_events(context, top, skip), top) if top and skip < total else []
    return logs.page(context.path, found, max(total, skip + len(found) if found else 0), query)


async def _one(context: Context, _query: Query) -> Body | None:
    number = _number(context)
    if number is None or not _there(context):
        return None
    event = (await context.call(EventService.GetEvent, GetEventRequest(id=number))).event
    return _entries_at(context, context.path.rpartition("/")[0])(event) if event is not None else None


async def _delete(context: Context) -> None:
    number = _number(context)
    if number is None or not _there(context):
        raise missing(context.path)
    await context.call(EventService.DeleteEvent, DeleteEventRequest(id=number))


async def _clear(context: Context, _values: Values) -> Done:
    await context.call(EventService.ClearEvents, ClearEventsRequest())
    return Done()


# --- the audit trail ----------------------------------------------------------------------------------------------


async def _audit(context: Context, _query: Query) -> Body | None:
    return logs.audit_service(context.path) if _there(context) else None


async def _records(context: Context, first: ListAuditRecordsResponse, size: int) -> AsyncGenerator[Body, None]:
    """Entries, from an answer on."""
    answer = first
    while True:
        for record in answer.records:
            yield _placed(context.path, logs.audit_entry(record))
        if not answer.next_page_token:
            return
        request = ListAuditRecordsRequest(page_size=size, newest_first=True, page_token=answer.next_page_token)
        answer = await context.call(SecurityService.ListAuditRecords, request)


async def _audit_entries(context: Context, query: Query) -> Body | None:
    if not _there(context):
        return None
    skip, top = logs.window(query)
    filtered = query.filter is not None
    size = PAGE if filtered else max(1, top)
    request = ListAuditRecordsRequest(page_size=size, newest_first=True, skip=0 if filtered else skip)
    first = await context.call(SecurityService.ListAuditRecords, request)
    bodies = _records(context, first, size)
    if filtered:
        return await _filtered(context, query, bodies)
    return logs.page(context.path, await _first(bodies, top) if top else [], first.total_size, query)


async def _audit_entry(context: Context, _query: Query) -> Body | None:
    number = _number(context)
    if number is None or not _there(context):
        return None
    record = (await context.call(SecurityService.GetAuditRecord, GetAuditRecordRequest(id=number))).record
    return _placed(context.path.rpartition("/")[0], logs.audit_entry(record)) if record is not None else None


_LOADS: dict[str, Load] = {
    _AUDIT: _audit,
    f"{_AUDIT}/Entries": _audit_entries,
    f"{_AUDIT}/Entries/{{entry}}": _audit_entry,
}
for _log in (_EVENT_LOG, _SEL):
    _LOADS |= {_log: _service, f"{_log}/Entries": _entries, f"{_log}/Entries/{{entry}}": _one}

FAMILY = Family(
    loads=_LOADS,
    deletes={f"{each}/Entries/{{entry}}": By(_delete, EventService.DeleteEvent) for each in (_EVENT_LOG, _SEL)},
    actions={(each, "LogService.ClearLog"): By(_clear, EventService.ClearEvents) for each in (_EVENT_LOG, _SEL)},
)
