"""Facts that no stream tells: loaded anew when there is news, and none of it is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

from ubmc.kit.bus import Bus
from ubmc.protocols.redfish.facts import Facts
from ubmc.services.websrv.redfish.feeds import FEEDS, POLL_SECONDS, SOON_SECONDS, Feed, Row
from ubmc.services.websrv.redfish.model import Model
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.system_pb import GetHealthResponse


class Source:
    """Something that is loaded, slowly if the test wants it."""

    def __init__(self) -> None:
        self.value = 0
        self.loads = 0
        self.go = asyncio.Event()
        self.go.set()
        self.looked = asyncio.Event()

    async def load(self, _bus: Bus, _facts: Facts) -> AsyncGenerator[Row, None]:
        self.loads += 1
        seen = self.value
        self.looked.set()
        await self.go.wait()
        yield "thing", "", seen
        yield "other", "", seen


@contextlib.asynccontextmanager
async def following(source: Source) -> AsyncIterator[Model]:
    model = Model(cast("Any", None), {}, (Feed(("thing", "other"), "ThingService", source.load),))
    model.use()
    try:
        await model.fed("thing")
        yield model
    finally:
        await model.close()


async def shown(model: Model, value: int) -> None:
    async with asyncio.timeout(POLL_SECONDS / 2):  # without the news it would take all of them
        while model.facts.rows("thing").get("") != value:
            await asyncio.sleep(0)


async def test_news_is_looked_at_at_once() -> None:
    source = Source()
    async with following(source) as model:
        source.value = 1
        model.refresh("thing")
        await shown(model, 1)
        source.value = 2
        model.refresh("other")  # any of the kinds that come together
        await shown(model, 2)
        assert source.loads == 3


async def test_news_that_comes_while_it_is_looked_is_not_lost() -> None:
    source = Source()
    async with following(source) as model:
        source.go.clear()
        source.looked.clear()
        source.value = 1
        model.refresh("thing")
        await source.looked.wait()
        source.value = 2
        model.refresh("thing")
        source.go.set()
        await shown(model, 2)


def test_a_system_that_is_not_well_is_looked_at_more_often() -> None:
    feed = next(feed for feed in FEEDS if feed.kinds == ("health",))
    facts = Facts()
    for health, seconds in ((Severity.OK, POLL_SECONDS), (Severity.WARNING, SOON_SECONDS)):
        facts.put("health", "", GetHealthResponse(health=health))
        assert feed.poll_seconds(facts) == seconds
