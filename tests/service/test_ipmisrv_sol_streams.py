"""Streams over serial over LAN: nothing is lost unnamed, whatever ends meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tests.service.ipmisrv_house import aside, until
from tests.service.sol_house import (
    ACTIVATE,
    MEBIBYTE,
    Shown,
    SolClient,
    clients,
    common,
    echoed,
    sol_house,
    typeable,
)

from ubmc.hw.sim.parts.shell import pattern


@clients
async def test_a_mebibyte_goes_both_ways_through_a_power_cycle(client: str) -> None:
    """Any bytes are typed and echoed; the power goes in the middle, and what the dead host has not taken comes after.

    Besides, the whole stream is what the host wrote, its boot messages and all, byte for byte.
    """
    async with sol_house(client, replay_bytes=4 * MEBIBYTE) as house, house.terminal(client) as terminal:
        await house.opened(terminal, client)
        line = house.server._consoles["host.0"]
        ring = line.ring
        begin, shown = ring.end, Shown(terminal)
        data = typeable(MEBIBYTE, 5)
        half = len(data) // 2
        await house.boot()
        await shown.log_in()
        await shown.raw()
        back = await shown.echoed(data[:half])
        at, written, last = ring.end, line.written_bytes, data[half : half + 4096]
        terminal.type(last)
        house.press("power-button-0")
        await until(lambda: not any(map(house.machine.plant.read, ("power-good-0", "power-button-0"))), 15)
        await until(lambda: line.written_bytes - written == len(last), 15)
        back += common(ring.read(at, len(last)).data, last)
        await house.boot()
        await shown.log_in()
        await shown.raw()
        back += await shown.echoed(data[len(back) :])
        assert back == data
        assert shown.whole == ring.read(begin, 4 * MEBIBYTE).data


@clients
async def test_both_directions_at_once_through_a_restart_of_consolesrv(client: str) -> None:
    """What is typed is echoed; consolesrv ends and comes back in the middle."""
    async with sol_house(client) as house, house.terminal(client) as terminal:
        await house.opened(terminal, client)
        await house.boot()
        await house.log_in(terminal)
        terminal.type(b"raw\r")
        await terminal.see(b"raw\r\n")
        data = typeable(128 * 1024, 6)
        half = len(data) // 2
        assert await echoed(terminal, data[:half]) == data[:half]
        echoing = asyncio.create_task(echoed(terminal, data[half:]))
        await asyncio.sleep(0.05)
        await house.stop()
        await asyncio.sleep(0.2)
        await house.start()
        assert await echoing == data[half:]


async def test_what_may_have_arrived_when_consolesrv_dies_is_named_and_never_typed_again() -> None:
    """The connection ends without a word while five bytes are on their way."""
    async with sol_house() as house:
        await house.boot()
        loop = asyncio.get_running_loop()
        console = house.server._consoles["host.0"]

        def call(coroutine: Coroutine[Any, Any, object]) -> None:
            asyncio.run_coroutine_threadsafe(coroutine, loop).result(10)

        def cut() -> None:
            assert console.writer is not None
            assert console.writer._link is not None
            console.writer._link.abort()

        def talk() -> bytes:
            with house.ipmi.remote("otto", level=3) as remote:
                assert remote.ask(0x06, 0x48, ACTIVATE)[0] == 0
                sol = SolClient(remote)
                sol.type(b"\r")
                sol.see(b"login: ")
                call(console._turn.acquire())  # the line stands still
                assert sol.type(b"early") == 5
                call(until(lambda: console.writer is not None and console.writer._writing is not None))
                loop.call_soon_threadsafe(cut)
                sol.see(b"[u-bmc: it is not known whether the last 5 bytes that you typed have arrived]\r\n")
                loop.call_soon_threadsafe(console._turn.release)
                assert sol.type(b"later\r") == 6
                return sol.see(b"Password: ")

        assert await aside(talk) in {b"later\r\n", b"earlylater\r\n"}  # once or not at all, as was said


async def test_what_was_missed_is_named() -> None:
    """A client that acknowledges nothing for a while: consolesrv keeps so much, the rest is gone and said so."""
    async with sol_house(replay_bytes=64 * 1024) as house:
        await house.boot()

        def talk() -> bytes:
            with house.ipmi.remote() as remote:
                assert remote.ask(0x06, 0x48, ACTIVATE)[0] == 0
                sol = SolClient(remote)
                for text, prompt in ((b"\r", b"login: "), (b"root\r", b"Password: "), (b"x\r", b"# ")):
                    sol.type(text)
                    sol.see(prompt)
                sol.type(b"send 600000 8000000\r")
                sol.see(b"8000000\r\n")
                sol.rest(2.0)
                return sol.see(b"sent 600000", 60)

        shown = await aside(talk)
        before, mark, after = shown.partition(b"\r\n[u-bmc: ")
        count = int(after.split()[0])
        assert mark
        assert after.split(b"]", 1)[0].endswith(b"bytes of the console were missed")
        assert pattern(0, len(before)) == before
        rest = after.split(b"]\r\n", 1)[1].removesuffix(b"\r\n")
        assert len(before) + count + len(rest) == 600000
        assert pattern(len(before) + count, len(rest)) == rest


@clients
async def test_a_line_that_does_not_work_for_a_while_ends_no_session(client: str) -> None:
    """Each packet says "transfer unavailable" meanwhile, which no client takes for the end."""
    async with sol_house(client) as house, house.terminal(client) as terminal:
        await house.opened(terminal, client)
        await house.boot()
        await house.log_in(terminal)
        house.machine.unplug()
        await terminal.see(b"[u-bmc: the line does not work: ")
        terminal.type(b"nobody")
        await terminal.see(b"6 bytes that you typed are lost: the line did not work]")
        house.machine.plug()
        await terminal.see(b"[u-bmc: the line works again]")
        terminal.type(b"\recho it is back\r")
        await terminal.see(b"\r\nit is back\r\n")
