"""The power driver for boards with buttons, on the simulated machine and virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from ubmc.hw.gpio.port import Release
from ubmc.hw.power.buttons import ButtonBoard, ButtonPower, Wire
from ubmc.hw.power.port import Action, Boot, BootTarget, Level, News, Sight
from ubmc.hw.sim.control import Control
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.lines import SimInputLine, SimLines
from ubmc.hw.sim.parts.host import BootSource, Fault, Guest, Stage, Timings
from ubmc.hw.sim.plant import Plant, Settings
from ubmc.hw.sim.wires import Change
from ubmc.kit.errors import Busy, Invalid, NotFound, Refused, Unavailable
from ubmc.kit.testing import run_virtual

BUTTON, RESET, NMI, GOOD = "power-button-0", "reset-button-0", "nmi-button-0", "power-good-0"
BOARD = ButtonBoard(
    button=Wire(BUTTON),
    good=Wire(GOOD),
    reset=Wire(RESET),
    nmi=Wire(NMI),
    front_button=Wire("front-power-button"),
    identify=Wire("front-identify-button"),
)


@dataclass
class World:
    machine: InProcessMachine
    power: ButtonPower
    releases: tuple[Release, ...]
    trace: list[Change]
    reopened: list[tuple[Release, ...]] = field(default_factory=list)

    @property
    def plant(self) -> Plant:
        return self.machine.plant

    def stage(self) -> Stage:
        return self.plant.host.stage

    def edges(self, line: str) -> list[tuple[float, bool]]:
        return [(change.at_seconds, bool(change.value)) for change in self.trace if change.name == line]

    async def up(self) -> None:
        await self.power.do(Action.ON)
        await asyncio.sleep(15)
        assert self.stage() is Stage.UP


@contextlib.asynccontextmanager
async def world(
    board: ButtonBoard = BOARD, prepare: Callable[[Plant], None] | None = None, **settings: bool
) -> AsyncIterator[World]:
    plant = Plant(Settings(timings=Timings(jitter=0.0), front_wired=settings.get("front_wired", False)))
    if prepare is not None:
        prepare(plant)
    machine = InProcessMachine(plant)
    trace: list[Change] = []
    plant.listen(trace.append)
    reopened: list[tuple[Release, ...]] = []
    power = ButtonPower(
        SimLines(machine.dial),
        board,
        mains_epoch=Control(machine.dial).mains_epoch,
        set_boot=Control(machine.dial).set_boot,
        reopened=reopened.append,
    )
    releases = await power.open()
    try:
        yield World(machine, power, releases, trace, reopened)
    finally:
        await power.close()
        for release in (*releases, *(one for more in reopened for one in more)):
            os.close(release.fd)
        machine.close()


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtual(test())

    run.__name__ = test.__name__
    return run


async def drain(sights: AsyncIterator[Sight]) -> list[Sight]:
    found: list[Sight] = []
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(0.001):
                found.append(await anext(sights))
    return found


@virtual
async def test_a_press_is_as_long_as_the_board_says() -> None:
    async with world() as w:
        await w.power.do(Action.ON)
        (down, up) = w.edges(BUTTON)
        assert up[0] - down[0] == pytest.approx(0.2)
        await asyncio.sleep(15)
        await w.power.do(Action.RESET)
        (down, up) = w.edges(RESET)
        assert up[0] - down[0] == pytest.approx(0.5)


@virtual
async def test_a_forced_off_of_a_hung_host_holds_a_little_longer_than_the_mark() -> None:
    async with world() as w:
        await w.up()
        w.machine.act(lambda plant: plant.set_fault(Fault.HANG_OFF, on=True))
        before = asyncio.get_running_loop().time()
        await w.power.do(Action.FORCE_OFF)
        assert 4.0 < asyncio.get_running_loop().time() - before < 4.1
        assert w.stage() is Stage.OFF
        assert not w.plant.read(BUTTON)


@virtual
async def test_a_forced_off_that_is_not_obeyed_ends() -> None:
    async with world() as w:
        await w.up()
        w.machine.act(lambda plant: plant.set_fault(Fault.HANG_OFF, on=True))
        w.machine.act(lambda plant: plant.set_fault(Fault.HANG_HARD, on=True))
        before = asyncio.get_running_loop().time()
        await w.power.do(Action.FORCE_OFF)
        assert asyncio.get_running_loop().time() - before == pytest.approx(5.0)
        assert not w.plant.read(BUTTON)
        assert w.plant.read(GOOD)


@virtual
async def test_a_forced_off_right_after_on_catches_a_host_that_is_coming_up() -> None:
    async with world() as w:
        await w.power.do(Action.ON)
        assert w.stage() is Stage.RAILS
        assert not w.plant.read(GOOD)
        await w.power.do(Action.FORCE_OFF)
        await asyncio.sleep(30)
        assert w.stage() is Stage.OFF


@virtual
async def test_a_forced_off_of_a_host_that_is_off_presses_nothing() -> None:
    async with world() as w:
        await w.power.do(Action.FORCE_OFF)
        assert w.edges(BUTTON) == []


@virtual
async def test_a_cancelled_caller_does_not_cut_the_press() -> None:
    async with world() as w:
        await w.up()
        w.machine.act(lambda plant: plant.set_fault(Fault.HANG_OFF, on=True))
        caller = asyncio.create_task(w.power.do(Action.FORCE_OFF))
        await asyncio.sleep(1)
        assert w.plant.read(BUTTON)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert w.plant.read(BUTTON)
        await asyncio.sleep(3.5)
        assert w.stage() is Stage.OFF
        assert not w.plant.read(BUTTON)


@virtual
async def test_a_caller_cancelled_in_the_queue_has_not_pressed() -> None:
    async with world() as w:
        await w.up()
        first = asyncio.create_task(w.power.do(Action.RESET))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(w.power.do(Action.SOFT_OFF))
        await asyncio.sleep(0.1)
        second.cancel()
        await asyncio.wait([first, second])
        assert len(w.edges(RESET)) == 2
        assert len(w.edges(BUTTON)) == 2  # the one of power on
        await w.power.do(Action.NMI)


@virtual
async def test_close_waits_for_the_press() -> None:
    async with world() as w:
        await w.up()
        asking = asyncio.create_task(w.power.do(Action.SOFT_OFF))
        await asyncio.sleep(0.05)
        await w.power.close()
        await asking
        assert not w.plant.read(BUTTON)
        with pytest.raises(Unavailable):
            await w.power.do(Action.NMI)


@virtual
async def test_even_a_cancelled_press_is_ended() -> None:
    async with world() as w:
        before = asyncio.all_tasks()
        asking = asyncio.create_task(w.power.do(Action.ON))
        await asyncio.sleep(0.1)
        assert w.plant.read(BUTTON)
        for task in asyncio.all_tasks() - before:
            task.cancel()  # as the end of the loop does
        await asyncio.wait([asking])
        assert not w.plant.read(BUTTON)
        await w.power.do(Action.FORCE_OFF)


@virtual
async def test_front_presses_are_news_and_our_own_are_not() -> None:
    async with world(front_wired=True) as w:
        sights = w.power.watch()
        await w.power.do(Action.ON)
        await asyncio.sleep(15)
        assert {sight.news for sight in await drain(sights)} == {None}
        w.machine.act(lambda plant: plant.set_fault(Fault.HANG_OFF, on=True))
        w.machine.act(lambda plant: plant.press("front-power-button", 0.2))
        w.machine.act(lambda plant: plant.press("front-identify-button", 0.2))
        await asyncio.sleep(1)
        assert await drain(sights) == [
            Sight(Level.ON, News.BUTTON_PRESSED),
            Sight(Level.ON, News.IDENTIFY_PRESSED),
        ]


@virtual
async def test_a_button_held_at_open_is_no_news_and_neither_is_a_bounce() -> None:
    async with world(prepare=lambda plant: plant.press("front-power-button", 2)) as w:
        sights = w.power.watch()
        await asyncio.sleep(5)
        w.machine.act(lambda plant: plant.press("front-power-button", 0.005))
        await asyncio.sleep(1)
        assert await drain(sights) == [Sight(Level.OFF)]


@virtual
async def test_open_ends_a_press_that_somebody_left_behind() -> None:
    async with world(prepare=lambda plant: plant.drive(BUTTON, active=True)) as w:
        assert not w.plant.read(BUTTON)
        assert w.stage() is Stage.OFF


@virtual
async def test_each_release_ends_a_press_without_the_driver() -> None:
    async with world() as w:
        assert [release.name for release in w.releases] == [RESET, NMI, BUTTON]
        await w.up()
        w.machine.act(lambda plant: plant.set_fault(Fault.HANG_OFF, on=True))
        hold = asyncio.create_task(w.power.do(Action.FORCE_OFF))
        await asyncio.sleep(1)
        w.releases[-1].drive_inactive()
        await asyncio.sleep(0.1)
        assert not w.plant.read(BUTTON)
        await hold
        assert w.stage() is Stage.UP
        await w.power.do(Action.NMI)  # the lines still work
        assert w.stage() is Stage.PANICKED


@virtual
async def test_the_firmware_is_told_before_the_press_and_told_again_when_there_is_no_choice() -> None:
    async with world() as w:
        assert w.power.boot_targets == frozenset(BootTarget)
        with pytest.raises(Refused, match="the host is off"):
            await w.power.do(Action.RESET, boot=Boot(BootTarget.CD))
        with pytest.raises(Refused, match="boots nothing"):
            await w.power.do(Action.SOFT_OFF, boot=Boot(BootTarget.CD))
        assert w.plant.host.boot_next is None  # what is refused leaves nothing behind
        await w.power.do(Action.ON, boot=Boot(BootTarget.USB))
        names = [change.name for change in w.trace]
        assert names.index("host.0.boot_next") < names.index(BUTTON)
        await asyncio.sleep(1)
        assert w.stage() is Stage.POST
        await w.power.do(Action.RESET)
        await asyncio.sleep(15)
        assert w.plant.host.boot_source is BootSource.DISK
        told = [change.value for change in w.trace if change.name == "host.0.boot_next"]
        assert told == ["usb", ""]


@virtual
async def test_a_firmware_that_cannot_be_told_is_not_booted() -> None:
    async def deaf(_boot: Boot | None) -> None:
        raise Unavailable("nobody listens")

    machine = InProcessMachine()
    power = ButtonPower(SimLines(machine.dial), BOARD, set_boot=deaf)
    for release in await power.open():
        os.close(release.fd)
    with pytest.raises(Unavailable, match="nobody listens"):
        await power.do(Action.ON, boot=Boot(BootTarget.CD))
    await asyncio.sleep(1)
    assert machine.plant.host.stage is Stage.OFF
    await power.close()
    machine.close()
    plain = ButtonPower(SimLines(machine.dial), BOARD)
    assert plain.boot_targets == frozenset()
    with pytest.raises(Refused, match="set that in its firmware"):
        await plain.do(Action.ON, boot=Boot(BootTarget.CD))


@virtual
async def test_without_power_good_the_level_is_unknown_and_on_is_refused() -> None:
    async with world(replace(BOARD, good=None)) as w:
        assert await anext(w.power.watch()) == Sight(Level.UNKNOWN)
        for action in (Action.ON, Action.SOFT_OFF):
            with pytest.raises(Refused, match="power-good cannot be read"):
                await w.power.do(action)
        assert w.edges(BUTTON) == []
        await w.power.do(Action.FORCE_OFF)
        assert w.stage() is Stage.OFF


@virtual
async def test_lines_that_the_board_does_not_have_are_refused() -> None:
    async with world(replace(BOARD, nmi=None, reset=None)) as w:
        assert w.power.actions == frozenset({Action.ON, Action.SOFT_OFF, Action.FORCE_OFF})
        with pytest.raises(Refused, match="no line for nmi"):
            await w.power.do(Action.NMI)


@virtual
async def test_lost_lines_are_unknown_and_come_back_with_new_releases() -> None:
    async with world() as w:
        await w.up()
        sights = w.power.watch()
        await drain(sights)
        w.machine.unplug()
        await asyncio.sleep(20)
        assert await drain(sights) == [Sight(Level.UNKNOWN)]
        with pytest.raises(Unavailable):
            await w.power.do(Action.FORCE_OFF)
        w.machine.plug()
        await asyncio.sleep(6)
        assert await drain(sights) == [Sight(Level.ON)]
        assert len(w.reopened) == 1
        assert [release.name for release in w.reopened[0]] == [RESET, NMI, BUTTON]


@virtual
async def test_a_press_during_which_the_hardware_goes_away_fails_and_is_ended_on_return() -> None:
    async with world() as w:
        await w.up()
        w.machine.act(lambda plant: plant.set_fault(Fault.HANG_OFF, on=True))
        hold = asyncio.create_task(w.power.do(Action.FORCE_OFF))
        await asyncio.sleep(1)
        w.machine.unplug()
        await asyncio.sleep(0.5)
        assert w.plant.read(BUTTON)
        w.machine.plug()
        with pytest.raises(Unavailable):
            await hold
        await asyncio.sleep(6)
        assert not w.plant.read(BUTTON)
        assert (await anext(w.power.watch())).level is Level.OFF


@virtual
async def test_open_fails_cleanly_and_can_be_repeated() -> None:
    machine = InProcessMachine()
    machine.unplug()
    power = ButtonPower(SimLines(machine.dial), BOARD)
    with pytest.raises(Unavailable):
        await power.open()
    machine.plug()
    for release in await power.open():
        os.close(release.fd)
    assert (await anext(power.watch())).level is Level.OFF
    second = ButtonPower(SimLines(machine.dial), BOARD)
    with pytest.raises(Busy, match="held by somebody else"):
        await second.open()
    wrong = ButtonPower(SimLines(machine.dial), ButtonBoard(button=Wire("nonsense")))
    with pytest.raises(NotFound, match="nonsense"):
        await wrong.open()
    await power.close()
    machine.close()


@virtual
async def test_guest_shutdown_and_mains_are_seen() -> None:
    async with world() as w:
        await w.up()
        sights = w.power.watch()
        epoch = await w.power.mains_epoch()
        w.machine.act(lambda plant: plant.guest(Guest.SHUTDOWN))
        await asyncio.sleep(3)
        assert await drain(sights) == [Sight(Level.ON), Sight(Level.OFF)]
        assert await w.power.mains_epoch() == epoch == "in-process:0"
        await w.up()
        w.machine.act(lambda plant: plant.set_mains(on=False))
        await asyncio.sleep(1)
        w.machine.act(lambda plant: plant.set_mains(on=True))
        assert [sight.level for sight in await drain(sights)] == [Level.ON, Level.OFF]
        assert await w.power.mains_epoch() == "in-process:1"
        w.machine.unplug()
        assert await w.power.mains_epoch() is None


@virtual
async def test_active_low_lines() -> None:
    board = replace(BOARD, button=Wire(BUTTON, active_low=True), good=None, front_button=None)
    async with world(board) as w:
        assert w.plant.read(BUTTON)  # inactive is high
        w.releases[-1].drive_inactive()
        await asyncio.sleep(0.1)
        assert w.plant.read(BUTTON)


def test_a_press_as_long_as_a_hold_is_no_board() -> None:
    with pytest.raises(Invalid, match="cuts the power"):
        replace(BOARD, press_seconds=5.0)


@pytest.mark.parametrize("where", ["watch", "return"])
def test_an_error_that_nobody_foresaw_does_not_freeze_the_level(where: str, caplog: pytest.LogCaptureFixture) -> None:
    class FaultyLines(SimLines):
        """Lines of which one cannot be watched, for a reason that is no error of ours."""

        async def input(self, name: str, *, active_low: bool = False, debounce_seconds: float = 0.0) -> SimInputLine:
            line = await super().input(name, active_low=active_low, debounce_seconds=debounce_seconds)
            if name == GOOD and where == "watch":
                line.watch = self._fail  # type: ignore[method-assign]
            return line

        async def _fail(self) -> AsyncIterator[bool]:
            await asyncio.sleep(1)
            yield dict[str, bool]()[GOOD]

    handed: list[Release] = []

    def reopened(releases: tuple[Release, ...]) -> None:
        handed.extend(releases)
        raise KeyError("hand-over")

    async def body() -> None:
        machine = InProcessMachine(Plant(Settings(timings=Timings(jitter=0.0))))
        power = ButtonPower(FaultyLines(machine.dial), BOARD, reopened=reopened)
        handed.extend(await power.open())
        sights = power.watch()
        assert await anext(sights) == Sight(Level.OFF)
        if where == "return":
            machine.unplug()
            await asyncio.sleep(1)
            machine.plug()
        async with asyncio.timeout(30):
            with pytest.raises(KeyError):
                while (await anext(sights)).level is not Level.ON:
                    pass
        with pytest.raises(KeyError):  # who comes later is told as well
            _ = [sight async for sight in power.watch()]
        await power.close()
        for release in handed:
            os.close(release.fd)
        machine.close()

    run_virtual(body())
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError]
