"""All that is live as one stream through the door: merged, resumed, honest about what is away, ended with a session."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from tests.harness.bus import BusWorld
from tests.service.websrv_house import OPTIONS, Events, Users, connect, grpc_web, structured

from ubmc.kit import subjects
from ubmc.kit.bus import Bus
from ubmc.kit.database import Database
from ubmc.kit.errors import Denied
from ubmc.kit.feed import Feed
from ubmc.kit.secrets import DeviceKey
from ubmc.kit.service import Service, stream
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.securitymgr.service import SecurityManager
from ubmc.services.websrv.service import DoorOptions, WebServer
from ubmc.v1alpha1.event_pb import EventEnvelope
from ubmc.v1alpha1.host_pb import Host, WatchHostsRequest, WatchHostsResponse
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.led_pb import Led, WatchLedsRequest, WatchLedsResponse
from ubmc.v1alpha1.led_rpc import LedService
from ubmc.v1alpha1.live_pb import LiveTopic, WatchLiveRequest, WatchLiveResponse
from ubmc.v1alpha1.session_pb import SessionEnd

LIVE = "/api/v1alpha1/live:watch"
NO_ZONES = "this board has no zones"


class Hosts(Service):
    name = "statemgr"

    def __init__(self) -> None:
        self.feed: Feed[Host] = Feed()
        self.denied = False

    @stream(HostService.WatchHosts)
    async def watch(self, request: WatchHostsRequest) -> AsyncIterator[WatchHostsResponse]:
        if self.denied:
            raise Denied("hosts are not for you")
        async for update in self.feed.watch(request.cursor):
            yield WatchHostsResponse(
                host=update.item, cursor=update.cursor, snapshot=update.snapshot, complete=update.complete
            )

    def tell(self, name: str) -> None:
        self.feed.publish(name, Host(name=name))


class Lights(Service):
    name = "ledmgr"

    def __init__(self) -> None:
        self.feed: Feed[Led] = Feed()

    @stream(LedService.WatchLeds)
    async def watch(self, request: WatchLedsRequest) -> AsyncIterator[WatchLedsResponse]:
        async for update in self.feed.watch(request.cursor):
            yield WatchLedsResponse(
                led=update.item, cursor=update.cursor, snapshot=update.snapshot, complete=update.complete
            )

    def tell(self, name: str) -> None:
        self.feed.publish(name, Led(name=name))


@dataclass
class World:
    made: BusWorld
    users: Users
    managers: Bus
    door: Bus
    hosts: Hosts
    lights: Lights
    server: WebServer
    url: str
    running: dict[str, asyncio.Task[None]]
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    def client(self, token: str = "ReadOnly-of-olga") -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        client = httpx.AsyncClient(base_url=self.url, verify=False, timeout=10, headers=headers)
        self.clients.append(client)
        return client

    async def stop(self, service: Service) -> None:
        """It fails, and does not answer any more."""
        task = self.running.pop(service.name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def start(self, service: Service) -> None:
        self.running[service.name] = await self.made.run(self.managers, service)

    async def end_session(self, session: str) -> None:
        self.users.ended.add(session)
        envelope = EventEnvelope(component="x", body=SessionEnd(id=session).to_binary())
        await self.managers.link.publish(subjects.event(SessionEnd, "x"), envelope.to_binary())


@contextlib.asynccontextmanager
async def world(options: DoorOptions = OPTIONS) -> AsyncIterator[World]:
    options = replace(options, absent={"ThermalService": NO_ZONES})
    specs = (
        ProcessSpec("managers", (Hosts, Lights, Users, SecurityManager)),
        ProcessSpec("websrv", (WebServer,), door=True),
    )
    async with contextlib.AsyncExitStack() as closing, BusWorld(*specs) as made:
        database = Database(made.state / "precious.db")
        database.open()
        closing.callback(database.close)
        hosts, lights, users = Hosts(), Lights(), Users(made.signer)
        security = SecurityManager(database, DeviceKey.load(made.state / "device.key"), shown=lambda _: None)
        managers = await made.place("managers", users, security)
        door = await made.place("websrv")
        heard: list[str] = []
        server = WebServer(made.schema, options, lambda url, _shown: heard.append(url))
        running = {"websrv": await made.run(door, server)}
        w = World(made, users, managers, door, hosts, lights, server, heard[0], running)
        await w.start(hosts)
        await w.start(lights)
        try:
            yield w
        finally:
            for client in w.clients:
                await client.aclose()
            for task in w.running.values():
                task.cancel()
            await asyncio.gather(*w.running.values(), return_exceptions=True)


class Reader:
    """What one stream tells, over REST."""

    def __init__(self, answer: httpx.Response) -> None:
        self._events = Events(answer)
        self.cursor = ""

    async def next(self) -> str:
        """The next message in one word, as `host.0` or `HOSTS SETTLED`."""
        event = await self._events.next()
        body = json.loads(event["data"])
        if event.get("event") == "error":
            return f"error {body['code']}"
        self.cursor = event.get("id", self.cursor)
        assert body["cursor"] == self.cursor
        if "state" in body:
            state = body["state"]
            self.message = state["message"]
            return f"{state['topic'].removeprefix('LIVE_TOPIC_')} {state['state'].removeprefix('LIVE_STATE_')}"
        (told,) = (each for name, each in body.items() if name != "cursor")
        return str(next(each["name"] for each in told.values() if isinstance(each, dict)))

    async def some(self, count: int) -> list[str]:
        return [await self.next() for _ in range(count)]


@contextlib.asynccontextmanager
async def reading(client: httpx.AsyncClient, *topics: str, cursor: str = "") -> AsyncIterator[Reader]:
    query = {"topics": [f"LIVE_TOPIC_{each}" for each in topics]}
    headers = {"last-event-id": cursor} if cursor else {}
    async with client.stream("GET", LIVE, params=query, headers=headers) as answer:
        assert answer.status_code == 200
        yield Reader(answer)


async def test_topics_are_merged_settled_and_resumed_with_others_than_before() -> None:
    async with world() as w:
        client = w.client()
        for name in ("host.0", "host.1"):
            w.hosts.tell(name)
        w.lights.tell("power-led")
        async with reading(client, "HOSTS") as reader:
            assert await reader.some(3) == ["host.0", "host.1", "HOSTS SETTLED"]
            w.hosts.tell("host.1")
            assert await reader.next() == "host.1"
        w.hosts.tell("host.0")
        async with reading(client, "HOSTS", "LEDS", cursor=reader.cursor) as reader:
            told = await reader.some(4)
            assert [each for each in told if each in ("host.0", "HOSTS SETTLED")] == ["host.0", "HOSTS SETTLED"]
            assert [each for each in told if each in ("power-led", "LEDS SETTLED")] == ["power-led", "LEDS SETTLED"]
        w.lights.tell("fault-led")
        w.hosts.tell("host.1")
        async with reading(client, "LEDS", cursor=reader.cursor) as reader:
            assert await reader.some(2) == ["fault-led", "LEDS SETTLED"]
        async with reading(client, "HOSTS", cursor=reader.cursor) as reader:  # its place went along
            assert await reader.some(2) == ["host.1", "HOSTS SETTLED"]


async def test_a_service_that_fails_is_told_away_and_back_without_loss_and_the_others_go_on() -> None:
    async with world() as w:
        w.hosts.tell("host.0")
        async with reading(w.client(), "HOSTS", "LEDS") as reader:
            assert sorted(await reader.some(3)) == ["HOSTS SETTLED", "LEDS SETTLED", "host.0"]
            await w.stop(w.hosts)
            assert await reader.next() == "HOSTS AWAY"
            assert reader.message
            w.lights.tell("power-led")
            assert await reader.next() == "power-led"
            w.hosts.tell("host.1")  # the same life: it goes on where it was
            await w.start(w.hosts)
            assert await reader.some(2) == ["host.1", "HOSTS SETTLED"]
            await w.stop(w.hosts)
            assert await reader.next() == "HOSTS AWAY"
            again = Hosts()  # another one: a snapshot
            for name in ("host.1", "host.2"):
                again.tell(name)
            await w.start(again)
            assert await reader.some(3) == ["host.1", "host.2", "HOSTS SETTLED"]


async def test_what_is_absent_or_denied_is_told_in_every_language() -> None:
    async with world() as w:
        w.hosts.denied = True
        topics = [LiveTopic.HOSTS, LiveTopic.THERMAL_ZONES]
        expected = {("HOSTS", "DENIED", "hosts are not for you"), ("THERMAL_ZONES", "ABSENT", NO_ZONES)}
        client = w.client()
        async with reading(client, "HOSTS", "THERMAL_ZONES") as reader:
            assert sorted(await reader.some(2)) == ["HOSTS DENIED", "THERMAL_ZONES ABSENT"]
        request = WatchLiveRequest(topics=topics).to_binary()
        for kind in ("application/connect+proto", "application/grpc-web+proto"):
            found: set[tuple[str, str, str]] = set()
            body = struct.pack(">BI", 0, len(request)) + request
            path = connect("WatchLive", "LiveService")
            async with client.stream("POST", path, content=body, headers={"content-type": kind}) as answer:
                told = b""
                async for part in answer.aiter_raw():
                    told += part
                    messages = [WatchLiveResponse.from_binary(each) for each in _whole(told)]
                    found = {_state(each) for each in messages}
                    if len(found) == len(expected):
                        break
            assert found == expected, kind


def _whole(told: bytes) -> list[bytes]:
    """The messages that came whole."""
    end = 0
    while len(told) >= end + 5 and len(told) >= (after := end + 5 + struct.unpack(">I", told[end + 1 : end + 5])[0]):
        end = after
    return grpc_web(told[:end])[0]


def _state(message: WatchLiveResponse) -> tuple[str, str, str]:
    assert message.update is not None
    state: Any = message.update.value
    return state.topic.name, state.state.name, state.message


async def test_a_request_that_cannot_be_answered_is_an_ordinary_error() -> None:
    async with world() as w:
        client = w.client()
        for query in (
            "", "?topics=LIVE_TOPIC_UNSPECIFIED", "?topics=LIVE_TOPIC_HOSTS&topics=LIVE_TOPIC_HOSTS",
            "?topics=LIVE_TOPIC_HOSTS&cursor=nonsense", "?topics=LIVE_TOPIC_HOSTS&minIntervalSeconds=-1",
            "?topics=LIVE_TOPIC_HOSTS&cursor=" + "x" * 2000, "?topics=99",
        ):  # fmt: skip
            structured(await client.get(LIVE + query), 400, "invalid_argument")
        structured(await w.client("").get(f"{LIVE}?topics=LIVE_TOPIC_HOSTS"), 401, "unauthenticated")


async def test_the_end_of_the_session_ends_it_also_while_all_services_are_away() -> None:
    async with world() as w:
        for away in (False, True):
            session = f"Operator-of-olga{int(away)}"
            async with reading(w.client(session), "HOSTS", "LEDS") as reader:
                assert sorted(await reader.some(2)) == ["HOSTS SETTLED", "LEDS SETTLED"]
                if away:
                    await w.stop(w.hosts)
                    await w.stop(w.lights)
                    assert sorted(await reader.some(2)) == ["HOSTS AWAY", "LEDS AWAY"]
                await w.end_session(session)
                assert await reader.next() == "error unauthenticated"


async def test_a_session_whose_end_was_not_heard_of_is_found_by_looking() -> None:
    async with world() as w:
        w.users.keep_seconds = 0.0
        async with reading(w.client("Operator-of-olga"), "HOSTS") as reader:
            assert await reader.next() == "HOSTS SETTLED"
            await w.stop(w.hosts)
            assert await reader.next() == "HOSTS AWAY"
            w.users.ended.add("Operator-of-olga")
            forwarder = w.server._forwarder
            assert forwarder is not None
            await forwarder.recheck_streams()
            assert await reader.next() == "error unauthenticated"


async def test_it_goes_on_with_a_principal_of_usermgr_that_signs_anew() -> None:
    async with world() as w, reading(w.client(), "HOSTS") as reader:
        assert await reader.next() == "HOSTS SETTLED"
        await w.stop(w.hosts)
        assert await reader.next() == "HOSTS AWAY"
        w.users.signer = type(w.made.signer)()  # it was restarted
        for bus in (w.door, w.managers):
            bus.verifier.trust([w.users.signer.public])
        w.hosts.tell("host.0")
        await w.start(w.hosts)
        assert await reader.some(2) == ["host.0", "HOSTS SETTLED"]


async def test_who_leaves_leaves_nothing_behind_and_it_is_counted() -> None:
    async with world() as w:
        client = w.client()
        for _ in range(3):
            async with reading(client, "HOSTS", "LEDS") as reader:
                await reader.some(2)
                assert 'ubmc_streams{method="LiveService.WatchLive"} 1.0' in w.door.metrics.text()
        async with asyncio.timeout(30):
            while len(w.door._reading) > 1:  # the one that securitymgr tells by
                await asyncio.sleep(0.005)
        assert 'ubmc_streams{method="LiveService.WatchLive"} 0.0' in w.door.metrics.text()
        assert 'method="LiveService.WatchLive",outcome="ok"' in w.door.metrics.text()


async def test_the_end_of_the_door_ends_it() -> None:
    async with world() as w, reading(w.client(), "HOSTS") as reader:
        assert await reader.next() == "HOSTS SETTLED"
        async with asyncio.timeout(5):
            await w.stop(w.server)
        with pytest.raises((StopAsyncIteration, httpx.HTTPError)):
            await reader.next()
