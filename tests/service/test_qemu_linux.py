"""The driver for virtual machines with a real operating system in them, and with none at all."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.service.qemu_guest import READY, Guest, prepare

from ubmc.hw.power.port import Action, Level, News, Sight
from ubmc.hw.qemu import process
from ubmc.hw.qemu.machine import Accelerator, Layout, MachineSpec
from ubmc.hw.qemu.power import QemuPower
from ubmc.hw.qemu.qmp import Session

BINARY = "qemu-system-x86_64"
pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(shutil.which(BINARY) is None, reason="no qemu-system-x86_64 (apt install qemu-system-x86)"),
]


@pytest.fixture(scope="module")
def guest() -> Guest:
    return prepare()


@contextlib.asynccontextmanager
async def running(guest: Guest | None) -> AsyncIterator[tuple[QemuPower, Layout]]:
    with tempfile.TemporaryDirectory(prefix="ubmc-") as name:
        layout = Layout(Path(name) / "host.0")
        spec = MachineSpec(
            name="host.0",
            uuid=uuid.uuid4(),
            serial="UBMC-TEST-7",
            memory_mb=256,
            kernel=guest.kernel if guest else None,
            initrd=guest.initrd if guest else None,
            append="console=ttyS0 quiet panic=0" if guest else "",
            accelerator=Accelerator.TCG,
            second_qmp=True,
        )
        power = QemuPower(spec, layout.directory, binary=BINARY)
        try:
            await power.open()
            await power.do(Action.ON)
            yield power, layout
        finally:
            await power.close()
            process.end(layout)


async def printed(layout: Layout, text: str, times: int = 1) -> str:
    """Wait until the serial port has said it; what it said."""
    async with asyncio.timeout(60):
        while True:
            said = layout.serial_log.read_text("utf-8", "replace")
            if said.count(text) >= times:
                return said
            await asyncio.sleep(0.05)


async def run_in_guest(layout: Layout, line: str) -> None:
    await asyncio.to_thread(layout.serial_input.write_bytes, f"{line}\n".encode())


async def first(power: QemuPower, news: News) -> Sight:
    async with asyncio.timeout(60):
        async for sight in power.watch():
            if sight.news is news:
                return sight
    raise AssertionError(f"the watch ended without {news}")


async def test_linux_hears_the_power_button_and_boots_again(guest: Guest) -> None:
    async with running(guest) as (power, layout):
        await printed(layout, READY)
        news = asyncio.create_task(first(power, News.GUEST_SHUTDOWN))
        await asyncio.sleep(0)
        await power.do(Action.SOFT_OFF)
        assert await news == Sight(Level.OFF, News.GUEST_SHUTDOWN)
        await power.do(Action.ON)
        await printed(layout, READY, times=2)


async def test_a_panic_of_linux_is_told(guest: Guest) -> None:
    async with running(guest) as (power, layout):
        await printed(layout, READY)
        news = asyncio.create_task(first(power, News.PANICKED))
        await run_in_guest(layout, "echo c > /proc/sysrq-trigger")
        assert await news == Sight(Level.ON, News.PANICKED)
        await power.do(Action.RESET)
        await printed(layout, READY, times=2)


async def test_linux_reads_its_identity_from_smbios(guest: Guest) -> None:
    async with running(guest) as (_, layout):
        await printed(layout, READY)
        await run_in_guest(layout, "cat /sys/class/dmi/id/product_serial /sys/class/dmi/id/sys_vendor")
        said = await printed(layout, "u-bmc")
        assert "UBMC-TEST-7" in said


async def test_the_firmware_alone_shows_its_screen() -> None:
    async with running(None) as (_, layout):
        session = await Session.connect(layout.second_qmp, lambda *_: None, lambda: None, call_seconds=10)
        picture = layout.directory / "screen.ppm"
        try:
            async with asyncio.timeout(30):
                while True:
                    await session.execute("screendump", filename=str(picture))
                    header, _, pixels = picture.read_bytes().partition(b"255\n")
                    # VGA text mode with letters on black; before, QEMU shows a note of its own in 640 by 480.
                    if header.startswith(b"P6\n720 400\n") and len(set(pixels)) > 1:
                        break
                    await asyncio.sleep(0.1)
        finally:
            await session.close()
