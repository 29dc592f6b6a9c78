"""The connection to the bus: each trap of the client library has a test here, on a real nats-server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator

import pytest
from nats.aio.msg import Msg
from tests.harness.bus import BusWorld

from ubmc.kit.errors import Exhausted, Unavailable
from ubmc.kit.keys import BusKey
from ubmc.kit.link import Endpoint, Link
from ubmc.kit.metrics import Metrics
from ubmc.kit.service import Service, rpc
from ubmc.services.ipc.permissions import Permissions, ProcessSpec
from ubmc.services.ipc.server import NatsServer
from ubmc.v1alpha1.host_pb import GetHostRequest, GetHostResponse, Host
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.internal_pb import DriveHostRequest
from ubmc.v1alpha1.internal_rpc import PowerService

OPEN = Permissions(frozenset({"a.>", "_INBOX_a.>"}), frozenset({"a.>", "_INBOX_a.>"}))


class World:
    """One server, and links of one process to it."""

    def __init__(self, made: BusWorld) -> None:
        self.world = made
        self.server: NatsServer = made.server
        self.metrics = Metrics()
        self.links: list[Link] = []

    async def link(self, key: BusKey | None = None) -> Link:
        """A link with a key of its own, which shuts out those with others; or with the key of another one."""
        key = key or BusKey()
        self.server.admit("a", key.public)
        async with asyncio.timeout(30):
            while not self.server.settle():
                await asyncio.sleep(0.005)
        link = Link("a", key, self.metrics)
        self.links.append(link)
        async with asyncio.timeout(30):
            await link.connect(self.world.endpoint())
        return link

    def kill(self) -> None:
        os.kill(self.server.pid or 0, signal.SIGKILL)
        self.server.reap()

    def metric(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(name) or 0.0


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[World]:
    made = BusWorld(ProcessSpec("a", ()))
    made.server.close()
    made.server = NatsServer(made.state, {"a": OPEN})
    async with made:
        around = World(made)
        try:
            yield around
        finally:
            for link in around.links:
                await link.close()


class Heard:
    """What came."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.changed = asyncio.Event()

    async def take(self, msg: Msg) -> None:
        self.data.append(msg.data)
        self.changed.set()

    async def until(self, count: int, seconds: float = 45.0) -> None:
        async with asyncio.timeout(seconds):
            while len(self.data) < count:
                self.changed.clear()
                await self.changed.wait()


async def test_subscribe_is_a_barrier() -> None:
    """Without it 308 of 2,000 first messages were lost: the server did not know the subscription yet."""
    async with world() as w:
        one, other, heard = await w.link(), None, Heard()
        other = Link("a", one._key, w.metrics)
        w.links.append(other)
        await other.connect(w.world.endpoint())
        for count in range(300):
            await one.subscribe(f"a.{count}", heard.take)
            await other.publish(f"a.{count}", b"%d" % count)
        await heard.until(300)
        assert heard.data == [b"%d" % count for count in range(300)]


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 1000])
async def test_nothing_is_sent_late(body: bytes) -> None:
    """The library would keep what is published while the server is away, and send it on return."""
    async with world() as w:
        link, heard = await w.link(), Heard()
        await link.subscribe("a.x", heard.take)
        w.kill()
        refused = 0
        async with asyncio.timeout(30):
            while refused < 50:
                try:
                    await link.publish("a.x", body)
                except Unavailable:
                    refused += 1
                await asyncio.sleep(0)
        while link.connected.is_set():
            await asyncio.sleep(0.005)
        w.server.start()
        async with asyncio.timeout(30):
            await link.connected.wait()
        await link.publish("a.x", b"the first after")
        await heard.until(1)
        await link.flush()
        assert heard.data == [b"the first after"]


async def test_it_is_back_within_a_second_with_all_subscriptions_again_and_again() -> None:
    async with world() as w:
        link, heard = await w.link(), Heard()
        await link.subscribe("a.x", heard.take)
        gone = await link.subscribe("a.gone", heard.take)
        await link.unsubscribe(gone)
        lost: list[float] = []
        link.on_disconnect.append(lambda: lost.append(time.monotonic()))
        for count in range(1, 5):
            w.kill()
            async with asyncio.timeout(2):
                while len(lost) < count:
                    await asyncio.sleep(0.005)
            assert not link.connected.is_set()
            began = time.monotonic()
            w.server.start()
            async with asyncio.timeout(30):
                await link.connected.wait()
            assert time.monotonic() - began < 1.0
            await link.publish("a.gone", b"no")
            await link.publish("a.x", b"%d" % count)
            await heard.until(count)
        assert heard.data == [b"1", b"2", b"3", b"4"]
        assert w.metric("ubmc_bus_disconnects_total") == 4


async def test_what_arrives_before_it_may_answer_is_answered() -> None:
    """A server that is back hands out messages before it knows of all our subscriptions."""
    async with world() as around:
        key = BusKey()
        asking, answering = await around.link(key), await around.link(key)
        asked, answers = Heard(), Heard()

        async def answer(msg: Msg) -> None:
            await asked.take(msg)
            await answering.publish("a.answer", msg.data)

        await asking.subscribe("a.answer", answers.take)
        await answering.subscribe("a.first", answer)
        for number in range(300):  # so that it takes a while until all are known
            await answering.subscribe(f"a.other.{number}", Heard().take)
        for round_number in range(3):
            around.kill()
            async with asyncio.timeout(30):
                while asking.connected.is_set() or answering.connected.is_set():
                    await asyncio.sleep(0.001)
            around.server.start()
            async with asyncio.timeout(30):
                await asking.connected.wait()
                before = len(asked.data)
                while len(asked.data) == before:
                    with contextlib.suppress(Unavailable):
                        await asking.publish("a.first", b"%d" % round_number)
                    await asyncio.sleep(0.0005)
                await answering.connected.wait()
            await answers.until(len(asked.data))
        assert answers.data == asked.data


async def test_it_never_gives_up() -> None:
    """More failures in a row than the library's own sixty, and then a subscription made meanwhile."""
    async with world() as w:
        link, heard = await w.link(), Heard()
        w.kill()
        await asyncio.sleep(4.0)  # eighty attempts
        assert not link.connected.is_set()
        async with asyncio.timeout(0.5):
            await link.subscribe("a.meanwhile", heard.take)
        w.server.start()
        async with asyncio.timeout(30):
            await link.known()
        await link.publish("a.meanwhile", b"x")
        await heard.until(1)


GREETINGS = [
    b"",
    b"INFO []\r\n",
    b"INFO 1\r\n",
    b"INFO {}\r\n",
    b"INFO {\r\n",
    b"-ERR 'maximum connections exceeded'\r\n",
    b"\xff\xfe\r\n",
    b'INFO {"nonce": 5, "auth_required": true}\r\n',
    b'INFO {"max_payload": "x", "connect_urls": 7}\r\nPONG\r\n',
    b"x" * 100_000,
]


async def test_a_stranger_on_the_port_cannot_stop_it_for_good() -> None:
    async with world() as w:
        link = await w.link()
        w.kill()
        async with asyncio.timeout(2):
            while link.connected.is_set():
                await asyncio.sleep(0.005)
        count = 0

        async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            with contextlib.suppress(OSError):
                writer.write(GREETINGS[count % len(GREETINGS)])
                count += 1
                await writer.drain()
                writer.close()
                await writer.wait_closed()

        stranger = await asyncio.start_server(greet, "127.0.0.1", w.server.port)
        async with asyncio.timeout(30):
            while count < 2 * len(GREETINGS):
                await asyncio.sleep(0.01)
        stranger.close()
        await stranger.wait_closed()
        assert not link.connected.is_set()
        w.server.start()
        async with asyncio.timeout(30):
            await link.connected.wait()


async def test_an_error_from_the_server_does_not_end_it_for_good() -> None:
    """The library closes for good when the server says -ERR, for instance because a key was withdrawn."""
    async with world() as w:
        link = await w.link()
        w.server.admit("a", BusKey().public)
        w.server.settle()
        async with asyncio.timeout(30):
            while link.connected.is_set():
                await asyncio.sleep(0.01)
        w.server.admit("a", link._key.public)
        w.server.settle()
        async with asyncio.timeout(30):
            await link.connected.wait()


async def test_a_server_of_another_user_gets_no_signature() -> None:
    async with world() as w:
        link = await w.link()
        endpoint = w.world.endpoint()
        assert endpoint.genuine()
        assert not Endpoint(endpoint.port, endpoint.uid + 1).genuine()
        assert not Endpoint(1, endpoint.uid).genuine()
        signed: list[str] = []

        class Watched(BusKey):
            def sign(self, nonce: str) -> bytes:
                signed.append(nonce)
                return super().sign(nonce)

        shy = Link("a", Watched(), w.metrics)
        shy._key._private = link._key._private
        w.links.append(shy)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await shy.connect(Endpoint(endpoint.port, endpoint.uid + 1))
        assert signed == []
        async with asyncio.timeout(30):
            await shy.connect(endpoint)
        assert len(signed) == 1


async def test_the_other_end_of_the_connection_counts_not_only_the_listener() -> None:
    """A listener may change hands after a connection was accepted."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        port = listener.getsockname()[1]
        client.connect(("127.0.0.1", port))
        local = client.getsockname()[1]
        peer, _ = listener.accept()
        with peer:
            assert Endpoint(port, os.getuid()).genuine(local)
            assert not Endpoint(port, os.getuid()).genuine(local + 1 if local < 65535 else local - 1)
            assert not Endpoint(port, os.getuid() + 1).genuine(local)


async def test_a_forbidden_subject_is_told_at_once() -> None:
    async with world() as w:
        link = await w.link()
        told: list[str] = []
        link.on_forbidden = told.append
        await link.publish("other.Place", b"")
        await link.flush()
        async with asyncio.timeout(2):
            while not told:
                await asyncio.sleep(0.005)
        assert told == ["other.place"]


async def test_too_large_is_refused_before_it_is_sent() -> None:
    async with world() as w:
        link = await w.link()
        with pytest.raises(Exhausted, match="larger than"):
            await link.publish("a.x", b"x" * (256 * 1024 + 1))
        await link.flush()
        assert link.connected.is_set()


async def test_a_slow_consumer_is_said_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="ubmc.bus")
    async with world() as w:
        link, gate = await w.link(), asyncio.Event()

        async def slow(_msg: Msg) -> None:
            await gate.wait()

        await link.subscribe("a.x", slow)
        for _ in range(600):
            await link.publish("a.x", b"x")
        await link.flush()
        async with asyncio.timeout(30):
            while w.metric("ubmc_bus_slow_consumers_total") < 300:
                await asyncio.sleep(0.01)
        gate.set()
    assert [message for message in caplog.messages if "lost" in message] == [
        "messages are lost: a subscription cannot follow"
    ]


class Hosts(Service):
    name = "statemgr"

    @rpc(HostService.GetHost)
    async def get_host(self, request: GetHostRequest) -> GetHostResponse:
        return GetHostResponse(host=Host(name=request.name))


async def test_a_thousand_answers_at_once_are_all_taken() -> None:
    """More than fit a subscription of the library's: what is bounded by ourselves must not be dropped there."""
    specs = (ProcessSpec("managers", (Hosts,)), ProcessSpec("websrv", (), door=True))
    async with BusWorld(*specs) as made:
        door = await made.place("websrv")
        asked = [door.forward(HostService.GetHost, GetHostRequest(name="x"), made.call()) for _ in range(1000)]
        began = time.monotonic()
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert {str(result) for result in results} == {"HostService.GetHost is not running"}
        assert time.monotonic() - began < 4.0


async def test_a_forbidden_call_fails_at_once_not_at_its_deadline() -> None:
    async with BusWorld(ProcessSpec("websrv", (), door=True)) as made:
        door = await made.place("websrv")
        began = time.monotonic()
        with pytest.raises(Unavailable, match="forbids websrv"):
            await door.ask(PowerService.DriveHost, DriveHostRequest(), timeout=60)
        assert time.monotonic() - began < 2.0


async def test_a_service_that_begins_while_the_bus_is_away_answers_when_it_is_back() -> None:
    specs = (ProcessSpec("managers", (Hosts,)), ProcessSpec("websrv", (), door=True))
    async with BusWorld(*specs) as made:
        managers, door = await made.place("managers"), await made.place("websrv")
        os.kill(made.server.pid or 0, signal.SIGKILL)
        made.server.reap()
        await asyncio.sleep(0.2)
        beginning = asyncio.create_task(made.run(managers, Hosts()))
        await asyncio.sleep(0.3)
        assert not beginning.done()
        made.server.start()
        async with asyncio.timeout(30):
            await beginning
            await door.link.connected.wait()
            answer = await door.forward(HostService.GetHost, GetHostRequest(name="host.0"), made.call())
        assert answer.host is not None


async def test_a_service_that_ends_answers_what_has_been_sent_to_it() -> None:
    specs = (ProcessSpec("managers", (Hosts,)), ProcessSpec("websrv", (), door=True))
    async with BusWorld(*specs) as made:
        hosts = Hosts()
        managers, door = await made.place("managers", hosts), await made.place("websrv")
        outcomes = set()
        for count in range(60):
            request = GetHostRequest(name="x")
            asked = [door.forward(HostService.GetHost, request, made.call(seconds=2)) for _ in range(10)]
            asking = asyncio.gather(*asked, return_exceptions=True)
            await asyncio.sleep(0.0005 * (count % 8))
            await managers.answerer.withdraw(hosts)
            outcomes |= {type(each) for each in await asking}
            await managers.answerer.serve(hosts)
        assert GetHostResponse in outcomes
        assert outcomes <= {GetHostResponse, Unavailable}, "none waits for its deadline in vain"


async def test_closing_before_there_was_ever_a_server() -> None:
    link = Link("a", BusKey(), Metrics())
    connecting = asyncio.create_task(link.connect(Endpoint(1, os.getuid())))
    await asyncio.sleep(0.2)
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    await link.close()
    with pytest.raises(Unavailable):
        await link.publish("a", b"")


async def test_a_flush_that_is_cancelled_leaves_the_connection_alone() -> None:
    """The library sets the result of a cancelled future when the answer comes, and its reader dies of that."""
    async with world() as w:
        link = await w.link()
        lost: list[bool] = []
        link.on_disconnect.append(lambda: lost.append(True))
        for _ in range(50):
            flushing = asyncio.create_task(link.flush())
            await asyncio.sleep(0)
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
        await link.flush()
        assert not lost
