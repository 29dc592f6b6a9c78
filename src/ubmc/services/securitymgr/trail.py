"""From the event log to the audit trail: follows the log, and remembers with each record up to where it was read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from functools import partial

from prometheus_client import CollectorRegistry, Counter

from ubmc.kit import tracing
from ubmc.kit.bus import Bus
from ubmc.kit.errors import Invalid, NotFound, UbmcError, Violation
from ubmc.kit.tracing import Trace
from ubmc.kit.trouble import Trouble
from ubmc.services.securitymgr import audit
from ubmc.services.securitymgr.audit import Entry, Part
from ubmc.services.securitymgr.floods import FOLD_SECONDS, Floods
from ubmc.services.securitymgr.store import Store
from ubmc.v1alpha1.event_pb import WatchEventsRequest
from ubmc.v1alpha1.event_rpc import EventService
from ubmc.v1alpha1.security_pb import (
    AuditRecord,
    ListAuditRecordsRequest,
    ListAuditRecordsResponse,
    VerifyAuditResponse,
)

log = logging.getLogger("ubmc.securitymgr")

RETRY_SECONDS = 0.5
SAMPLED = 10  # of the calls that went well, one in so many becomes a span of its own; all others do
PAGE, LARGEST_PAGE = 100, 1000
ANSWER_BYTES = 192 * 1024  # a message on the bus may have 256 KiB
_FRAME_BYTES = 8
_MAX_DIGITS = 18
_OLDEST = "none:0"  # a cursor of no log: the watch begins at the oldest event there is


class Trail:
    """The audit trail of this device."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._taken = 0
        self._floods = Floods()  # touched only where the database is
        self._counted = asyncio.Event()
        self._place = ""  # of the event log, up to which all is in the trail or counted
        self.follows = False
        """Whether it is reading the event log."""
        self._records = Counter(
            "ubmc_audit_records", "Records of the audit trail by outcome", ("outcome",), registry=None
        )

    def open(self, registry: CollectorRegistry) -> None:
        """Show the metrics."""
        registry.register(self._records)

    def close(self, registry: CollectorRegistry) -> None:
        """Show them no more."""
        with contextlib.suppress(KeyError):
            registry.unregister(self._records)

    async def follow(self, bus: Bus) -> None:
        """Take what belongs to the trail out of the event log, for ever."""
        trouble, clock = Trouble(), asyncio.get_running_loop().time
        while True:
            try:
                cursor = await self._store.run(self._begin) or _OLDEST
                request = WatchEventsRequest(cursor=cursor)
                self.follows = True  # until the watch says otherwise: without news it says nothing
                async with contextlib.aclosing(bus.watch(EventService.WatchEvents, request)) as updates:
                    async for update in updates:
                        if trouble.ends():
                            log.info("the audit trail follows the event log again")
                        entry = audit.entry_of(update.event) if update.event is not None else None
                        if entry is not None:
                            await self._take(entry, update.cursor)
            except UbmcError as error:
                if trouble.fails(clock()):
                    log.info("the audit trail waits for the event log", extra={"reason": error.message})
            self.follows = False
            await asyncio.sleep(RETRY_SECONDS)

    async def fold(self) -> None:
        """Tell now and then what was only counted, for ever."""
        trouble, clock = Trouble(), asyncio.get_running_loop().time
        while True:
            await self._counted.wait()
            await asyncio.sleep(FOLD_SECONDS)
            self._counted.clear()
            try:
                for entry in await self._store.run(self._fold):
                    self._note(entry)
            except UbmcError as error:  # it stays counted
                self._counted.set()
                if trouble.fails(clock()):
                    log.warning("what was counted for the audit trail is kept", extra={"reason": error.message})
            else:
                if trouble.ends():
                    log.info("what was counted is in the audit trail")

    def _begin(self, connection: sqlite3.Connection) -> str:
        self._floods.forget()  # it comes again
        self._place = audit.cursor(connection)
        return self._place

    def _fold(self, connection: sqlite3.Connection) -> list[Entry]:
        entries = self._floods.entries()
        if entries:
            audit.append(connection, entries, self._place)
            self._floods.forget()
        return entries

    def _append(self, entry: Entry, cursor: str, connection: sqlite3.Connection) -> int:
        if audit.knows(connection, entry.event):
            return 0
        counted = self._floods.count(entry)
        self._place = cursor
        if counted:
            return 0
        return audit.append(connection, (entry,), audit.cursor(connection) if self._floods.counting else cursor)

    async def _take(self, entry: Entry, cursor: str) -> None:
        added = await self._store.run(partial(self._append, entry, cursor))
        if self._floods.counting:
            self._counted.set()
        if added:
            self._note(entry)

    def _note(self, entry: Entry) -> None:
        self._taken += 1
        well = entry.outcome == "ok"
        self._records.labels("ok" if well else "other").inc()
        if not well or self._taken % SAMPLED == 0:
            parent = Trace.parse(f"00-{entry.trace_id}-{entry.trace_id[:16]}-01") if entry.trace_id else None
            with tracing.span("audit", parent, action=entry.action, user=entry.user, outcome=entry.outcome):
                pass

    async def page(self, request: ListAuditRecordsRequest) -> ListAuditRecordsResponse:
        """One page of records. Raises `Invalid` for a token that is none."""
        size = request.page_size or PAGE
        if not 0 < size <= LARGEST_PAGE:
            raise _wrong("pageSize", f"a page has 1 to {LARGEST_PAGE} records")
        position = _position(request.page_token)
        part = Part(position, size + 1, request.user, newest_first=request.newest_first, skip=request.skip)
        found, total = await self._store.run(
            lambda connection: (audit.select(connection, part), audit.count(connection, request.user))
        )
        shown = _fitting(found[:size])
        return ListAuditRecordsResponse(
            records=shown,
            next_page_token=str(shown[-1].id) if len(found) > len(shown) else "",
            total_size=total,
        )

    async def get(self, number: int) -> AuditRecord:
        """One record. Raises `NotFound`."""
        found = await self._store.run(lambda connection: audit.get(connection, number))
        if found is None:
            raise NotFound(f"there is no audit record {number}; the oldest ones go when the trail is full")
        return found

    async def verify(self) -> VerifyAuditResponse:
        """Whether the chain is whole."""
        verdict = await self._store.run(audit.verify)
        return VerifyAuditResponse(
            intact=verdict.intact,
            first_broken_id=verdict.first_broken_id,
            count=verdict.count,
            oldest_id=verdict.oldest_id,
            head=verdict.head,
        )


def _fitting(records: list[AuditRecord]) -> list[AuditRecord]:
    """As many of the first records as fit into one answer, one at least."""
    size = 0
    for count, record in enumerate(records):
        size += len(record.to_binary()) + _FRAME_BYTES
        if count and size > ANSWER_BYTES:
            return records[:count]
    return records


def _position(token: str) -> int | None:
    if not token:
        return None
    if not (token.isascii() and token.isdigit()) or len(token) > _MAX_DIGITS:
        raise _wrong("pageToken", "give the token of the page before, or none")
    return int(token)


def _wrong(field: str, text: str) -> Invalid:
    return Invalid(f"{field}: {text}", violations=[Violation(field, "format", text)])
