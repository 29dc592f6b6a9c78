"""What counts as use of a session: what a person does; no open stream, and nothing that a page asks for by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.harness.bus import PRIVILEGES
from tests.service.usermgr_house import SOURCE, house
from tests.service.websrv_house import HOST, Events, world

from ubmc.kit.bytelink import TICKET_BYTES, connect
from ubmc.kit.errors import Unauthenticated
from ubmc.services.usermgr.sessions import SessionOptions
from ubmc.services.websrv import console
from ubmc.services.websrv.http.asgi import Disconnected
from ubmc.services.websrv.peer import Peer
from ubmc.v1alpha1.console_rpc import ConsoleService
from ubmc.v1alpha1.session_pb import ExchangeTokenRequest, SessionEnd
from ubmc.v1alpha1.session_rpc import SessionService

BY_ITSELF = {"x-unattended": "1"}


async def test_a_session_that_is_only_asked_about_idles_out() -> None:
    async with house(SessionOptions(idle_seconds=0.6, absolute_seconds=60, keep_seconds=0)) as made:
        looked, used = await made.login("admin"), await made.login("admin")
        assert looked.session is not None
        asked = ExchangeTokenRequest(token=looked.token, source=SOURCE, unattended=True)
        async with asyncio.timeout(10):
            with pytest.raises(Unauthenticated):
                while True:
                    await made.exchange(used.token)
                    await made.door.ask(SessionService.ExchangeToken, asked)
                    await asyncio.sleep(0.05)
        ended = await made.keeper.until(SessionEnd, lambda news: news.reason == "idle")
        assert ended.id == looked.session.id
        await made.exchange(used.token)


async def test_what_a_page_asks_for_by_itself_is_no_use() -> None:
    async with world() as w:
        client, asked = w.client("Operator-of-olga"), w.users.unattended
        assert (await client.get(HOST, headers=BY_ITSELF)).status_code == 200
        assert asked == [True]
        assert (await client.get(HOST, headers=BY_ITSELF)).status_code == 200
        assert asked == [True]  # remembered
        assert (await client.get(HOST)).status_code == 200
        assert asked == [True, False]  # what was asked for the page does not stand for the person
        assert (await client.get(HOST, headers=BY_ITSELF)).status_code == 200
        assert (await client.get(HOST)).status_code == 200
        assert asked == [True, False]


async def test_an_open_stream_is_no_use() -> None:
    async with world() as w:
        w.users.keep_seconds = 0.0
        client = w.client("Operator-of-olga")
        async with client.stream("GET", "/api/v1alpha1/hosts:watch", headers=BY_ITSELF) as answer:
            events = Events(answer)  # kept: the answer ends with it
            await events.next()
            assert w.server._forwarder is not None
            for _ in range(3):
                await w.server._forwarder.recheck_streams()
        assert len(w.users.unattended) >= 4
        assert all(w.users.unattended)


@pytest.mark.parametrize(
    ("sent", "typed"),
    [(b"", False), (b"\x81ls\r", True), (b"\x81\x1b[24;80R", False)],
    ids=["nothing", "typed", "where the cursor is"],
)
async def test_who_types_on_a_console_uses_it_and_who_looks_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, sent: bytes, typed: bool
) -> None:
    monkeypatch.setattr(console, "RENEW_SECONDS", 0.05)
    heard: list[bytes] = []

    async def owner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            heard.append(data)
        writer.close()

    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def no_answer(_message: Any) -> None:
        raise AssertionError("nothing is told to this one")

    async with world() as w, await asyncio.start_unix_server(owner, tmp_path / "s"):
        w.users.keep_seconds = 0.0
        forwarder = w.server._forwarder
        assert forwarder is not None
        method = w.server._schema.method(ConsoleService.WriteConsole)
        headers = {"authorization": "Bearer Operator-of-olga", **BY_ITSELF}
        admitted = await forwarder.admit(method, headers, Peer("192.0.2.1"))
        if sent:
            inbox.put_nowait({"type": "websocket.receive", "bytes": sent})
        socket = console.ConsoleSocket(w.server._schema, forwarder, w.server.bus)
        async with await connect(tmp_path / "s", b"t" * TICKET_BYTES) as link:
            carried = asyncio.create_task(socket._carry(link, inbox.get, no_answer, admitted))
            await w.until(lambda: len(w.users.unattended) >= 4)
            inbox.put_nowait({"type": "websocket.disconnect"})
            with pytest.raises(Disconnected):
                await carried
        assert w.users.unattended[:4] == [True, not typed, True, True]
        assert sent in b"".join(heard)


async def test_who_may_write_no_more_is_hung_up_on_though_they_came_to_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A reader takes the right to write by a frame, at which the door does not look."""
    monkeypatch.setattr(console, "RENEW_SECONDS", 0.05)

    async def owner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def no_answer(_message: Any) -> None:
        raise AssertionError("nothing is told to this one")

    async with world() as w, await asyncio.start_unix_server(owner, tmp_path / "s"):
        w.users.keep_seconds = 0.0
        forwarder = w.server._forwarder
        assert forwarder is not None
        method = w.server._schema.method(ConsoleService.ReadConsole)
        admitted = await forwarder.admit(method, {"authorization": "Bearer Operator-of-olga"}, Peer("192.0.2.1"))
        socket = console.ConsoleSocket(w.server._schema, forwarder, w.server.bus)
        async with await connect(tmp_path / "s", b"t" * TICKET_BYTES) as link:
            carried = asyncio.create_task(socket._carry(link, inbox.get, no_answer, admitted))
            await w.until(lambda: len(w.users.unattended) >= 3)
            assert not carried.done()
            monkeypatch.setitem(PRIVILEGES, "Operator", PRIVILEGES["ReadOnly"])
            async with asyncio.timeout(10):
                with pytest.raises(console._Closing, match="you may do less") as closed:
                    await carried
        assert closed.value.code == 4403
