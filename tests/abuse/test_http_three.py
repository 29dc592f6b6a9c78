"""HTTP/3: any datagram and any frame is survived, and what HTTP/1.1 and HTTP/2 refuse is refused here too."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import ssl
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamReset
from tests.abuse.fuzzing import TURNS, Mangler

from ubmc.services.websrv.http import Limits, Receive, Scope, Send
from ubmc.services.websrv.http.http3 import Http3Listener
from ubmc.services.websrv.http.limits import Counts
from ubmc.services.websrv.http.testing import HOST, self_signed

SMALL = Limits(body_bytes=10_000)
HEAD = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"bmc.example"), (b":path", b"/")]
SETTINGS, HEADERS, DATA = 0x4, 0x1, 0x0
DATAGRAMS = 3_000
CONNECTIONS = 40
turns = pytest.mark.parametrize("turns", TURNS)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the size of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        size, more = size + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % size})


@dataclass
class Door:
    listener: Http3Listener
    port: int

    @property
    def counts(self) -> Counts:
        return self.listener.counts


@contextlib.asynccontextmanager
async def serving(folder: Path, limits: Limits = SMALL) -> AsyncGenerator[Door]:
    """A listener; fails if anything reached the loop unhandled."""
    faults: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(str(context)))
    certificate, key = self_signed(folder)
    listener = Http3Listener(app, limits=limits, counts=Counts())
    _, port = await listener.start(HOST, 0, certificate.read_text(), key.read_text())
    try:
        yield Door(listener, port)
    finally:
        listener.stop()
        await asyncio.sleep(0)
    assert faults == []


def configuration() -> QuicConfiguration:
    return QuicConfiguration(is_client=True, alpn_protocols=list(H3_ALPN), verify_mode=ssl.CERT_NONE, idle_timeout=10)


class Client(QuicConnectionProtocol):
    """Says anything on its streams, and keeps what it hears."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.http: H3Connection | None = None
        self.statuses: dict[int, int] = {}
        self.bodies: dict[int, bytes] = {}
        self.resets: set[int] = set()
        self.closed: int | None = None
        self.news = asyncio.Event()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamReset):
            self.resets.add(event.stream_id)
        elif isinstance(event, ConnectionTerminated):
            self.closed = event.error_code
        for each in self.http.handle_event(event) if self.http is not None else ():
            if isinstance(each, HeadersReceived):
                self.statuses[each.stream_id] = int(dict(each.headers)[b":status"])
            elif isinstance(each, DataReceived):
                self.bodies[each.stream_id] = self.bodies.get(each.stream_id, b"") + each.data
        self.news.set()

    def speak(self) -> H3Connection:
        self.http = self.http or H3Connection(self._quic)
        return self.http

    def say(self, number: int, data: bytes, *, end: bool = False) -> None:
        """Send bytes on a stream, whatever they are."""
        self._quic.send_stream_data(number, data, end)
        self.transmit()

    def request(self, *more: tuple[bytes, bytes], head: list[tuple[bytes, bytes]] = HEAD, body: bytes = b"") -> int:
        number = self._quic.get_next_available_stream_id()
        http = self.speak()
        http.send_headers(number, [*head, *more], not body)
        if body:
            http.send_data(number, body, True)
        self.transmit()
        return number

    async def until_over(self, number: int) -> None:
        """Wait until a stream, or all, came to its end."""
        async with asyncio.timeout(30):
            while not (number in self.statuses or number in self.resets or self.closed is not None):
                self.news.clear()
                await self.news.wait()


@contextlib.asynccontextmanager
async def client_of(door: Door) -> AsyncGenerator[Client]:
    async with connect(HOST, door.port, configuration=configuration(), create_protocol=Client) as client:
        assert isinstance(client, Client)
        yield client


async def answers(door: Door) -> bool:
    """Whether a newcomer is answered."""
    async with client_of(door) as client:
        number = client.request(head=[*HEAD[1:], (b":method", b"POST")], body=b"hello")
        await client.until_over(number)
        return client.statuses.get(number) == 200


def frame(kind: int, payload: bytes, size: int | None = None) -> bytes:
    return encode_uint_var(kind) + encode_uint_var(len(payload) if size is None else size) + payload


REFUSED: dict[str, list[tuple[bytes, bytes]]] = {
    "length and chunked": [*HEAD, (b"content-length", b"4"), (b"transfer-encoding", b"chunked")],
    "chunked": [*HEAD, (b"transfer-encoding", b"chunked")],
    "two lengths": [*HEAD, (b"content-length", b"0"), (b"content-length", b"0")],
    "two hosts": [*HEAD, (b"host", b"bmc.example"), (b"host", b"bmc.example")],
    "another host": [*HEAD, (b"host", b"evil.example")],
    "two authorizations": [*HEAD, (b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")],
    "connection": [*HEAD, (b"connection", b"keep-alive")],
    "upgrade": [*HEAD, (b"upgrade", b"websocket")],
    "no authority": [each for each in HEAD if each[0] != b":authority"],
    "path of another form": [*HEAD[:3], (b":path", b"x")],
    "large headers": [*HEAD, *((b"x-%d" % number, b"y" * 1000) for number in range(9))],
    "many headers": [*HEAD, *((b"x-%d" % number, b"y") for number in range(65))],
    "very many headers": [*HEAD, *((b"x-%d" % number, b"") for number in range(1000))],
    "very large headers": [*HEAD, *((b"x-%d" % number, b"y" * 4000) for number in range(20))],
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_bad_request_never_reaches_the_application(tmp_path: Path, name: str) -> None:
    async with serving(tmp_path) as door:
        async with client_of(door) as client:
            number = client.request(head=REFUSED[name])
            await client.until_over(number)
            assert client.statuses == {}
        assert door.counts.requests["3"] == 0
        assert await answers(door)


async def test_a_header_block_that_never_ends_is_cut_off(tmp_path: Path) -> None:
    """aioquic alone would collect it for ever."""
    async with serving(tmp_path) as door, client_of(door) as client:
        client.speak()
        number = client._quic.get_next_available_stream_id()
        client.say(number, frame(HEADERS, b"", size=1 << 40))
        async with asyncio.timeout(30):
            while client.closed is None:
                client.say(number, b"x" * 1000)
                await asyncio.sleep(0.005)
        assert door.counts.limited["header_bytes"] == 1
        assert not door.listener.connections


async def test_no_compression_table_can_be_filled(tmp_path: Path) -> None:
    """With one, each byte of a request could become a header of 4 KiB."""
    async with serving(tmp_path) as door, client_of(door) as client:
        http = client.speak()
        assert http._local_encoder_stream_id is not None
        large = b"\x3f\xe1\x1f" + b"\x41a\x7f\xa1\x1e" + b"v" * 4000  # capacity 4096, then one entry (RFC 9204, 4.3)
        began = time.thread_time()
        client.say(http._local_encoder_stream_id, large)
        number = client._quic.get_next_available_stream_id()
        client.say(number, frame(HEADERS, b"\x02\x00" + b"\x80" * 8000), end=True)
        await client.until_over(-1)
        assert client.closed is not None
        assert time.thread_time() - began < 1.0


async def test_slow_headers_and_idle_connections_come_to_an_end(tmp_path: Path) -> None:
    quick = replace(SMALL, header_seconds=0.1, idle_seconds=1.0)
    async with serving(tmp_path, quick) as door:
        async with client_of(door) as client:
            client.speak()
            client.say(client._quic.get_next_available_stream_id(), frame(HEADERS, b"\0", size=100))
            await client.until_over(-1)
        assert door.counts.limited["header_seconds"] == 1
        async with client_of(door) as client:
            number = client.request()
            await client.until_over(number)
            async with asyncio.timeout(30):
                while client.closed is None:
                    client._quic.send_ping(1)  # it says that it lives, and does nothing
                    client.transmit()
                    await asyncio.sleep(0.05)
        assert door.counts.limited["idle_seconds"] == 1
        assert door.listener.open == {}


async def test_rapid_reset_ends_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path) as door, client_of(door) as client:
        async with asyncio.timeout(20):
            while client.closed is None:
                number = client._quic.get_next_available_stream_id()
                client.speak().send_headers(number, HEAD)
                client.transmit()
                client._quic.reset_stream(number, 0x10C)
                client.transmit()
                await asyncio.sleep(0.002)
        assert door.counts.limited["h3_resets"] == 1


async def test_a_request_may_end_with_trailers(tmp_path: Path) -> None:
    async with serving(tmp_path) as door, client_of(door) as client:
        http = client.speak()
        number = client._quic.get_next_available_stream_id()
        http.send_headers(number, [*HEAD[1:], (b":method", b"POST")])
        http.send_data(number, b"hello", False)
        http.send_headers(number, [(b"x-checked", b"1")], True)
        client.transmit()
        await client.until_over(number)
        assert client.statuses[number] == 200


@turns
async def test_any_datagram_is_survived(tmp_path: Path, turns: int) -> None:
    """Noise, and the first datagrams of handshakes with some bytes changed."""
    dice, mangler, initial = random.Random(22), Mangler(22), b""
    async with serving(tmp_path) as door:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.connect((HOST, door.port))
            plain.setblocking(False)
            for turn in range(DATAGRAMS * turns):
                if turn % 50 == 0:
                    quic = QuicConnection(configuration=configuration())
                    quic.connect((HOST, door.port), now=time.monotonic())
                    initial = quic.datagrams_to_send(now=time.monotonic())[0][0]
                kind = turn % 3
                data = dice.randbytes(dice.randrange(1, 1400)) if kind == 0 else mangler.mangle(initial)
                if kind == 2:  # the header stays, so that it gets as far as the decryption
                    data = initial[:40] + data[40:1400]
                with contextlib.suppress(OSError):
                    plain.send(data[:1400] or os.urandom(1))
                with contextlib.suppress(OSError):
                    plain.recv(2000)
                if turn % 20 == 0:
                    await asyncio.sleep(0)
        assert await answers(door)
        assert len(door.listener.connections) <= 1 + CONNECTIONS


@turns
async def test_any_frame_costs_one_connection_at_most(tmp_path: Path, turns: int) -> None:
    """Behind the handshake: mangled bytes on request and control streams."""
    dice, mangler = random.Random(23), Mangler(23)
    good = (
        frame(HEADERS, b"\0\0\xd1\xd7\xc1\x50\x0bbmc.example") + frame(DATA, b"hello"),
        frame(0x21, b"unknown") + frame(HEADERS, b"\0\0\xd1\xd7\xc1"),
        b"\0" + frame(SETTINGS, b"\x01\x00\x07\x00"),
        b"\x02\x3f\xe1\x1f",
    )
    async with serving(tmp_path) as door:
        for _ in range(CONNECTIONS * turns):
            async with client_of(door) as client:
                for _ in range(5):
                    unidirectional = dice.random() < 0.3
                    number = client._quic.get_next_available_stream_id(is_unidirectional=unidirectional)
                    data = mangler.mangle(good[dice.randrange(2, 4) if unidirectional else dice.randrange(2)])
                    client.say(number, data, end=dice.random() < 0.7)
                await asyncio.sleep(0.005)
        assert await answers(door)
