"""The supply of a chassis behind a held line, and what watchers of power see."""

from __future__ import annotations

import asyncio

import pytest

from ubmc.hw.power.buttons import Wire
from ubmc.hw.power.level import ChassisLine, LevelBoard
from ubmc.hw.power.port import Action, Boot, BootTarget, Level, Sight
from ubmc.hw.power.sightings import Sightings
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.lines import SimLines
from ubmc.kit.errors import Refused, Unavailable
from ubmc.kit.testing import run_virtual


def test_chassis_line_holds_its_level_over_close_and_open() -> None:
    async def body() -> None:
        machine = InProcessMachine()
        board = LevelBoard(enable=Wire("psu-enable"), good=Wire("psu-good"))
        for wanted in (Level.ON, Level.OFF, Level.ON):
            chassis = ChassisLine(SimLines(machine.dial), board)
            assert await chassis.open() == ()
            before = machine.plant.read("psu-enable")
            assert (await anext(chassis.watch())).level is (Level.ON if before else Level.OFF)
            await chassis.do(Action.ON if wanted is Level.ON else Action.FORCE_OFF)
            await asyncio.sleep(0.1)
            assert (await anext(chassis.watch())).level is wanted
            with pytest.raises(Refused, match="force-off"):
                await chassis.do(Action.RESET)
            with pytest.raises(Refused, match="set that in its firmware"):
                await chassis.do(Action.ON, boot=Boot(BootTarget.CD))
            await chassis.close()
            assert machine.plant.read("psu-enable") is (wanted is Level.ON)
            with pytest.raises(Unavailable):
                await chassis.do(Action.ON)
        machine.close()

    run_virtual(body())


def test_a_slow_watcher_keeps_the_latest() -> None:
    async def body() -> None:
        seen = Sightings()
        slow = seen.watch()
        for _ in range(1000):
            seen.see(Level.ON)
            seen.see(Level.OFF)
        seen.see(Level.ON)
        seen.end()
        found = [sight async for sight in slow]
        assert len(found) == 64
        assert found[-1] == Sight(Level.ON)

    run_virtual(body())
