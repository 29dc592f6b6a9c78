"""The Linux watchdog against a fake kernel: a file for the device, and a function for the system call."""

from __future__ import annotations

import errno
import os
import re
import struct
from pathlib import Path

import pytest

from ubmc.hw.watchdog.linux import WDIOC_GETTIMEOUT, WDIOC_KEEPALIVE, WDIOC_SETTIMEOUT, LinuxWatchdog
from ubmc.kit.errors import Busy, Invalid, Unavailable

HEADER = Path("/usr/include/linux/watchdog.h")


class Kernel:
    """What the kernel does with the device's system calls."""

    def __init__(self, *, least: int = 1, fixed: int | None = None) -> None:
        self.least = least
        self.fixed = fixed
        self.feeds = 0
        self.failure: OSError | None = None
        self.fd = -1

    def ioctl(self, fd: int, request: int, argument: bytes) -> bytes:
        os.fstat(fd)
        self.fd = fd
        if self.failure is not None:
            raise self.failure
        match request:
            case 0x80045705:
                self.feeds += 1
                return argument
            case 0xC0045706:
                if self.fixed is not None:
                    raise OSError(errno.EOPNOTSUPP, "Operation not supported")
                return struct.pack("=i", max(self.least, struct.unpack("=i", argument)[0]))
            case 0x80045707:
                return struct.pack("=i", self.fixed)
        raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")

    def device_is_open(self) -> bool:
        try:
            os.fstat(self.fd)
        except OSError:
            return False
        return True


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "watchdog0"
    path.touch()
    return path


def test_numbers_are_those_of_the_kernel() -> None:
    def ioc(direction: int, number: int) -> int:
        return direction << 30 | struct.calcsize("=i") << 16 | ord("W") << 8 | number  # asm-generic/ioctl.h

    assert ioc(2, 5) == WDIOC_KEEPALIVE
    assert ioc(3, 6) == WDIOC_SETTIMEOUT
    assert ioc(2, 7) == WDIOC_GETTIMEOUT


@pytest.mark.skipif(not HEADER.exists(), reason="install linux-libc-dev to compare with the kernel's header")
def test_numbers_are_those_of_the_header() -> None:
    text = HEADER.read_text()
    for name, macro, number in (("KEEPALIVE", "_IOR", 5), ("SETTIMEOUT", "_IOWR", 6), ("GETTIMEOUT", "_IOR", 7)):
        assert re.search(rf"WDIOC_{name}\s+{macro}\(WATCHDOG_IOCTL_BASE, {number}, int\)", text)


def test_timeout_is_rounded_up_and_the_hardware_has_the_last_word(device: Path) -> None:
    kernel = Kernel()
    watchdog = LinuxWatchdog(device, ioctl=kernel.ioctl)
    assert watchdog.open(29.2) == 30.0
    watchdog.disarm()
    kernel = Kernel(least=60)
    watchdog = LinuxWatchdog(device, ioctl=kernel.ioctl)
    assert watchdog.open(30.0) == 60.0
    watchdog.disarm()


def test_a_fixed_timeout_is_told(device: Path) -> None:
    watchdog = LinuxWatchdog(device, ioctl=Kernel(fixed=22).ioctl)
    assert watchdog.open(30.0) == 22.0
    watchdog.disarm()


def test_feed(device: Path) -> None:
    kernel = Kernel()
    watchdog = LinuxWatchdog(device, ioctl=kernel.ioctl)
    watchdog.open(30.0)
    watchdog.feed()
    watchdog.feed()
    assert kernel.feeds == 2
    kernel.failure = OSError(errno.EIO, "Input/output error")
    with pytest.raises(Unavailable, match="was not fed"):
        watchdog.feed()
    watchdog.leave_armed()
    with pytest.raises(Unavailable, match="is not open"):
        watchdog.feed()


def test_disarm_writes_the_magic_character_and_closes(device: Path) -> None:
    kernel = Kernel()
    watchdog = LinuxWatchdog(device, ioctl=kernel.ioctl)
    watchdog.open(30.0)
    assert device.read_bytes() == b""
    assert kernel.device_is_open()
    watchdog.disarm()
    assert device.read_bytes() == b"V"
    assert not kernel.device_is_open()
    watchdog.disarm()
    assert device.read_bytes() == b"V"


def test_leave_armed_closes_without_the_magic_character(device: Path) -> None:
    kernel = Kernel()
    watchdog = LinuxWatchdog(device, ioctl=kernel.ioctl)
    watchdog.open(30.0)
    watchdog.leave_armed()
    assert device.read_bytes() == b""
    assert not kernel.device_is_open()
    watchdog.disarm()
    assert device.read_bytes() == b""


def test_a_watchdog_that_cannot_be_used_is_stopped_again(device: Path) -> None:
    kernel = Kernel()
    kernel.failure = OSError(errno.EINVAL, "Invalid argument")
    watchdog = LinuxWatchdog(device, ioctl=kernel.ioctl)
    with pytest.raises(Unavailable, match="takes no timeout"):
        watchdog.open(100000.0)
    assert device.read_bytes() == b"V"
    assert not kernel.device_is_open()


def test_a_plain_file_is_no_watchdog(device: Path) -> None:
    with pytest.raises(Unavailable, match="takes no timeout"):
        LinuxWatchdog(device).open(30.0)


def test_no_device(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        LinuxWatchdog(tmp_path / "watchdog7").open(30.0)


def test_open_twice(device: Path) -> None:
    watchdog = LinuxWatchdog(device, ioctl=Kernel().ioctl)
    watchdog.open(30.0)
    with pytest.raises(Busy, match="open already"):
        watchdog.open(30.0)
    watchdog.disarm()


@pytest.mark.parametrize("seconds", [0.0, -3.0, float("nan"), float("inf")])
def test_timeout_is_above_zero(device: Path, seconds: float) -> None:
    with pytest.raises(Invalid, match="above 0"):
        LinuxWatchdog(device).open(seconds)
