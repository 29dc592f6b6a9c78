"""Bytes between two processes over a unix socket that is opened with a ticket."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from pathlib import Path

import pytest

from ubmc.kit import bytelink
from ubmc.kit.bytelink import MOST_STRANGERS, TICKET_BYTES, ByteLink, LinkServer, Tickets, connect
from ubmc.kit.errors import Exhausted, Invalid, Unavailable


def test_a_ticket_is_good_once_and_for_a_time() -> None:
    now = 0.0
    tickets: Tickets[str] = Tickets(lambda: now, seconds=10.0, most=2)
    one, two = tickets.issue("one"), tickets.issue("two")
    assert len(one) == TICKET_BYTES
    assert one != two
    with pytest.raises(Exhausted):
        tickets.issue("three")
    assert (tickets.redeem(one), tickets.redeem(one), tickets.redeem(b"x" * 32)) == ("one", None, None)
    now = 10.0
    assert tickets.redeem(two) is None
    tickets.issue("four")


class Echo:
    """Gives back what comes, with what the ticket stood for in front."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "s"
        self.tickets: Tickets[str] = Tickets(asyncio.get_running_loop().time)
        self.server = LinkServer(self.path, self.tickets, self.serve)
        self.served = 0

    async def serve(self, thing: str, link: ByteLink) -> None:
        self.served += 1
        with contextlib.suppress(Unavailable):
            await link.write(thing.encode())
            while data := await link.read():
                await link.write(data)


async def test_bytes_go_both_ways_under_back_pressure(tmp_path: Path) -> None:
    echo = Echo(tmp_path)
    await echo.server.start()
    assert stat.S_IMODE(echo.path.stat().st_mode) == 0o600
    async with await connect(echo.path, echo.tickets.issue("hello ")) as link:
        data = bytes(range(256)) * 8192
        writing = asyncio.create_task(link.write(data))
        await asyncio.sleep(0.1)
        assert not writing.done()  # nobody reads the echo, so nobody reads us
        found = b""
        while len(found) < len(data) + 6:
            found += await link.read()
        assert found == b"hello " + data
        await writing
    await echo.server.stop()
    assert not echo.path.exists()
    with pytest.raises(Unavailable):
        await connect(echo.path, b"")


async def test_who_shows_no_good_ticket_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytelink, "SHOW_SECONDS", 0.2)
    echo = Echo(tmp_path)
    await echo.server.start()
    ticket = echo.tickets.issue("x")
    for shown in (b"y" * TICKET_BYTES, b"short", b""):
        async with await connect(echo.path, shown) as link:
            assert await asyncio.wait_for(link.read(), 5) == b""
    async with await connect(echo.path, ticket) as link:
        assert await link.read() == b"x"
    async with await connect(echo.path, ticket) as link:
        assert await link.read() == b""
    assert echo.served == 1
    async with contextlib.AsyncExitStack() as crowd:
        for _ in range(MOST_STRANGERS + 4):
            await crowd.enter_async_context(await connect(echo.path, b""))
        async with await connect(echo.path, echo.tickets.issue("y")) as link:
            assert await asyncio.wait_for(link.read(), 5) == b""  # the house is full of strangers
        await asyncio.sleep(0.4)
        async with await connect(echo.path, echo.tickets.issue("z")) as link:
            assert await asyncio.wait_for(link.read(), 5) == b"z"
    await echo.server.stop()


async def test_a_path_that_no_socket_can_have(tmp_path: Path) -> None:
    tickets: Tickets[str] = Tickets(asyncio.get_running_loop().time)
    for folder, error in ((tmp_path / ("x" * 100), Invalid), (tmp_path / "missing", Unavailable)):
        server = LinkServer(folder / "s", tickets, Echo(tmp_path).serve)
        with pytest.raises(error):
            await server.start()
        await server.stop()
