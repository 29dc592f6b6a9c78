"""The watchdog of the Linux kernel: `/dev/watchdogN` (linux/watchdog.h, Documentation/watchdog/watchdog-api.rst)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import struct
from collections.abc import Callable
from pathlib import Path

from ubmc.hw.watchdog.port import Watchdog
from ubmc.kit.errors import Busy, Invalid, Unavailable

# linux/watchdog.h: _IOR('W', 5, int), _IOWR('W', 6, int), _IOR('W', 7, int).
WDIOC_KEEPALIVE = 0x80045705
WDIOC_SETTIMEOUT = 0xC0045706
WDIOC_GETTIMEOUT = 0x80045707
# "Magic close": only after this character does a close stop the timer.
_MAGIC_CLOSE = b"V"
_LONGEST_SECONDS = 0x7FFFFFFF
_INT = struct.Struct("=i")

Ioctl = Callable[[int, int, bytes], bytes]


class LinuxWatchdog(Watchdog):
    """A watchdog device; opening it starts the timer.

    A kernel with `nowayout` never stops a timer that has been started: there `disarm` gives the device back and the
    BMC resets when the time is over. The kernel logs "watchdog did not stop!" in that case.
    """

    def __init__(self, path: Path, *, ioctl: Ioctl = fcntl.ioctl) -> None:
        """Nothing is opened yet.

        Args:
            path: such as `/dev/watchdog0`, from the board file.
            ioctl: the system call.
        """
        self._path = path
        self._ioctl = ioctl
        self._fd: int | None = None

    def open(self, timeout_seconds: float) -> float:
        """Start the timer; the kernel counts whole seconds, so the timeout is rounded up.

        Raises:
            Invalid: the timeout is not above 0.
            Busy: somebody else holds the watchdog, or it is open already.
            Unavailable: there is none, or it cannot be used.
        """
        if not 0 < timeout_seconds <= _LONGEST_SECONDS:
            raise Invalid(f"a watchdog's timeout is above 0 s, not {timeout_seconds} s")
        if self._fd is not None:
            raise Busy(f"{self._path} is open already")
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise Busy(f"{self._path} is held by somebody else, such as systemd (RuntimeWatchdogSec)") from error
            raise Unavailable(f"{self._path}: {error.strerror}") from error
        try:
            seconds = self._set_timeout(fd, math.ceil(timeout_seconds))
        except OSError as error:
            self._stop(fd)
            raise Unavailable(f"{self._path} takes no timeout of {timeout_seconds} s: {error.strerror}") from error
        self._fd = fd
        return float(seconds)

    def _set_timeout(self, fd: int, seconds: int) -> int:
        try:
            return self._int(self._ioctl(fd, WDIOC_SETTIMEOUT, _INT.pack(seconds)))
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
        return self._int(self._ioctl(fd, WDIOC_GETTIMEOUT, _INT.pack(0)))  # a timer whose time is fixed

    @staticmethod
    def _int(answer: bytes) -> int:
        value: int = _INT.unpack(answer)[0]
        return value

    def feed(self) -> None:
        """Start the time anew. Raises `Unavailable` when it is not open or the kernel does not take it."""
        if self._fd is None:
            raise Unavailable(f"{self._path} is not open")
        try:
            self._ioctl(self._fd, WDIOC_KEEPALIVE, _INT.pack(0))
        except OSError as error:
            raise Unavailable(f"{self._path} was not fed: {error.strerror}") from error

    def disarm(self) -> None:
        """Stop the timer and give it back; nothing to do when it is not open. Raises `Unavailable`: it runs on."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        try:
            os.write(fd, _MAGIC_CLOSE)
        except OSError as error:
            raise Unavailable(f"{self._path} could not be stopped and runs on: {error.strerror}") from error
        finally:
            os.close(fd)

    def leave_armed(self) -> None:
        """Give it back with the timer running; nothing to do when it is not open."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    @staticmethod
    def _stop(fd: int) -> None:
        """Opening started the timer; a watchdog that we then cannot use must not reset the BMC."""
        with contextlib.suppress(OSError):
            os.write(fd, _MAGIC_CLOSE)
        os.close(fd)
