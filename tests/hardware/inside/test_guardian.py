"""The guardian and an owner of lines, forked as the operator forks them, on lines of a real kernel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from tests.hardware.gpio_sim import GpioSim
from tests.hardware.wires import HELD, button_board, is_active

from ubmc.hw.gpio.linux import LinuxLines
from ubmc.hw.power.buttons import ButtonPower
from ubmc.hw.power.port import Action
from ubmc.kit.channel import Channel
from ubmc.kit.errors import Busy
from ubmc.kit.guard import Guard
from ubmc.services.operator.fork import fork_child
from ubmc.services.operator.guardian import run_guardian

BUTTON = "power-button-0"
START_SECONDS = 20.0
FOREVER_SECONDS = 60.0
# The promise of docs/gpio.md for an owner that dies. One that is silent is given the time of `guard.SILENCE_SECONDS`.
DEATH_SECONDS = 1.0
SILENCE_SECONDS = 2.0


async def press(guard: Guard, ready: Callable[[], object]) -> None:
    """What powermgr does, but it holds the power button for much longer than anybody should."""
    power = ButtonPower(LinuxLines(), button_board(press_seconds=FOREVER_SECONDS, hold_seconds=2 * FOREVER_SECONDS))
    for release in await power.open():
        guard.keep(release.name, release.how.value, release.fd)
    ready()
    await power.do(Action.ON)


async def hold(_guard: Guard, ready: Callable[[], object]) -> None:
    """Hold a level that nobody else may change."""
    line = await LinuxLines().output(HELD, momentary=False)
    await line.set(active=True)
    ready()
    await asyncio.sleep(FOREVER_SECONDS)


Work = Callable[[Guard, Callable[[], object]], Awaitable[None]]


async def own(to_guardian: Channel, work: Work, ready: Callable[[], object]) -> None:
    guard = Guard()
    guard.connect(to_guardian)
    await guard.hand_over()
    beating = asyncio.create_task(guard.beat_forever())
    await work(guard, ready)
    beating.cancel()


def until(true: Callable[[], bool], seconds: float) -> float:
    """Wait until it is true, and say how long that took."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds, f"not within {seconds} s"
        time.sleep(0.005)
    return time.monotonic() - started


def end(pid: int) -> None:
    """Have it die and be gone."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


class Guarded:
    """A guardian, and what the operator does for it."""

    def __init__(self) -> None:
        self._pid, self.control = fork_child("guardian", run_guardian, outlives=True)
        self._owners: list[tuple[int, Channel]] = []

    def connect(self) -> Channel:
        """A channel of powermgr to the guardian."""
        ours, theirs = Channel.pair()
        assert self.control.send("owner", theirs.fileno(), name="powermgr")
        theirs.close()
        return ours

    def owner(self, work: Work) -> int:
        """The process id of an owner that is ready."""
        to_guardian = self.connect()

        def body(channel: Channel) -> None:
            asyncio.run(own(to_guardian, work, lambda: channel.send("ready")))

        pid, channel = fork_child("owner", body, [to_guardian.fileno()])
        to_guardian.close()
        self._owners.append((pid, channel))
        readable, _, _ = select.select([channel], [], [], START_SECONDS)
        assert readable
        message = channel.receive()
        assert message is not None
        assert message.kind == "ready"
        return pid

    def said(self) -> list[str]:
        """What the guardian told the operator since the last time, but for its beats."""
        found: list[str] = []
        with contextlib.suppress(BlockingIOError):
            while (message := self.control.receive()) is not None:
                if message.kind == "released":
                    found.append(f"{message.fields['owner']} {message.fields['what']}")
        return found

    def ended(self) -> int:
        """The exit code of the guardian, which ends."""
        codes: list[int] = []

        def has_ended() -> bool:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            codes.append(os.waitstatus_to_exitcode(status))
            return pid == self._pid

        until(has_ended, START_SECONDS)
        self._pid = 0
        return codes[-1]

    def close(self) -> None:
        """End all of it."""
        for pid, channel in self._owners:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                end(pid)
            channel.close()
        if self._pid:
            self.control.send("quit")
            assert self.ended() == 0
        self.control.close()


@pytest.fixture
def guarded(chip: GpioSim) -> Iterator[Guarded]:
    assert chip.there
    guarded = Guarded()
    yield guarded
    guarded.close()


async def take_over(guarded: Guarded, *, busy_before: bool) -> None:
    """A new owner; a line that the guardian keeps is busy until hello was said, then it is its own."""
    guard, lines = Guard(), LinuxLines()
    try:
        if busy_before:
            with pytest.raises(Busy, match="held by ubmc"):
                await lines.output(BUTTON)
        guard.connect(guarded.connect())
        await guard.hand_over()
        await lines.output(BUTTON)
    finally:
        await lines.close()
        guard.close()


def test_a_press_ends_with_its_owner(chip: GpioSim, guarded: Guarded) -> None:
    owner = guarded.owner(press)
    until(lambda: is_active(chip, BUTTON), START_SECONDS)
    os.kill(owner, signal.SIGKILL)
    took = until(lambda: not is_active(chip, BUTTON), DEATH_SECONDS)
    print(f"inactive {took * 1000:.0f} ms after the death of its owner")
    os.waitpid(owner, 0)
    until(lambda: guarded.said() == ["powermgr is gone"], START_SECONDS)
    asyncio.run(take_over(guarded, busy_before=False))


def test_a_press_ends_when_its_owner_is_silent_and_hello_frees_the_line(chip: GpioSim, guarded: Guarded) -> None:
    owner = guarded.owner(press)
    until(lambda: is_active(chip, BUTTON), START_SECONDS)
    os.kill(owner, signal.SIGSTOP)
    until(lambda: not is_active(chip, BUTTON), SILENCE_SECONDS)
    until(lambda: guarded.said() == ["powermgr is silent"], START_SECONDS)
    end(owner)  # as the operator does; one that is stopped keeps its lines
    asyncio.run(take_over(guarded, busy_before=False))
    assert not is_active(chip, BUTTON)


def test_an_owner_that_was_replaced_while_it_lives_has_no_line_active(chip: GpioSim, guarded: Guarded) -> None:
    owner = guarded.owner(press)
    until(lambda: is_active(chip, BUTTON), START_SECONDS)
    with pytest.raises(Busy):  # its own request is still there, though the guardian has closed the duplicates
        asyncio.run(take_over(guarded, busy_before=True))
    assert not is_active(chip, BUTTON)
    end(owner)
    asyncio.run(take_over(guarded, busy_before=False))


def test_presses_end_when_the_operator_dies(chip: GpioSim, guarded: Guarded) -> None:
    guarded.owner(press)
    until(lambda: is_active(chip, BUTTON), START_SECONDS)
    guarded.control.close()
    until(lambda: not is_active(chip, BUTTON), DEATH_SECONDS)
    assert guarded.ended() == 0


@pytest.mark.parametrize("pulled_up", [False, True])
def test_a_held_level_is_not_the_guardians(chip: GpioSim, guarded: Guarded, pulled_up: bool) -> None:
    """gpio-sim floats a line that nobody has, so what remains is the pull; others may keep driving."""
    owner = guarded.owner(hold)
    chip.pull(HELD, high=pulled_up)
    assert chip.is_high(HELD)
    end(owner)
    until(lambda: chip.is_high(HELD) is pulled_up, DEATH_SECONDS)
    assert guarded.said() == []
