"""Hosts at the other end of a serial line, for the contract suite: each gives back every byte as it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import shutil
import signal
import tty
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from ubmc.hw.console.port import Line
from ubmc.hw.console.tty import TtyLine
from ubmc.hw.qemu import process
from ubmc.hw.qemu.machine import Accelerator, Drive, MachineSpec, command
from ubmc.hw.qemu.machine import Layout as QemuLayout
from ubmc.hw.qemu.serial import QemuSerial
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.parts.host import Timings
from ubmc.hw.sim.parts.shell import Mode
from ubmc.hw.sim.plant import Plant, Settings
from ubmc.hw.sim.serial import SimSerial

QEMU = "qemu-system-x86_64"
ECHO_SECONDS = 20.0

# Sixteen-bit code that gives back what comes on COM1 (16550, LSR at 3FDh), and says `!` for a BREAK (LSR bit 4).
_ECHO = bytes.fromhex(
    "BAFD03ECA80174FB"  # until a byte is there:  mov dx,3FDh; in al,dx; test al,1; jz
    "88C4BAF803EC"  # mov ah,al; mov dx,3F8h; in al,dx
    "F6C4107402B021"  # test ah,10h; jz; mov al,'!'
    "88C4BAFD03ECA82074FB"  # until there is room:  mov ah,al; mov dx,3FDh; in al,dx; test al,20h; jz
    "88E0BAF803EEEBD9"  # mov al,ah; mov dx,3F8h; out dx,al; and again
)  # fmt: skip
_HELLO = bytes.fromhex("B052BAF803EE")  # mov al,'R'; mov dx,3F8h; out dx,al


class Rig(Protocol):
    """One host."""

    keeps: bool
    """Whether the line keeps what nobody reads."""
    exclusive: bool
    """Whether a second one is refused."""
    breaks: bytes
    """What the host says to a BREAK; empty where that cannot be seen."""

    def line(self) -> Line:
        """A driver."""

    async def lose(self) -> None:
        """The other end is gone."""

    async def find(self) -> None:
        """It is back."""


class PtyRig:
    """A pair of pseudo-terminals."""

    keeps, exclusive, breaks = False, True, b""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "tty"
        self._master = -1

    async def find(self) -> None:
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        name = os.ttyname(slave)
        self._path.unlink(missing_ok=True)
        self._path.symlink_to(name)
        os.set_blocking(self._master, False)
        self._slave = slave
        self._rest = b""
        asyncio.get_running_loop().add_reader(self._master, self._echo)

    def _echo(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(BlockingIOError, OSError):
            if not self._rest:
                self._rest = os.read(self._master, 4096)
            self._rest = self._rest[os.write(self._master, self._rest) :]
        if self._rest:
            loop.remove_reader(self._master)
            loop.add_writer(self._master, self._echo)
        else:
            loop.remove_writer(self._master)
            loop.add_reader(self._master, self._echo)

    def line(self) -> Line:
        return TtyLine(self._path)

    async def lose(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._master)
        loop.remove_writer(self._master)
        os.close(self._master)
        os.close(self._slave)
        self._path.unlink()


class SimRig:
    """The simulated host in raw mode."""

    keeps, exclusive, breaks = True, True, b"ended by BREAK"

    def __init__(self, _directory: Path) -> None:
        timings = Timings(rails_seconds=0.01, post_seconds=0.01, boot_seconds=0.01, jitter=0.0)
        self._machine = InProcessMachine(Plant(Settings(timings=timings)))
        self._machine.act(lambda plant: plant.drive("power-button-0", active=True))
        self._loop = asyncio.get_running_loop()

    async def find(self) -> None:
        self._machine.plug()
        shell = self._machine.plant.shell
        async with asyncio.timeout(ECHO_SECONDS):
            while shell.mode is Mode.CLOSED:
                await asyncio.sleep(0.01)
        if shell.mode is Mode.LOGIN:
            self._machine.act(lambda plant: plant.shell.receive(b"root\rx\rraw\r"))

    def line(self) -> Line:
        return SimSerial(self._machine.dial)

    async def lose(self) -> None:
        self._machine.unplug()

    def close(self) -> None:
        self._machine.close()


class QemuRig:
    """A virtual machine whose boot sector gives back what comes."""

    keeps, exclusive, breaks = True, False, b"!"

    def __init__(self, directory: Path) -> None:
        image = directory / "echo.img"
        image.write_bytes(((_HELLO + _ECHO).ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
        self._layout = QemuLayout(directory / "m")
        self._spec = MachineSpec(
            name="host.0", uuid=uuid.uuid4(), serial="X", memory_mb=64,
            drives=(Drive(image, bus="sata"),), accelerator=Accelerator.TCG,
        )  # fmt: skip

    async def find(self) -> None:
        argv = command(self._spec, self._layout, process.locate(QEMU), Accelerator.TCG)
        process.start(self._layout, argv, self._spec.uuid).close()
        async with asyncio.timeout(ECHO_SECONDS):
            while not (self._layout.serial_log.exists() and self._layout.serial_log.read_bytes() == b"R"):
                await asyncio.sleep(0.02)

    def line(self) -> Line:
        return QemuSerial(self._layout)

    async def lose(self) -> None:
        await asyncio.to_thread(process.end, self._layout)

    def close(self) -> None:
        if (found := process.find(self._layout)) is not None:
            found.signal(signal.SIGKILL)
            found.ended(5.0)
            found.reap()
            found.close()


@contextlib.asynccontextmanager
async def rig_of(kind: str, directory: Path) -> AsyncIterator[Rig]:
    """One host, ready; ended afterwards."""
    if kind == "qemu" and shutil.which(QEMU) is None:
        pytest.skip("qemu-system-x86_64 is not installed (apt install qemu-system-x86)")
    if kind == "tty":
        wired = PtyRig(directory)
        await wired.find()
        try:
            yield wired
        finally:
            with contextlib.suppress(OSError):
                await wired.lose()
        return
    rig = SimRig(directory) if kind == "sim" else QemuRig(directory)
    try:
        await rig.find()
        yield rig
    finally:
        rig.close()


KINDS = ("tty", "sim", "qemu")
