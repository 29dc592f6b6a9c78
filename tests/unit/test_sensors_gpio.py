"""GPIO lines as sensors, on the lines of the simulated machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from ubmc.hw.sensors.channels import GpioChannel
from ubmc.hw.sensors.gpio import GpioBus
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.lines import SimLines
from ubmc.kit.errors import NotFound, UbmcError, Unavailable
from ubmc.kit.testing import run_virtual

SUPPLY, GOOD = "psu-good", "power-good-0"


def virtual(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtual(test())

    run.__name__ = test.__name__
    return run


@contextlib.asynccontextmanager
async def world(*channels: GpioChannel) -> AsyncIterator[tuple[InProcessMachine, GpioBus]]:
    machine = InProcessMachine()
    bus = GpioBus("gpio", channels, SimLines(machine.dial))
    try:
        yield machine, bus
    finally:
        await bus.close()
        machine.close()


@virtual
async def test_a_line_is_one_while_it_is_active() -> None:
    async with world(GpioChannel("supply", SUPPLY), GpioChannel("fault", SUPPLY + "x")) as (machine, bus):
        assert (bus.name, bus.sensors) == ("gpio", ("supply", "fault"))
        for on in (True, False, True):
            machine.plant.set_mains(on=on)
            await asyncio.sleep(5)
            assert (await bus.read(["supply"])) == {"supply": float(machine.plant.read(SUPPLY))}
            assert machine.plant.read(SUPPLY) is on


@virtual
async def test_polarity() -> None:
    async with world(GpioChannel("off", GOOD, active_low=True)) as (machine, bus):
        assert not machine.plant.read(GOOD)
        assert await bus.read(["off"]) == {"off": 1.0}


@virtual
async def test_a_line_that_is_not_there_takes_no_other_with_it() -> None:
    async with world(GpioChannel("bad", "no-such-line"), GpioChannel("good", GOOD)) as (_, bus):
        for _ in range(2):
            found = await bus.read(["bad", "good", "unknown"])
            assert isinstance(found["bad"], NotFound)
            assert found["good"] == 0.0
            assert isinstance(found["unknown"], NotFound)


@virtual
async def test_lines_that_went_away_are_opened_again() -> None:
    async with world(GpioChannel("good", GOOD)) as (machine, bus):
        assert await bus.read(["good"]) == {"good": 0.0}
        machine.unplug()
        assert isinstance((await bus.read(["good"]))["good"], UbmcError)
        machine.plug()
        assert await bus.read(["good"]) == {"good": 0.0}


@virtual
async def test_who_goes_away_leaves_the_lines_usable() -> None:
    async with world(GpioChannel("good", GOOD), GpioChannel("supply", SUPPLY)) as (_, bus):
        for rounds in range(30):
            reader = asyncio.create_task(bus.read(["good", "supply"]))
            for _ in range(rounds):
                await asyncio.sleep(0)
            reader.cancel()
            await asyncio.wait([reader])
        assert set((await bus.read(["good", "supply"])).values()) == {0.0, 1.0}


@virtual
async def test_closed() -> None:
    async with world(GpioChannel("good", GOOD)) as (_, bus):
        await bus.close()
        with pytest.raises(Unavailable, match="closed"):
            await bus.read(["good"])


@virtual
async def test_close_frees_those_who_read() -> None:
    async with world(GpioChannel("good", GOOD)) as (_, bus):
        readers = [asyncio.create_task(bus.read(["good"])) for _ in range(3)]
        await asyncio.sleep(0)
        await bus.close()
        for reader in readers:
            with pytest.raises(Unavailable, match="closed"):
                await reader
