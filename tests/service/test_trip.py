"""The thermal trip in the hands of powermgr: cut at once, latched over restarts, ended by a person alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
from tests.harness.bus import BusWorld
from tests.service.test_powermgr import BOARD, QUICK, Asker, FakeGuardian

from ubmc.hw.gpio.port import Release
from ubmc.hw.power.buttons import ButtonPower
from ubmc.hw.power.port import Power
from ubmc.hw.sim.control import Control
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.lines import SimLines
from ubmc.hw.sim.plant import Plant, Settings
from ubmc.kit.bus import Bus
from ubmc.kit.errors import Refused, Unavailable
from ubmc.kit.guard import Guard
from ubmc.kit.readings import Readings, Trip
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.powermgr import trip as trips
from ubmc.services.powermgr.service import Cooling, Keep, PowerManager
from ubmc.v1alpha1.internal_pb import DriveHostRequest, PowerLevel, WatchPowerRequest, WatchPowerResponse, WireAction
from ubmc.v1alpha1.internal_rpc import PowerService


@dataclass
class World:
    made: BusWorld
    machine: InProcessMachine
    asker: Bus
    readings: Readings
    trip: Trip
    told: list[WatchPowerResponse] = field(default_factory=list)

    async def follow(self) -> None:
        while True:
            with contextlib.suppress(Unavailable):
                async for item in self.asker.watch(PowerService.WatchPower, WatchPowerRequest()):
                    self.told.append(item)
            await asyncio.sleep(0.01)

    async def until(self, what: Callable[[], object], seconds: float = 45.0) -> None:
        async with asyncio.timeout(seconds):
            while not what():
                await asyncio.sleep(0.01)

    def on(self) -> bool:
        return self.machine.plant.read("power-good-0")

    async def drive(self, action: WireAction, *, asked: bool = False) -> None:
        request = DriveHostRequest(name="host.0", action=action, asked=asked)
        await self.asker.ask(PowerService.DriveHost, request)

    async def power_on(self) -> None:
        await self.drive(WireAction.ON, asked=True)
        await self.until(lambda: self.on() and self.readings.power("host.0"))


@contextlib.asynccontextmanager
async def world(folder: Path, machine: InProcessMachine) -> AsyncIterator[World]:
    specs = (ProcessSpec("safety", (PowerManager,)), ProcessSpec("managers", (Asker,)))
    readings, trip, keeper = Readings(), Trip(), Guard()

    def host(keep: Keep) -> Power:
        def reopened(releases: tuple[Release, ...]) -> None:
            for release in releases:
                keep(release)

        return ButtonPower(
            SimLines(machine.dial), BOARD, mains_epoch=Control(machine.dial).mains_epoch, reopened=reopened
        )

    async with BusWorld(*specs) as made:
        guardian = FakeGuardian(keeper)
        cooling = Cooling(readings, trip, folder / "trip.json")
        manager = PowerManager({"host.0": host}, {}, keeper, lambda: None, cooling)
        safety, asker = await made.place("safety"), await made.place("managers")
        running = await made.run(safety, manager)
        async with asyncio.timeout(30):
            while not safety.answerer._serving.get(manager):
                await asyncio.sleep(0.005)
            await safety.link.known()
        w = World(made, machine, asker, readings, trip)
        following = asyncio.create_task(w.follow())
        try:
            await w.until(lambda: w.told and w.told[-1].level is not PowerLevel.UNKNOWN)
            yield w
        finally:
            following.cancel()
            running.cancel()
            await asyncio.gather(following, running, return_exceptions=True)
            keeper.close()
            await asyncio.sleep(0.05)
            guardian.hear()
            guardian.close()


@pytest.fixture
async def machine() -> AsyncIterator[InProcessMachine]:
    made = InProcessMachine(Plant(Settings(timings=QUICK)))
    yield made
    made.close()


async def test_a_trip_cuts_latches_and_ends_with_a_person_when_it_has_cooled(
    tmp_path: Path, machine: InProcessMachine
) -> None:
    async with world(tmp_path, machine) as w:
        assert w.readings.power("host.0") is False
        await w.power_on()
        w.trip.pull("host.0", "zone cpu: cpu0_temp is at 101")
        await w.until(lambda: not w.on())
        await w.until(lambda: w.told[-1].tripped and w.told[-1].level is PowerLevel.OFF)
        assert w.told[-1].too_hot
        await w.until((tmp_path / "trip.json").exists)
        assert orjson.loads((tmp_path / "trip.json").read_bytes())["tripped"].keys() == {"host.0"}
        with pytest.raises(Refused, match="only a person"):
            await w.drive(WireAction.ON)
        with pytest.raises(Refused, match="still too hot"):
            await w.drive(WireAction.ON, asked=True)
        with pytest.raises(Refused, match="latched off"):
            await w.drive(WireAction.SOFT_OFF, asked=True)  # on a host that is off it would power it on
        w.trip.put_hot("host.0", hot=False)
        await w.until(lambda: not w.told[-1].too_hot)
        with pytest.raises(Refused, match="only a person"):
            await w.drive(WireAction.ON)
        await w.power_on()
        await w.until(lambda: not w.told[-1].tripped)
        assert orjson.loads((tmp_path / "trip.json").read_bytes()) == {"tripped": {}}
        assert w.trip.latched("host.0") is None


async def test_a_latch_outlives_a_restart_with_the_bus_stopped(tmp_path: Path, machine: InProcessMachine) -> None:
    async with world(tmp_path, machine) as w:
        await w.power_on()
        await asyncio.to_thread(w.made.server.stop, 5)
        w.trip.pull("host.0", "too hot")
        await w.until(lambda: not w.on())
        await w.until((tmp_path / "trip.json").exists)
        w.made.server.start()
    async with world(tmp_path, machine) as w:
        await w.until(lambda: w.told[-1].tripped == "too hot")
        with pytest.raises(Refused, match="only a person"):
            await w.drive(WireAction.ON)
        await w.power_on()


async def test_a_latch_that_cannot_be_read_latches(tmp_path: Path, machine: InProcessMachine) -> None:
    (tmp_path / "trip.json").write_bytes(b"{")
    async with world(tmp_path, machine) as w:
        with pytest.raises(Refused, match="could not be read"):
            await w.drive(WireAction.ON)
        await w.power_on()


async def test_power_that_stays_is_cut_again_and_again(
    tmp_path: Path, machine: InProcessMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trips, "AGAIN_SECONDS", 0.1)
    async with world(tmp_path, machine) as w:
        await w.power_on()
        machine.act(lambda plant: plant.inject("hang-hard", "host.0"))
        presses = 0

        def count(change: object) -> None:
            nonlocal presses
            presses += "power-button-0" in str(change) and "True" in str(change)

        stop = machine.plant.listen(count)
        w.trip.pull("host.0", "too hot")
        await w.until(lambda: presses >= 2, 30)
        assert w.on()
        machine.act(lambda plant: plant.clear("hang-hard", "host.0"))
        await w.until(lambda: not w.on(), 30)
        stop()


async def test_a_host_that_is_powered_on_at_the_machine_is_cut_while_hot_and_free_when_cool(
    tmp_path: Path, machine: InProcessMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trips, "SETTLE_SECONDS", 0.2)

    def press(seconds: float) -> None:
        machine.act(lambda plant: plant.drive("power-button-0", active=True))
        asyncio.get_running_loop().call_later(
            seconds, lambda: machine.act(lambda plant: plant.drive("power-button-0", active=False))
        )

    async with world(tmp_path, machine) as w:
        await w.power_on()
        w.trip.pull("host.0", "too hot")
        await w.until(lambda: not w.on() and w.readings.power("host.0") is False)
        press(0.2)
        await w.until(w.on)
        await w.until(lambda: not w.on())
        w.trip.put_hot("host.0", hot=False)
        await asyncio.sleep(1.5)
        press(0.2)
        await w.until(w.on)
        await w.until(lambda: not w.told[-1].tripped and w.told[-1].level is PowerLevel.ON)
        assert w.on()


@pytest.mark.parametrize("content", [b'{"tripped": {"host.0": "too hot"}}', b"{"])
async def test_a_host_that_is_on_when_we_begin_is_not_cut_for_what_the_file_says(
    tmp_path: Path, machine: InProcessMachine, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(trips, "SETTLE_SECONDS", 0.2)
    async with world(tmp_path, machine) as w:
        await w.power_on()
        readings = w.readings
    assert readings.power("host.0") is None, "nobody sees it any more"
    (tmp_path / "trip.json").write_bytes(content)
    async with world(tmp_path, machine) as w:
        if content == b"{":
            w.trip.put_hot("host.0", hot=True)  # a sensor that cannot be read says so too
        await w.until(lambda: not w.told[-1].tripped and w.told[-1].level is PowerLevel.ON)
        await asyncio.sleep(1.5)
        assert w.on()
        w.trip.pull("host.0", "too hot now")
        await w.until(lambda: not w.on())
