"""Reading wires: rounds, slow and stuck wires, failing sensors; on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import pytest

from ubmc.hw.sensors.port import Outcome
from ubmc.kit.errors import Unavailable
from ubmc.kit.readings import Quality, Readings
from ubmc.kit.testing import run_virtual
from ubmc.services.sensormon.plan import Function, Options, SensorPlan, StatePlan, Virtual
from ubmc.services.sensormon.poller import Poller
from ubmc.services.sensormon.table import Table
from ubmc.v1alpha1.sensor_pb import SensorKind

OPTIONS = Options(Path("/nowhere"))


class Wire:
    """The hardware: answers as it is told."""

    def __init__(self, name: str, answer: Callable[[str], Awaitable[Outcome]]) -> None:
        self.name = name
        self.sensors: tuple[str, ...] = ()
        self.answer = answer
        self.reads: list[tuple[float, tuple[str, ...]]] = []
        self.closed = False

    async def read(self, sensors: Sequence[str]) -> Mapping[str, Outcome]:
        self.reads.append((round(asyncio.get_running_loop().time(), 2), tuple(sensors)))
        return {name: await self.answer(name) for name in sensors}

    async def close(self) -> None:
        self.closed = True

    def times(self) -> list[float]:
        return [time for time, _ in self.reads]


def plan(name: str, bus: str = "i2c-1", **changes: object) -> SensorPlan:
    values: dict[str, object] = {"kind": SensorKind.TEMPERATURE, "component": "host.0", "bus": bus}
    return SensorPlan(name=name, **(values | changes))  # type: ignore[arg-type]


class World:
    def __init__(self, *plans: SensorPlan) -> None:
        self.plans = plans
        self.readings = Readings()
        self.table = Table(plans, {}, OPTIONS, self.readings, lambda _sensor, _news: None, 0.0)

    async def run(self, seconds: float, *wires: Wire) -> None:
        tasks = [asyncio.create_task(self._tick())]
        for wire in wires:
            mine = [each for each in self.plans if each.bus == wire.name]
            tasks.append(asyncio.create_task(Poller(wire.name, mine, lambda w=wire: w, self.table, OPTIONS).run()))  # type: ignore[misc]
        await asyncio.sleep(seconds)
        for task in tasks:
            assert not task.done()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(OPTIONS.tick_seconds)
            self.table.tick(asyncio.get_running_loop().time())

    def quality(self, name: str) -> Quality | None:
        reading = self.readings.get(name)
        return None if reading is None else reading.quality


async def fine(_name: str) -> Outcome:
    return 42.0


async def stuck(_name: str) -> Outcome:
    await asyncio.Event().wait()
    return 0.0


def test_rounds_keep_their_time_and_each_sensor_its_interval() -> None:
    async def slowish(_name: str) -> Outcome:
        await asyncio.sleep(0.15)
        return 1.0

    world = World(plan("a"), plan("b", interval_seconds=2.0))
    wire = Wire("i2c-1", slowish)
    run_virtual(world.run(4.5, wire))
    assert wire.reads == [(0, ("a", "b")), (1, ("a",)), (2, ("a", "b")), (3, ("a",)), (4, ("a", "b"))]
    assert wire.closed


def test_a_slow_wire_skips_rounds_and_queues_nothing() -> None:
    async def slow(_name: str) -> Outcome:
        await asyncio.sleep(1.3)
        return 1.0

    world, wire = World(plan("a")), Wire("i2c-1", slow)
    run_virtual(world.run(7, wire))
    assert wire.times() == [0, 2, 4, 6]


def test_a_stuck_wire_delays_no_other_and_its_sensors_are_stale_then_failed() -> None:
    world = World(plan("a"), plan("b", "i2c-2"))
    hangs, works = Wire("i2c-1", stuck), Wire("i2c-2", fine)

    async def main() -> None:
        running = asyncio.create_task(world.run(10.5, hangs, works))
        await asyncio.sleep(3.1)
        assert world.quality("a") is Quality.STALE
        await asyncio.sleep(2)
        assert world.quality("a") is Quality.FAILED
        await running

    run_virtual(main())
    assert works.times() == list(range(11))
    assert world.quality("b") is Quality.GOOD
    assert hangs.times() == [0, 6]


def test_a_failing_sensor_is_tried_slower_and_takes_no_other_with_it() -> None:
    async def half(name: str) -> Outcome:
        return Unavailable("no answer") if name == "bad" else 20.0

    world, wire = World(plan("bad"), plan("good")), Wire("i2c-1", half)
    run_virtual(world.run(22.5, wire))
    assert [time for time, names in wire.reads if "bad" in names] == [0, 1, 3, 7, 12, 17, 22]
    assert [time for time, names in wire.reads if "good" in names] == list(range(23))
    assert (world.quality("bad"), world.quality("good")) == (Quality.FAILED, Quality.GOOD)


def test_a_driver_with_a_bug_is_logged_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def bug(_name: str) -> Outcome:
        raise ZeroDivisionError

    async def recover() -> None:
        running = asyncio.create_task(world.run(14, wire))
        await asyncio.sleep(8)
        assert world.quality("a") is Quality.FAILED
        wire.answer = fine
        await running

    caplog.set_level("INFO", "ubmc.sensormon")
    world, wire = World(plan("a")), Wire("i2c-1", bug)
    run_virtual(recover())
    assert caplog.messages == ["a wire of sensors cannot be read", "a wire of sensors can be read again"]
    assert world.quality("a") is Quality.GOOD


def test_a_host_without_power_is_not_read() -> None:
    world, wire = World(plan("a", powered_by="host.0"), plan("b")), Wire("i2c-1", fine)
    world.readings.put_power("host.0", False)

    async def main() -> None:
        running = asyncio.create_task(world.run(6.5, wire))
        await asyncio.sleep(3.5)
        assert world.quality("a") is Quality.UNAVAILABLE
        world.readings.put_power("host.0", True)
        await running

    run_virtual(main())
    assert [time for time, names in wire.reads if "a" in names] == [4, 5, 6]
    assert world.quality("a") is Quality.GOOD


def test_a_unit_that_is_not_plugged_has_no_readings() -> None:
    states = (StatePlan("absent"), StatePlan("present"))
    presence = plan("psu0_presence", kind=SensorKind.STATE, states=states)
    total = plan("total", "", virtual=Virtual(Function.SUM, ("psu0_pin", "psu1_pin")))
    there = {"psu0_presence": 0.0}

    async def answer(name: str) -> Outcome:
        return there.get(name, 100.0)

    world = World(presence, plan("psu0_pin", present_sensor="psu0_presence"), plan("psu1_pin"), total)
    wire = Wire("i2c-1", answer)

    async def main() -> None:
        running = asyncio.create_task(world.run(5.5, wire))
        await asyncio.sleep(2.5)
        assert world.quality("psu0_pin") is Quality.UNAVAILABLE
        reading = world.readings.get("total")
        assert reading is not None
        assert reading.value == 100
        there["psu0_presence"] = 1.0
        await running

    run_virtual(main())
    reading = world.readings.get("total")
    assert reading is not None
    assert reading.value == 200


def test_a_wire_that_is_just_coming_up_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    began = []

    async def coming_up(_name: str) -> Outcome:
        began.append(1)
        if len(began) < 3:
            raise Unavailable("not there yet")
        return 1.0

    async def away(_name: str) -> Outcome:
        raise Unavailable("gone")

    caplog.set_level("INFO", "ubmc.sensormon")
    run_virtual(World(plan("a")).run(5, Wire("i2c-1", coming_up)))
    assert caplog.messages == []
    run_virtual(World(plan("a")).run(20, Wire("i2c-1", away)))
    assert caplog.messages == ["a wire of sensors cannot be read"]
