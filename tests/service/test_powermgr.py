"""powermgr on a real bus, with the simulated machine in this process behind real drivers."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from tests.harness.bus import BusWorld

from ubmc.hw.gpio.port import How, Release
from ubmc.hw.power.buttons import ButtonBoard, ButtonPower
from ubmc.hw.power.buttons import Wire as BoardWire
from ubmc.hw.power.port import Action, Level, Power
from ubmc.hw.sim.control import Control
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.lines import SimLines
from ubmc.hw.sim.parts.host import Timings
from ubmc.hw.sim.plant import Plant, Settings
from ubmc.kit import guard
from ubmc.kit.bus import Bus
from ubmc.kit.channel import Channel
from ubmc.kit.errors import Invalid, NotFound, Refused, Unavailable
from ubmc.kit.guard import Guard
from ubmc.kit.service import Service
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.powermgr import wire as wires
from ubmc.services.powermgr.service import Keep, PowerManager
from ubmc.v1alpha1.host_pb import HostNewsKind
from ubmc.v1alpha1.internal_pb import (
    DriveChassisRequest,
    DriveHostRequest,
    PowerLevel,
    WatchPowerRequest,
    WatchPowerResponse,
    WireAction,
)
from ubmc.v1alpha1.internal_rpc import PowerService

BOARD = ButtonBoard(
    button=BoardWire("power-button-0"),
    good=BoardWire("power-good-0"),
    reset=BoardWire("reset-button-0"),
    front_button=BoardWire("front-power-button"),
    identify=BoardWire("front-identify-button"),
    debounce_seconds=0.005,
)
QUICK = Timings(jitter=0.0)


class Asker(Service):
    """Who may ask powermgr."""

    name = "statemgr"
    calls = (PowerService.DriveHost, PowerService.DriveChassis, PowerService.WatchPower)


class FakeGuardian:
    """The other end of the guard, in this loop."""

    def __init__(self, keeper: Guard) -> None:
        ours, theirs = Channel.pair()
        keeper.connect(theirs)
        self.channel = ours
        self.heard: list[str] = []
        asyncio.get_running_loop().add_reader(ours.fileno(), self.hear)

    def hear(self) -> None:
        with contextlib.suppress(BlockingIOError, EOFError):
            message = self.channel.receive()
            assert message is not None
            if message.kind == guard.HELLO:
                self.channel.send(guard.FREE)
            if message.kind != guard.BEAT:
                self.heard.append(f"{message.kind} {message.fields.get('name', '')}".strip())
            for descriptor in message.descriptors:
                release = Release("x", How(message.fields["how"]), descriptor)
                release.drive_inactive()
                os.close(descriptor)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.channel.fileno())
        self.channel.close()


def guard_how(text: str) -> How:
    return How(text)


@dataclass
class World:
    made: BusWorld
    machine: InProcessMachine
    manager: PowerManager
    asker: Bus
    guardian: FakeGuardian | None
    safety: Bus
    prepared: asyncio.Event
    told: list[WatchPowerResponse] = field(default_factory=list)

    async def follow(self) -> None:
        while True:
            with contextlib.suppress(Unavailable):  # it does not wait for the bus, so it answers a little later
                async for item in self.asker.watch(PowerService.WatchPower, WatchPowerRequest()):
                    self.told.append(item)
            await asyncio.sleep(0.01)

    async def until(self, what: Callable[[], object], seconds: float = 45.0) -> None:
        async with asyncio.timeout(seconds):
            while not what():
                await asyncio.sleep(0.01)

    async def level(self, level: PowerLevel) -> None:
        await self.until(lambda: self.told and self.told[-1].level == level)

    async def drive(self, action: WireAction, name: str = "host.0") -> None:
        await self.asker.ask(PowerService.DriveHost, DriveHostRequest(name=name, action=action))


@contextlib.asynccontextmanager
async def world(*, guarded: bool = True, hold_preparation: bool = False) -> AsyncIterator[World]:
    machine = InProcessMachine(Plant(Settings(timings=QUICK)))
    specs = (ProcessSpec("safety", (PowerManager,)), ProcessSpec("managers", (Asker,)))
    prepared = asyncio.Event()
    if not hold_preparation:
        prepared.set()
    loop = asyncio.get_running_loop()

    def prepare() -> None:
        asyncio.run_coroutine_threadsafe(prepared.wait(), loop).result(20)

    def host(keep: Keep) -> Power:
        def reopened(releases: tuple[Release, ...]) -> None:
            for release in releases:
                keep(release)

        return ButtonPower(
            SimLines(machine.dial), BOARD, mains_epoch=Control(machine.dial).mains_epoch, reopened=reopened
        )

    async with BusWorld(*specs) as made:
        keeper = Guard()
        guardian = FakeGuardian(keeper) if guarded else None
        manager = PowerManager({"host.0": host}, {}, keeper, prepare)
        safety, asker = await made.place("safety"), await made.place("managers")
        running = await made.run(safety, manager)
        async with asyncio.timeout(30):
            while not safety.answerer._serving.get(manager):
                await asyncio.sleep(0.005)
            await safety.link.known()
        w = World(made, machine, manager, asker, guardian, safety, prepared)
        following = asyncio.create_task(w.follow())
        try:
            yield w
        finally:
            following.cancel()
            running.cancel()
            await asyncio.gather(following, running, return_exceptions=True)
            keeper.close()
            if guardian is not None:
                await asyncio.sleep(0.05)
                guardian.hear()
                guardian.close()
            machine.close()


async def test_levels_actions_and_a_power_on() -> None:
    async with world() as w:
        await w.level(PowerLevel.OFF)
        assert set(w.told[-1].actions) == {WireAction.ON, WireAction.SOFT_OFF, WireAction.FORCE_OFF, WireAction.RESET}
        assert w.told[-1].name == "host.0"
        assert w.told[-1].mains_epoch == "in-process:0"
        await w.drive(WireAction.ON)
        await w.level(PowerLevel.ON)
        assert {item.news for item in w.told} == {HostNewsKind.UNSPECIFIED}
        assert not w.machine.plant.read("power-button-0")


async def test_lines_are_handed_to_the_guardian_and_left_in_order() -> None:
    async with world() as w:
        await w.level(PowerLevel.OFF)
        assert w.guardian is not None
        assert w.guardian.heard[0] == "hello"
        assert set(w.guardian.heard[1:]) == {"keep power-button-0", "keep reset-button-0"}
        guardian = w.guardian
    assert guardian.heard[-1] == "leave"


async def test_without_a_guardian_nothing_is_opened() -> None:
    async with world(guarded=False) as w:
        with pytest.raises(Unavailable, match="not ready yet"):
            await w.drive(WireAction.ON)
        await asyncio.sleep(guard.HANDOVER_SECONDS + 0.3)
        assert w.told == []


async def test_before_the_machine_is_there_it_is_unavailable_and_not_unknown() -> None:
    async with world(hold_preparation=True) as w:
        with pytest.raises(Unavailable, match="not ready yet"):
            await w.drive(WireAction.ON)
        with pytest.raises(NotFound):
            await w.drive(WireAction.ON, "host.9")
        w.prepared.set()
        await w.level(PowerLevel.OFF)
        await w.drive(WireAction.ON)


async def test_what_cannot_be_is_refused_with_the_right_word() -> None:
    async with world() as w:
        await w.level(PowerLevel.OFF)
        with pytest.raises(NotFound, match=r"no wires of host\.9"):
            await w.drive(WireAction.ON, "host.9")
        with pytest.raises(Invalid):
            await w.drive(WireAction.UNSPECIFIED)
        with pytest.raises(Refused, match="no line for nmi"):
            await w.drive(WireAction.NMI)
        with pytest.raises(NotFound, match="no supply of its own"):
            await w.asker.ask(PowerService.DriveChassis, DriveChassisRequest(name="chassis.0", on=True))


async def test_news_are_told_once_and_not_to_those_who_come_later() -> None:
    async with world() as w:
        await w.level(PowerLevel.OFF)
        w.machine.act(lambda plant: plant.press("front-identify-button", 0.1))
        await w.until(lambda: any(item.identify_pressed for item in w.told))
        later = w.asker.watch(PowerService.WatchPower, WatchPowerRequest())
        first = await anext(later)
        assert first.level == PowerLevel.OFF
        assert not first.identify_pressed
        assert first.actions == w.told[-1].actions
        await later.aclose()
        assert sum(item.identify_pressed for item in w.told) == 1


async def test_a_lost_machine_is_unknown_and_a_found_one_is_known_again(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as w:
        await w.level(PowerLevel.OFF)
        w.machine.unplug()
        await w.level(PowerLevel.UNKNOWN)
        with pytest.raises(Unavailable):
            await w.drive(WireAction.ON)
        w.machine.plug()
        await w.level(PowerLevel.OFF)
        assert w.guardian is not None
        await w.until(lambda: w.guardian is not None and w.guardian.heard.count("keep power-button-0") == 2)


async def test_a_machine_that_is_away_at_the_start_is_tried_until_it_comes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="ubmc.powermgr")
    monkeypatch.setattr(wires, "RETRY_SECONDS", 0.05)
    async with world(hold_preparation=True) as w:
        w.machine.unplug()
        w.prepared.set()
        await w.level(PowerLevel.UNKNOWN)
        await asyncio.sleep(0.5)
        with pytest.raises(Unavailable, match="cannot be reached now"):
            await w.drive(WireAction.ON)
        w.machine.plug()
        await w.level(PowerLevel.OFF)
    messages = [record.message for record in caplog.records if record.name == "ubmc.powermgr"]
    assert [message.split(":")[0] for message in messages] == [
        "the wires of host.0 cannot be used",
        "the wires of host.0 can be used again",
    ]


async def test_it_works_on_while_the_bus_is_away() -> None:
    async with world() as w:
        await w.level(PowerLevel.OFF)
        import signal

        os.kill(w.made.server.pid or 0, signal.SIGKILL)
        w.made.server.reap()
        assert w.guardian is not None
        await w.manager.drive_host(DriveHostRequest(name="host.0", action=WireAction.ON))
        await w.until(lambda: w.machine.plant.read("power-good-0"))
        w.made.server.start()
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(Unavailable):
                    reader = w.asker.watch(PowerService.WatchPower, WatchPowerRequest())
                    if (await anext(reader)).level == PowerLevel.ON:
                        await reader.aclose()
                        return
                    await reader.aclose()
                await asyncio.sleep(0.05)


async def test_an_error_that_nobody_foresaw_fails_the_wire(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wires, "MAINS_SECONDS", 0.02)
    machine = InProcessMachine(Plant(Settings(timings=QUICK)))
    told: list[Level] = []
    broken = asyncio.Event()

    async def mains_epoch() -> str:
        if broken.is_set():
            raise KeyError("epoch")
        return "a:1"

    async def until(level: Level) -> None:
        async with asyncio.timeout(30):
            while not told or told[-1] is not level:
                await asyncio.sleep(0.01)

    kept: list[Release] = []
    power = ButtonPower(SimLines(machine.dial), BOARD, mains_epoch=mains_epoch)
    wire = wires.Wire("host.0", power, kept.append, lambda _name, sight, _mains: told.append(sight.level))
    running = asyncio.create_task(wire.run())
    try:
        await until(Level.OFF)
        broken.set()
        async with asyncio.timeout(30):
            await asyncio.wait([running])
        assert isinstance(running.exception(), KeyError)
        with pytest.raises(Unavailable):
            await wire.do(Action.ON)
    finally:
        running.cancel()
        await asyncio.wait([running])
        for release in kept:
            os.close(release.fd)
        machine.close()
    assert KeyError in {record.exc_info[0] for record in caplog.records if record.exc_info}
