from __future__ import annotations

import asyncio
import shutil
import ssl
import time
from pathlib import Path

import pytest
import websockets.asyncio.client
import websockets.exceptions
from cryptography import x509
from h2.errors import ErrorCodes

from ubmc.kit.errors import Refused
from ubmc.services.websrv.http import Disconnected, Limits, Listener, Receive, Scope, Send
from ubmc.services.websrv.http.testing import HOST, Door, Http2Client, client_context, self_signed, serving

PIECE = b"p" * 65_536
START = {"type": "http.response.start", "status": 200, "headers": []}


class Endless:
    """Streams as long as somebody listens, and remembers how it went."""

    def __init__(self, pieces: int = 1 << 30) -> None:
        self.pieces = pieces
        self.sent = 0
        self.moved = asyncio.Event()
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.why = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(START)
            self.started.set()
            for _ in range(self.pieces):
                await send({"type": "http.response.body", "body": PIECE, "more_body": True})
                self.sent += len(PIECE)
                self.moved.set()
            await send({"type": "http.response.body", "body": b""})
            self.why = "complete"
        except Disconnected:
            self.why = "disconnected"
            raise
        finally:
            self.ended.set()


async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
    """An event stream on which nothing happens."""
    await send(START)
    await send({"type": "http.response.body", "body": b": hello\n\n", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


async def echo_socket(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "websocket"
    assert scope["extensions"]["tls"]["tls_version"] == 0x0304
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def stalled(app: Endless) -> int:
    """Bytes sent when nothing has moved for a while."""
    async with asyncio.timeout(30):
        while True:
            app.moved.clear()
            try:
                await asyncio.wait_for(app.moved.wait(), 0.3)
            except TimeoutError:
                return app.sent


async def certificate_of(door: Door) -> x509.Certificate:
    _, writer = await asyncio.open_connection(HOST, door.port, ssl=client_context("http/1.1"))
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    assert der is not None
    return x509.load_der_x509_certificate(der)


async def test_websocket_lives_through_a_certificate_reload(tmp_path: Path) -> None:
    async with serving(echo_socket, tmp_path) as door:
        url = f"wss://{HOST}:{door.port}/"
        async with websockets.asyncio.client.connect(url, ssl=client_context("http/1.1")) as socket:
            await socket.send("before")
            assert await socket.recv() == "before"
            old = await certificate_of(door)
            door.context.load_cert_chain(*self_signed(tmp_path / "new"))
            assert (await certificate_of(door)).serial_number != old.serial_number
            await socket.send("after")
            assert await socket.recv() == "after"
        assert door.listener.counts.requests["websocket"] == 1


async def test_websocket_message_has_a_limit(tmp_path: Path) -> None:
    async with serving(echo_socket, tmp_path, Limits(websocket_message_bytes=1000)) as door:
        url = f"wss://{HOST}:{door.port}/"
        async with websockets.asyncio.client.connect(url, ssl=client_context("http/1.1")) as socket:
            await socket.send("x" * 1000)
            assert len(await socket.recv()) == 1000
            await socket.send("x" * 1001)
            with pytest.raises(websockets.exceptions.ConnectionClosedError) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009


async def test_a_slow_h2_reader_holds_the_application_back(tmp_path: Path) -> None:
    app = Endless(pieces=1024)
    async with serving(app, tmp_path) as door, Http2Client.to(door.port, window_bytes=65_535) as client:
        stream = client.request("/")
        await client.flush()
        assert await stalled(app) <= 2 * len(PIECE)
        answer = await client.answer(stream, seconds=30)
        assert len(answer.body) == 1024 * len(PIECE)
        assert app.why == "complete"


async def test_an_h2_reader_with_a_huge_window_is_held_back_by_tcp(tmp_path: Path) -> None:
    app = Endless()
    async with serving(app, tmp_path) as door, Http2Client.to(door.port, window_bytes=(1 << 31) - 1) as client:
        client.h2.increment_flow_control_window((1 << 31) - 1 - 65_535)
        client.request("/")
        await client.flush()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        # what the two kernels take, and at most some 200 KiB of ours
        assert await stalled(app) < 16 << 20


async def test_a_slow_h1_reader_holds_the_application_back(tmp_path: Path) -> None:
    app = Endless()
    async with serving(app, tmp_path) as door:
        _, writer = await asyncio.open_connection(HOST, door.port, ssl=client_context("http/1.1"))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        assert await stalled(app) < 16 << 20
        writer.transport.abort()
        async with asyncio.timeout(30):
            await app.ended.wait()
        assert app.why == "disconnected"


async def test_an_h2_reset_ends_the_stream_and_leaves_the_others(tmp_path: Path) -> None:
    app = Endless()
    async with serving(app, tmp_path) as door, Http2Client.to(door.port) as client:
        stream = client.request("/")
        await client.flush()
        await app.started.wait()
        client.h2.reset_stream(stream, ErrorCodes.CANCEL)
        await client.flush()
        async with asyncio.timeout(30):
            await app.ended.wait()
        assert app.why == "disconnected"
        other = client.request("/")
        await client.flush()
        await client.hear(lambda: client.answers[other].status == 200)
        assert client.answers[other].status == 200


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
async def test_a_waiting_application_is_told_of_a_lost_client(tmp_path: Path, alpn: str) -> None:
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await waiting(scope, receive, send)
        ended.set()

    async with serving(app, tmp_path) as door:
        if alpn == "h2":
            async with Http2Client.to(door.port) as client:
                stream = client.request("/")
                await client.flush()
                await client.hear(lambda: bool(client.answers[stream].body))
        else:
            reader, writer = await asyncio.open_connection(HOST, door.port, ssl=client_context(alpn))
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"hello")
            writer.transport.abort()
        async with asyncio.timeout(30):
            await ended.wait()


@pytest.mark.parametrize("alpn", ["http/1.1", "h2", "websocket"])
async def test_stop_ends_an_open_stream_after_its_grace(tmp_path: Path, alpn: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (echo_socket if scope["type"] == "websocket" else waiting)(scope, receive, send)

    async with serving(app, tmp_path) as door, asyncio.timeout(30):
        listener = door.listener
        if alpn == "h2":
            async with Http2Client.to(door.port) as client:
                stream = client.request("/")
                await client.flush()
                await client.hear(lambda: bool(client.answers[stream].body))
                took = await timed_stop(listener, 0.2)
                await client.hear(lambda: client.closed)
                assert client.goaway == 0
        elif alpn == "websocket":
            url = f"wss://{HOST}:{door.port}/"
            async with websockets.asyncio.client.connect(url, ssl=client_context("http/1.1")) as socket:
                await socket.send("x")
                await socket.recv()
                took = await timed_stop(listener, 0.2)
                with pytest.raises(websockets.exceptions.ConnectionClosed):
                    await socket.recv()
        else:
            reader, writer = await asyncio.open_connection(HOST, door.port, ssl=client_context(alpn))
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"hello")
            took = await timed_stop(listener, 0.2)
            writer.close()
        assert took < 1.0
        assert listener.counts.open == 0


async def timed_stop(listener: Listener, grace: float) -> float:
    begin = time.monotonic()
    await listener.stop(grace)
    return time.monotonic() - begin


async def test_stop_ends_an_application_that_does_not_listen(tmp_path: Path) -> None:
    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await asyncio.Event().wait()

    async with serving(deaf, tmp_path) as door, Http2Client.to(door.port) as client, asyncio.timeout(30):
        stream = client.request("/")
        await client.flush()
        await client.hear(lambda: client.answers[stream].status == 200)
        assert await timed_stop(door.listener, 0.1) < 2.5


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
async def test_stop_lets_a_running_request_finish(tmp_path: Path, alpn: str) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

    async with serving(app, tmp_path) as door, asyncio.timeout(30):
        if alpn == "h2":
            if shutil.which("curl") is None:
                pytest.skip("needs curl: apt-get install curl")
            command = ("curl", "-sk", "--http2", "--max-time", "9", door.url)
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            await begun.wait()
            stopping = asyncio.create_task(door.listener.stop(5))
            await asyncio.sleep(0)
            go.set()
            said, _ = await process.communicate()
            assert said == b"done"
            await stopping
        else:
            reader, writer = await asyncio.open_connection(HOST, door.port, ssl=client_context(alpn))
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await begun.wait()
            stopping = asyncio.create_task(door.listener.stop(5))
            await asyncio.sleep(0)
            go.set()
            said = await reader.read()
            assert said.endswith(b"done")
            assert b"connection: close" in said
            writer.close()
            await stopping


async def test_start_twice_is_refused_and_a_second_stop_is_nothing(tmp_path: Path) -> None:
    async with serving(waiting, tmp_path) as door:
        with pytest.raises(Refused):
            await door.listener.start(HOST, 0, door.context)
        await door.listener.stop(0)
        await door.listener.stop(0)
