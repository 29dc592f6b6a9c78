"""Delivering the events of one subscription: in order, at least once, and never faster than the destination takes them.

How far it is goes to disk after each delivery, so whatever ends us in the middle has that delivery made again, and
loses none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from protobuf.wkt import Timestamp

from ubmc.kit.errors import UbmcError
from ubmc.protocols.redfish.event_payload import Kinds, payload
from ubmc.services.eventlog.push_rules import Attempts, wants
from ubmc.services.eventlog.push_store import Entry
from ubmc.services.eventlog.query import parsed
from ubmc.v1alpha1.event_pb import Event, WatchEventsResponse
from ubmc.v1alpha1.subscription_pb import RetryPolicy, SubscriptionState

if TYPE_CHECKING:
    from ubmc.services.eventlog.push_post import Destination

log = logging.getLogger("ubmc.eventlog")

BATCH = 20
BATCH_BYTES = 48 * 1024
AHEAD = 32
"""So many events are read ahead of a slow destination."""
SKIPPED = 256
"""After so many events that are not wanted it is stored how far we are, though nothing was delivered."""
READ_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Ports:
    """What a worker needs of the world."""

    watch: Callable[[str], AsyncGenerator[WatchEventsResponse, None]]
    """The events behind a cursor."""
    reached: Callable[[Entry], Awaitable[bool]]
    """Stores how far it is; False if the subscription is not there any more. Raises a `UbmcError`."""
    changed: Callable[[Entry], None]
    """The subscription is to be shown anew."""
    used_up: Callable[[Entry], Awaitable[None]]
    """The attempts are used up, and the policy is not to go on."""
    kinds: Kinds
    attempts: Callable[[], Attempts]


class GivenUp(Exception):  # noqa: N818  the end of a worker, not an error
    """Nothing more is delivered to this destination."""


class Worker:
    """Serves one subscription until it is cancelled or gives up."""

    def __init__(self, entry: Entry, destination: Destination, ports: Ports) -> None:
        self._entry = entry
        self._destination = destination
        self._ports = ports
        self._failing = False
        self._skipped = 0

    async def run(self) -> None:
        """Deliver what comes."""
        try:
            while True:
                try:
                    await self._follow()
                except UbmcError as error:
                    log.debug("events cannot be read for a subscription: %s", error.message)
                except Exception as error:
                    if isinstance(error, GivenUp):
                        raise
                    log.exception(
                        "a bug: a subscription is not served", extra={"subscription": self._entry.subscription.id}
                    )
                await asyncio.sleep(READ_AGAIN_SECONDS)
        except GivenUp:
            return
        finally:
            await self._destination.close()

    async def _follow(self) -> None:
        """Read ahead by a little, and deliver; ends when the events cannot be read any more."""
        queue: asyncio.Queue[WatchEventsResponse | None] = asyncio.Queue(AHEAD)
        reading = asyncio.create_task(self._read(queue), name=f"events of {self._entry.subscription.id}")
        try:
            while (first := await queue.get()) is not None:
                batch = [first]
                size = _size(first)
                while len(batch) < BATCH and size < BATCH_BYTES and not queue.empty():
                    following = queue.get_nowait()
                    if following is None:
                        await self._take(batch)
                        return
                    batch.append(following)
                    size += _size(following)
                await self._take(batch)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, queue: asyncio.Queue[WatchEventsResponse | None]) -> None:
        try:
            async with contextlib.aclosing(self._ports.watch(self._entry.cursor)) as updates:
                async for update in updates:
                    await queue.put(update)
        except UbmcError as error:
            log.debug("events cannot be read for a subscription: %s", error.message)
        await queue.put(None)

    async def _take(self, batch: Sequence[WatchEventsResponse]) -> None:
        """Deliver what is wanted of these, then remember how far we are."""
        entry = self._entry
        events = [update.event for update in batch if update.event is not None]
        known, last = parsed(entry.cursor)
        for update in batch:
            epoch, position = parsed(update.cursor)
            if epoch == known and update.event is not None:  # ids rise by one, so what is missing has left the log
                entry.subscription.missed += max(0, position - last - 1)
            known, last = epoch, position
        wanted = [event for event in events if wants(entry.subscription.filter, event)]
        if wanted:
            await self._deliver(wanted)
        entry.cursor = batch[-1].cursor
        self._skipped += len(events) - len(wanted)
        if wanted or self._skipped >= SKIPPED:
            await self._remember()

    async def _remember(self) -> None:
        """Have it on disk before anything newer is delivered; a disk that takes nothing stops deliveries."""
        self._skipped = 0
        while True:
            try:
                if not await self._ports.reached(self._entry):
                    raise GivenUp
                return
            except UbmcError as error:
                log.debug("it cannot be stored what was delivered: %s", error.message)
                await asyncio.sleep(READ_AGAIN_SECONDS)

    async def _deliver(self, events: Sequence[Event]) -> None:
        """Try until the destination took them. Raises `GivenUp` when the policy says so."""
        shown = self._entry.subscription
        body = orjson.dumps(payload(events, self._ports.kinds, shown.context))
        while True:
            try:
                await self._destination.post(body)
            except UbmcError as error:
                await self._fail(error)
                continue
            if self._failing:
                log.info("a subscription is served again", extra={"subscription": shown.id})
                self._failing = False
            shown.state = SubscriptionState.ACTIVE
            shown.delivered += len(events)
            shown.failures, shown.failure_reason = 0, ""
            shown.delivery_time = Timestamp.now()
            self._ports.changed(self._entry)
            return

    async def _fail(self, error: UbmcError) -> None:
        shown, attempts = self._entry.subscription, self._ports.attempts()
        shown.failures += 1
        shown.failure_reason = error.message
        if not self._failing:
            self._failing = True
            log.warning("a subscription cannot be served: %s", error.message, extra={"subscription": shown.id})
        if attempts.used_up(shown.failures) and shown.retry_policy is not RetryPolicy.RETRY_FOREVER:
            await self._ports.used_up(self._entry)
            raise GivenUp
        shown.state = SubscriptionState.RETRYING
        self._ports.changed(self._entry)
        await asyncio.sleep(attempts.wait_seconds(shown.failures))


def _size(update: WatchEventsResponse) -> int:
    return len(update.event.to_binary()) if update.event is not None else 0
