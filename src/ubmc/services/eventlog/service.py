"""The service that keeps the event log, lists it and lets it be watched.

An event is acknowledged on the bus only when it is on disk, and is stored once however often it comes; so a crash at
any moment loses none and doubles none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from nats.aio.msg import Msg
from prometheus_client import Counter
from ulid import ULID

from ubmc.kit.database import Database
from ubmc.kit.errors import Invalid, NotFound, Unavailable
from ubmc.kit.pages import page_size
from ubmc.kit.schema import Schema
from ubmc.kit.service import Service, rpc, stream
from ubmc.services.eventlog import query
from ubmc.services.eventlog.gap import Position
from ubmc.services.eventlog.record import Record, cleared, deleted, lost, read
from ubmc.services.eventlog.store import Store
from ubmc.services.eventlog.stream import Inbox, StreamLost, ensure, sequence
from ubmc.v1alpha1.event_pb import (
    ClearEventsRequest,
    ClearEventsResponse,
    DeleteEventRequest,
    DeleteEventResponse,
    Event,
    GetEventLogRequest,
    GetEventLogResponse,
    GetEventRequest,
    GetEventResponse,
    ListEventsRequest,
    ListEventsResponse,
    WatchEventsRequest,
    WatchEventsResponse,
)
from ubmc.v1alpha1.event_rpc import EventService

log = logging.getLogger("ubmc.eventlog")

RETRY_SECONDS = 0.2
ANSWER_BYTES = 192 * 1024  # a message on the bus may have 256 KiB
WATCH_PAGE = 32


@dataclass(frozen=True, slots=True)
class Options:
    """How the log behaves."""

    rows: int = 10_000
    """At most so many events are kept; the oldest go first."""
    size: int = 8 * 1024 * 1024
    """At most so many bytes of them are kept."""
    away_seconds: float = 60.0
    """So long JetStream may be away while the bus is there, before the service fails."""


class EventLog(Service):
    """The one log of what happened.

    Args:
        database: the expendable one; opened and closed by whoever gives it.
        schema: where the texts of the events come from.
        options: how the log behaves.
    """

    name = "eventlog"
    keeps_log: ClassVar[bool] = True  # the bus lets the process of this service empty the event stream

    def __init__(self, database: Database, schema: Schema, options: Options | None = None) -> None:
        self._options = options or Options()
        self._store = Store(database, self._options.rows, self._options.size)
        self._schema = schema
        self._appended = asyncio.Event()
        self._malformed = Counter(
            "ubmc_eventlog_malformed", "Messages in the event stream that are no events", registry=None
        )
        self._malformed_said = False
        self._away_said = False

    async def setup(self) -> None:
        """Open the tables and the stream; waits until JetStream is there."""
        await self._store.open()
        self.bus.metrics.registry.register(self._malformed)
        await self._stream_there()

    async def work(self) -> None:
        """Take events from the bus and store them; begins anew whenever bus or JetStream come back.

        Raises:
            Unavailable: JetStream stays away although the bus is there, or the database takes nothing.
        """
        async with Inbox(self.bus) as inbox:
            while True:
                try:
                    position = await inbox.begin(self._store.position)
                    while True:
                        position = await self._keep(inbox, await inbox.next(), position)
                except StreamLost as error:
                    log.info("the event stream cannot be followed", extra={"reason": str(error)})
                    await asyncio.sleep(RETRY_SECONDS)
                    await self._stream_there()

    async def teardown(self) -> None:
        """Give the metrics back."""
        with contextlib.suppress(KeyError):  # setup failed half-way
            self.bus.metrics.registry.unregister(self._malformed)

    async def _stream_there(self) -> None:
        """Return when stream and consumer are there.

        Raises:
            Unavailable: they have been away for too long although the bus is there.
        """
        said = False
        since: float | None = None
        while True:
            if not self.bus.link.connected.is_set():
                since = None
                await self.bus.link.connected.wait()
            try:
                await ensure(self.bus)
            except StreamLost as error:
                now = time.monotonic()
                since = now if since is None else since
                if now - since >= self._options.away_seconds:
                    raise self._away(str(error)) from error
                if not said and not self._away_said:
                    log.warning("the event stream is not there yet", extra={"reason": str(error)})
                    said = True
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if said or self._away_said:
                log.info("the event stream is there")
                self._away_said = False
            return

    def _away(self, reason: str) -> Unavailable:
        """Why the service fails; said in the program's log once until the stream is there again."""
        text = (
            f"the bus is there, but its event store (JetStream) has been away for {self._options.away_seconds:.0f} s:"
            " no event is logged. A full disk disables it until the nats-server is started again: make space, then"
            " restart ubmc"
        )
        if not self._away_said:
            self._away_said = True
            log.error(text, extra={"reason": reason})
        return Unavailable(f"{text} ({reason})")

    async def _keep(self, inbox: Inbox, messages: list[Msg], position: Position) -> Position:
        """Store a batch, then acknowledge it, then wake the watchers; the position behind it."""
        records: list[Record] = []
        stored: list[Msg] = []
        refused: list[Msg] = []
        missing = 0
        for message in messages:
            position, gap = position.after(sequence(message))
            if gap:
                missing += gap
                records.append(lost(gap, str(ULID()), time.time_ns() // 1000))
            try:
                records.append(read(message.data, self._schema.events))
                stored.append(message)
            except Invalid as error:
                refused.append(message)
                self._refuse(message, error)
        await self._store.append(records, position)
        if missing:
            self.bus.metrics.events_lost.inc(missing)
            log.error(
                "events were lost: the bus had no room to keep them until they were read", extra={"lost": missing}
            )
        if records:
            self._wake_watchers()
        await inbox.done(stored, refused)
        return position

    def _wake_watchers(self) -> None:
        appended, self._appended = self._appended, asyncio.Event()
        appended.set()

    def _refuse(self, message: Msg, error: Invalid) -> None:
        self._malformed.inc()
        if not self._malformed_said:
            self._malformed_said = True
            log.warning(
                "a message in the event stream is no event and was dropped; further ones are only counted",
                extra={"subject": message.subject, "reason": error.message},
            )

    @rpc(EventService.ListEvents)
    async def list_events(self, request: ListEventsRequest) -> ListEventsResponse:
        """One page of events; it may be shorter than asked for, since an answer has a largest size."""
        size = page_size(request.page_size)
        paging = query.Paging(self._store.epoch, request.filter, request.newest_first)
        select = self._store.older if request.newest_first else self._store.newer
        position = paging.position(request.page_token)
        found = await select(query.condition(request.filter), position, size + 1, skip=request.skip)
        events = _fitting(found[:size])
        more = len(found) > len(events)
        return ListEventsResponse(events=events, next_page_token=paging.token(events[-1].id) if more else "")

    @rpc(EventService.GetEvent)
    async def get_event(self, request: GetEventRequest) -> GetEventResponse:
        """One event."""
        event = await self._store.get(request.id)
        if event is None:
            raise NotFound(f"there is no event {request.id}; events go when the log is full or cleared")
        return GetEventResponse(event=event)

    @rpc(EventService.GetEventLog)
    async def get_event_log(self, request: GetEventLogRequest) -> GetEventLogResponse:
        """How full the log is."""
        return GetEventLogResponse(log=await self._store.state())

    @rpc(EventService.ClearEvents)
    async def clear_events(self, request: ClearEventsRequest) -> ClearEventsResponse:
        """Take events out and log that in one transaction; over the bus a crash might part the two."""
        note = partial(cleared, cause=self.bus.cause(), kinds=self._schema.events)
        count = await self._store.clear(request.up_to_id, note)
        self._wake_watchers()
        return ClearEventsResponse(cleared=count)

    @rpc(EventService.DeleteEvent)
    async def delete_event(self, request: DeleteEventRequest) -> DeleteEventResponse:
        """Take one event out and log that in one transaction."""
        note = partial(deleted, cause=self.bus.cause(), kinds=self._schema.events)
        if not await self._store.delete(request.id, note):
            raise NotFound(f"there is no event {request.id}; events go when the log is full or cleared")
        self._wake_watchers()
        return DeleteEventResponse()

    @stream(EventService.WatchEvents)
    async def watch_events(self, request: WatchEventsRequest) -> AsyncIterator[WatchEventsResponse]:
        """Where the watch begins, then every event behind it. Each watcher reads the log at its own pace."""
        epoch = self._store.epoch
        wanted = query.condition(request.filter)
        position = query.resume(request.cursor, epoch, await self._store.newest())
        yield WatchEventsResponse(cursor=query.cursor(epoch, position))
        while True:
            appended = self._appended
            end = await self._store.newest()
            events = await self._store.newer(wanted, position, WATCH_PAGE)
            for event in events:
                position = event.id
                yield WatchEventsResponse(event=event, cursor=query.cursor(epoch, position))
            if len(events) < WATCH_PAGE:
                position = max(position, end)  # nothing else up to there is wanted
                await appended.wait()


def _fitting(events: list[Event]) -> list[Event]:
    """As many of the first events as fit into one answer, one at least."""
    size = 0
    for count, event in enumerate(events):
        size += len(event.to_binary()) + 8
        if count and size > ANSWER_BYTES:
            return events[:count]
    return events
