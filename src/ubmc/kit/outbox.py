"""News on their way to the event log: kept in order until the bus has stored them, within a bound.

The bus stores an event (JetStream, synchronously on disk) before it acknowledges. Until then the event waits here, so
that nothing is lost while the bus is away; when too much gathers, the oldest go and their number is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ubmc.kit.errors import UbmcError
from ubmc.kit.metrics import Metrics
from ubmc.kit.trouble import Trouble

log = logging.getLogger("ubmc.events")

CAPACITY = 512
LARGEST = 192 * 1024
RETRY_SECONDS = 0.2

Store = Callable[[str, bytes, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Item:
    """One event on its way."""

    subject: str
    data: bytes
    ulid: str
    stored: asyncio.Future[None]


class Outbox:
    """Stores events one after another."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._items: deque[Item] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._lost = 0

    def put(self, subject: str, data: bytes, ulid: str) -> asyncio.Future[None]:
        """Take an event; the future is done when it is stored, or cancelled when it was dropped."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if len(data) > LARGEST:  # the bus would refuse it for ever, and everything behind it would wait
            log.error("an event is dropped: it is too large", extra={"subject": subject, "bytes": len(data)})
            self._metrics.events_lost.inc()
            stored.cancel()
            return stored
        if len(self._items) >= CAPACITY:
            self._items.popleft().stored.cancel()
            self._metrics.events_lost.inc()
            self._lost += 1
            if self._lost == 1:
                log.error("events are lost: the bus has been away for too long")
        self._items.append(Item(subject, data, ulid, stored))
        self._arrived.set()
        self._idle.clear()
        return stored

    async def run(self) -> None:
        """Store what arrives, until cancelled. What the store cannot do it must raise as a `UbmcError`."""
        trouble, clock = Trouble(), asyncio.get_running_loop().time
        while True:
            if not self._items:
                self._idle.set()
                self._arrived.clear()
                await self._arrived.wait()
            item = self._items[0]
            try:
                await self._store(item.subject, item.data, item.ulid)
            except UbmcError as error:
                if trouble.fails(clock()):
                    log.warning("the event log does not take events", extra={"reason": error.message})
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if self._items and self._items[0] is item:  # it may have been dropped meanwhile
                self._items.popleft()
            if not item.stored.done():
                item.stored.set_result(None)
            if not self._items:  # all is stored: what fails now is a new failure
                self._recover(said=trouble.ends())

    def _recover(self, *, said: bool) -> None:
        if said or self._lost:
            log.warning("the event log takes events again", extra={"lost": self._lost})
            self._lost = 0

    async def drain(self, seconds: float) -> None:
        """Wait until all is stored, for `seconds` at most."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            log.warning("events were not stored before the end", extra={"events": len(self._items)})
