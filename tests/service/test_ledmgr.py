"""ledmgr on a real bus, with the lights of the simulated machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from protobuf import Message
from tests.harness.bus import BusWorld

from ubmc.hw.leds.line import LineLed
from ubmc.hw.leds.port import Blink, Led, Steady
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.lines import SimLines
from ubmc.kit import subjects
from ubmc.kit.bus import Bus
from ubmc.kit.service import Service, rpc
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.ledmgr import pattern
from ubmc.services.ledmgr import service as ledmgr
from ubmc.services.ledmgr.service import Duty, LedManager
from ubmc.v1alpha1.chassis_pb import Chassis, ChassisIdentifyChange, ListChassisRequest, ListChassisResponse
from ubmc.v1alpha1.chassis_rpc import ChassisService
from ubmc.v1alpha1.event_pb import EventEnvelope
from ubmc.v1alpha1.host_pb import Host, HostState, HostStateChange, ListHostsRequest, ListHostsResponse
from ubmc.v1alpha1.host_rpc import HostService

DUTIES = [Duty("power-led", "power", "host.0"), Duty("identify-led", "identify", "chassis.0")]


class States(Service):
    """The truth of the test."""

    name = "statemgr"
    tells = (HostStateChange, ChassisIdentifyChange)

    def __init__(self) -> None:
        self.host = HostState.OFF
        self.identify = False
        self.asked = 0

    @rpc(HostService.ListHosts)
    async def hosts(self, request: ListHostsRequest) -> ListHostsResponse:
        return ListHostsResponse(hosts=[Host(name="host.0", state=self.host), Host(name="host.1", state=HostState.ON)])

    @rpc(ChassisService.ListChassis)
    async def chassis(self, request: ListChassisRequest) -> ListChassisResponse:
        self.asked += 1
        return ListChassisResponse(chassis=[Chassis(name="chassis.0", identify=self.identify)])


class Lights:
    """Two lights of the machine."""

    def __init__(self, lines: SimLines) -> None:
        self.lines = lines
        self.leds: Mapping[str, Led] = {
            name: LineLed(name, partial(lines.output, name, momentary=False)) for name in ("power-led", "identify-led")
        }

    async def close(self) -> None:
        for led in self.leds.values():
            await led.close()
        await self.lines.close()


@dataclass
class World:
    machine: InProcessMachine
    states: States
    managers: Bus

    def lit(self, name: str) -> bool:
        return self.machine.plant.read(name)

    async def until(self, what: Callable[[], object], seconds: float = 5) -> None:
        async with asyncio.timeout(seconds):
            while not what():
                await asyncio.sleep(0.005)

    async def changes(self, name: str) -> None:
        """The light blinks."""
        for level in (True, False, True):
            await self.until(lambda level=level: self.lit(name) == level)  # type: ignore[misc]

    async def tell(self, news: Message[Any]) -> None:
        """As the bus passes it on; nobody keeps a log here."""
        envelope = EventEnvelope(component="x", body=news.to_binary())
        await self.managers.link.publish(subjects.event(type(news), "x"), envelope.to_binary())

    async def host(self, state: HostState, name: str = "host.0") -> None:
        await self.tell(HostStateChange(name=name, current=state))


@contextlib.asynccontextmanager
async def world(resync: float, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(ledmgr, "RESYNC_SECONDS", resync)
    machine = InProcessMachine()
    async with BusWorld(ProcessSpec("managers", (States, LedManager))) as made:
        states = States()
        managers = await made.place("managers", states)
        running = await made.run(managers, LedManager(DUTIES, lambda: Lights(SimLines(machine.dial))))
        w = World(machine, states, managers)
        await w.until(lambda: states.asked)
        await asyncio.sleep(0.2)
        yield w
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    machine.close()


def test_every_state_has_a_light() -> None:
    assert set(pattern.POWER) == set(HostState)
    assert pattern.POWER[HostState.ON] is Steady.ON
    assert pattern.POWER[HostState.UNKNOWN] is pattern.POWER[HostState.OFF] is Steady.OFF
    for state in (HostState.POWERING_ON, HostState.POWERING_OFF, HostState.RESTARTING):
        assert isinstance(pattern.POWER[state], Blink)
    assert isinstance(pattern.identify(on=True), Blink)
    assert pattern.identify(on=False) is Steady.OFF


async def test_lights_follow_news_of_their_own_component_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(60, monkeypatch) as w:
        await w.until(lambda: not w.lit("power-led"))
        await w.host(HostState.ON)
        await w.until(lambda: w.lit("power-led"))
        await w.host(HostState.OFF, "host.1")
        await asyncio.sleep(0.2)
        assert w.lit("power-led")
        await w.host(HostState.POWERING_OFF)
        await w.changes("power-led")
        await w.host(HostState.OFF)
        await w.until(lambda: not w.lit("power-led"))
        await w.tell(ChassisIdentifyChange(name="chassis.0", identify=True))
        await w.changes("identify-led")
        assert not w.lit("power-led")
        await w.tell(ChassisIdentifyChange(name="chassis.0", identify=False))
        await w.until(lambda: not w.lit("identify-led"))


async def test_it_asks_how_things_are_at_the_start_and_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(0.1, monkeypatch) as w:
        w.states.host = HostState.ON
        await w.until(lambda: w.lit("power-led"))
        w.states.host, w.states.identify = HostState.OFF, True
        await w.until(lambda: not w.lit("power-led"))
        await w.until(lambda: w.lit("identify-led"))


async def test_a_light_that_fails_is_said_once_and_set_when_it_works_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ubmc.services.ledmgr.service.RETRY_SECONDS", 0.03)
    async with world(0.05, monkeypatch) as w:
        await asyncio.sleep(0.2)
        w.machine.unplug()
        w.states.host = HostState.ON
        await asyncio.sleep(0.7)
        assert caplog.text.count("a light cannot be set") == 2  # each of the two, once
        w.machine.plug()
        await w.until(lambda: w.lit("power-led"))


async def test_a_steady_light_stays_when_the_service_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(60, monkeypatch) as w:
        await w.host(HostState.ON)
        await w.until(lambda: w.lit("power-led"))
        machine = w.machine
    assert machine.plant.read("power-led")
