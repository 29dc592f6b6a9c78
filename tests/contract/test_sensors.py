"""The contract of `ubmc.hw.sensors.port.SensorBus`, which every sensor driver keeps."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.contract.sensor_rig import Factory, Rig

from ubmc.hw.sensors.port import Outcome, SensorBus
from ubmc.kit.errors import UbmcError, Unavailable

Run = Callable[[Callable[[Rig], Awaitable[None]]], None]


def _factories() -> list[Factory]:
    found: list[Factory] = []
    for kind in ("sensors_linux", "sensors_sim"):
        name = f"tests.contract.{kind}"
        if importlib.util.find_spec(name) is not None:
            found += importlib.import_module(name).FACTORIES
    return found


FACTORIES = _factories()
HANGING = [factory for factory in FACTORIES if factory.can_hang]


@pytest.fixture(params=FACTORIES, ids=lambda factory: factory.name)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    factory: Factory = request.param
    return lambda body: factory.run(body, tmp_path)


@contextlib.asynccontextmanager
async def opened(rig: Rig) -> AsyncIterator[SensorBus]:
    bus = rig.bus()
    try:
        yield bus
    finally:
        await bus.close()


def is_value(rig: Rig, sensor: str, outcome: Outcome, which: int = 0) -> bool:
    return outcome == pytest.approx(rig.values(sensor)[which], rel=1e-3)


def test_it_names_its_sensors_without_reading(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as bus:
            assert bus.name
            assert set(rig.sensors) <= set(bus.sensors)
            assert len(set(bus.sensors)) == len(bus.sensors)

    run(body)


def test_every_sensor_shows_what_the_hardware_shows(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as bus:
            for which in (0, 1, 0):
                for sensor in rig.sensors:
                    await rig.show(sensor, rig.values(sensor)[which])
                found = await bus.read(rig.sensors)
                assert set(found) == set(rig.sensors)
                for sensor in rig.sensors:
                    assert is_value(rig, sensor, found[sensor], which), (sensor, found[sensor])

    run(body)


def test_only_what_is_asked_for_is_read(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as bus:
            assert set(await bus.read(rig.sensors[:1])) == {rig.sensors[0]}
            assert not await bus.read(())

    run(body)


def test_a_sensor_that_fails_takes_no_other_with_it_and_comes_back(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as bus:
            await bus.read(rig.sensors)
            broken, well = rig.sensors[:2]
            await rig.fail(broken)
            for _ in range(2):
                found = await bus.read((broken, well))
                assert isinstance(found[broken], UbmcError)
                assert is_value(rig, well, found[well])
            await rig.mend(broken)
            assert is_value(rig, broken, (await bus.read((broken,)))[broken])

    run(body)


def test_a_sensor_that_is_broken_at_first_comes_later(run: Run) -> None:
    async def body(rig: Rig) -> None:
        late = rig.sensors[0]
        await rig.fail(late)
        async with opened(rig) as bus:
            assert isinstance((await bus.read(rig.sensors))[late], UbmcError)
            await rig.mend(late)
            assert is_value(rig, late, (await bus.read(rig.sensors))[late])

    run(body)


def test_a_sensor_that_is_not_known_is_an_outcome(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as bus:
            found = await bus.read(("no_such_sensor", rig.sensors[0]))
            assert isinstance(found["no_such_sensor"], UbmcError)
            assert is_value(rig, rig.sensors[0], found[rig.sensors[0]])

    run(body)


def test_reads_at_once_are_all_answered(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as bus:
            for found in await asyncio.gather(*(bus.read(rig.sensors) for _ in range(5))):
                assert all(is_value(rig, sensor, found[sensor]) for sensor in rig.sensors)

    run(body)


def test_a_cancelled_read_leaves_the_bus_usable(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as bus:
            for _ in range(20):
                reader = asyncio.create_task(bus.read(rig.sensors))
                await asyncio.sleep(0)
                reader.cancel()
                await asyncio.wait([reader])
            found = await bus.read(rig.sensors)
            assert all(is_value(rig, sensor, found[sensor]) for sensor in rig.sensors)

    run(body)


def test_a_closed_bus_reads_nothing_and_the_next_driver_does(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as bus:
            await bus.read(rig.sensors)
        await bus.close()
        with pytest.raises(Unavailable):
            await bus.read(rig.sensors)
        async with opened(rig) as bus:
            found = await bus.read(rig.sensors)
            assert all(is_value(rig, sensor, found[sensor]) for sensor in rig.sensors)

    run(body)


@pytest.mark.parametrize("run", HANGING, ids=lambda factory: factory.name, indirect=True)
def test_a_read_that_hangs_is_left_and_waited_for_by_the_next(run: Run) -> None:
    async def body(rig: Rig) -> None:
        async with opened(rig) as bus:
            await rig.hang()
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await bus.read(rig.sensors)
            waiting = asyncio.create_task(bus.read(rig.sensors))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await rig.let_go()
            async with asyncio.timeout(rig.patience_seconds):
                found = await waiting
            assert all(is_value(rig, sensor, found[sensor]) for sensor in rig.sensors)

    run(body)


@pytest.mark.parametrize("run", HANGING, ids=lambda factory: factory.name, indirect=True)
def test_close_does_not_wait_for_a_read_that_hangs(run: Run) -> None:
    async def body(rig: Rig) -> None:
        bus = rig.bus()
        await rig.hang()
        reader = asyncio.create_task(bus.read(rig.sensors))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(rig.patience_seconds):
            await bus.close()
            with pytest.raises(Unavailable):
                await reader
        await rig.let_go()

    run(body)
