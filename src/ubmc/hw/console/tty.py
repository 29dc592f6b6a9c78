"""A serial line on a tty of the BMC: raw bytes, for us alone.

A tty keeps nothing while nobody has it open, so its bytes are counted anew with every `open`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import termios
from collections.abc import Callable
from pathlib import Path

from ubmc.hw.console.port import BREAK_SECONDS, Abilities, Chunk, FlowControl, LineSettings, Opened, Resume
from ubmc.hw.console.termios2 import TIOCCBRK, TIOCSBRK, set_speed
from ubmc.kit.errors import Busy, Invalid, Refused, UbmcError, Unavailable

READ_BYTES = 64 * 1024
_IFLAG, _OFLAG, _CFLAG, _LFLAG = range(4)
_CC = 6


class TtyLine:
    """The driver for one tty."""

    kind = "tty"
    abilities = Abilities(baud_rate=True, flow_controls=tuple(FlowControl), sends_break=True)
    retry_seconds = 1.0

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._place = 0
        self._settings = LineSettings()  # with which it works
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self, settings: LineSettings, resume: Resume | None = None) -> Opened:
        """Open it; see `Line.open`. Nothing was kept, so `resume` means nothing."""
        del resume
        if self._descriptor >= 0:
            await self.close()
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise self._cannot_open(error) from error
        try:
            self._make_ours(descriptor)
            _configure(descriptor, settings)
            termios.tcflush(descriptor, termios.TCIFLUSH)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError | termios.error):
                raise Unavailable(f"{self._path} cannot be set up: {_reason(error)}") from error
            raise
        self._descriptor = descriptor
        self._place = 0
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        return Opened(identity="", place=0, end=0)

    def _cannot_open(self, error: OSError) -> UbmcError:
        if error.errno == errno.EBUSY:  # TIOCEXCL of somebody else
            return Busy(f"{self._path} is in use by another program; end that (who: fuser {self._path})")
        return Unavailable(f"{self._path} cannot be opened: {error.strerror}")

    def _make_ours(self, descriptor: int) -> None:
        if not os.isatty(descriptor):
            raise Unavailable(f"{self._path} is no serial line")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # TIOCEXCL does not hold root off
        except BlockingIOError:
            raise Busy(f"{self._path} is locked by another program; end that (who: fuser {self._path})") from None
        fcntl.ioctl(descriptor, termios.TIOCEXCL)

    async def read(self) -> Chunk:
        """The next bytes; see `Line.read`."""
        while True:
            try:
                data = os.read(self._checked(), READ_BYTES)
            except BlockingIOError:
                await self._until(self._readable, "add_reader", "remove_reader")
                continue
            except OSError as error:
                raise Unavailable(f"{self._path} is lost: {error.strerror}") from error
            if not data:
                raise Unavailable(f"{self._path} is lost: the other end hung up")
            place, self._place = self._place, self._place + len(data)
            return Chunk(place, data)

    async def write(self, data: bytes) -> None:
        """Write all of it; see `Line.write`."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._checked(), rest) :]
            except BlockingIOError:
                await self._until(self._writable, "add_writer", "remove_writer")
            except OSError as error:
                raise Unavailable(f"{self._path} is lost: {error.strerror}") from error

    async def send_break(self, seconds: float = BREAK_SECONDS) -> None:
        """Hold the line in the space condition, after what was written has gone out."""
        try:
            await self._drained()
            fcntl.ioctl(self._checked(), TIOCSBRK)
            try:
                await asyncio.sleep(seconds)
            finally:
                if self._descriptor >= 0:
                    fcntl.ioctl(self._descriptor, TIOCCBRK)
        except OSError as error:
            if error.errno in {errno.ENOTTY, errno.EINVAL}:
                raise Refused(f"{self._path} cannot send a BREAK") from error
            raise Unavailable(f"{self._path} is lost: {error.strerror}") from error

    async def _drained(self) -> None:
        """Wait until the kernel has sent all, but no longer than a second: flow control may hold it."""
        waiting = bytearray(4)
        for _ in range(50):
            fcntl.ioctl(self._checked(), termios.TIOCOUTQ, waiting)
            if not any(waiting):
                return
            await asyncio.sleep(0.02)

    async def configure(self, settings: LineSettings) -> None:
        """Work in another way; see `Line.configure`. If it cannot, it goes on as it did."""
        descriptor = self._checked()
        try:
            _configure(descriptor, settings)
        except Invalid:
            with contextlib.suppress(OSError, termios.error, Invalid):
                _configure(descriptor, self._settings)
            raise
        except (OSError, termios.error) as error:
            raise Unavailable(f"{self._path} cannot be set up: {_reason(error)}") from error
        self._settings = settings

    async def close(self) -> None:
        """Give the line back."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        if self._loop is not None:
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)
        self._readable.set()  # who waits finds that it is closed
        self._writable.set()
        with contextlib.suppress(OSError):
            fcntl.ioctl(descriptor, termios.TIOCNXCL)
        os.close(descriptor)

    def _checked(self) -> int:
        if self._descriptor < 0:
            raise Unavailable(f"{self._path} is not open")
        return self._descriptor

    async def _until(self, event: asyncio.Event, add: str, remove: str) -> None:
        """Wait until the descriptor is readable or writable."""
        assert self._loop is not None
        descriptor = self._checked()
        event.clear()
        watch: Callable[[int, Callable[[], None]], None] = getattr(self._loop, add)
        watch(descriptor, event.set)
        try:
            await event.wait()
        finally:
            if self._descriptor == descriptor:
                getattr(self._loop, remove)(descriptor)


def _reason(error: OSError | termios.error) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error.args[-1]) if error.args else "unknown"


def _configure(descriptor: int, settings: LineSettings) -> None:
    """Raw mode, eight bits, no parity, as termios(3) defines it for cfmakeraw.

    Raises:
        Invalid: the line cannot work so; part of it may be in effect.
        OSError, termios.error: it is gone.
    """
    attributes = termios.tcgetattr(descriptor)
    attributes[_IFLAG] = termios.IGNBRK | termios.IGNPAR
    attributes[_OFLAG] = 0
    attributes[_LFLAG] = 0
    attributes[_CFLAG] &= ~(termios.CSIZE | termios.PARENB | termios.CSTOPB | termios.CRTSCTS | termios.HUPCL)
    attributes[_CFLAG] |= termios.CS8 | termios.CREAD | termios.CLOCAL
    if settings.flow_control is FlowControl.XON_XOFF:
        attributes[_IFLAG] |= termios.IXON | termios.IXOFF
    if settings.flow_control is FlowControl.RTS_CTS:
        attributes[_CFLAG] |= termios.CRTSCTS
    attributes[_CC][termios.VMIN], attributes[_CC][termios.VTIME] = 1, 0
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
    # Success means that some of it was done (POSIX tcsetattr); a UART without the wires drops just this.
    if attributes[_CFLAG] & ~termios.tcgetattr(descriptor)[_CFLAG] & termios.CRTSCTS:
        raise Invalid("the line has no RTS and CTS; use xon-xoff, or no flow control")
    set_speed(descriptor, settings.baud_rate)
