"""WebSockets pass the front like every request: the rate of their address, and the access log."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ubmc.kit.errors import Denied
from ubmc.services.websrv.front import Front, FrontOptions
from ubmc.services.websrv.http.asgi import Receive, Scope, Send
from ubmc.services.websrv.http.testing import Door, client_context, serving
from ubmc.services.websrv.peer import peer_of
from ubmc.services.websrv.rates import Rates
from ubmc.services.websrv.sockets import refuse

TRACE = "0af7651916cd43dd8448eb211c80319c"
FIELDS = ("method", "path", "source", "user", "trace_id")


async def console(scope: Scope, receive: Receive, send: Send) -> None:
    """Says what it hears, to whoever may; ends when it hears `end`."""
    await receive()
    if scope["path"] == "/no":
        await refuse(scope, send, Denied("not for you"), TRACE)
        return
    peer_of(scope).is_known("olga")
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("bytes") == b"end":
            await send({"type": "websocket.close", "code": 4401, "reason": "enough"})
            return
        await send({"type": "websocket.send", "bytes": message["bytes"] * 2})


def front(rates: Rates | None = None, *, access_log: bool = True) -> Front:
    """The front before that console."""
    return Front(console, rates or Rates(100.0), FrontOptions(access_log=access_log))


def attach(door: Door, path: str = "/console?token=secret", **headers: str) -> connect:
    """A client of other people's."""
    url = f"wss://127.0.0.1:{door.port}{path}"
    origin: Any = headers.pop("origin", None)
    return connect(url, ssl=client_context("http/1.1"), additional_headers=headers, origin=origin, compression=None)


async def until_written(caplog: pytest.LogCaptureFixture, what: str) -> list[Any]:
    """The records of the access log, once one of these is there."""
    async with asyncio.timeout(30):
        while not any(record.getMessage() == what for record in caplog.records):
            await asyncio.sleep(0.005)
    return [record for record in caplog.records if record.name == "ubmc.access"]


async def test_the_log_tells_when_one_opens_and_when_it_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ubmc.access")
    async with serving(front(), tmp_path) as door:
        async with attach(door, traceparent=f"00-{TRACE}-b7ad6b7169203331-01") as socket:
            (opened,) = await until_written(caplog, "websocket opened")
            assert opened.status == 101
            await socket.send(b"12345")
            assert await socket.recv() == b"1234512345"
            await socket.send(b"end")
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        opened, closed = await until_written(caplog, "websocket closed")
    for record in (opened, closed):
        shown = tuple(getattr(record, name) for name in FIELDS)
        assert shown == ("GET", "/console", "127.0.0.1", "olga", TRACE)
    assert (closed.status, closed.code, closed.bytes, closed.bytes_received) == (101, 4401, 10, 8)
    assert 0 <= closed.seconds < 60
    assert "secret" not in caplog.text


async def test_the_log_tells_of_a_client_that_went_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ubmc.access")
    async with serving(front(), tmp_path) as door:
        async with attach(door) as socket:
            socket.transport.abort()
        closed = (await until_written(caplog, "websocket closed"))[-1]
    assert (closed.status, closed.user) == (101, "olga")
    assert closed.code in (1005, 1006)  # RFC 6455, 7.1.5: nobody said why


async def test_the_log_tells_of_a_refusal_by_its_status(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ubmc.access")
    async with serving(front(), tmp_path) as door:
        with pytest.raises(InvalidStatus):
            await attach(door, "/no").__aenter__()
        (refused,) = await until_written(caplog, "websocket refused")
        assert (refused.status, refused.path, refused.user) == (403, "/no", "")
        with pytest.raises(ConnectionClosed):
            async with attach(door, "/no", origin=door.url) as socket:
                await socket.recv()
        closed = (await until_written(caplog, "websocket closed"))[-1]
        assert (closed.status, closed.code) == (101, 4403)  # a page never sees a status


async def test_nothing_is_logged_unless_wanted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ubmc.access")
    async with serving(front(access_log=False), tmp_path) as door, attach(door) as socket:
        await socket.send(b"1")
        assert await socket.recv() == b"11"
    assert [record for record in caplog.records if record.name == "ubmc.access"] == []


async def test_who_attaches_too_often_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ubmc.access")
    one_at_once = Rates(0.5, clock=lambda: 0.0)
    async with serving(front(one_at_once), tmp_path) as door, attach(door) as socket:
        await _works(socket)
        with pytest.raises(InvalidStatus) as caught:
            await attach(door).__aenter__()
        assert caught.value.response.status_code == 429
        assert caught.value.response.headers["retry-after"] == "1"
        assert b"resource_exhausted" in caught.value.response.body
        (*_, refused) = await until_written(caplog, "websocket refused")
        assert (refused.status, refused.source) == (429, "127.0.0.1")
        with pytest.raises(ConnectionClosed) as closed:  # a page learns it too
            async with attach(door, origin=door.url) as page:
                await page.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4429
        await _works(socket)  # who is in stays


async def _works(socket: ClientConnection) -> None:
    await socket.send(b"1")
    assert await socket.recv() == b"11"
