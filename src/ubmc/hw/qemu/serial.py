"""The serial line of a virtual machine.

The one thing to know: QEMU writes what its guest says into a regular file, so nothing is lost while nobody listens, the
guest waits for nobody, and every byte has a place. What we say goes through a FIFO, which the guest may leave full.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Mapping

from ubmc.hw.console.port import BREAK_SECONDS, Abilities, Chunk, FlowControl, LineSettings, Opened, Resume
from ubmc.hw.qemu import process
from ubmc.hw.qemu.machine import SERIAL, Layout
from ubmc.hw.qemu.modified import Modified
from ubmc.hw.qemu.qmp import Session
from ubmc.kit.errors import Unavailable

READ_BYTES = 64 * 1024
CALL_SECONDS = 2.0
LOOK_SECONDS = 1.0  # should the kernel ever not tell that the file has grown


class QemuSerial:
    """The driver for the first serial port of one virtual machine."""

    kind = "qemu"
    abilities = Abilities(baud_rate=False, flow_controls=(FlowControl.NONE,), sends_break=True)
    retry_seconds = 0.25

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._output = self._input = -1
        self._place = 0
        self._machine: process.Process | None = None
        self._modified: Modified | None = None
        self._over = True
        self._writable = asyncio.Event()

    async def open(self, settings: LineSettings, resume: Resume | None = None) -> Opened:
        """Take the line; see `Line.open`."""
        del settings  # nothing to set
        await self.close()
        found = process.recorded(self._layout)
        if found is None:
            raise Unavailable("the virtual machine is off")
        self._machine, identity = found
        try:
            self._input = os.open(self._layout.serial_input, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._output = os.open(self._layout.serial_log, os.O_RDONLY | os.O_CLOEXEC)
            self._modified = Modified(self._layout.serial_log)
        except OSError as error:
            await self.close()
            raise Unavailable(f"the virtual machine has no serial line yet: {error.strerror}") from error
        self._over = False
        asyncio.get_running_loop().add_reader(self._machine.pidfd, self._ended)
        end = os.fstat(self._output).st_size
        wanted = resume.place if resume is not None and resume.identity == identity else 0
        self._place = self._first_kept(min(wanted, end), end)
        return Opened(identity, self._place, end)

    async def read(self) -> Chunk:
        """The next bytes; see `Line.read`."""
        while True:
            over, modified = self._over, self._modified
            if chunk := self._look():
                return chunk
            if over or modified is None:
                raise Unavailable("the virtual machine has ended")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await modified.event.wait()
            modified.event.clear()

    async def write(self, data: bytes) -> None:
        """Write all of it; see `Line.write`."""
        loop = asyncio.get_running_loop()
        rest = memoryview(data)
        while rest:
            if self._over or self._input < 0:
                raise Unavailable("the virtual machine has ended")
            try:
                rest = rest[os.write(self._input, rest) :]
            except BlockingIOError:
                descriptor = self._input
                self._writable.clear()
                loop.add_writer(descriptor, self._writable.set)
                try:
                    await self._writable.wait()
                finally:
                    if self._input == descriptor:
                        loop.remove_writer(descriptor)
            except OSError as error:
                raise Unavailable(f"the virtual machine is lost: {error.strerror}") from error

    async def send_break(self, seconds: float = BREAK_SECONDS) -> None:
        """Have QEMU make one; see `Line.send_break`."""
        del seconds
        session = await Session.connect(self._layout.line_qmp, _ignore, lambda: None, call_seconds=CALL_SECONDS)
        try:
            await session.execute("chardev-send-break", id=SERIAL)
        finally:
            await session.close()

    async def configure(self, settings: LineSettings) -> None:
        """Nothing can be set."""

    async def close(self) -> None:
        """Give the line back; the machine goes on."""
        loop = asyncio.get_running_loop()
        self._over = True
        self._writable.set()  # who waits finds that it is over
        machine, self._machine = self._machine, None
        if machine is not None:
            loop.remove_reader(machine.pidfd)
            machine.close()
        modified, self._modified = self._modified, None
        if modified is not None:
            modified.event.set()
            modified.close()
        for descriptor in (self._input, self._output):
            if descriptor >= 0:
                loop.remove_writer(descriptor)
                os.close(descriptor)
        self._input = self._output = -1

    def _ended(self) -> None:
        self._over = True
        self._writable.set()
        if self._machine is not None:
            asyncio.get_running_loop().remove_reader(self._machine.pidfd)
        if self._modified is not None:
            self._modified.event.set()

    def _first_kept(self, place: int, end: int) -> int:
        """The first place from there on that has not been given back."""
        try:
            return os.lseek(self._output, place, os.SEEK_DATA)
        except OSError as error:
            return end if error.errno == errno.ENXIO else place

    def _look(self) -> Chunk | None:
        if self._output < 0:
            raise Unavailable("the serial line is not open")
        try:
            place = self._first_kept(self._place, self._place)
            data = os.pread(self._output, READ_BYTES, place)
        except OSError as error:
            raise Unavailable(f"what the serial line said cannot be read: {error.strerror}") from error
        if not data:
            return None
        self._place = place + len(data)
        return Chunk(place, data)


def _ignore(_event: str, _data: Mapping[str, object]) -> None:
    """Events are the power driver's business."""
