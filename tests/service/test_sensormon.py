"""sensormon on a real bus. The wire of the test stands for hardware: it answers, fails or hangs as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from protobuf import Message
from protobuf.wkt import FieldMask
from tests.harness.bus import BusWorld

from ubmc.hw.sensors.port import Outcome
from ubmc.kit.bus import Bus
from ubmc.kit.call import Call
from ubmc.kit.errors import Denied, Invalid, NotFound, Refused, Unavailable
from ubmc.kit.readings import Quality, Readings
from ubmc.kit.service import Service, on
from ubmc.kit.stream import MAX_FRAME
from ubmc.kit.tracing import Trace
from ubmc.services.ipc.permissions import EVENTS_STREAM, ProcessSpec
from ubmc.services.sensormon.plan import Function, Limits, Options, SensorPlan, StatePlan, Virtual
from ubmc.services.sensormon.service import SensorMonitor
from ubmc.v1alpha1.sensor_pb import (
    GetSensorHistoryRequest,
    GetSensorRequest,
    ListSensorsRequest,
    ResetSensorStatisticsRequest,
    ResetSensorThresholdsRequest,
    Sensor,
    SensorKind,
    SensorLevel,
    SensorQuality,
    SensorQualityChange,
    SensorStateChange,
    SensorThresholdCrossing,
    SensorThresholds,
    SensorThresholdsChange,
    UpdateSensorThresholdsRequest,
    WatchSensorsRequest,
    WatchSensorsResponse,
)
from ubmc.v1alpha1.sensor_rpc import SensorService

LIMITS = Limits(upper_warning=75.0, upper_critical=85.0)


def plan(name: str, bus: str = "i2c-1", **changes: object) -> SensorPlan:
    values: dict[str, object] = {
        "kind": SensorKind.TEMPERATURE, "component": "host.0", "bus": bus, "interval_seconds": 0.05, "limits": LIMITS,
    }  # fmt: skip
    return SensorPlan(name=name, **(values | changes))  # type: ignore[arg-type]


PLANS = (
    plan("cpu0_temp", powered_by="host.0", settle_seconds=0.0),
    plan("inlet_temp", component="chassis.0"),
    plan("hot_temp", "", virtual=Virtual(Function.MAXIMUM, ("cpu0_temp", "inlet_temp")), limits=Limits()),
    plan("lid", kind=SensorKind.STATE, states=(StatePlan("closed"), StatePlan("open", SensorLevel.WARNING))),
    plan("other_temp", "i2c-2"),
)


class Wire:
    """The hardware."""

    def __init__(self, name: str, values: dict[str, Outcome]) -> None:
        self.name = name
        self.values = values
        self.reads = 0
        self.closed = 0
        self.free = asyncio.Event()
        self.free.set()

    @property
    def sensors(self) -> Sequence[str]:
        return tuple(self.values)

    async def read(self, sensors: Sequence[str]) -> Mapping[str, Outcome]:
        self.reads += 1
        await self.free.wait()
        return {name: self.values[name] for name in sensors}

    async def close(self) -> None:
        self.closed += 1


class Listener(Service):
    """Hears what sensormon tells, in the place of the event log."""

    name = "eventlog"
    keeps_log = True

    def __init__(self) -> None:
        self.heard: list[Message[Any]] = []

    async def setup(self) -> None:
        config = {"name": EVENTS_STREAM, "subjects": ["event.>"], "storage": "memory", "max_bytes": 1 << 20}
        call = Call(time.monotonic() + 5, Trace.new())
        subject = f"$JS.API.STREAM.CREATE.{EVENTS_STREAM}"
        answer = orjson.loads(await self.bus.request(subject, orjson.dumps(config), call, "the stream"))
        assert "error" not in answer, answer

    @on(SensorThresholdCrossing)
    async def crossing(self, news: SensorThresholdCrossing) -> None:
        self.heard.append(news)

    @on(SensorQualityChange)
    async def quality(self, news: SensorQualityChange) -> None:
        self.heard.append(news)

    @on(SensorStateChange)
    async def state(self, news: SensorStateChange) -> None:
        self.heard.append(news)

    @on(SensorThresholdsChange)
    async def thresholds(self, news: SensorThresholdsChange) -> None:
        self.heard.append(news)


class House:
    """Sensors, and how to ask for them."""

    def __init__(self, world: BusWorld, plans: Sequence[SensorPlan]) -> None:
        self.world = world
        self.readings = Readings()
        self.readings.put_power("host.0", True)
        self.one = Wire("i2c-1", {each.name: 40.0 for each in plans if each.bus == "i2c-1"})
        self.two = Wire("i2c-2", {"other_temp": 30.0})
        if "lid" in self.one.values:
            self.one.values["lid"] = 0.0
        self.options = Options(world.state / "sensors.json", tick_seconds=0.02, quality_debounce_seconds=0.1)
        self.monitor = SensorMonitor(
            plans, {"i2c-1": lambda: self.one, "i2c-2": lambda: self.two}, self.readings, self.options
        )
        self.listener = Listener()
        self.door: Bus
        self.safety: Bus

    async def list(self, **wanted: Any) -> list[Sensor]:
        answer = await self.door.forward(SensorService.ListSensors, ListSensorsRequest(**wanted), self.world.call())
        return answer.sensors

    async def get(self, name: str) -> Sensor:
        answer = await self.door.forward(SensorService.GetSensor, GetSensorRequest(name=name), self.world.call())
        assert answer.sensor is not None
        return answer.sensor

    async def update(self, name: str, mask: FieldMask | None = None, role: str = "Operator", **limits: float) -> Sensor:
        request = UpdateSensorThresholdsRequest(name=name, thresholds=SensorThresholds(**limits), update_mask=mask)
        call = self.world.call(role=role)
        answer = await self.door.forward(SensorService.UpdateSensorThresholds, request, call)
        assert answer.sensor is not None
        return answer.sensor

    def watch(self, **wanted: Any) -> AsyncGenerator[WatchSensorsResponse, None]:
        return self.door.watch(SensorService.WatchSensors, WatchSensorsRequest(**wanted), self.world.call())

    async def until(self, what: Callable[[], object], seconds: float = 45.0) -> None:
        async with asyncio.timeout(seconds):
            while not what():
                await asyncio.sleep(0.005)

    def quality(self, name: str) -> Quality | None:
        reading = self.readings.get(name)
        return None if reading is None else reading.quality

    async def served(self) -> None:
        """Ready it is before the bus knows all that it answers; streams come last."""
        async with asyncio.timeout(30):
            while True:
                watching = self.watch()
                try:
                    await anext(watching)
                    return
                except Unavailable:
                    await asyncio.sleep(0.02)
                finally:
                    await watching.aclose()

    def value(self, name: str) -> float | None:
        reading = self.readings.get(name)
        return None if reading is None else reading.value

    async def hear(self, kind: type[Message[Any]], **fields: object) -> None:
        await self.until(
            lambda: any(
                isinstance(news, kind) and all(getattr(news, name) == value for name, value in fields.items())
                for news in self.listener.heard
            )
        )


@contextlib.asynccontextmanager
async def house(plans: Sequence[SensorPlan] = PLANS) -> AsyncIterator[House]:
    async with BusWorld(
        ProcessSpec("safety", (SensorMonitor,)),
        ProcessSpec("managers", (Listener,)),
        ProcessSpec("websrv", (), door=True),
    ) as world:
        made = House(world, plans)
        await world.place("managers", made.listener)
        made.safety = await world.place("safety", made.monitor)
        made.door = await world.place("websrv")
        await made.until(lambda: all(made.readings.get(each.name) for each in plans))
        await made.served()
        yield made


async def test_sensors_are_listed_from_memory_by_page_and_filter() -> None:
    async with house() as made:
        made.one.free.clear()
        made.two.free.clear()
        await asyncio.sleep(0.1)
        before = made.one.reads + made.two.reads
        names = [each.name for each in await made.list()]
        assert names == ["cpu0_temp", "hot_temp", "inlet_temp", "lid", "other_temp"]
        for _ in range(20):
            await made.list()
        assert made.one.reads + made.two.reads == before
        call = made.world.call()
        first = await made.door.forward(SensorService.ListSensors, ListSensorsRequest(page_size=3), call)
        assert len(first.sensors) == 3
        rest = await made.list(page_size=3, page_token=first.next_page_token)
        assert [each.name for each in rest] == names[3:]
        assert [each.name for each in await made.list(kind=SensorKind.STATE)] == ["lid"]
        assert [each.name for each in await made.list(component="chassis.0")] == ["inlet_temp"]
        assert await made.list(level=SensorLevel.WARNING) == []
        with pytest.raises(NotFound, match="there is no moon_temp; there is cpu0_temp"):
            await made.get("moon_temp")


async def test_one_sensor_with_all_it_has() -> None:
    async with house() as made:
        sensor = await made.get("cpu0_temp")
        assert (sensor.value, sensor.quality, sensor.level) == (40.0, SensorQuality.GOOD, SensorLevel.NORMAL)
        assert (sensor.unit, sensor.component, sensor.bus) == ("Cel", "host.0", "i2c-1")
        assert sensor.thresholds is not None
        assert (sensor.thresholds.upper_warning, sensor.thresholds.hysteresis) == (75.0, 2.0)
        assert not sensor.thresholds.has_field("lower_warning")
        assert 0 <= sensor.age_seconds < 2
        assert sensor.statistics is not None
        assert sensor.statistics.count >= 1
        virtual = await made.get("hot_temp")
        assert (virtual.value, list(virtual.sources)) == (40.0, ["cpu0_temp", "inlet_temp"])
        lid = await made.get("lid")
        assert (lid.state, list(lid.states), lid.unit) == ("closed", ["closed", "open"], "")
        history = await made.door.forward(
            SensorService.GetSensorHistory, GetSensorHistoryRequest(name="cpu0_temp"), made.world.call()
        )
        assert history.points[0].value == 40.0
        made.one.values["cpu0_temp"] = 60.0
        await made.until(lambda: made.value("cpu0_temp") == 60.0)
        request = ResetSensorStatisticsRequest(name="cpu0_temp")
        await made.door.forward(SensorService.ResetSensorStatistics, request, made.world.call(role="Operator"))
        reads = made.one.reads
        await made.until(lambda: made.one.reads > reads + 1)
        anew = (await made.get("cpu0_temp")).statistics
        assert anew is not None
        assert (anew.minimum, anew.maximum) == (60.0, 60.0)


async def test_crossings_states_and_failures_are_told_both_ways() -> None:
    async with house() as made:
        made.one.values |= {"inlet_temp": 90.0, "lid": 1.0}
        await made.hear(SensorThresholdCrossing, name="inlet_temp", current=SensorLevel.CRITICAL, threshold=85.0)
        await made.hear(SensorStateChange, name="lid", previous="closed", current="open")
        assert {each.name for each in await made.list(level=SensorLevel.WARNING)} == {"inlet_temp", "lid"}
        made.one.values |= {"inlet_temp": Unavailable("no answer"), "lid": 0.0}
        await made.hear(SensorQualityChange, name="inlet_temp", current=SensorQuality.FAILED, reason="no answer")
        await made.hear(SensorStateChange, name="lid", previous="open", current="closed")
        assert made.quality("hot_temp") is Quality.FAILED
        made.one.values |= {"inlet_temp": 40.0}
        await made.hear(SensorQualityChange, name="inlet_temp", current=SensorQuality.GOOD)
        await made.hear(SensorThresholdCrossing, name="inlet_temp", current=SensorLevel.NORMAL)
        assert not [news for news in made.listener.heard if getattr(news, "name", "") == "hot_temp"]


async def test_a_stuck_wire_is_stale_and_delays_no_other_and_a_host_without_power_is_unavailable() -> None:
    async with house() as made:
        made.one.free.clear()
        reads = made.two.reads
        await made.until(lambda: made.quality("cpu0_temp") is Quality.STALE)
        await made.until(lambda: made.two.reads > reads + 5)
        assert made.quality("other_temp") is Quality.GOOD
        made.readings.put_power("host.0", False)
        await made.until(lambda: made.quality("cpu0_temp") is Quality.UNAVAILABLE)
        sensor = await made.get("cpu0_temp")
        assert sensor.quality_reason == "host.0 has no power"
        assert not sensor.has_field("value")
        made.readings.put_power("host.0", True)
        made.one.free.set()
        await made.until(lambda: made.quality("cpu0_temp") is Quality.GOOD)


async def test_changed_thresholds_hold_at_once_and_after_a_restart() -> None:
    async with house() as made:
        sensor = await made.update("inlet_temp", upper_warning=39.0)
        assert sensor.thresholds_changed
        await made.hear(SensorThresholdCrossing, name="inlet_temp", current=SensorLevel.WARNING)
        await made.hear(SensorThresholdsChange, name="inlet_temp", what="changed")
        again = SensorMonitor(PLANS, {}, Readings(), made.options)
        await again.setup()
        assert again._there.sensors["inlet_temp"].limits.upper_warning == 39.0
        with pytest.raises(Invalid, match=r"thresholds\.upperCritical: must be above upperWarning"):
            await made.update("inlet_temp", upper_warning=85.0)
        with pytest.raises(Denied):
            await made.update("inlet_temp", role="ReadOnly", upper_warning=70.0)
        with pytest.raises(Refused, match="has states"):
            await made.update("lid", upper_warning=1.0)
        gone = await made.update("inlet_temp", FieldMask(paths=["upper_warning"]))
        assert gone.thresholds is not None
        assert not gone.thresholds.has_field("upper_warning")
        await made.hear(SensorThresholdCrossing, name="inlet_temp", current=SensorLevel.NORMAL, threshold=39.0)
        reset = await made.door.forward(
            SensorService.ResetSensorThresholds,
            ResetSensorThresholdsRequest(name="inlet_temp"),
            made.world.call(role="Operator"),
        )
        assert reset.sensor is not None
        assert not reset.sensor.thresholds_changed
        assert Path(made.options.thresholds_file).read_text().count("inlet_temp") == 0


async def test_a_watcher_gets_a_snapshot_then_changes_and_resumes_where_it_was() -> None:
    async with house() as made, asyncio.timeout(20):
        watching = made.watch(min_interval_seconds=0.1)
        first = await anext(watching)
        assert first.snapshot
        assert {each.name for each in first.sensors} == {each.name for each in PLANS}
        assert all(each.statistics is None for each in first.sensors)
        assert first.complete
        made.one.values["inlet_temp"] = 41.0
        change = await anext(watching)
        assert not change.snapshot
        seen = {each.name: each.value for each in change.sensors}
        while len(seen) < 2:
            change = await anext(watching)
            seen |= {each.name: each.value for each in change.sensors}
        assert seen == {"inlet_temp": 41.0, "hot_temp": 41.0}
        await watching.aclose()
        made.one.values["cpu0_temp"] = 40.5
        await made.until(lambda: made.value("cpu0_temp") == 40.5)
        watching = made.watch(cursor=change.cursor)
        missed = await anext(watching)
        assert (missed.snapshot, missed.complete) == (False, True)
        assert [each.name for each in missed.sensors] == ["cpu0_temp"]
        await watching.aclose()
        for cursor in ("of-another-life:5", "x"):
            watching = made.watch(cursor=cursor, names=["lid"])
            answer = await anext(watching)
            assert answer.snapshot
            assert [each.name for each in answer.sensors] == ["lid"]
            await watching.aclose()
        with pytest.raises(NotFound):
            await anext(made.watch(names=["moon_temp"]))


async def test_a_watcher_gets_each_sensor_at_most_once_in_its_interval() -> None:
    async with house() as made, asyncio.timeout(20):
        watching = made.watch(min_interval_seconds=0.4, names=["inlet_temp"])
        await anext(watching)
        loop = asyncio.get_running_loop()
        times = []
        for value in (41.0, 42.0, 43.0):
            made.one.values["inlet_temp"] = value
            await anext(watching)
            times.append(loop.time())
        await watching.aclose()
        assert all(after - before > 0.3 for before, after in itertools.pairwise(times))


async def test_many_sensors_come_in_frames_and_pages_that_fit() -> None:
    plans = [plan(f"dimm{number}_{'x' * 50}", component="c" * 60) for number in range(900)]
    async with house(plans) as made, asyncio.timeout(30):
        watching = made.watch()
        names: set[str] = set()
        frames = 0
        while len(names) < len(plans):
            frame = await anext(watching)
            assert frame.snapshot
            assert len(frame.to_binary()) <= MAX_FRAME
            names |= {each.name for each in frame.sensors}
            assert frame.complete == (len(names) == len(plans))
            frames += 1
        assert frames > 3
        await watching.aclose()
        found: list[str] = []
        token = ""
        pages = 0
        while pages == 0 or token:
            request = ListSensorsRequest(page_size=1000, page_token=token)
            answer = await made.door.forward(SensorService.ListSensors, request, made.world.call())
            found += [each.name for each in answer.sensors]
            token = answer.next_page_token
            pages += 1
        assert pages == 2
        assert found == [each.name for each in plans]
