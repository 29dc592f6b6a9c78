"""consolesrv on a real bus, with the serial line of the simulated host."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import tty
import zlib
from pathlib import Path

import pytest
from protobuf.wkt import FieldMask
from tests.harness.consoles import console_house, until

from ubmc.hw.console.tty import TtyLine
from ubmc.hw.sim.parts.shell import pattern
from ubmc.kit import bytelink
from ubmc.kit import call as calls
from ubmc.kit.errors import Busy, Denied, Invalid, NotFound, Refused, Unauthenticated
from ubmc.protocols import console as frames
from ubmc.services.consolesrv.attachment import WRITTEN_BYTES
from ubmc.v1alpha1 import console_pb as m
from ubmc.v1alpha1.console_pb import ConsoleSight, ConsoleWriting, FlowControl
from ubmc.v1alpha1.console_rpc import ConsoleService
from ubmc.v1alpha1.session_pb import SessionEnd

WRITE = ConsoleWriting.TAKE_OVER
MEBIBYTE = 1 << 20


async def test_a_boot_is_read_and_a_login_typed() -> None:
    async with console_house() as house, house.attach(writing=WRITE) as client:
        hello = await client.next(frames.Hello)
        assert (hello.name, hello.resumed, hello.writing, hello.connected) == ("host.0", "live", True, True)
        await house.boot()
        assert b"[10] CPU init\r\n" in await client.see(b"Starting kernel")
        await client.see(b"simulated login: ")
        await client.log_in()
        await client.type(b"echo hello there\r")
        await client.see(b"hello there\r\n# ")
        await until(lambda: len(house.told(m.ConsoleSighting)) >= 2)
        seen = [(each.sight, each.text) for each in house.told(m.ConsoleSighting)]
        assert seen == [
            (ConsoleSight.BOOT_PROGRESS, "booting from disk"),
            (ConsoleSight.LOGIN_PROMPT, "simulated login:"),
        ]
        written = [(each.user, each.door, each.source) for each in house.told(m.ConsoleWrite)]
        assert written == [("admin", "ssh", "192.0.2.1")]


@pytest.mark.parametrize("size", [1, MEBIBYTE + 12345])
async def test_a_stream_arrives_byte_for_byte_both_ways(size: int) -> None:
    async with console_house() as house, house.attach(writing=WRITE) as client:
        await house.boot()
        await client.log_in()
        await client.type(b"send %d 8000000\r" % size)
        await client.see(b"\r\n")
        sent = await client.see(b"\r\nsent ")
        assert sent == pattern(0, size)
        data = bytes(range(256)) * (size // 256) + b"!" * (size % 256)
        await client.see(b"# ")
        await client.type(b"count %d\r" % size)
        await client.see(b"\r\n")
        await client.type(data)
        await client.see(b"took %d bytes, CRC-32 %08x" % (size, zlib.crc32(data)))


async def test_what_is_given_back_is_what_was_written() -> None:
    async with console_house() as house, house.attach(writing=WRITE) as client:
        await house.boot()
        await client.log_in()
        await client.type(b"raw\r")
        await client.see(b"raw\r\n")
        data = bytes(range(256)) * 512
        typing = asyncio.create_task(client.type(data))
        while len(client.text) < len(data):
            await client.next(frames.Output)
        await typing
        assert client.text == data
        await client.send(frames.Break())
        await client.see(b"ended by BREAK after 131072 bytes")
        await client.send(frames.SysRq("b"))
        await client.see(b"sysrq: Resetting")
        await client.see(b"simulated login: ")


async def test_many_read_and_one_writes_until_another_takes_over() -> None:
    async with console_house() as house:
        await house.boot()
        async with (
            house.attach("ann", writing=WRITE) as ann,
            house.attach("bob", writing=ConsoleWriting.IF_FREE) as bob,
        ):
            assert (await ann.next(frames.Hello)).writing
            hello = await bob.next(frames.Hello)
            assert (hello.writing, hello.writer, hello.may_write) == (False, "ann", True)
            await bob.type(b"lost\r")
            told = await bob.next(frames.State)
            assert (told.writing, told.writer) == (False, "ann")
            await bob.send(frames.Take(over=True))
            while not (await bob.next(frames.State)).writing:
                pass
            lost = await ann.next(frames.State)
            while lost.writer != "bob":
                lost = await ann.next(frames.State)
            assert (lost.writing, lost.reason) == (False, "bob has taken over")
            await bob.type(b"bobby\r")
            await ann.see(b"bobby")
            await bob.see(b"Password: ")
            taken = [(each.user, each.source, each.before) for each in house.told(m.ConsoleTakeOver)]
            assert taken == [("bob", "192.0.2.1", "ann")]
            shown = await house.shown()
            assert {(each.user, each.writer) for each in shown.attachments} == {("ann", False), ("bob", True)}
            await bob.send(frames.Release())
            while (await ann.next(frames.State)).writer:
                pass
        await until(lambda: len(house.told(m.ConsoleDetach)) == 2)
        assert b"lost" not in ann.text + bob.text


async def test_a_slow_reader_stalls_nobody_and_is_told_what_it_missed() -> None:
    async with (
        console_house(replay_bytes=64 * 1024) as house,
        house.attach("slow") as slow,
        house.attach("quick", writing=WRITE) as quick,
    ):
        await slow.next(frames.Hello)
        await house.boot()
        await quick.log_in()
        await quick.type(b"send 2000000 4000000\r")
        await quick.see(b"\r\nsent 2000000 bytes")
        missed = await slow.next(frames.Missed)
        assert missed.end - missed.start > 500_000
        await slow.see(b"\r\nsent 2000000 bytes")
        assert slow.position == quick.position
        shown = await house.shown()
        by_user = {each.user: each.missed_bytes for each in shown.attachments}
        assert by_user["slow"] >= missed.end - missed.start


async def test_resuming_over_a_restart_loses_nothing() -> None:
    async with console_house() as house:
        await house.boot()
        async with house.attach(writing=WRITE) as client:
            await client.log_in()
            await client.type(b"send 600000 400000\r")
            await client.see(b"\r\n")
            before, place, epoch = client, client.position - len(client.text), client.epoch
            await house.restart()
            assert (await before.next(frames.End)).reason == "stopping"
            text, position = before.text, before.position
        async with house.attach(offset=position, epoch=epoch, writing=WRITE) as client:
            assert (await client.next(frames.Hello)).resumed == "exact"
            await client.see(b"\r\nsent 600000 bytes")
        async with house.attach(offset=place, epoch=epoch) as client:
            whole = await client.see(b"\r\nsent 600000 bytes")
            assert whole == pattern(0, 600000)
            assert whole.startswith(text)
        async with house.attach(offset=5, epoch="another") as client:
            assert (await client.next(frames.Hello)).resumed == "unknown"
            assert b"CPU init" in await client.see(b"Starting kernel")
        sightings = [each.sight for each in house.told(m.ConsoleSighting)]
        assert sightings.count(ConsoleSight.BOOT_PROGRESS) == 1  # not once more after the restart


async def test_who_resumes_right_after_a_restart_waits_for_what_was_there_before() -> None:
    async with console_house() as house:
        await house.boot()
        house.machine.act(lambda plant: plant.host.console.write(b"x" * 900_000))
        async with asyncio.timeout(30):
            while (shown := await house.shown()).end_offset < 900_000:
                await asyncio.sleep(0.02)
        place, epoch = shown.end_offset, shown.epoch
        for _ in range(3):
            await house.restart()
            async with house.attach(offset=place, epoch=epoch) as client:
                hello = await client.next(frames.Hello)
                assert (hello.resumed, hello.start, hello.end) == ("exact", place, place)


async def test_replay_begins_some_bytes_before_the_end() -> None:
    async with console_house() as house:
        await house.boot()
        async with house.attach(replay=17) as client:
            hello = await client.next(frames.Hello)
            assert hello.resumed == "replay"
            await client.see(b"simulated login: ")
            assert client.position == hello.start + 17


async def test_a_line_that_goes_away_comes_back_and_nothing_is_lost() -> None:
    async with console_house() as house, house.attach(writing=WRITE) as client:
        await client.next(frames.Hello)
        house.machine.unplug()
        told = await client.next(frames.State)
        assert not told.connected
        await house.boot()
        house.machine.plug()
        while not (await client.next(frames.State)).connected:
            pass
        assert b"CPU init" in await client.see(b"simulated login: ")
        await client.type(b"me\r")
        await client.see(b"Password: ")
        while client.written.total < 3:
            await client.next(frames.Written)
        assert client.written == frames.Written(3)


async def test_what_is_typed_at_a_dead_line_is_dropped_and_said_so() -> None:
    async with console_house() as house, house.attach(writing=WRITE) as client:
        await client.next(frames.Hello)
        house.machine.unplug()
        await client.type(b"nobody hears this")
        assert await client.next(frames.Written) == frames.Written(17, 17)


async def test_what_somebody_types_who_does_not_write_is_counted_as_dropped_before_they_can_write() -> None:
    """Else a door could not tell which of its bytes a later count is about."""
    async with (
        console_house() as house,
        house.attach("ann", writing=WRITE) as ann,
        house.attach("bob") as bob,
    ):
        await bob.next(frames.Hello)
        await bob.send(frames.Input(b"dropped"), frames.Take(over=True), frames.Input(b"x"))
        told: list[frames.Frame] = []
        while len(told) < 2 or bob.written.total < 8:
            told.append(await bob.next(frames.State | frames.Written))  # type: ignore[arg-type]
        taken = next(at for at, each in enumerate(told) if isinstance(each, frames.State) and each.writing)
        before = [each for each in told[:taken] if isinstance(each, frames.Written)]
        assert before[-1] == frames.Written(7, 7)
        assert bob.written == frames.Written(8, 7)
        assert (await ann.next(frames.Hello)).writing


async def test_nobody_writes_without_the_privilege_and_nobody_comes_without_a_name() -> None:
    async with console_house() as house:
        with pytest.raises(Denied, match="ConfigureComponents"):
            async with house.attach("eve", "ReadOnly", writing=WRITE):
                pass
        async with house.attach("eve", "ReadOnly") as client:
            assert not (await client.next(frames.Hello)).may_write
            await client.send(frames.Take(over=True), frames.Input(b"x"))
            assert "ConfigureComponents" in (await client.next(frames.State)).reason
        with pytest.raises(Unauthenticated, match="who is asking"):
            await house.door.ask(ConsoleService.OpenConsole, m.OpenConsoleRequest(name="host.0"))
        with pytest.raises(NotFound, match=r"host\.0"):
            await house.shown("host.7")


async def test_the_end_of_a_session_ends_what_it_attached() -> None:
    async with console_house() as house, house.attach("ann") as ann, house.attach("bob") as bob:
        await ann.next(frames.Hello)
        house.sessions.tell("bmc.0", SessionEnd(id="session-of-ann", user="ann", reason="logout"))
        assert (await ann.next(frames.End)).reason == "session"
        await bob.next(frames.Hello)
        await house.boot()
        await bob.see(b"simulated login: ")


async def test_a_ticket_of_a_session_that_has_ended_is_worth_nothing() -> None:
    async with console_house() as house, house.attach("ann") as ann:
        await ann.next(frames.Hello)
        marked = calls.current.set(house.world.call("ann", "Administrator"))
        try:
            opened = await house.door.ask(ConsoleService.OpenConsole, m.OpenConsoleRequest(name="host.0", door="ssh"))
        finally:
            calls.current.reset(marked)
        house.sessions.tell("bmc.0", SessionEnd(id="session-of-ann", user="ann", reason="logout"))
        await ann.next(frames.End)
        async with asyncio.timeout(30), await bytelink.connect(opened.socket, opened.ticket) as link:
            stream = link.frames(frames.Decoder())
            first = await anext(stream)
            await stream.aclose()
        assert isinstance(first, frames.End)
        assert first.reason == "session"


async def test_programs_read_write_and_signal_by_calls() -> None:
    async with console_house() as house:
        await house.boot()
        call = house.world.call()

        async def read(**fields: object) -> m.ReadConsoleResponse:
            request = m.ReadConsoleRequest(name="host.0", **fields)  # type: ignore[arg-type]
            return await house.door.forward(ConsoleService.ReadConsole, request, house.world.call())

        first = await read(max_bytes=100)
        assert (first.offset, len(first.data), first.missed_bytes) == (0, 100, 0)
        assert first.marks[0].offset == 0
        assert (await read(tail_bytes=7)).data == b"login: "
        write = m.WriteConsoleRequest(name="host.0", data=b"root\r")
        await house.door.forward(ConsoleService.WriteConsole, write, call)
        answer = await read(offset=first.end_offset, wait_seconds=2.0)
        assert answer.data.startswith(b"root")
        async with house.attach("ann", writing=WRITE) as ann:
            await ann.next(frames.Hello)
            with pytest.raises(Busy, match="ann"):
                await house.door.forward(ConsoleService.WriteConsole, write, call)
            with pytest.raises(Busy, match="ann"):
                await house.door.forward(
                    ConsoleService.SendConsoleBreak, m.SendConsoleBreakRequest(name="host.0"), call
                )
            with pytest.raises(Busy, match="ann"):
                await house.door.forward(
                    ConsoleService.SendConsoleSysRq, m.SendConsoleSysRqRequest(name="host.0", key="b"), call
                )
            release = m.ReleaseConsoleRequest(name="host.0")
            assert (await house.door.forward(ConsoleService.ReleaseConsole, release, call)).user == "ann"
            assert "admin" in (await ann.next(frames.State)).reason
        sysrq = m.SendConsoleSysRqRequest(name="host.0", key="h", take_over=True)
        async with house.attach("ann", writing=WRITE) as ann:
            await ann.next(frames.Hello)
            await house.door.forward(ConsoleService.SendConsoleSysRq, sysrq, call)
            assert "admin" in (await ann.next(frames.State)).reason
        await until(lambda: b"sysrq: HELP" in house.machine.plant.host.console.since(0, 1 << 20)[1])


async def test_settings_are_kept_and_those_that_cannot_work_are_refused() -> None:
    async with console_house() as house:

        async def update(settings: m.ConsoleSettings, *paths: str) -> m.ConsoleSettings:
            request = m.UpdateConsoleRequest(
                console=m.Console(name="host.0", settings=settings), update_mask=FieldMask(paths=list(paths))
            )
            answer = await house.door.forward(ConsoleService.UpdateConsole, request, house.world.call())
            assert answer.console is not None
            assert answer.console.settings is not None
            return answer.console.settings

        for settings, error in (
            (m.ConsoleSettings(baud_rate=9600), Refused),
            (m.ConsoleSettings(flow_control=FlowControl.RTS_CTS), Refused),
            (m.ConsoleSettings(replay_bytes=10), Invalid),
            (m.ConsoleSettings(redactions=["("]), Invalid),
            (m.ConsoleSettings(redactions=["(a+)+"]), Invalid),
        ):
            with pytest.raises(error):
                await update(settings)
        with pytest.raises(Invalid, match=r"settings\.recording"):
            await update(m.ConsoleSettings(), "name")
        assert (await update(m.ConsoleSettings(replay_bytes=8192, recording=True))).replay_bytes == 8192
        assert not (await update(m.ConsoleSettings(), "settings.recording")).recording
        await house.restart()
        shown = await house.shown()
        assert shown.settings is not None
        assert (shown.settings.replay_bytes, shown.settings.recording) == (8192, False)


async def test_a_recording_holds_what_was_shown_but_for_what_is_redacted() -> None:
    async with console_house() as house, house.attach(writing=WRITE) as client:
        settings = m.ConsoleSettings(recording=True, redactions=["token=[a-z]*"])
        request = m.UpdateConsoleRequest(console=m.Console(name="host.0", settings=settings))
        await house.door.forward(ConsoleService.UpdateConsole, request, house.world.call())
        await house.boot()
        await client.log_in()
        await client.type(b"echo token=secret public\r")
        await client.see(b"secret public\r\n# ")
        ask = m.ReadConsoleRecordingRequest(name="host.0")
        data = b""
        async with asyncio.timeout(30):
            while b"public" not in data:
                answer = await house.door.forward(ConsoleService.ReadConsoleRecording, ask, house.world.call())
                data = answer.data
                await asyncio.sleep(0.05)
        assert b"CPU init" in data
        assert b"[redacted] public" in data
        assert b"secret" not in data
        delete = m.DeleteConsoleRecordingRequest(name="host.0")
        await house.door.forward(ConsoleService.DeleteConsoleRecording, delete, house.world.call())
        assert (await house.door.forward(ConsoleService.ReadConsoleRecording, ask, house.world.call())).data == b""


async def test_watchers_see_who_comes_and_goes() -> None:
    async with console_house() as house:
        updates = house.door.watch(ConsoleService.WatchConsoles, m.WatchConsolesRequest(), house.world.call(seconds=60))
        async with asyncio.timeout(30):
            assert (await anext(updates)).snapshot
            async with house.attach("ann"):
                while not (each := (await anext(updates)).console) or [one.user for one in each.attachments] != ["ann"]:
                    pass
            while not (each := (await anext(updates)).console) or each.attachments:
                pass
        await updates.aclose()


async def test_who_writes_to_a_host_that_does_not_listen_can_be_taken_over(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    async with console_house(make_line=lambda _: TtyLine(Path(os.ttyname(slave)))) as house:
        try:
            async with house.attach("ann", writing=WRITE) as ann, house.attach("bob") as bob:
                await ann.next(frames.Hello)
                typing = asyncio.create_task(ann.type(b"a" * MEBIBYTE))
                await asyncio.sleep(0.2)
                assert not typing.done()  # the line is full, and so are the sockets
                await bob.send(frames.Take(over=True))
                while not (await bob.next(frames.State)).writing:
                    pass
                await bob.type(b"bob")
                os.set_blocking(master, False)
                heard = bytearray()
                async with asyncio.timeout(30):
                    while not heard.endswith(b"bob"):
                        with contextlib.suppress(BlockingIOError):
                            heard += os.read(master, 65536)
                        await asyncio.sleep(0.001)
                assert len(heard) < MEBIBYTE
                while not ann.written.dropped:
                    await ann.next(frames.Written)
                given = ann.written.total - ann.written.dropped
                assert 0 < given <= heard.count(b"a") <= given + WRITTEN_BYTES
                typing.cancel()
                await asyncio.gather(typing, return_exceptions=True)
        finally:
            house.task.cancel()
            await asyncio.gather(house.task, return_exceptions=True)
            os.close(master)
            os.close(slave)


async def test_who_reads_nothing_is_hung_up_on_when_the_session_ends() -> None:
    async with console_house() as house, house.attach("ann") as ann, house.attach("bob", writing=WRITE) as bob:
        await ann.next(frames.Hello)
        await house.boot()
        await bob.log_in()
        await bob.type(b"send 900000\r")
        await bob.see(b"\r\nsent 900000 bytes")
        house.sessions.tell("bmc.0", SessionEnd(id="session-of-ann", user="ann", reason="logout"))
        async with asyncio.timeout(30):
            while [each.user for each in (await house.shown()).attachments] != ["bob"]:
                await asyncio.sleep(0.02)
