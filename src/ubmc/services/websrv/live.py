"""Several Watch calls as one stream that resumes.

Each topic is a stream of its own over the bus. They meet in one short queue, so that a slow reader slows them all and
nothing piles up; the cursor says what was handed out, not what waits in there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from protobuf import Message, Oneof

from ubmc.kit.errors import Denied, Invalid, NotFound, UbmcError, Unauthenticated, Unavailable
from ubmc.rpc import ServerStream
from ubmc.services.websrv import live_cursor
from ubmc.v1alpha1.chassis_pb import WatchChassisRequest
from ubmc.v1alpha1.chassis_rpc import ChassisService
from ubmc.v1alpha1.event_pb import WatchEventsRequest
from ubmc.v1alpha1.event_rpc import EventService
from ubmc.v1alpha1.host_pb import WatchHostsRequest
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.inventory_pb import WatchAssetsRequest
from ubmc.v1alpha1.inventory_rpc import InventoryService
from ubmc.v1alpha1.led_pb import WatchLedsRequest
from ubmc.v1alpha1.led_rpc import LedService
from ubmc.v1alpha1.live_pb import LiveState, LiveTopic, LiveTopicState, WatchLiveRequest, WatchLiveResponse
from ubmc.v1alpha1.sensor_pb import WatchSensorsRequest
from ubmc.v1alpha1.sensor_rpc import SensorService
from ubmc.v1alpha1.thermal_pb import WatchThermalZonesRequest
from ubmc.v1alpha1.thermal_rpc import ThermalService

AHEAD = 16
"""How many messages may wait for the reader."""
SILENCE_SECONDS = 1.0
"""A topic that is let in and tells nothing for so long has nothing to tell."""
FIRST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 5.0

Open = Callable[[ServerStream[Any, Any], Message[Any]], AsyncGenerator[Message[Any], None]]
"""Opens one of the streams; raises the first time that it is read what the service, or the door, says against it."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a topic comes from."""

    token: ServerStream[Any, Any]
    field: str
    """Of the response."""
    request: Callable[[str, WatchLiveRequest], Message[Any]]
    """What to ask for, from the cursor and what was asked for."""


SOURCES: Mapping[LiveTopic, Source] = MappingProxyType(
    {
        LiveTopic.HOSTS: Source(HostService.WatchHosts, "host", lambda at, _: WatchHostsRequest(cursor=at)),
        LiveTopic.CHASSIS: Source(ChassisService.WatchChassis, "chassis", lambda at, _: WatchChassisRequest(cursor=at)),
        LiveTopic.SENSORS: Source(
            SensorService.WatchSensors,
            "sensors",
            lambda at, asked: WatchSensorsRequest(cursor=at, min_interval_seconds=asked.min_interval_seconds),
        ),
        LiveTopic.THERMAL_ZONES: Source(
            ThermalService.WatchThermalZones, "thermal_zone", lambda at, _: WatchThermalZonesRequest(cursor=at)
        ),
        LiveTopic.ASSETS: Source(InventoryService.WatchAssets, "asset", lambda at, _: WatchAssetsRequest(cursor=at)),
        LiveTopic.LEDS: Source(LedService.WatchLeds, "led", lambda at, _: WatchLedsRequest(cursor=at)),
        LiveTopic.EVENTS: Source(EventService.WatchEvents, "event", lambda at, _: WatchEventsRequest(cursor=at)),
    }
)


@dataclass(slots=True)
class _Topic:
    """One topic, and how far it got."""

    topic: LiveTopic
    source: Source
    place: str
    """Where it resumes; what waits in the queue is behind it already."""
    state: LiveState = LiveState.UNSPECIFIED
    """What was told last of how it stands."""
    retry_seconds: float = FIRST_RETRY_SECONDS


_Told = tuple[_Topic, str, Oneof[Any, Any]]
"""Of which topic, its place behind that, and what."""


class LiveStream:
    """One answer to WatchLive.

    Args:
        request: what is asked for.
        open_: opens a Watch call for who asks.

    Raises:
        Invalid: the cursor is none of this call.
    """

    def __init__(self, request: WatchLiveRequest, open_: Open) -> None:
        self._request = request
        self._open = open_
        self._places = live_cursor.unpack(request.cursor)
        self._queue: asyncio.Queue[_Told | None] = asyncio.Queue(AHEAD)
        self._failure: BaseException | None = None

    def end(self, error: BaseException) -> None:
        """End it with this error; the first one counts."""
        if self._failure is None:
            self._failure = error
        with contextlib.suppress(asyncio.QueueFull):  # who finds a full queue is not waiting
            self._queue.put_nowait(None)

    async def run(self) -> AsyncGenerator[WatchLiveResponse, None]:
        """All that the topics tell, without end.

        Raises:
            Unauthenticated: the session has ended.
            Invalid: a service does not take the place that the cursor has for it.
        """
        topics = [_Topic(each, SOURCES[each], self._places.get(each, "")) for each in self._request.topics]
        tasks = [asyncio.create_task(self._follow(each)) for each in topics]
        for task in tasks:
            task.add_done_callback(self._ended)
        try:
            while True:
                told = await self._queue.get()
                if self._failure is not None:
                    raise self._failure
                if told is not None:
                    topic, place, update = told
                    if place:
                        self._places[topic.topic] = place
                    yield WatchLiveResponse(update=update, cursor=live_cursor.pack(self._places))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, topic: _Topic) -> None:
        """Tell a topic for as long as there is any of it. What it raises ends the whole stream."""
        while await self._goes_on(topic):
            await asyncio.sleep(topic.retry_seconds)
            topic.retry_seconds = min(2 * topic.retry_seconds, LONGEST_RETRY_SECONDS)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # at the end by us; else by something that broke, and then nobody would tell the topic
            self.end(Unavailable("a part of the stream was broken off; come back with the cursor"))
        elif (error := task.exception()) is not None:
            self.end(error)

    async def _goes_on(self, topic: _Topic) -> bool:
        """Tell a topic until its stream breaks; whether trying again may help."""
        try:
            await self._read(topic)
        except (Unauthenticated, Invalid):
            raise
        except NotFound as error:
            await self._say(topic, LiveState.ABSENT, error.message)
        except Denied as error:
            await self._say(topic, LiveState.DENIED, error.message)
        except UbmcError as error:
            await self._say(topic, LiveState.AWAY, error.message)
            return True
        return False

    async def _read(self, topic: _Topic) -> None:
        """Tell what one stream tells.

        Raises:
            UbmcError: what it ended with; `Unavailable` also if it just ended.
        """
        stream = self._open(topic.source.token, topic.source.request(topic.place, self._request))
        async with contextlib.aclosing(stream):
            item = await self._first(topic, stream)
            while item is not None:
                await self._take(topic, item)
                item = await anext(stream, None)
        raise Unavailable(f"{topic.source.token.short} does not answer now; it is tried again")

    async def _first(self, topic: _Topic, stream: AsyncGenerator[Message[Any], None]) -> Message[Any] | None:
        """The first thing that it tells. That there is nothing, or nothing new, is told by silence alone."""
        reading = asyncio.ensure_future(anext(stream, None))
        try:
            done, _ = await asyncio.wait((reading,), timeout=SILENCE_SECONDS)
            if not done:
                await self._say(topic, LiveState.SETTLED)
            return await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _take(self, topic: _Topic, item: Any) -> None:
        """Hand on what was told. The place stays before a snapshot that is not complete: broken off, it begins anew."""
        topic.retry_seconds = FIRST_RETRY_SECONDS
        complete = getattr(item, "complete", True)  # events have no snapshot: the first message says where they begin
        if complete or not item.snapshot:
            topic.place = item.cursor
        await self._queue.put((topic, topic.place, Oneof(topic.source.field, item)))
        if complete:
            await self._say(topic, LiveState.SETTLED)

    async def _say(self, topic: _Topic, state: LiveState, message: str = "") -> None:
        """Tell how it stands with a topic, if that is another thing than before."""
        if topic.state is not state:
            topic.state = state
            told = LiveTopicState(topic=topic.topic, state=state, message=message)
            await self._queue.put((topic, topic.place, Oneof("state", told)))
