from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from ubmc.services.websrv.http import Disconnected, Limits, Receive, Scope, Send
from ubmc.services.websrv.http.testing import HOST, Door, client_context, serving

QUICK = Limits(
    handshake_seconds=0.3, header_seconds=0.3, body_seconds=0.3, idle_seconds=0.3, write_seconds=0.4,
    linger_seconds=0.1, body_bytes=10_000, body_min_rate=1_000_000,
)  # fmt: skip
SMALL = Limits(body_bytes=10_000, linger_seconds=0.3)
OK = b"HTTP/1.1 200 OK\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the size of the body and the header fields it was given."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        size, more = size + len(message["body"]), message["more_body"]
    text = b"%d %s" % (size, b" ".join(name for name, _ in scope["headers"]))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
    await send({"type": "http.response.body", "body": text})


class Client:
    """A TLS connection that says anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        with contextlib.suppress(OSError):
            await self.writer.drain()

    async def hear_all(self, seconds: float = 5) -> bytes:
        """Everything until the server closes."""
        said = bytearray()
        async with asyncio.timeout(seconds):
            with contextlib.suppress(OSError):
                while piece := await self.reader.read(65_536):
                    said += piece
        return bytes(said)


@contextlib.asynccontextmanager
async def client_of(door: Door) -> AsyncGenerator[Client]:
    reader, writer = await asyncio.open_connection(HOST, door.port, ssl=client_context("http/1.1"))
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def get(*fields: bytes, target: bytes = b"/") -> bytes:
    return b"\r\n".join((b"GET %s HTTP/1.1" % target, *fields, b"", b""))


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((b"POST / HTTP/1.1", b"Host: x", *fields, b"", body))


CHUNKED = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"
LONG = b"a" * 8192
REFUSED = {
    "length and chunked": (400, "framing", post(b"Content-Length: 4", CHUNKED, body=END)),
    "chunked and length": (400, "framing", post(CHUNKED, b"Content-Length: 4", body=END)),
    "two lengths": (400, "framing", post(b"Content-Length: 4", b"Content-Length: 5", body=b"12345")),
    "two equal lengths": (400, "framing", post(b"Content-Length: 4", b"Content-Length: 4", body=b"1234")),
    "signed length": (400, "malformed", post(b"Content-Length: +4", body=b"1234")),
    "two codings": (400, "framing", post(b"Transfer-Encoding: gzip", CHUNKED, body=END)),
    "coding that is not chunked": (400, "framing", post(b"Transfer-Encoding: gzip, chunked", body=END)),
    "two hosts": (400, "host", get(b"Host: x", b"Host: x")),
    "no host": (400, "host", get(b"Accept: x")),
    "unknown method": (501, "method", b"FAKEMETHOD / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "unknown method behind a body": (
        501,
        "method",
        post(b"Content-Length: 2", body=b"{}FAKE / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ),
    "not http": (400, "malformed", b"\x16\x03\x01 hello\r\n\r\n"),
    "bare line feeds": (400, "malformed", b"GET / HTTP/1.1\nHost: x\n\n"),
    "space before colon": (400, "malformed", get(b"Host : x")),
    "null in value": (400, "malformed", get(b"Host: x", b"A: \x00")),
    "connect": (400, "malformed", b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
    "path that is not ascii": (400, "malformed", get(b"Host: x", target=b"/\xff")),
    "large header": (431, "header_bytes", get(b"Host: x", b"A: " + LONG)),
    "many small headers": (431, "header_count", get(b"Host: x", *(b"x-%d: y" % number for number in range(65)))),
    "long target": (431, "header_bytes", get(b"Host: x", target=b"/" + LONG)),
    "header without end": (431, "header_bytes", b"GET / HTTP/1.1\r\nHost: x\r\nA: " + LONG),
    "announced body": (413, "body_bytes", post(b"Content-Length: 10001")),
    "absurd length": (413, "body_bytes", post(b"Content-Length: 18446744073709551615")),
    "chunked body": (413, "body_bytes", post(CHUNKED, body=b"2711\r\n" + b"x" * 10_001)),
    "large trailers": (431, "header_bytes", post(CHUNKED, body=b"0\r\nA: " + LONG + b"\r\n\r\n")),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_bad_request_is_answered_and_the_connection_ends(tmp_path: Path, name: str) -> None:
    status, limit, request = REFUSED[name]
    async with serving(app, tmp_path, SMALL) as door, client_of(door) as client:
        await client.say(request)
        said = await client.hear_all()
        assert said.startswith(b"HTTP/1.1 %d " % status), said
        assert b"connection: close" in said
        assert said.count(b"HTTP/1.1") == 1
        counts = door.listener.counts
        assert set(counts.limited) in ({limit}, {"malformed"})  # the parser itself knows some of them
        await eventually(lambda: counts.open == 0)


async def test_limits_let_through_what_is_just_within(tmp_path: Path) -> None:
    head = (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\nA: " + b"a" * 8000 + b"\r\nConnection: close\r\n\r\n"
    )
    async with serving(app, tmp_path, SMALL) as door, client_of(door) as client:
        await client.say(head + b"x" * 10_000)
        assert (await client.hear_all()).startswith(OK)


async def test_smuggled_bytes_are_no_second_request(tmp_path: Path) -> None:
    inner = b"GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"
    outer = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % len(
        inner
    )
    async with serving(app, tmp_path, SMALL) as door, client_of(door) as client:
        await client.say(outer + inner)
        assert (await client.hear_all()).count(b"HTTP/1.1") == 1
        assert door.listener.counts.requests.total() == 0


async def test_trailers_do_not_become_headers(tmp_path: Path) -> None:
    request = post(CHUNKED, b"Connection: close", body=b"0\r\nauthorization: Basic x\r\n\r\n")
    async with serving(app, tmp_path, SMALL) as door, client_of(door) as client:
        await client.say(request)
        said = await client.hear_all()
        assert said.startswith(OK)
        assert b"authorization" not in said


async def test_a_slow_head_is_cut_off(tmp_path: Path) -> None:
    async with serving(app, tmp_path, QUICK) as door, client_of(door) as client:
        await client.say(b"GET / HTTP/1.1\r\n")

        async def drip() -> None:
            while True:
                await client.say(b"A: b\r\n")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        said = await client.hear_all()
        dripping.cancel()
        assert said.startswith(b"HTTP/1.1 408 ")
        assert door.listener.counts.limited["header_seconds"] == 1


async def test_a_slow_body_is_cut_off_and_the_application_told(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)
        ended.set()

    async with serving(told, tmp_path, QUICK) as door, client_of(door) as client:
        await client.say(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n")

        async def drip() -> None:
            while True:
                await client.say(b"x")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        said = await client.hear_all()
        dripping.cancel()
        assert said.startswith(b"HTTP/1.1 408 ")
        assert door.listener.counts.limited["body_seconds"] == 1
        async with asyncio.timeout(30):
            await ended.wait()


async def test_a_slow_body_that_keeps_the_rate_passes(tmp_path: Path) -> None:
    limits = Limits(header_seconds=0.3, body_seconds=0.2, body_min_rate=1000, linger_seconds=0.2)
    async with serving(app, tmp_path, limits) as door, client_of(door) as client:
        await client.say(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n")
        for _ in range(10):
            await client.say(b"x" * 100)
            await asyncio.sleep(0.05)
        assert (await client.hear_all()).startswith(OK)


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_a_silent_connection_is_closed(tmp_path: Path, first: bytes) -> None:
    async with serving(app, tmp_path, QUICK) as door, client_of(door) as client:
        await client.say(first)
        said = await client.hear_all()
        assert said.startswith(OK) is bool(first)
        assert door.listener.counts.limited["idle_seconds"] == 1
        await eventually(lambda: door.listener.counts.open == 0)


async def test_who_does_not_read_the_answer_is_cut_off(tmp_path: Path) -> None:
    why: asyncio.Queue[str] = asyncio.Queue()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
        except Disconnected:
            why.put_nowait("disconnected")

    async with serving(endless, tmp_path, QUICK) as door, client_of(door) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(30):
            assert await why.get() == "disconnected"
        assert door.listener.counts.limited["write_seconds"] == 1
        await eventually(lambda: door.listener.counts.open == 0)


async def test_a_large_last_answer_is_not_cut_short(tmp_path: Path) -> None:
    size = 8 << 20

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        await send({"type": "http.response.body", "body": b"x" * size})

    limits = Limits(linger_seconds=0.1)
    async with serving(large, tmp_path, limits) as door, client_of(door) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.say(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await asyncio.sleep(0.4)  # several times the linger
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        said = await client.hear_all(seconds=20)
        assert len(said.partition(b"\r\n\r\n")[2]) == size


async def test_pipelining_has_an_end(tmp_path: Path) -> None:
    hold = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await hold.wait()
        await app(scope, receive, send)

    async with serving(slow, tmp_path, SMALL) as door, client_of(door) as client:
        await client.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        said = await client.hear_all()
        assert said.startswith(b"HTTP/1.1 400 ")
        assert door.listener.counts.limited["pipeline_requests"] == 1
        hold.set()


async def test_the_51st_connection_of_an_address_is_refused_at_once(tmp_path: Path) -> None:
    async with serving(app, tmp_path) as door, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(door)) for _ in range(50)]
        async with asyncio.timeout(1):
            with pytest.raises(OSError):
                await asyncio.open_connection(HOST, door.port, ssl=client_context("http/1.1"))
        counts = door.listener.counts
        assert (counts.open, counts.accepted, counts.refused["address"]) == (50, 50, 1)
        await clients[0].say(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await clients[0].hear_all()).startswith(OK)
        await eventually(lambda: counts.open == 49)
        async with client_of(door) as again:
            await again.say(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await again.hear_all()).startswith(OK)


async def test_the_cap_in_all_counts_too(tmp_path: Path) -> None:
    async with serving(app, tmp_path, Limits(connections_total=3)) as door, contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(client_of(door))
        async with asyncio.timeout(1):
            with pytest.raises(OSError):
                await asyncio.open_connection(HOST, door.port, ssl=client_context("http/1.1"))
        assert door.listener.counts.refused["total"] == 1


async def silence(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0)


async def garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET / HTTP/1.1\r\n\r\n" * 10)


async def half_a_hello(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x16\x03\x01\x02\x00\x01\x00")


@pytest.mark.parametrize("act", [silence, garbage, half_a_hello])
async def test_a_handshake_that_does_not_happen_is_ended(
    tmp_path: Path, act: Callable[[asyncio.StreamWriter], Awaitable[None]]
) -> None:
    async with serving(app, tmp_path, QUICK) as door:
        reader, writer = await asyncio.open_connection(HOST, door.port)
        await act(writer)
        async with asyncio.timeout(3):
            with contextlib.suppress(OSError):
                while await reader.read(1024):
                    pass
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        await eventually(lambda: door.listener.counts.open == 0)
        assert door.listener.counts.refused["handshake"] == 1


async def test_stop_during_a_handshake_does_not_hang(tmp_path: Path) -> None:
    async with serving(app, tmp_path) as door:
        _, writer = await asyncio.open_connection(HOST, door.port)
        await eventually(lambda: door.listener.counts.open == 1)
        async with asyncio.timeout(1):
            await door.listener.stop(5)
        assert door.listener.counts.open == 0
        writer.close()


async def test_a_foreign_upgrade_is_answered_as_a_plain_request(tmp_path: Path) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\n"
    async with serving(app, tmp_path, SMALL) as door, client_of(door) as client:
        await client.say(request)
        said = await client.hear_all()
        assert said.startswith(OK)
        assert said.count(b"HTTP/1.1") == 1


async def test_a_ping_flood_by_who_does_not_read_holds_itself_back(tmp_path: Path) -> None:
    async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    upgrade = get(
        b"Host: x", b"Connection: Upgrade", b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    pings = (b"\x89\xfd\0\0\0\0" + b"p" * 125) * 100
    offered = 8 << 20
    async with serving(quiet, tmp_path) as door:
        assert door.listener._server is not None
        listening = door.listener._server.sockets[0]
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)  # accepted connections inherit it
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        async with client_of(door) as client:
            await client.say(upgrade)
            assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            taken = 0
            with contextlib.suppress(TimeoutError):  # it is made to wait long before all is taken
                while taken < offered:
                    await asyncio.wait_for(client.say(pings), 0.5)
                    taken += len(pings)
            assert 0 < taken < offered


async def test_an_early_answer_to_a_slow_body_is_not_followed_by_another(tmp_path: Path) -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with serving(early, tmp_path, QUICK) as door, client_of(door) as client:
        await client.say(post(b"Content-Length: 100"))
        said = await client.hear_all()
        assert said.startswith(b"HTTP/1.1 401 ")
        assert said.count(b"HTTP/1.1") == 1
        assert door.listener.counts.limited == {"body_seconds": 1}


async def test_an_answer_instead_of_continue_ends_the_connection(tmp_path: Path) -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with serving(early, tmp_path) as door, client_of(door) as client:
        await client.say(post(b"Content-Length: 100", b"Expect: 100-continue"))
        assert b"connection: close" in await client.hear_all()


GOOD = (
    get(b"Host: x", b"Accept: */*"),
    post(b"Content-Length: 5", body=b"hello"),
    post(CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n"),
)


async def test_mangled_requests_cost_one_connection_each(tmp_path: Path) -> None:
    """Seeded, so that a failure comes back; `serving` fails if anything reaches the loop unhandled."""
    dice = random.Random(20)
    async with serving(app, tmp_path, SMALL) as door:
        for turn in range(90):
            data = bytearray(GOOD[turn % len(GOOD)])
            for _ in range(dice.randint(1, 6)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            async with client_of(door) as client:
                await client.say(bytes(data))
                client.writer.close()  # and not an abort, which would take the bytes along
                await client.hear_all()
        async with client_of(door) as client:
            await client.say(get(b"Host: x", b"Connection: close"))
            assert (await client.hear_all()).startswith(OK)
        await eventually(lambda: door.listener.counts.open == 0)
