"""The two halves of a stream: credit, beats, each noticing the death of the other; on virtual time and on a server."""

from __future__ import annotations

import asyncio
import os
import signal
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.harness.bus import BusWorld

from ubmc.kit.call import ERROR_HEADER, encode_error
from ubmc.kit.errors import Exhausted, NotFound, Unavailable
from ubmc.kit.service import Service, stream
from ubmc.kit.stream import (
    BEAT_SECONDS,
    MAX_FRAME,
    PATIENCE_SECONDS,
    WINDOW_BYTES,
    WINDOW_FRAMES,
    ReaderGone,
    StreamReader,
    StreamWriter,
)
from ubmc.kit.testing import run_virtual
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.v1alpha1.host_pb import Host, WatchHostsRequest, WatchHostsResponse
from ubmc.v1alpha1.host_rpc import HostService


class Wire:
    """A bus with one reader and one writer on it; either can be cut off."""

    def __init__(self) -> None:
        self.frames: list[tuple[float, bytes]] = []
        self.controls: list[bytes] = []
        self.reader_deaf = False
        self.writer_deaf = False
        self.reader = StreamReader(self.to_writer, "inbox", "HostService")
        self.writer = StreamWriter(self.to_reader, "inbox", "control")

    def message(self, data: bytes, reply: str = "", headers: dict[str, str] | None = None) -> Msg:
        return Msg(_client=Client(), data=data, reply=reply, headers=headers)

    async def to_reader(self, _subject: str, data: bytes, reply: str, headers: dict[str, str] | None) -> None:
        self.frames.append((asyncio.get_running_loop().time(), data))
        if not self.reader_deaf:
            await self.reader.frame(self.message(data, reply, headers))

    async def to_writer(self, subject: str, data: bytes, _reply: str, _headers: dict[str, str] | None) -> None:
        assert subject == "control"
        self.controls.append(data)
        if not self.writer_deaf:
            self.writer.control(self.message(data))


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtual(test())

    run.__name__ = test.__name__
    return run


async def stop(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def write(wire: Wire, data: bytes, count: int) -> None:
    for _ in range(count):
        await wire.writer.send(data)


async def read(wire: Wire, count: int) -> None:
    for _ in range(count):
        await wire.reader.next()


async def last(reader: AsyncIterator[object]) -> None:
    async for _ in reader:
        pass


@virtual
async def test_credit_in_frames() -> None:
    wire = Wire()
    writing = asyncio.create_task(write(wire, b"x", 1000))
    await asyncio.sleep(1)
    assert len(wire.frames) == WINDOW_FRAMES
    for _ in range(WINDOW_FRAMES // 2 - 1):
        await wire.reader.next()
    await asyncio.sleep(1)
    assert wire.controls == [], "credit comes in lots"
    await wire.reader.next()
    await asyncio.sleep(1)
    assert wire.controls == [b"%d %d" % (WINDOW_FRAMES // 2, WINDOW_FRAMES // 2)]
    assert len(wire.frames) == WINDOW_FRAMES + WINDOW_FRAMES // 2
    for _ in range(1000 - WINDOW_FRAMES // 2):
        assert await wire.reader.next() == b"x"
    await writing


@virtual
async def test_credit_in_bytes() -> None:
    wire = Wire()
    writing = asyncio.create_task(write(wire, b"x" * MAX_FRAME, 100))
    await asyncio.sleep(1)
    assert len(wire.frames) == WINDOW_BYTES // MAX_FRAME < WINDOW_FRAMES
    for _ in range(100):
        assert len(await wire.reader.next() or b"") == MAX_FRAME
        assert wire.reader._queue.qsize() <= WINDOW_BYTES // MAX_FRAME
    await writing


@virtual
async def test_a_frame_has_a_largest_size() -> None:
    wire = Wire()
    await wire.writer.send(b"x" * MAX_FRAME)
    with pytest.raises(Exhausted, match="larger than"):
        await wire.writer.send(b"x" * (MAX_FRAME + 1))


@virtual
async def test_beats_keep_a_slow_reader_alive() -> None:
    """The beat is answered where it arrives: a reader that consumes one frame a minute is slow and not dead."""
    wire = Wire()
    beating = asyncio.create_task(wire.writer.beat())
    writing = asyncio.create_task(write(wire, b"x", 40))
    for _ in range(40):
        await asyncio.sleep(60)
        assert await wire.reader.next() == b"x"
    await writing
    assert not beating.done()
    waiting = asyncio.create_task(wire.reader.next())
    await asyncio.sleep(600)
    assert not waiting.done(), "beats keep a silent writer alive too"
    await stop(beating, waiting)


@virtual
async def test_a_reader_that_is_silent_is_gone() -> None:
    wire = Wire()
    beating = asyncio.create_task(wire.writer.beat())
    wire.reader_deaf = True
    with pytest.raises(ReaderGone):
        await write(wire, b"x", 1000)
    assert asyncio.get_running_loop().time() <= PATIENCE_SECONDS + 2 * BEAT_SECONDS
    await beating
    with pytest.raises(ReaderGone):
        await wire.writer.send(b"x")
    before = len(wire.frames)
    await wire.writer.end()
    assert len(wire.frames) == before


@virtual
async def test_a_writer_that_is_silent_is_gone() -> None:
    wire = Wire()
    await wire.writer.send(b"x")
    assert await wire.reader.next() == b"x"
    with pytest.raises(Unavailable, match="has gone silent"):
        await wire.reader.next()
    assert PATIENCE_SECONDS < asyncio.get_running_loop().time() <= 2 * PATIENCE_SECONDS


@virtual
async def test_a_writer_that_never_was_is_told_at_once() -> None:
    wire = Wire()
    await wire.reader.frame(wire.message(b"", headers={"Status": "503"}))
    with pytest.raises(Unavailable, match="is not running"):
        await wire.reader.next()
    assert asyncio.get_running_loop().time() == 0


@pytest.mark.parametrize("message", [(b"", {"Status": "503"}), (b"cancel", None), (b"nonsense", None), (b"", None)])
def test_the_writer_is_told_at_once(message: tuple[bytes, dict[str, str] | None]) -> None:
    async def main() -> None:
        wire = Wire()
        writing = asyncio.create_task(write(wire, b"x", 1000))
        await asyncio.sleep(1)
        wire.writer.control(wire.message(message[0], headers=message[1]))
        with pytest.raises(ReaderGone):
            await writing
        assert asyncio.get_running_loop().time() == 1

    run_virtual(main())


@virtual
async def test_ends_and_errors_come_after_what_was_sent() -> None:
    for error in (None, encode_error(NotFound("no such thing"))):
        wire = Wire()
        await write(wire, b"x", WINDOW_FRAMES)
        await wire.writer.end(error)
        for _ in range(WINDOW_FRAMES):
            assert await wire.reader.next() == b"x"
        if error is None:
            assert await wire.reader.next() is None
        else:
            with pytest.raises(NotFound, match="no such thing"):
                await wire.reader.next()


@virtual
async def test_an_error_frame_is_an_error() -> None:
    wire = Wire()
    name, body = encode_error(NotFound("gone"))
    await wire.reader.frame(wire.message(body, headers={ERROR_HEADER: name}))
    with pytest.raises(NotFound, match="gone"):
        await wire.reader.next()


@virtual
async def test_a_writer_that_ignores_its_credit_is_stopped() -> None:
    wire = Wire()
    for _ in range(1000):
        await wire.reader.frame(wire.message(b"x", "control"))
    assert wire.reader._queue.qsize() <= WINDOW_FRAMES + 2
    with pytest.raises(Exhausted, match="more than it was allowed"):
        await read(wire, 1000)


@virtual
async def test_an_end_from_outside_is_heard_by_a_waiting_and_by_a_full_reader() -> None:
    wire = Wire()
    waiting = asyncio.create_task(wire.reader.next())
    await asyncio.sleep(1)
    wire.reader.fail(Unavailable("the bus was lost"))
    with pytest.raises(Unavailable, match="bus was lost"):
        await waiting
    wire = Wire()
    await write(wire, b"x", WINDOW_FRAMES)
    for _ in range(5):
        wire.reader.fail(Unavailable("the bus was lost"))
    with pytest.raises(Unavailable, match="bus was lost"):
        await read(wire, WINDOW_FRAMES + 1)


class Hosts(Service):
    """Streams as fast as it is let."""

    name = "statemgr"

    def __init__(self, size: int = 100) -> None:
        self.size = size
        self.sent = 0
        self.open = 0
        self.closed = asyncio.Event()

    @stream(HostService.WatchHosts)
    async def watch(self, request: WatchHostsRequest) -> AsyncIterator[WatchHostsResponse]:
        self.open += 1
        try:
            if request.cursor == "fail":
                raise Unavailable("the wires are away")
            if request.cursor == "large":
                yield WatchHostsResponse(host=Host(name="x" * (MAX_FRAME + 1)))
            if request.cursor == "silent":
                await asyncio.Event().wait()
            while True:
                self.sent += 1
                yield WatchHostsResponse(cursor=str(self.sent), host=Host(name="x" * self.size))
        finally:
            self.open -= 1
            self.closed.set()


SPECS = (ProcessSpec("managers", (Hosts,)), ProcessSpec("websrv", (), door=True))


async def test_a_slow_reader_stalls_the_writer_and_memory_stays() -> None:
    async with BusWorld(*SPECS) as made:
        hosts = Hosts(30_000)
        await made.place("managers", hosts)
        door = await made.place("websrv")
        readers = [door.watch(HostService.WatchHosts, WatchHostsRequest(), made.call()) for _ in range(4)]
        for reader in readers:
            await anext(reader)
        await asyncio.sleep(0.3)
        stalled = hosts.sent
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        await asyncio.sleep(1.0)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert hosts.sent == stalled <= 4 * 12
        assert after - before < 200_000
        for reader in readers:
            for _ in range(100):
                await anext(reader)
        assert hosts.sent >= 400
        for reader in readers:
            await reader.aclose()
        async with asyncio.timeout(30):
            while hosts.open:
                await asyncio.sleep(0.01)


async def test_what_the_handler_says_arrives_also_when_it_is_unavailable() -> None:
    async with BusWorld(*SPECS) as made:
        hosts = Hosts()
        await made.place("managers", hosts)
        door = await made.place("websrv")
        for cursor, error, text in (("fail", Unavailable, "the wires are away"), ("large", Exhausted, "larger than")):
            async with asyncio.timeout(3):
                with pytest.raises(error, match=text):
                    await anext(door.watch(HostService.WatchHosts, WatchHostsRequest(cursor=cursor), made.call()))
        assert hosts.open == 0


async def test_a_reader_process_that_vanishes_closes_the_handler() -> None:
    """The bus itself reports that nobody listens to the inbox any more."""
    async with BusWorld(*SPECS) as made:
        hosts = Hosts()
        await made.place("managers", hosts)
        door = await made.place("websrv")
        reader = door.watch(HostService.WatchHosts, WatchHostsRequest(), made.call())
        for _ in range(40):
            await anext(reader)
        transport = door.link._client._transport
        assert transport is not None
        door.link._closing = True
        assert door.link._keeping is not None
        door.link._keeping.cancel()
        transport.close()  # type: ignore[no-untyped-call] # as a kill -9 does
        async with asyncio.timeout(30):
            await hosts.closed.wait()
        await reader.aclose()


async def test_a_service_that_is_stopped_ends_its_streams() -> None:
    async with BusWorld(*SPECS) as made:
        hosts = Hosts()
        managers = await made.place("managers", hosts)
        door = await made.place("websrv")
        reader = door.watch(HostService.WatchHosts, WatchHostsRequest(cursor="silent"), made.call())
        reading = asyncio.ensure_future(anext(reader))
        async with asyncio.timeout(3):
            while not hosts.open:
                await asyncio.sleep(0.01)
        await managers.close()
        assert hosts.open == 0
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await reader.aclose()


async def test_the_handler_is_closed_when_the_bus_is_lost() -> None:
    async with BusWorld(*SPECS) as made:
        hosts = Hosts()
        await made.place("managers", hosts)
        door = await made.place("websrv")
        reader = door.watch(HostService.WatchHosts, WatchHostsRequest(), made.call())
        await anext(reader)
        os.kill(made.server.pid or 0, signal.SIGKILL)
        made.server.reap()
        with pytest.raises(Unavailable):
            await last(reader)
        made.server.start()
        async with asyncio.timeout(PATIENCE_SECONDS + 5):
            await hosts.closed.wait()
