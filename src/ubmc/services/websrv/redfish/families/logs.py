"""Log services: pages of the event log and of the audit trail, read with the caller's own rights."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import lru_cache

from ubmc.kit.schema import Schema
from ubmc.protocols.redfish import layout, logs
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.origin import origin
from ubmc.protocols.redfish.query import Query
from ubmc.protocols.redfish.registry import kinds
from ubmc.protocols.redfish.resource import Body
from ubmc.protocols.redfish.shape import Values
from ubmc.protocols.redfish.types import odata_type
from ubmc.services.websrv.redfish.context import Context, Done, Family, Load
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
from ubmc.v1alpha1.security_pb import AuditRecord, ListAuditRecordsRequest, VerifyAuditRequest
from ubmc.v1alpha1.security_rpc import SecurityService

TOP = 50
"""So many entries come at once where the client does not say."""
MOST = 500
PAGE = 1000
_EVENT_LOG = f"{logs.OF_MANAGER}/{logs.EVENT_LOG}"
_AUDIT = f"{logs.OF_MANAGER}/{logs.AUDIT}"
_SEL = f"{logs.OF_SYSTEM}/{logs.SEL}"


@lru_cache(maxsize=1)
def _kinds(schema: Schema) -> dict[str, EventKind]:
    return kinds(schema.events.values())


def _there(context: Context) -> bool:
    """Whether the manager or system of a log is there."""
    manager, system = context.params.get("manager"), context.params.get("system")
    if manager is not None:
        return layout.controller(context.view, manager) is not None
    return system is not None and layout.host(context.view, system) is not None


def _place(view: View, component: str) -> str | None:
    """Where a component is that is there now."""
    if component in view.table("sensor").names():
        return origin(component, sensor=True, chassis=layout.chassis_of(view, component))[1]
    for kind in ("host", "chassis", "controller"):
        if component in view.table(kind).names():
            return origin(component)[1]
    return None


def _entry(context: Context, event: Event, base: str) -> Body:
    sel = f"/{logs.SEL}/" in f"{base}/"
    body = logs.entry(event, _kinds(context.schema), lambda component: _place(context.view, component), sel=sel)
    return _placed(base, body)


def _placed(base: str, body: Body) -> Body:
    return {"@odata.id": f"{base}/{body['Id']}", "@odata.type": odata_type("LogEntry"), **body}


# --- the event log ------------------------------------------------------------------------------------------------


async def _state(context: Context) -> EventLogState:
    return (await context.call(EventService.GetEventLog, GetEventLogRequest())).log or EventLogState()


async def _service(context: Context, _query: Query) -> Body | None:
    return logs.log_service(context.path, await _state(context)) if _there(context) else None


async def _events(context: Context) -> AsyncIterator[Event]:
    """All events, the newest first."""
    request = ListEventsRequest(page_size=PAGE, newest_first=True)
    while True:
        answer = await context.call(EventService.ListEvents, request)
        for event in answer.events:
            yield event
        if not answer.next_page_token:
            return
        request = ListEventsRequest(page_size=PAGE, newest_first=True, page_token=answer.next_page_token)


def _window(query: Query) -> tuple[int, int]:
    return query.skip, min(query.top if query.top is not None else TOP, MOST)


async def _entries(context: Context, query: Query) -> Body | None:
    if not _there(context):
        return None
    total = (await _state(context)).count
    skip, top = _window(query)
    found: list[Body] = []
    at = 0
    if top and skip < total:
        async for event in _events(context):
            at += 1
            if at > skip:
                found.append(_entry(context, event, context.path))
            if len(found) >= top:
                break
    return logs.page(context.path, found, max(total, skip + len(found)), skip, top)


async def _one(context: Context, _query: Query) -> Body | None:
    number = context.params["entry"]
    if not _there(context) or not (number.isascii() and number.isdecimal()) or not 0 < len(number) < 19:
        return None
    event = (await context.call(EventService.GetEvent, GetEventRequest(id=int(number)))).event
    if event is None:
        return None
    return _entry(context, event, context.path.rpartition("/")[0])


async def _delete(context: Context) -> None:
    await context.call(EventService.DeleteEvent, DeleteEventRequest(id=int(context.params["entry"])))


async def _clear(context: Context, _values: Values) -> Done:
    await context.call(EventService.ClearEvents, ClearEventsRequest())
    return Done()


# --- the audit trail ----------------------------------------------------------------------------------------------


async def _audit(context: Context, _query: Query) -> Body | None:
    return logs.audit_service(context.path) if _there(context) else None


async def _records(context: Context) -> AsyncIterator[AuditRecord]:
    request = ListAuditRecordsRequest(page_size=PAGE, newest_first=True)
    while True:
        answer = await context.call(SecurityService.ListAuditRecords, request)
        for record in answer.records:
            yield record
        if not answer.next_page_token:
            return
        request = ListAuditRecordsRequest(page_size=PAGE, newest_first=True, page_token=answer.next_page_token)


async def _audit_entries(context: Context, query: Query) -> Body | None:
    if not _there(context):
        return None
    total = (await context.call(SecurityService.VerifyAudit, VerifyAuditRequest())).count
    skip, top = _window(query)
    found: list[Body] = []
    at = 0
    if top and skip < total:
        async for record in _records(context):
            at += 1
            if at > skip:
                found.append(_placed(context.path, logs.audit_entry(record)))
            if len(found) >= top:
                break
    return logs.page(context.path, found, max(total, skip + len(found)), skip, top)


async def _audit_entry(context: Context, _query: Query) -> Body | None:
    if not _there(context):
        return None
    async for record in _records(context):
        if str(record.id) == context.params["entry"]:
            return _placed(context.path.rpartition("/")[0], logs.audit_entry(record))
    return None


_LOADS: dict[str, Load] = {
    _AUDIT: _audit,
    f"{_AUDIT}/Entries": _audit_entries,
    f"{_AUDIT}/Entries/{{entry}}": _audit_entry,
}
for _log in (_EVENT_LOG, _SEL):
    _LOADS |= {_log: _service, f"{_log}/Entries": _entries, f"{_log}/Entries/{{entry}}": _one}

FAMILY = Family(
    loads=_LOADS,
    deletes={f"{each}/Entries/{{entry}}": _delete for each in (_EVENT_LOG, _SEL)},
    actions={(each, "LogService.ClearLog"): _clear for each in (_EVENT_LOG, _SEL)},
)
