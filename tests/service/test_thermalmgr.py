"""thermalmgr on a real bus, with fans that are files in memory, and readings that the test writes."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.harness.bus import BusWorld

from ubmc.hw.fans.port import Recipe
from ubmc.kit.bus import Bus
from ubmc.kit.channel import Channel
from ubmc.kit.errors import Invalid, NotFound, Unavailable
from ubmc.kit.guard import CoolingGuard
from ubmc.kit.readings import Quality, Reading, Readings, Trip
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.thermalmgr import controller as controllers
from ubmc.services.thermalmgr.plan import (
    ControllerPlan,
    FanPlan,
    PidPlan,
    SensorLimits,
    ThermalPlan,
    ZonePlan,
)
from ubmc.services.thermalmgr.service import Shared, ThermalManager
from ubmc.v1alpha1 import thermal_pb as t
from ubmc.v1alpha1.thermal_rpc import ThermalService

LIMIT_SECONDS = 1.0  # the safety promise
PLAN = ThermalPlan(
    zones=(
        ZonePlan(
            "cpu",
            ("fan.0", "fan.1"),
            (PidPlan("cpu0", ("cpu0_temp",), 60.0, 2.0, 0.02),),
            hosts=("host.0",),
            fail_safe_percent=80.0,
        ),
    ),
    fans=(FanPlan("fan.0", fail_safe_percent=80.0), FanPlan("fan.1", fail_safe_percent=80.0)),
    limits={"cpu0_temp": SensorLimits(80.0, 90.0, 100.0, host="host.0")},
    interval_seconds=0.2,
)


@dataclass
class FakeFan:
    """A fan whose hardware is a number."""

    name: str
    duty: float = 30.0
    fails: bool = False
    hangs: bool = False
    closed: bool = False

    async def set(self, percent: float) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise Unavailable("the hardware does not obey")
        self.duty = percent

    async def get(self) -> float:
        return self.duty

    def recipe(self) -> Recipe:
        return Recipe(self.name, "file", {"path": self.name}, 80.0)

    async def close(self) -> None:
        self.closed = True


class Guardian:
    """The other end of the guard."""

    def __init__(self, guard: CoolingGuard) -> None:
        self.channel, theirs = Channel.pair()
        guard.connect(theirs)
        self.heard: list[str] = []
        asyncio.get_running_loop().add_reader(self.channel.fileno(), self.hear)

    def hear(self) -> None:
        with contextlib.suppress(BlockingIOError, EOFError):
            message = self.channel.receive()
            assert message is not None
            if message.kind == "hello":
                self.channel.send("free")
            self.heard.append(f"{message.kind} {message.fields.get('name', '')}".strip())

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.channel.fileno())
        self.channel.close()


class Broken:
    """A controller that breaks when it is told to."""

    broken = False

    def __init__(self, plan: ControllerPlan, made: controllers.Controller) -> None:
        self.plan = plan
        self._made = made

    def update(self, *arguments: object) -> object:
        if Broken.broken:
            raise ZeroDivisionError
        return self._made.update(*arguments)  # type: ignore[arg-type]


def breakable(plan: ControllerPlan, limits: object, begin: float) -> controllers.Controller:
    return Broken(plan, controllers.make(plan, limits, begin))  # type: ignore[arg-type, return-value]


@dataclass
class World:
    made: BusWorld
    manager: ThermalManager
    door: Bus
    fans: dict[str, FakeFan]
    readings: Readings
    trip: Trip
    guardian: Guardian
    running: asyncio.Task[None]
    temperature: float = 40.0
    quality: Quality = Quality.GOOD
    silent: bool = False
    cut: list[str] = field(default_factory=list)

    async def feed(self) -> None:
        """What sensormon does."""
        while True:
            if not self.silent:
                good = self.quality is Quality.GOOD
                value = self.temperature if good else math.nan
                self.readings.put({"cpu0_temp": Reading(value, self.quality, asyncio.get_running_loop().time())})
            await asyncio.sleep(0.05)

    async def until(self, what: Callable[[], object], seconds: float = 45.0) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(seconds):
            while not what():
                await asyncio.sleep(0.005)
        return loop.time() - began

    def duties(self) -> set[float]:
        return {fan.duty for fan in self.fans.values()}

    def safe(self) -> bool:
        return min(self.duties()) >= 80.0

    async def quiet(self) -> None:
        await self.until(lambda: max(self.duties()) < 60.0, 30.0)

    async def zone(self) -> t.ThermalZone:
        request = t.GetThermalZoneRequest(name="cpu")
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(Unavailable):  # it does not wait for the bus, so it answers a little later
                    answer = await self.door.forward(ThermalService.GetThermalZone, request, self.made.call())
                    assert answer.thermal_zone is not None
                    return answer.thermal_zone
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def world(tmp_path: Path) -> AsyncIterator[World]:
    Broken.broken = False
    readings, trip, guard = Readings(), Trip(), CoolingGuard()
    readings.put_power("host.0", True)
    fans = {name: FakeFan(name) for name in ("fan.0", "fan.1")}
    manager = ThermalManager(
        PLAN, lambda: fans, Shared(readings, trip, guard), tmp_path / "thermal.json", make=breakable
    )
    assert trip.hot("host.0"), "nothing is known to be cool before it was read"
    specs = (ProcessSpec("safety", (ThermalManager,)), ProcessSpec("websrv", (), door=True))
    async with BusWorld(*specs) as made:
        guardian = Guardian(guard)
        safety, door = await made.place("safety"), await made.place("websrv")
        cut: list[str] = []
        trip.obeyed_by(lambda host, reason: cut.append(f"{host}: {reason}"))
        running = await made.run(safety, manager)
        w = World(made, manager, door, fans, readings, trip, guardian, running, cut=cut)
        feeding = asyncio.create_task(w.feed())
        async with asyncio.timeout(30):
            while not safety.answerer._serving.get(manager):
                await asyncio.sleep(0.005)
            await safety.link.known()
        try:
            yield w
        finally:
            feeding.cancel()
            running.cancel()
            await asyncio.gather(feeding, running, return_exceptions=True)
            guard.close()
            guardian.close()


async def test_it_hands_over_cools_beats_and_leaves_safe_fans(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.quiet()
        assert w.guardian.heard[:3] == ["hello", "fan fan.0", "fan fan.1"]
        assert "beat" in w.guardian.heard
        assert not w.trip.hot("host.0")
        await w.until(lambda: w.readings.duty("fan.0") == pytest.approx(w.fans["fan.0"].duty))
        w.running.cancel()
        await asyncio.gather(w.running, return_exceptions=True)
        assert w.duties() == {80.0}
        assert w.trip.hot("host.0")
        await w.until(lambda: w.guardian.heard[-1] == "leave")
        assert all(fan.closed for fan in w.fans.values())


@pytest.mark.parametrize("how", ["fails", "implausible", "unavailable", "silent"])
async def test_a_lost_sensor_is_fail_safe_within_a_second(tmp_path: Path, how: str) -> None:
    async with world(tmp_path) as w:
        await w.quiet()
        w.silent = how == "silent"
        if how != "silent":
            w.quality = {
                "fails": Quality.FAILED,
                "implausible": Quality.IMPLAUSIBLE,
                "unavailable": Quality.UNAVAILABLE,
            }[how]
        limit = LIMIT_SECONDS if how != "silent" else PLAN.stale_seconds + LIMIT_SECONDS
        assert await w.until(w.safe) <= limit
        zone = await w.zone()
        assert zone.state is t.ThermalZoneState.FAIL_SAFE
        assert "cpu0_temp" in zone.reasons[0]
        assert "fail-safe" in zone.duty_reason
        w.quality, w.silent = Quality.GOOD, False
        await w.quiet()


async def test_a_broken_controller_and_a_late_loop_are_fail_safe_within_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="ubmc.thermalmgr")
    async with world(tmp_path) as w:
        await w.quiet()
        Broken.broken = True
        assert await w.until(w.safe) <= LIMIT_SECONDS
        assert "failed by a bug (ZeroDivisionError)" in (await w.zone()).reasons[0]
        Broken.broken = False
        await w.quiet()
        time.sleep(0.6)  # the loop hangs
        assert await w.until(w.safe) <= LIMIT_SECONDS
        assert (await w.zone()).overruns >= 1
        await w.quiet()
    levels = {
        (each.levelname, "to fail-safe" in each.message) for each in caplog.records if each.message.startswith("zone")
    }
    assert levels == {("WARNING", True), ("INFO", False)}, "as the event says it"


@pytest.mark.parametrize("how", ["fails", "hangs"])
async def test_a_fan_that_cannot_be_written_raises_the_others(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="ubmc.thermalmgr")
    async with world(tmp_path) as w:
        await w.quiet()
        setattr(w.fans["fan.0"], how, True)
        await w.until(lambda: w.fans["fan.1"].duty == 100.0, 5.0)
        request = t.GetCoolingDeviceRequest(name="fan.0")
        answer = await w.door.forward(ThermalService.GetCoolingDevice, request, w.made.call())
        assert answer.cooling_device is not None
        assert answer.cooling_device.state is t.CoolingDeviceState.UNWRITABLE
        setattr(w.fans["fan.0"], how, False)
        await w.quiet()
    fan = {each.message: each.levelname for each in caplog.records if each.name == "ubmc.thermalmgr"}
    assert fan["fan.0 is unwritable, it was ok"] == "WARNING"
    assert fan["fan.0 is ok, it was unwritable"] == "INFO", "as the event says it"


async def test_over_critical_is_full_cooling_and_over_fatal_is_the_trip_with_the_bus_stopped(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.quiet()
        await asyncio.to_thread(w.made.server.stop, 5)
        w.temperature = 91.0
        assert await w.until(lambda: w.duties() == {100.0}) <= LIMIT_SECONDS
        assert w.trip.hot("host.0")
        w.temperature = 79.0  # below warning, but not by the hysteresis
        await asyncio.sleep(0.5)
        assert w.duties() == {100.0}
        assert not w.cut
        w.temperature = 101.0
        assert await w.until(lambda: w.cut) <= LIMIT_SECONDS
        assert "cpu0_temp is at 101.0" in w.cut[0]
        w.made.server.start()


async def test_a_guardian_that_took_the_fans_is_asked_for_them(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.quiet()
        w.guardian.channel.send("taken")
        await w.until(lambda: w.guardian.heard.count("hello") == 2)
        assert await w.until(w.safe) <= LIMIT_SECONDS
        await w.quiet()


async def test_profiles_are_kept_and_manual_duty_is_outranked(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.quiet()
        custom = t.CustomProfile(set_point_offset_celsius=-10.0, minimum_percent=45.0)
        with pytest.raises(Invalid, match="needs `custom`"):
            await w.door.forward(
                ThermalService.SetThermalProfile,
                t.SetThermalProfileRequest(name="cpu", profile=t.ThermalProfile.CUSTOM),
                w.made.call(),
            )
        with pytest.raises(NotFound):
            await w.door.forward(ThermalService.GetThermalZone, t.GetThermalZoneRequest(name="moon"), w.made.call())
        answer = await w.door.forward(
            ThermalService.SetThermalProfile,
            t.SetThermalProfileRequest(name="cpu", profile=t.ThermalProfile.CUSTOM, custom=custom),
            w.made.call(),
        )
        assert answer.thermal_zone is not None
        assert answer.thermal_zone.controllers[0].set_point_celsius == pytest.approx(50.0)
        assert min(w.duties()) >= 45.0
        manual = await w.door.forward(
            ThermalService.SetManualDuty,
            t.SetManualDutyRequest(name="cpu", duty_percent=33.0, duration_seconds=20.0),
            w.made.call(),
        )
        assert manual.thermal_zone is not None
        assert manual.thermal_zone.state is t.ThermalZoneState.MANUAL
        assert w.duties() == {33.0}
        w.quality = Quality.FAILED
        assert await w.until(w.safe) <= LIMIT_SECONDS
        w.quality = Quality.GOOD
        await w.until(lambda: w.duties() == {33.0})
        await w.door.forward(ThermalService.ClearManualDuty, t.ClearManualDutyRequest(name="cpu"), w.made.call())
        assert not (await w.zone()).has_field("manual_percent")
        csv = (
            await w.door.forward(ThermalService.GetControllerLog, t.GetControllerLogRequest(name="cpu"), w.made.call())
        ).csv
        assert csv.startswith("time,state,duty,cpu0_set_point,cpu0_input,cpu0_output,cpu0_temp\n")
        assert {"manual", "fail-safe"} <= {line.split(",")[1] for line in csv.splitlines()[1:]}
    async with world(tmp_path) as w:
        await w.until(lambda: not w.trip.hot("host.0"))
        zone = await w.zone()
        assert zone.profile is t.ThermalProfile.CUSTOM
        assert zone.custom == custom
        assert not zone.has_field("manual_percent")


async def test_watchers_hear_what_matters(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.quiet()
        await asyncio.sleep(1.0)
        watching = w.door.watch(ThermalService.WatchThermalZones, t.WatchThermalZonesRequest(), w.made.call(seconds=20))
        first = await anext(watching)
        assert first.snapshot
        assert [fan.name for fan in first.cooling_devices] == ["fan.0", "fan.1"]
        w.temperature = 95.0
        async with asyncio.timeout(30):
            async for update in watching:
                assert update.thermal_zone is not None
                if update.thermal_zone.state is t.ThermalZoneState.OVERHEATED:
                    break
        await watching.aclose()
