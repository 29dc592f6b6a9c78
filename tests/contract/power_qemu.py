"""The bench for the power of a virtual machine: a real QEMU with a guest of our own that fits in a boot sector.

The guest says from what it was booted, and READY, on the serial port, then obeys single letters from there: `s` powers
off, `r` restarts, `p` crashes (pvpanic), `d` goes deaf to the power button, which else powers it off. It says N for an
NMI. It needs no kernel and is up half a second after the start, so every property of the driver can be shown with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import shutil
import signal
import struct
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from qemu.qmp import ConnectError, QMPClient, QMPError
from tests.contract.boot_media import cd_image

from ubmc.hw.power.port import BootTarget, Level, Power
from ubmc.hw.qemu import process
from ubmc.hw.qemu.line import Patience
from ubmc.hw.qemu.machine import Accelerator, Drive, Layout, MachineSpec
from ubmc.hw.qemu.power import QemuPower

BINARY = "qemu-system-x86_64"
needs_qemu = pytest.mark.skipif(
    shutil.which(BINARY) is None, reason="qemu-system-x86_64 is not installed (apt install qemu-system-x86)"
)
# Short, so that a machine that hangs is found out quickly; generous enough for two busy processors.
PATIENCE = Patience(call_seconds=1.5, start_seconds=20, end_seconds=1.0, poll_seconds=0.3)
# Ports of QEMU's q35: ACPI PM1a events and control (SeaBIOS puts the PM base at 0x600), reset, ISA pvpanic, COM1.
_PM1_STATUS, _PM1_ENABLE, _PM1_CONTROL, _RESET, _PANIC, _COM1 = 0x600, 0x602, 0x604, 0xCF9, 0x505, 0x3F8


def boot_sector(name: str) -> bytes:
    """The guest: 16-bit code for address 0x7C00, 512 bytes with the mark of a boot sector."""
    code = bytearray()
    labels: dict[str, int] = {}
    short: list[tuple[int, str]] = []
    absolute: list[tuple[int, str]] = []

    def emit(text: str) -> None:
        code.extend(bytes.fromhex(text))

    def dx(port: int) -> None:
        code.extend(b"\xba" + struct.pack("<H", port))

    def jump(opcode: str, label: str) -> None:
        emit(opcode)
        short.append((len(code), label))
        code.append(0)

    def address(label: str) -> None:
        absolute.append((len(code), label))
        code.extend(b"\0\0")

    def label(name: str) -> None:
        labels[name] = len(code)

    emit("31 C0 8E D8 8E D0 BC 00 7C")  # xor ax,ax; mov ds,ax; mov ss,ax; mov sp,0x7C00
    emit("C7 06 08 00")  # mov word [8], nmi: interrupt vector 2
    address("nmi")
    emit("C7 06 0A 00 00 00")  # mov word [10], 0
    dx(_PM1_ENABLE)
    emit("B8 00 01 EF")  # mov ax,0x100; out dx,ax: the power button raises its status bit
    emit("BE")  # mov si,text
    address("text")
    label("print")
    emit("AC 84 C0")  # lodsb; test al,al
    jump("74", "loop")
    dx(_COM1)
    emit("EE")
    jump("EB", "print")
    label("loop")
    emit("FB F4")  # sti; hlt: the timer of the BIOS wakes us 18 times a second
    dx(_PM1_STATUS)
    emit("ED F6 C4 01")  # in ax,dx; test ah,1
    jump("75", "off")
    dx(_COM1 + 5)
    emit("EC A8 01")  # in al,dx; test al,1: a byte has come
    jump("74", "loop")
    dx(_COM1)
    emit("EC")
    for letter in ("s", "r", "p", "d"):
        emit("3C")
        code.extend(letter.encode())
        jump("74", {"s": "off", "r": "reset", "p": "panic", "d": "deaf"}[letter])
    jump("EB", "loop")
    label("off")
    dx(_PM1_CONTROL)
    emit("B8 00 20 EF")  # SLP_EN with sleep type 0, which is S5 here
    jump("EB", "loop")
    label("reset")
    dx(_RESET)
    emit("B0 06 EE")
    jump("EB", "loop")
    label("panic")
    dx(_PANIC)
    emit("B0 01 EE")
    jump("EB", "loop")
    label("deaf")
    dx(_PM1_ENABLE)
    emit("31 C0 EF")
    jump("EB", "loop")
    label("nmi")
    emit("50 52")  # push ax; push dx
    dx(_COM1)
    emit("B0 4E EE 5A 58 CF")  # mov al,'N'; out dx,al; pop dx; pop ax; iret
    label("text")
    code.extend(f"{name} READY\n\0".encode())
    for place, name in short:
        struct.pack_into("<b", code, place, labels[name] - place - 1)
    for place, name in absolute:
        struct.pack_into("<H", code, place, 0x7C00 + labels[name])
    assert len(code) <= 510
    return bytes(code).ljust(510, b"\0") + b"\x55\xaa"


def make_spec(directory: Path) -> MachineSpec:
    """A small machine that boots the guest from its disk, and could from its CD."""
    image, cd = directory / "guest.img", directory / "guest.iso"
    # A whole megabyte: firmware looks at the size of a disk, too.
    image.write_bytes(boot_sector("disk").ljust(1 << 20, b"\0"))
    cd.write_bytes(cd_image(boot_sector("cd")))
    return MachineSpec(
        name="host.0",
        uuid=uuid.UUID("6f3c1a52-96a1-4d7e-9a07-2d5d3e6a1c11"),
        serial="UBMC0001",
        memory_mb=64,
        drives=(Drive(image, bus="sata"), Drive(cd, kind="cdrom", bus="sata")),
        accelerator=Accelerator.TCG,
        firmware_log=True,
        second_qmp=True,
        extra=("-device", "pvpanic"),
    )


async def until(true: Callable[[], bool], what: str, timeout_seconds: float = 45.0) -> None:
    """Wait until it is true; fails the test with `what` else."""
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while not true():
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"not seen within {timeout_seconds:g} s: {what}")
        await asyncio.sleep(0.02)


@dataclass
class QemuBench:
    """Looks at the machine without the driver, and does to it what a guest or the world would do."""

    spec: MachineSpec
    layout: Layout
    patience: Patience

    def driver(self, spec: MachineSpec | None = None) -> QemuPower:
        """One more driver for the same machine."""
        return QemuPower(spec or self.spec, self.layout.directory, binary=BINARY, patience=self.patience)

    def printed(self) -> str:
        """All that the guest has said on its serial port since the process was started."""
        try:
            return self.layout.serial_log.read_text("ascii", "replace")
        except FileNotFoundError:
            return ""

    def booted_from(self) -> list[BootTarget]:
        """What each boot of the guest came from, since the process was started."""
        return [BootTarget(name) for name in re.findall(r"([a-z]+) READY", self.printed())]

    async def booted(self, times: int = 1) -> None:
        """Wait until the guest has come up so many times since the process was started."""
        await until(lambda: self.printed().count("READY") >= times, f"{times} boots of the guest")

    async def truth(self) -> Level:
        """Whether the host is on, by the process and by a second control socket."""
        found = process.find(self.layout)
        if found is None:
            return Level.OFF
        found.close()
        status = await self.qmp("query-status")
        assert isinstance(status, dict)
        return Level.OFF if status["status"] in {"shutdown", "prelaunch"} else Level.ON

    async def qmp(self, command: str, arguments: dict[str, object] | None = None) -> object:
        """Give QEMU a command as somebody else would."""
        async with asyncio.timeout(30):
            client = await self._second_client()
            try:
                return await client.execute(command, arguments)
            finally:
                with contextlib.suppress(EOFError, OSError):
                    await client.disconnect()

    async def _second_client(self) -> QMPClient:
        while True:
            client = QMPClient("bench")
            client.logger = logging.Logger("bench", logging.CRITICAL + 1)  # noqa: LOG001 - a private one
            try:
                await client.connect(str(self.layout.second_qmp))
            except ConnectError as error:
                # An event that happens right now may come before the greeting.
                if not isinstance(error.exc, QMPError):
                    raise
            else:
                return client

    async def type(self, letter: str) -> None:
        """Send one letter to the guest."""
        async with asyncio.timeout(30):
            await asyncio.to_thread(self.layout.serial_input.write_bytes, letter.encode())

    async def guest_shutdown(self) -> None:
        """The operating system powers itself off."""
        await self.type("s")

    async def guest_reset(self) -> None:
        """The operating system restarts itself."""
        await self.type("r")

    async def guest_panic(self) -> None:
        """The operating system crashes."""
        await self.type("p")

    async def guest_ignores_button(self) -> None:
        """From now on the operating system does not care for the power button."""
        await self.type("d")

    async def press_button(self) -> None:
        """Somebody presses the power button at the front."""
        await self.qmp("system_powerdown")

    def process(self) -> process.Process:
        """The machine's process, which must live. The caller closes it."""
        found = process.find(self.layout)
        assert found is not None
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the machine's process."""
        found = self.process()
        try:
            found.signal(number)
        finally:
            found.close()

    async def crash(self) -> None:
        """The machine's process ends by itself."""
        self.signal(signal.SIGKILL)

    def clean(self) -> None:
        """End the machine, whatever its state."""
        found = process.find(self.layout)
        if found is not None:
            found.signal(signal.SIGKILL)
            assert found.ended(10)
            found.reap()
            found.close()


@contextlib.contextmanager
def machine(patience: Patience = PATIENCE) -> Iterator[QemuBench]:
    """A machine that is off, in a directory with a short path. If it was started it is ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="ubmc-") as name:
        directory = Path(name)
        bench = QemuBench(make_spec(directory), Layout(directory / "host.0"), patience)
        try:
            yield bench
        finally:
            bench.clean()


@contextlib.asynccontextmanager
async def qemu_power(patience: Patience = PATIENCE) -> AsyncIterator[tuple[Power, QemuBench]]:
    """An open driver for a machine that is off, and its bench."""
    with machine(patience) as bench:
        power = bench.driver()
        try:
            await power.open()
            yield power, bench
        finally:
            await power.close()
