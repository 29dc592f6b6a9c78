"""The guest's own IPMI: QEMU's KCS interface, driven register by register as a driver in the guest would."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.service.ipmisrv_house import ADMIN_ONLY, COUNT, DEVICE_ID, OEM, IpmiHouse, ipmi_house, until

from ubmc.hw.qemu.machine import Accelerator, Layout, MachineSpec, command
from ubmc.protocols.ipmi import vm
from ubmc.services.ipmisrv.door import IpmiOptions
from ubmc.services.ipmisrv.inband import Policy
from ubmc.services.ipmisrv.limits import Limits

QEMU = "qemu-system-x86_64"
DATA, STATUS = 0xCA2, 0xCA3
FULL, BUSY, STATES, READ, WRITE, ERROR = 0x01, 0x02, 0xC0, 0x40, 0x80, 0xC0  # Spec table 9-2
WRITE_START, WRITE_END, READ_NEXT, ABORT = 0x61, 0x62, 0x68, 0x60  # Spec table 9-4
needs_qemu = pytest.mark.skipif(shutil.which(QEMU) is None, reason="apt install qemu-system-x86")


class Kcs:
    """The keyboard controller style interface (Spec chapter 9) through QEMU's qtest protocol."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def _say(self, line: str) -> list[str]:
        self._writer.write(line.encode() + b"\n")
        while (answer := (await self._reader.readline()).decode().split()) and answer[0] != "OK":
            assert answer[0] == "IRQ", answer
        return answer

    async def _in(self, port: int) -> int:
        return int((await self._say(f"inb {port:#x}"))[1], 16)

    async def _out(self, port: int, byte: int) -> None:
        await self._say(f"outb {port:#x} {byte:#x}")

    async def _state(self) -> int:
        """The state, once the other side has taken what was written."""
        async with asyncio.timeout(30):
            while (status := await self._in(STATUS)) & BUSY:
                await asyncio.sleep(0.002)
        return status & STATES

    async def ask(self, netfn: int, number: int, data: bytes = b"") -> bytes:
        """Completion code and data."""
        request = bytes((netfn << 2, number)) + data
        await self._out(STATUS, WRITE_START)
        for at, byte in enumerate(request):
            assert await self._state() == WRITE
            await self._in(DATA)
            if at == len(request) - 1:
                await self._out(STATUS, WRITE_END)
                assert await self._state() == WRITE
                await self._in(DATA)
            await self._out(DATA, byte)
        answer = bytearray()
        while (state := await self._state()) == READ:
            async with asyncio.timeout(30):
                while not await self._in(STATUS) & FULL:
                    await asyncio.sleep(0.002)
            answer.append(await self._in(DATA))
            await self._out(DATA, READ_NEXT)
        assert state != ERROR
        await self._in(DATA)
        assert answer[:2] == bytes(((netfn | 1) << 2, number))
        return bytes(answer[2:])


@contextlib.asynccontextmanager
async def machine(folder: Path) -> AsyncIterator[Kcs]:
    """A machine whose processor stands still; only its devices work."""
    layout = Layout(folder)
    control = await asyncio.create_subprocess_exec(
        *(QEMU, "-machine", "q35,accel=tcg", "-S", "-nodefaults", "-display", "none"),
        *("-qtest", f"unix:{folder}/qtest.sock,server=on,wait=off", "-qtest-log", "/dev/null"),
        *("-chardev", f"socket,id=ipmi0,path={layout.ipmi},server=on,wait=off"),
        *("-device", "ipmi-bmc-extern,id=bmc0,chardev=ipmi0", "-device", "isa-ipmi-kcs,bmc=bmc0"),
    )
    try:
        socket = folder / "qtest.sock"
        await until(socket.exists)
        reader, writer = await asyncio.open_unix_connection(str(socket))
        try:
            yield Kcs(reader, writer)
        finally:
            writer.transport.abort()
    finally:
        with contextlib.suppress(ProcessLookupError):
            control.kill()
        await control.wait()
        (folder / "qtest.sock").unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def guest_house(
    policy: Policy = "restricted", limits: Limits | None = None
) -> AsyncIterator[tuple[IpmiHouse, Path]]:
    with tempfile.TemporaryDirectory(prefix="ubmc-ipmi-") as name:
        folder = Path(name)
        options = IpmiOptions(
            listen=(("127.0.0.1", 0),),
            settings=Path("-"),
            in_band=policy,
            guests=(("host.0", Layout(folder).ipmi),),
            limits=limits or Limits(),
        )
        async with ipmi_house(options) as house:
            yield house, folder


async def ready(kcs: Kcs) -> None:
    """Until the machine has its BMC; before that QEMU itself answers D2h, "initialization in progress"."""

    async def answered() -> bool:
        return (await kcs.ask(0x06, 0x01))[0] == 0

    await until(answered, 15)


@needs_qemu
async def test_a_guest_finds_its_bmc_and_is_kept_to_what_it_may() -> None:
    async with guest_house() as (house, folder), machine(folder) as kcs:
        await ready(kcs)
        assert await kcs.ask(0x06, 0x01) == b"\0" + DEVICE_ID
        assert await kcs.ask(OEM, COUNT) == b"\xd4"
        assert await kcs.ask(OEM, ADMIN_ONLY) == b"\xd4"
        assert await kcs.ask(OEM, 0x7F) == b"\xc1"
        assert await kcs.ask(0x06, 0x01, b"\xa0\xa1\xaa") == b"\xc7"
        assert await kcs.ask(0x06, 0x3B, b"\x04") == b"\xd4"  # a session's command
        assert house.suite.counted == 0


@needs_qemu
async def test_the_owner_can_let_a_guest_do_more() -> None:
    async with guest_house("full") as (_house, folder), machine(folder) as kcs:
        await ready(kcs)
        assert await kcs.ask(OEM, ADMIN_ONLY) == b"\0\1"
        assert await kcs.ask(0x06, 0x3B, b"\x04") == b"\xd4"  # there is no session


@needs_qemu
async def test_a_guest_finds_its_bmc_again_when_it_was_away() -> None:
    async with guest_house() as (_house, folder):
        for _ in range(2):  # the machine is ended and started anew
            async with machine(folder) as kcs:
                await ready(kcs)


async def test_a_guest_may_be_kept_out_altogether() -> None:
    async with guest_house("off") as (_house, folder):
        connected = asyncio.Event()
        server = await asyncio.start_unix_server(lambda _r, _w: connected.set(), str(Layout(folder).ipmi))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connected.wait(), 1.5)
        server.close()


@contextlib.asynccontextmanager
async def wire(folder: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A machine without its processor; the door has connected and said its version."""
    talks: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    server = await asyncio.start_unix_server(lambda r, w: talks.put_nowait((r, w)), str(Layout(folder).ipmi))
    reader, writer = await asyncio.wait_for(talks.get(), 10)
    try:
        assert await reader.readexactly(3) == vm.control(vm.Control.VERSION, b"\1")
        yield reader, writer
    finally:
        writer.transport.abort()
        server.close()


async def answers(reader: asyncio.StreamReader, *expected: bytes) -> None:
    """Read these answers, in their order."""
    whole = b"".join(expected)
    assert await asyncio.wait_for(reader.readexactly(len(whole)), 10) == whole


@pytest.mark.parametrize(
    ("command", "limits", "seconds"),
    [
        ((0x06, 0x01), Limits(guest_per_second=20.0, guest_burst=5.0), 0.5),
        ((OEM, COUNT), Limits(guest_changes_per_second=20.0, guest_changes_burst=5.0), 0.5),
        ((0x06, 0x01), Limits(guest_changes_per_second=1.0, guest_changes_burst=1.0), 0.0),
    ],
)
async def test_a_guest_that_asks_too_fast_waits_and_loses_nothing(
    command: tuple[int, int], limits: Limits, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Fifteen requests at once, of which five are free; who changes nothing is not held to the rate of changes."""
    netfn, number = command
    async with guest_house("full", limits) as (house, folder), wire(folder) as (reader, writer):
        began = time.monotonic()
        writer.write(b"".join(vm.request(sequence, netfn, number) for sequence in range(15)))
        said = [b"\0" + (DEVICE_ID if netfn == 0x06 else bytes((sequence + 1,))) for sequence in range(15)]
        requests = [vm.VmRequest(sequence, netfn, 0, number, b"") for sequence in range(15)]
        await answers(reader, *(vm.respond(one, answer) for one, answer in zip(requests, said, strict=True)))
        assert time.monotonic() - began >= seconds * 0.95
        assert house.suite.counted == (15 if netfn == OEM else 0)
    assert sum("asks too fast" in each.message for each in caplog.records) == bool(seconds)


async def test_for_how_long_a_guest_could_have_fed_its_watchdog() -> None:
    """Since it has its BMC, and since the last time that something about the watchdog was not done."""
    async with guest_house() as (house, folder):
        door = house.server.door
        assert door is not None
        assert door.guest_able_seconds("host.0") == 0.0
        async with wire(folder) as (reader, writer):
            assert door.guest_able_seconds("host.7") == 0.0
            await until(lambda: door.guest_able_seconds("host.0") > 0.2)
            writer.write(vm.request(1, 0x06, 0x01))
            await answers(reader, vm.respond(vm.VmRequest(1, 0x06, 0, 0x01, b""), b"\0" + DEVICE_ID))
            assert door.guest_able_seconds("host.0") > 0.2
            writer.write(vm.request(2, 0x06, 0x22))  # which is no command of this test
            await answers(reader, vm.respond(vm.VmRequest(2, 0x06, 0, 0x22, b""), b"\xc1"))
            assert 0.0 < door.guest_able_seconds("host.0") < 0.2
        await until(lambda: door.guest_able_seconds("host.0") == 0.0)


async def test_damaged_frames_and_a_guest_that_asks_at_once() -> None:
    """Several requests in one gulp, rubbish between them."""
    async with guest_house() as (_house, folder), wire(folder) as (reader, writer):
        writer.write(bytes(700) + b"\xa0" + vm.request(1, 0x06, 0x01) + b"\xaa\xa0" + vm.request(2, OEM, 0x7F))
        first = vm.respond(vm.VmRequest(1, 0x06, 0, 0x01, b""), b"\0" + DEVICE_ID)
        second = vm.respond(vm.VmRequest(2, OEM, 0, 0x7F, b""), b"\xc1")
        await answers(reader, first, second)


def test_the_command_line_has_the_device_only_when_it_is_wanted() -> None:
    layout = Layout(Path("/m"))
    spec = MachineSpec("host.0", uuid.UUID(int=1), "S1")
    plain = " ".join(command(spec, layout, "/q", Accelerator.TCG))
    assert "ipmi" not in plain
    with_bmc = " ".join(command(replace(spec, ipmi=True), layout, "/q", Accelerator.TCG))
    assert "-chardev socket,id=ipmi0,path=/m/ipmi.sock,server=on,wait=off" in with_bmc
    assert "-device ipmi-bmc-extern,id=bmc0,chardev=ipmi0 -device isa-ipmi-kcs,bmc=bmc0" in with_bmc
    assert layout.ipmi in layout.sockets
