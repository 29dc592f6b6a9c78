"""The in-memory model: facts kept fresh by streams, from the first request on and while there are requests.

Nobody who never speaks Redfish pays for it. What cannot be told any more, because its service is away, is forgotten;
who asks for it waits a moment and is then told to come back: never half a resource, never a value of before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence

from ubmc.kit.bus import Bus
from ubmc.kit.errors import UbmcError, Unavailable
from ubmc.protocols.redfish.facts import Facts
from ubmc.services.websrv.redfish.feeds import FEEDS, Feed

log = logging.getLogger("ubmc.redfish")

IDLE_SECONDS = 120.0
RETRY_SECONDS = 0.2
PATIENCE_SECONDS = 2.0


class Model:
    """All facts that the resources are made of."""

    def __init__(self, bus: Bus, absent: Mapping[str, str], feeds: Sequence[Feed] = FEEDS) -> None:
        """Make it; nothing is asked before the first `use`.

        Args:
            bus: where the services are.
            absent: the services of the schema that this board does not have.
            feeds: where facts come from.
        """
        self.facts = Facts()
        self._bus = bus
        self._absent = absent
        self._feeds = feeds
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._asked: dict[str, asyncio.Event] = {}
        for feed in feeds:
            self._asked |= dict.fromkeys(feed.kinds, asyncio.Event())
        self._used = 0.0
        self._watching: asyncio.Task[None] | None = None

    def use(self) -> None:
        """Somebody asks for something: begin, or go on."""
        self._used = time.monotonic()
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._follow(feed)) for feed in self._feeds]
            self._watching = asyncio.create_task(self._rest())

    async def close(self) -> None:
        """End everything."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await self._stop()

    async def _stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for feed in self._feeds:  # before anything is awaited: others may begin anew meanwhile
            self._lose(feed)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _rest(self) -> None:
        """Stop when nobody has asked for long."""
        while (left := self._used + IDLE_SECONDS - time.monotonic()) > 0:  # noqa: ASYNC110  each request moves the end
            await asyncio.sleep(left)
        self._watching = None
        await self._stop()

    def put(self, kind: str, name: str, row: object) -> None:
        """A fact that came with the answer to a change, so that who made it reads it back at once."""
        if self.facts.fed(kind):
            self.facts.put(kind, name, row)

    def drop(self, kind: str, name: str) -> None:
        """A fact that a change has ended."""
        self.facts.drop(kind, name)

    def refresh(self, *kinds: str) -> None:
        """There is news about kinds that no stream tells: load them anew."""
        for kind in kinds:
            self._asked[kind].set()

    async def fed(self, kind: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until a kind is known.

        Raises:
            Unavailable: it is not, within that time.
        """
        try:
            async with asyncio.timeout(seconds):
                while not self.facts.fed(kind):
                    await self._changed.wait()
        except TimeoutError:
            raise Unavailable("a part of the BMC that this comes from is not ready; try again soon") from None

    # --- feeding --------------------------------------------------------------------------------------------------

    async def _follow(self, feed: Feed) -> None:
        if feed.service in self._absent:
            self._feed(feed)
            return
        told = False
        while True:
            try:
                await self._load(feed)
                told = False
                await self._go_on(feed)
            except UbmcError as error:
                if not told and not isinstance(error, Unavailable):
                    log.warning(
                        "Redfish cannot read a part of the BMC", extra={"part": feed.service, "why": str(error)}
                    )
                told = True
            self._lose(feed)
            await asyncio.sleep(RETRY_SECONDS)

    async def _load(self, feed: Feed) -> None:
        self._asked[feed.kinds[0]].clear()  # before we look: what comes while we look is looked at too
        rows = [row async for row in feed.load(self._bus, self.facts)]
        for kind in feed.kinds:
            self.facts.keep_only(kind, {name for of, name, _ in rows if of == kind})
        for kind, name, row in rows:
            if not self.facts.fed(kind) or self.facts.rows(kind).get(name) != row:
                self.facts.put(kind, name, row)
        self._feed(feed)

    def _feed(self, feed: Feed) -> None:
        for kind in feed.kinds:
            self.facts.feed(kind)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _go_on(self, feed: Feed) -> None:
        if feed.watch is None:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(feed.poll_seconds(self.facts)):
                        await self._asked[feed.kinds[0]].wait()
                await self._load(feed)
        async with contextlib.aclosing(self._bus.watch(*feed.watch)) as updates:
            async for update in updates:
                for row in feed.rows(update):
                    self.facts.put(*row)
                for kind, name in feed.gone(update):
                    self.facts.drop(kind, name)

    def _lose(self, feed: Feed) -> None:
        for kind in feed.kinds:
            self.facts.lose(kind)
