"""Serial over LAN from other people's clients to the simulated host, through consolesrv."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from tests.service.ipmisrv_house import aside, tool, until
from tests.service.sol_house import (
    ACTIVATE,
    SolClient,
    SolHouse,
    clients,
    sol_house,
)

from ubmc.kit import bytelink
from ubmc.kit import call as calls
from ubmc.protocols import console as frames
from ubmc.protocols.ipmi.codes import Level
from ubmc.services.consolesrv.console import Console
from ubmc.services.consolesrv.places import MOST_OF_ONE
from ubmc.services.ipmisrv.settings import SolSettings
from ubmc.services.ipmisrv.sol_link import RETRY_SECONDS
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.console_pb import ConsoleWriting, OpenConsoleRequest
from ubmc.v1alpha1.console_rpc import ConsoleService
from ubmc.v1alpha1.user_pb import CreateRoleRequest, ResetIpmiSecretRequest, Role
from ubmc.v1alpha1.user_rpc import UserService


@clients
async def test_a_marker_is_typed_and_another_comes_back(client: str) -> None:
    async with sol_house(client) as house, house.terminal(client) as terminal:
        await house.opened(terminal, client)
        await house.boot()
        assert b"CPU init" in await terminal.see(b"Starting kernel")
        await house.log_in(terminal)
        terminal.type(b"echo a marker\r")
        await terminal.see(b"echo a marker\r\na marker\r\n")  # the host's echo, and what the host made of it
        status = await aside(lambda: activation(house))
        assert status == b"\x01\x01\x00"
        terminal.type(b"\r~.")
        assert await terminal.ended() == 0
        await until(lambda: not house.ipmi.server.door._sessions.active())  # type: ignore[union-attr]


def activation(house: SolHouse) -> bytes:
    with house.ipmi.remote() as remote:
        code, data = remote.ask(0x06, 0x4A, b"\x01")
        assert code == 0
        return data


async def test_a_break_reaches_the_host_in_its_place() -> None:
    async with sol_house() as house:
        await house.boot()

        def talk() -> None:
            with house.ipmi.remote() as remote:
                assert remote.ask(0x06, 0x48, ACTIVATE)[0] == 0
                sol = SolClient(remote)
                for text, prompt in ((b"\r", b"login: "), (b"root\r", b"Password: "), (b"x\r", b"# ")):
                    assert sol.type(text) == len(text)
                    sol.see(prompt)
                sol.type(b"raw\r")
                sol.see(b"raw\r\n")
                sol.type(b"12345")
                sol.type(b"", 0x10)
                sol.see(b"ended by BREAK after 5 bytes")
                assert sol.type(b"") == 0  # a keep-alive

        await aside(talk)


async def test_commands_of_payloads() -> None:
    async with sol_house() as house:

        def talk() -> None:
            with house.ipmi.remote() as first, house.ipmi.remote("otto", level=3) as second:
                assert first.ask(0x06, 0x4E, b"\x0e") == (0, bytes.fromhex("03003f0000000000"))
                assert first.ask(0x06, 0x4F, b"\x01\x01") == (0, b"\x10")
                assert first.ask(0x06, 0x4F, b"\x01\x02") == (0x80, b"")
                assert first.ask(0x06, 0x4A, b"\x01") == (0, b"\x01\x00\x00")
                assert first.ask(0x06, 0x48, bytes.fromhex("01 02 c0 00 00 00")) == (0x82, b"")
                assert first.ask(0x06, 0x48, bytes.fromhex("01 01 00 00 00 00")) == (0x84, b"")
                assert first.ask(0x06, 0x48, bytes.fromhex("02 01 c0 00 00 00")) == (0xCC, b"")
                code, data = first.ask(0x06, 0x48, ACTIVATE)
                port = house.ipmi.address[1]
                assert (code, data) == (0, bytes(4) + b"\xff\x00\xff\x00" + port.to_bytes(2, "little") + b"\xff\xff")
                assert second.ask(0x06, 0x48, ACTIVATE) == (0x80, b"")
                code, data = second.ask(0x06, 0x4B, b"\x01\x01")
                assert data == first.keys.system_id.to_bytes(4, "little") + b"\x01" + bytes(7)
                assert first.ask(0x06, 0x55, b"\x01\x01\x00") == (0x81, b"")
                assert first.ask(0x06, 0x55, b"\x01\x01\x01") == (0, b"")
                assert second.ask(0x06, 0x55, b"\x01\x01\x01") == (0x83, b"")
                assert second.ask(0x06, 0x49, ACTIVATE) == (0, b"")
                sol = SolClient(first)
                while not sol.flags & 0x10:  # deactivated by somebody else
                    sol.pump(3.0)
                assert second.ask(0x06, 0x49, ACTIVATE) == (0x80, b"")
                assert second.ask(0x06, 0x48, ACTIVATE)[0] == 0
            with house.ipmi.remote("rita", level=2) as reader:
                assert reader.ask(0x06, 0x48, ACTIVATE) == (0xD4, b"")
                assert reader.ask(0x06, 0x4A, b"\x01") == (0, b"\x01\x00\x00"), "it ended with its session"

        await aside(talk)
        assert house.ipmi.server.door is not None
        await house.ipmi.server.door._settings.set_sol(SolSettings(enabled=False))

        def refused() -> None:
            with house.ipmi.remote() as remote:
                assert remote.ask(0x06, 0x48, ACTIVATE) == (0x81, b"")

        await aside(refused)


async def test_who_writes_already_keeps_writing_until_they_release_it() -> None:
    async with sol_house() as house:
        await house.boot()
        token = calls.current.set(house.ipmi.world.call("wanda"))
        try:
            request = OpenConsoleRequest(name="host.0", door="ssh", writing=ConsoleWriting.TAKE_OVER)
            opened = await house.sshsrv.ask(ConsoleService.OpenConsole, request)
        finally:
            calls.current.reset(token)
        loop = asyncio.get_running_loop()
        async with await bytelink.connect(opened.socket, opened.ticket) as link:

            def talk() -> None:
                with house.ipmi.remote("otto", level=3) as remote:
                    assert remote.ask(0x06, 0x48, ACTIVATE)[0] == 0
                    sol = SolClient(remote)
                    sol.see(b"[u-bmc: wanda writes to this console, what you type is dropped until they release it]")
                    assert sol.type(b"dropped\r") == 8
                    release = link.write(frames.encode(frames.Release()))
                    asyncio.run_coroutine_threadsafe(release, loop).result(5)
                    sol.see(b"[u-bmc: what you type goes to the console]")
                    sol.type(b"root\r")
                    assert b"dropped" not in sol.see(b"Password: ")

            await aside(talk)


@contextlib.asynccontextmanager
async def attached(
    house: SolHouse, user: str = "wanda", role: str = "Administrator"
) -> AsyncIterator[bytelink.ByteLink]:
    """Somebody else who reads the console."""
    token = calls.current.set(house.ipmi.world.call(user, role))
    try:
        opened = await house.sshsrv.ask(ConsoleService.OpenConsole, OpenConsoleRequest(name="host.0", door="ssh"))
    finally:
        calls.current.reset(token)
    async with await bytelink.connect(opened.socket, opened.ticket) as link:
        async with asyncio.timeout(10):
            await anext(link.frames(frames.Decoder()))
        yield link


async def test_what_a_take_over_drops_is_named_and_nothing_is_typed_twice() -> None:
    """Bytes are on their way when another takes over; those typed afterwards are neither lost nor doubled."""
    async with sol_house() as house, attached(house) as other:
        await house.boot()
        loop = asyncio.get_running_loop()
        console = house.server._consoles["host.0"]

        def call(coroutine: Coroutine[Any, Any, object]) -> None:
            asyncio.run_coroutine_threadsafe(coroutine, loop).result(10)

        async def restart() -> None:
            await house.stop()
            await house.start()

        def talk() -> bytes:
            with house.ipmi.remote("otto", level=3) as remote:
                assert remote.ask(0x06, 0x48, ACTIVATE)[0] == 0
                sol = SolClient(remote)
                sol.type(b"\r")
                sol.see(b"login: ")
                call(console._turn.acquire())  # the line stands still
                assert sol.type(b"lost1") == 5
                call(until(lambda: console.writer is not None and console.writer._writing is not None))
                call(other.write(frames.encode(frames.Take(over=True))))
                sol.see(b"5 bytes that you typed are lost: wanda has taken over]")
                loop.call_soon_threadsafe(console._turn.release)
                call(other.write(frames.encode(frames.Release())))
                sol.see(b"[u-bmc: what you type goes to the console]")
                assert sol.type(b"GOOD!") == 5
                sol.see(b"GOOD!")
                call(restart())
                assert sol.type(b"\r") == 1
                return sol.see(b"Password: ")

        assert await aside(talk) == b"\r\n"


async def test_who_finds_no_place_is_told_so_and_does_not_come_again() -> None:
    async with sol_house() as house, contextlib.AsyncExitStack() as stack:
        assert house.ipmi.server.door is not None
        await house.ipmi.server.door._settings.set_sol(SolSettings(level=Level.USER))
        for _ in range(MOST_OF_ONE):
            await stack.enter_async_context(attached(house, "rita", "ReadOnly"))
        attach, came = Console.attach, []

        async def counting(self: Console, *given: Any) -> None:
            came.append(self.name)
            await attach(self, *given)

        def talk() -> None:
            with house.ipmi.remote("rita", level=2) as remote:
                assert remote.ask(0x06, 0x48, ACTIVATE)[0] == 0
                sol = SolClient(remote)
                sol.see(b"[u-bmc: the console is closed: rita is attached to this console 8 times already")
                while not sol.flags & 0x10:  # deactivated
                    sol.pump(3.0)
                assert remote.ask(0x06, 0x4A, b"\x01") == (0, b"\x01\x00\x00")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Console, "attach", counting)
            await aside(talk)
            await asyncio.sleep(3 * RETRY_SECONDS)
        assert came == ["host.0"]


async def test_who_may_not_write_on_a_console_reads_it() -> None:
    """The level of IPMI may come from other privileges."""
    async with sol_house() as house:
        role = Role(name="Clerk", privileges=[Privilege.CONFIGURE_USERS])
        people = house.ipmi.house
        await people.ask(house.ipmi.token, UserService.CreateRole, CreateRoleRequest(role=role))
        await people.create(house.ipmi.token, "carl", "Clerk")
        answer = await people.ask(house.ipmi.token, UserService.ResetIpmiSecret, ResetIpmiSecretRequest(name="carl"))
        house.ipmi.secrets["carl"] = answer.secret.encode()
        loop = asyncio.get_running_loop()

        def talk() -> bytes:
            with house.ipmi.remote("carl") as remote:
                assert remote.ask(0x06, 0x48, ACTIVATE)[0] == 0
                sol = SolClient(remote)
                sol.see(b"[u-bmc: this account may only read this console, what you type is dropped]")
                assert sol.type(b"reboot\r") == 7
                asyncio.run_coroutine_threadsafe(house.boot(), loop).result(20)
                return sol.see(b"login: ")

        assert b"reboot" not in await aside(talk)


async def test_a_session_that_opens_its_line_again_and_again_keeps_nothing_of_it() -> None:
    async with sol_house() as house:
        door = house.ipmi.server.door
        assert door is not None

        def talk() -> int:
            with house.ipmi.remote() as remote:
                for _ in range(20):
                    assert remote.ask(0x06, 0x48, ACTIVATE)[0] == 0
                    assert remote.ask(0x06, 0x49, ACTIVATE)[0] == 0
                assert remote.ask(0x06, 0x48, ACTIVATE)[0] == 0
                assert remote.ask(0x06, 0x4A, b"\x01") == (0, b"\x01\x01\x00")
                (session,) = door._sessions
                return len(session.closing)

        assert await aside(talk) == 1
        await until(lambda: not door._server._sol._links)  # type: ignore[attr-defined]


@pytest.mark.skipif(shutil.which("ipmitool") is None, reason="apt install ipmitool")
async def test_ipmitool_deactivates_and_tests_the_loop() -> None:
    async with sol_house() as house:
        port, secret = str(house.ipmi.address[1]), house.ipmi.secrets["admin"].decode()
        base = ("ipmitool", "-I", "lanplus", "-H", "127.0.0.1", "-p", port, "-U", "admin", "-P", secret)
        shown = await tool(*base, "sol", "deactivate", expect=1)
        assert "already de-activated" in shown
        await tool(*base, "sol", "looptest", "2", "50")
