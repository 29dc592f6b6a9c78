"""`LinuxWatchdog` on softdog, which says in the kernel's log what a real watchdog would do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ubmc.hw.watchdog.linux import LinuxWatchdog
from ubmc.kit.errors import Busy, Unavailable

DEVICE = Path("/dev/watchdog0")
SYSFS = Path("/sys/class/watchdog/watchdog0")
RESET = "softdog: Triggered - Reboot ignored"
PATIENCE_SECONDS = 10.0


class KernelLog:
    """What the kernel says from now on."""

    def __init__(self) -> None:
        self._fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._fd, 0, os.SEEK_END)
        self._text = ""

    def says(self, what: str) -> bool:
        """Whether it has said this."""
        try:
            while record := os.read(self._fd, 8192):
                self._text += record.decode()
        except BlockingIOError:
            pass
        return what in self._text

    def close(self) -> None:
        """Listen no more."""
        os.close(self._fd)


@pytest.fixture
def log() -> Iterator[KernelLog]:
    log = KernelLog()
    yield log
    log.close()


@pytest.fixture
def watchdog() -> Iterator[LinuxWatchdog]:
    """Ends stopped, whatever a test left."""
    watchdog = LinuxWatchdog(DEVICE)
    yield watchdog
    watchdog.disarm()
    last = LinuxWatchdog(DEVICE)
    last.open(60.0)
    last.disarm()
    assert state() == "inactive"


def state() -> str:
    return (SYSFS / "state").read_text().strip()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_open_starts_it_and_disarm_stops_it(watchdog: LinuxWatchdog, log: KernelLog) -> None:
    assert state() == "inactive"
    assert watchdog.open(29.2) == 30.0
    assert (state(), (SYSFS / "timeout").read_text().strip()) == ("active", "30")
    watchdog.disarm()
    assert state() == "inactive"
    assert not log.says("did not stop")


def test_it_acts_when_it_is_not_fed(watchdog: LinuxWatchdog, log: KernelLog) -> None:
    started = time.monotonic()
    assert watchdog.open(1.0) == 1.0
    until(lambda: log.says(RESET))
    assert time.monotonic() - started >= 0.9


def test_it_does_not_act_while_it_is_fed(watchdog: LinuxWatchdog, log: KernelLog) -> None:
    watchdog.open(2.0)
    deadline = time.monotonic() + 4.0
    while time.monotonic() < deadline:
        watchdog.feed()
        time.sleep(0.1)
    assert not log.says(RESET)


def test_left_armed_it_runs_on_until_somebody_takes_it(watchdog: LinuxWatchdog, log: KernelLog) -> None:
    watchdog.open(2.0)
    watchdog.leave_armed()
    assert state() == "active"
    until(lambda: log.says("did not stop"))
    with pytest.raises(Unavailable):
        watchdog.feed()
    again = LinuxWatchdog(DEVICE)
    again.open(60.0)
    assert state() == "active"
    time.sleep(2.5)
    assert not log.says(RESET)
    again.leave_armed()
    again.open(1.0)
    again.leave_armed()
    until(lambda: log.says(RESET))


def test_only_one_may_have_it(watchdog: LinuxWatchdog) -> None:
    watchdog.open(60.0)
    with pytest.raises(Busy, match="somebody else"):
        LinuxWatchdog(DEVICE).open(60.0)
    with pytest.raises(Busy, match="open already"):
        watchdog.open(60.0)
    watchdog.feed()


def test_what_it_cannot_do_leaves_it_stopped(watchdog: LinuxWatchdog) -> None:
    with pytest.raises(Unavailable, match="takes no timeout"):
        watchdog.open(100_000.0)  # softdog counts to 65535
    assert state() == "inactive"
    with pytest.raises(Unavailable):
        LinuxWatchdog(Path("/dev/watchdog7")).open(60.0)
