"""Who has a place at a console, and what is left of somebody who wrote when another takes over."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from tests.harness.consoles import Client, ConsoleHouse, console_house, until

from ubmc.hw.console.port import BREAK_SECONDS
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.serial import SimSerial
from ubmc.protocols import console as frames
from ubmc.services.consolesrv.places import MOST_ATTACHMENTS, MOST_OF_ONE
from ubmc.v1alpha1.console_pb import ConsoleWriting
from ubmc.v1alpha1.system_pb import AuditedCall

WRITE = ConsoleWriting.TAKE_OVER
BREAK, SYSRQ = "ConsoleService.SendConsoleBreak", "ConsoleService.SendConsoleSysRq"


class Crowd:
    """Many attachments."""

    def __init__(self, house: ConsoleHouse, stack: contextlib.AsyncExitStack) -> None:
        self._house = house
        self._stack = stack

    async def come(
        self, user: str, role: str = "ReadOnly", writing: ConsoleWriting = ConsoleWriting.UNSPECIFIED
    ) -> Client:
        return await self._stack.enter_async_context(self._house.attach(user, role, writing))

    async def enter(
        self, user: str, role: str = "ReadOnly", writing: ConsoleWriting = ConsoleWriting.UNSPECIFIED
    ) -> Client:
        """Come, and be let in."""
        client = await self.come(user, role, writing)
        await client.next(frames.Hello)
        return client

    async def users(self) -> list[str]:
        return sorted(each.user for each in (await self._house.shown()).attachments)


async def test_one_account_cannot_take_all_places() -> None:
    async with console_house() as house, contextlib.AsyncExitStack() as stack:
        crowd = Crowd(house, stack)
        for _ in range(MOST_OF_ONE):
            await crowd.enter("rita")
        end = await (await crowd.come("rita")).next(frames.End)
        assert (end.reason, "8 times already" in end.message) == ("full", True)
        await crowd.enter("rudi")
        assert await crowd.users() == ["rita"] * MOST_OF_ONE + ["rudi"]


async def test_who_may_write_gets_in_in_place_of_the_own_oldest_reader() -> None:
    async with console_house() as house, contextlib.AsyncExitStack() as stack:
        crowd = Crowd(house, stack)
        writer = await crowd.enter("olga", "Operator", writing=WRITE)
        readers = [await crowd.enter("olga", "Operator") for _ in range(MOST_OF_ONE - 1)]
        other = await crowd.enter("rita")
        again = await crowd.enter("olga", "Operator", writing=WRITE)
        end = await readers[0].next(frames.End)
        assert (end.reason, end.message.startswith("olga needed a place")) == ("full", True)
        assert (await writer.next(frames.State)).reason == "olga has taken over"
        await again.send(frames.Release())
        for client in (*readers[1:], other):  # they are all still there
            while (await client.next(frames.State)).writer:
                pass
        await until(lambda: len(house.server._consoles["host.0"].attachments) == MOST_OF_ONE + 1)


async def test_a_full_console_has_room_for_who_may_write() -> None:
    async with console_house() as house, contextlib.AsyncExitStack() as stack:
        crowd = Crowd(house, stack)
        await crowd.enter("eve")
        first = await crowd.enter("ann")
        for user, places in (("ann", 7), ("bob", 8), ("cyd", 8), ("dan", 7)):
            for _ in range(places):
                await crowd.enter(user)
        assert len(await crowd.users()) == MOST_ATTACHMENTS
        refused = await (await crowd.come("rita")).next(frames.End)
        assert (refused.reason, "32 are attached" in refused.message) == ("full", True)
        admin = await crowd.come("admin", "Administrator", writing=WRITE)
        assert (await admin.next(frames.Hello)).writing
        gone = await first.next(frames.End)
        assert (gone.reason, gone.message.startswith("admin needed a place")) == ("full", True)
        await until(lambda: len(house.server._consoles["host.0"].attachments) == MOST_ATTACHMENTS)
        assert (await crowd.users()).count("ann") == 7


async def test_who_comes_again_and_again_and_never_leaves_is_stopped() -> None:
    """They read nothing, so they are hung up on only after a second; until then no more of them are let in."""
    async with console_house() as house, contextlib.AsyncExitStack() as stack:
        crowd = Crowd(house, stack)
        for _ in range(MOST_OF_ONE):
            await crowd.enter("olga", "Operator")
        boss = await crowd.enter("boss", "Administrator", writing=WRITE)
        await house.boot()
        await boss.log_in()
        await boss.type(b"send 900000\r")
        await boss.see(b"\r\nsent 900000 bytes")  # the sockets of the others are full now
        for _ in range(MOST_OF_ONE):
            await crowd.enter("olga", "Operator")
        end = await (await crowd.come("olga", "Operator")).next(frames.End)
        assert (end.reason, "coming and going" in end.message) == ("full", True)
        await crowd.enter("rita")
        await until(lambda: len(house.server._consoles["host.0"].attachments) == MOST_OF_ONE + 2)
        await crowd.enter("olga", "Operator")


# --- BREAK and SysRq --------------------------------------------------------------------------------------------------


class Noting(SimSerial):
    """The line of the simulated host; notes what it is asked to send, and may be slow about a BREAK."""

    def __init__(self, machine: InProcessMachine) -> None:
        super().__init__(machine.dial)
        self.sent: list[bytes | float] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def send_break(self, seconds: float = BREAK_SECONDS) -> None:
        self.sent.append(seconds)
        await self.go_on.wait()
        await super().send_break(seconds)

    async def write(self, data: bytes) -> None:
        self.sent.append(data)
        await super().write(data)


def line_of(house: ConsoleHouse) -> Noting:
    line = house.server._consoles["host.0"].line
    assert isinstance(line, Noting)
    return line


def trail(house: ConsoleHouse) -> list[tuple[str, str, str, str]]:
    return [(each.method, each.user, each.target, each.outcome) for each in house.told(AuditedCall)]


async def test_signals_of_an_attachment_are_audited_as_the_calls_are() -> None:
    async with console_house(make_line=Noting) as house, house.attach("olga", "Operator", writing=WRITE) as olga:
        await olga.send(frames.Break(100), frames.SysRq("h"))
        await until(lambda: len(trail(house)) == 2)
        assert trail(house) == [(BREAK, "olga", "host.0", "ok"), (SYSRQ, "olga", "host.0", "ok")]
        assert {each.source for each in house.told(AuditedCall)} == {"192.0.2.1"}
        assert line_of(house).sent == [0.1, BREAK_SECONDS, b"h"]
        async with house.attach("rita", "ReadOnly") as rita, house.attach("admin") as admin:
            await rita.send(*[frames.SysRq("b")] * 20)
            await until(lambda: len(trail(house)) == 3)
            await admin.send(*[frames.Break()] * 20)
            await until(lambda: len(trail(house)) == 4)
            for client in (rita, admin):
                await client.send(frames.Input(b"x"))
                await client.next(frames.State)
        await until(lambda: len(house.server._consoles["host.0"].attachments) == 1)
        assert trail(house)[2:] == [(SYSRQ, "rita", "host.0", "denied"), (BREAK, "admin", "host.0", "refused")]
        assert len(line_of(house).sent) == 3


async def test_a_break_that_fails_is_audited_as_such() -> None:
    async with console_house(make_line=Noting) as house, house.attach("olga", "Operator", writing=WRITE) as olga:
        await olga.next(frames.Hello)
        house.machine.unplug()
        assert not (await olga.next(frames.State)).connected
        await olga.send(frames.Break())
        await until(lambda: bool(trail(house)))
        assert trail(house) == [(BREAK, "olga", "host.0", "unavailable")]


@pytest.mark.parametrize("signal", [frames.Break(), frames.SysRq("b")])
async def test_what_waits_to_be_sent_is_dropped_when_another_takes_over(signal: frames.Break | frames.SysRq) -> None:
    async with (
        console_house(make_line=Noting) as house,
        house.attach("olga", "Operator", writing=WRITE) as olga,
        house.attach("admin") as admin,
    ):
        await olga.next(frames.Hello)
        house.machine.unplug()
        assert not (await olga.next(frames.State)).connected
        await olga.send(signal, frames.Input(b"reboot\r"))
        await asyncio.sleep(0.1)
        await admin.send(frames.Take(over=True))
        while not (await admin.next(frames.State)).writing:
            pass
        house.machine.plug()
        while not (await admin.next(frames.State)).connected:
            pass
        await admin.type(b"mine")
        await until(lambda: b"mine" in line_of(house).sent)
        assert line_of(house).sent == [b"mine"]
        method = BREAK if isinstance(signal, frames.Break) else SYSRQ
        assert trail(house) == [(method, "olga", "host.0", "refused")]


async def test_a_sysrq_that_has_begun_gets_its_own_key_and_not_what_the_next_one_types() -> None:
    async with (
        console_house(make_line=Noting) as house,
        house.attach("olga", "Operator", writing=WRITE) as olga,
        house.attach("admin") as admin,
    ):
        line = line_of(house)
        line.go_on.clear()
        await olga.send(frames.SysRq("h"))
        await until(lambda: line.sent == [BREAK_SECONDS])
        await admin.send(frames.Take(over=True))
        while not (await admin.next(frames.State)).writing:
            pass
        await admin.type(b"b")
        await asyncio.sleep(0.05)
        line.go_on.set()
        await until(lambda: len(line.sent) == 3)
        assert line.sent == [BREAK_SECONDS, b"h", b"b"]
        await until(lambda: trail(house) == [(SYSRQ, "olga", "host.0", "ok")])


async def test_signals_come_no_faster_than_four_in_a_second() -> None:
    async with console_house(make_line=Noting) as house, house.attach("olga", "Operator", writing=WRITE) as olga:
        began = asyncio.get_running_loop().time()
        await olga.send(*[frames.Break()] * 4)
        await until(lambda: len(trail(house)) == 4)
        assert asyncio.get_running_loop().time() - began >= 0.74
