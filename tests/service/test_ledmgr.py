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
from ubmc.hw.leds.port import Led
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.lines import SimLines
from ubmc.kit import subjects
from ubmc.kit.bus import Bus
from ubmc.kit.errors import Denied, NotFound
from ubmc.kit.service import Service, rpc
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.ledmgr import service as ledmgr
from ubmc.services.ledmgr.light import Light
from ubmc.services.ledmgr.service import Duty, LedManager
from ubmc.v1alpha1 import led_pb
from ubmc.v1alpha1.chassis_pb import Chassis, ChassisIdentifyChange, ListChassisRequest, ListChassisResponse
from ubmc.v1alpha1.chassis_rpc import ChassisService
from ubmc.v1alpha1.event_pb import EventEnvelope
from ubmc.v1alpha1.host_pb import Host, HostState, HostStateChange, ListHostsRequest, ListHostsResponse
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.led_pb import LedPattern, LedRole
from ubmc.v1alpha1.led_rpc import LedService
from ubmc.v1alpha1.sensor_pb import (
    ListSensorsRequest,
    ListSensorsResponse,
    Sensor,
    SensorLevel,
    SensorQuality,
    SensorThresholdCrossing,
)
from ubmc.v1alpha1.sensor_rpc import SensorService
from ubmc.v1alpha1.system_pb import (
    GetHealthRequest,
    GetHealthResponse,
    ServiceHealth,
    ServiceHealthChange,
    ServiceState,
)
from ubmc.v1alpha1.system_rpc import SystemService
from ubmc.v1alpha1.thermal_pb import CoolingDeviceState, CoolingDeviceStateChange

POWER_AND_IDENTIFY = (Duty("power-led", "power", "host.0"), Duty("identify-led", "identify", "chassis.0"))
# The same two wires on a board that uses them otherwise.
STATUS_AND_FAULT = (Duty("power-led", "status", "chassis.0"), Duty("identify-led", "fault", ""))


class States(Service):
    """The truth of the test."""

    name = "statemgr"
    tells = (
        HostStateChange,
        ChassisIdentifyChange,
        CoolingDeviceStateChange,
        ServiceHealthChange,
        SensorThresholdCrossing,
    )

    def __init__(self) -> None:
        self.host = HostState.OFF
        self.identify = False
        self.services: list[ServiceHealth] = []
        self.sensors: list[Sensor] = []
        self.asked = 0

    @rpc(HostService.ListHosts)
    async def hosts(self, request: ListHostsRequest) -> ListHostsResponse:
        return ListHostsResponse(hosts=[Host(name="host.0", state=self.host), Host(name="host.1", state=HostState.ON)])

    @rpc(ChassisService.ListChassis)
    async def chassis(self, request: ListChassisRequest) -> ListChassisResponse:
        self.asked += 1
        chassis = Chassis(name="chassis.0", identify=self.identify, hosts=["host.0", "host.1"])
        return ListChassisResponse(chassis=[chassis])

    @rpc(SystemService.GetHealth)
    async def health(self, request: GetHealthRequest) -> GetHealthResponse:
        return GetHealthResponse(services=self.services)

    @rpc(SensorService.ListSensors)
    async def list_sensors(self, request: ListSensorsRequest) -> ListSensorsResponse:
        at = int(request.page_token or "0")
        token = str(at + 1) if at + 1 < len(self.sensors) else ""
        return ListSensorsResponse(sensors=self.sensors[at : at + 1], next_page_token=token)


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
    bus: BusWorld
    machine: InProcessMachine
    states: States
    managers: Bus
    door: Bus

    def lit(self, name: str) -> bool:
        return self.machine.plant.read(name)

    async def until(self, what: Callable[[], object], seconds: float = 45.0) -> None:
        async with asyncio.timeout(seconds):
            while not what():
                await asyncio.sleep(0.005)

    async def changes(self, name: str) -> None:
        """The light blinks."""
        for level in (True, False, True):
            await self.until(lambda level=level: self.lit(name) == level)  # type: ignore[misc]

    async def shows(self, name: str, pattern: LedPattern) -> led_pb.Led:
        """The light, once it shows this."""
        async with asyncio.timeout(30):
            while (led := await self.get(name)).pattern is not pattern:
                await asyncio.sleep(0.01)
        return led

    async def tell(self, news: Message[Any]) -> None:
        """As the bus passes it on; nobody keeps a log here."""
        envelope = EventEnvelope(component="x", body=news.to_binary())
        await self.managers.link.publish(subjects.event(type(news), "x"), envelope.to_binary())

    async def host(self, state: HostState, name: str = "host.0") -> None:
        await self.tell(HostStateChange(name=name, current=state))

    async def get(self, name: str) -> led_pb.Led:
        request = led_pb.GetLedRequest(name=name)
        led = (await self.door.forward(LedService.GetLed, request, self.bus.call("olga", "ReadOnly"))).led
        assert led is not None
        return led

    async def set(self, name: str, pattern: LedPattern, seconds: float = 0) -> led_pb.Led:
        request = led_pb.SetLedRequest(name=name, pattern=pattern, duration_seconds=seconds)
        led = (await self.door.forward(LedService.SetLed, request, self.bus.call("olga", "Operator"))).led
        assert led is not None
        return led


@contextlib.asynccontextmanager
async def world(
    resync: float, monkeypatch: pytest.MonkeyPatch, duties: tuple[Duty, ...] = POWER_AND_IDENTIFY
) -> AsyncIterator[World]:
    monkeypatch.setattr(ledmgr, "RESYNC_SECONDS", resync)
    monkeypatch.setattr(ledmgr, "HEALTH_SECONDS", resync)
    machine = InProcessMachine()
    processes = (ProcessSpec("managers", (States, LedManager)), ProcessSpec("websrv", (), door=True))
    async with BusWorld(*processes) as made:
        states = States()
        managers, door = await made.place("managers", states), await made.place("websrv")
        running = await made.run(managers, LedManager(duties, lambda: Lights(SimLines(machine.dial))))
        w = World(made, machine, states, managers, door)
        for duty in duties:
            async with asyncio.timeout(30):
                while (await w.get(duty.led)).pattern is LedPattern.UNSPECIFIED:
                    await asyncio.sleep(0.01)
        yield w
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    machine.close()


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


async def test_a_light_that_fails_is_said_and_set_when_it_works_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Light, "RETRY_SECONDS", 0.03)
    monkeypatch.setattr(Light, "REFRESH_SECONDS", 0.05)
    async with world(0.05, monkeypatch) as w:
        w.machine.unplug()
        w.states.host = HostState.ON
        await w.until(lambda: caplog.text.count("a light cannot be set") == 2)  # each of the two, once
        assert (await w.get("power-led")).failed
        await asyncio.sleep(0.3)
        assert caplog.text.count("a light cannot be set") == 2
        w.machine.plug()
        await w.until(lambda: w.lit("power-led"))
        await asyncio.sleep(0.1)
        assert not (await w.get("power-led")).failed


async def test_a_steady_light_stays_when_the_service_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(60, monkeypatch) as w:
        await w.host(HostState.ON)
        await w.until(lambda: w.lit("power-led"))
        machine = w.machine
    assert machine.plant.read("power-led")


async def test_status_and_fault_follow_the_health_of_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(60, monkeypatch, STATUS_AND_FAULT) as w:
        await w.until(lambda: w.lit("power-led"))  # all is well
        assert not w.lit("identify-led")
        assert (await w.get("identify-led")).component == "chassis.0"
        await w.tell(CoolingDeviceStateChange(name="fan.0", current=CoolingDeviceState.SEIZED))
        await w.until(lambda: w.lit("identify-led"))
        assert (await w.shows("power-led", LedPattern.BLINK_FAST)).reason == "fan.0 is seized"
        await w.tell(ServiceHealthChange(name="websrv", state=ServiceState.FAILED, reason="x"))
        await w.tell(CoolingDeviceStateChange(name="fan.0", current=CoolingDeviceState.OK))
        assert (await w.shows("power-led", LedPattern.BLINK_SLOW)).reason == "the service websrv is failed"
        await w.tell(ServiceHealthChange(name="websrv", state=ServiceState.READY))
        await w.shows("power-led", LedPattern.ON)
        await w.shows("identify-led", LedPattern.OFF)


async def test_news_of_an_unknown_sensor_are_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(60, monkeypatch, (*STATUS_AND_FAULT[:1], Duty("identify-led", "fault", "host.0"))) as w:
        w.states.sensors = [
            Sensor(name="cpu0_temp", component="host.0", quality=SensorQuality.GOOD, level=SensorLevel.NORMAL),
            Sensor(name="cpu1_temp", component="host.1", quality=SensorQuality.GOOD, level=SensorLevel.CRITICAL),
        ]
        crossing = SensorThresholdCrossing(name="cpu1_temp", current=SensorLevel.CRITICAL)
        await w.tell(crossing)
        assert (await w.shows("power-led", LedPattern.BLINK_FAST)).reason == "cpu1_temp is critical"
        await w.shows("identify-led", LedPattern.OFF)  # once it is known that it is not in host.0


async def test_identify_is_on_the_status_light_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(60, monkeypatch, STATUS_AND_FAULT) as w:
        await w.tell(ChassisIdentifyChange(name="chassis.0", identify=True))
        await w.shows("power-led", LedPattern.FLASH)
        await w.changes("power-led")
        assert (await w.get("identify-led")).pattern is LedPattern.OFF  # the fault light has its own business


async def test_a_light_is_set_by_hand_for_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(60, monkeypatch) as w:
        led = await w.set("power-led", LedPattern.ON, 0.3)
        assert w.lit("power-led")
        assert (led.overridden, led.reason, led.pattern, led.role) == (
            True,
            "set by olga",
            LedPattern.ON,
            LedRole.POWER,
        )
        await w.until(lambda: not w.lit("power-led"))
        assert (await w.get("power-led")).reason == "host.0 is off"
        await w.set("power-led", LedPattern.BLINK_FAST)
        await w.changes("power-led")
        assert not (await w.set("power-led", LedPattern.UNSPECIFIED)).overridden
        await w.until(lambda: not w.lit("power-led"))


async def test_a_lamp_test_lights_all_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(60, monkeypatch) as w:
        request = led_pb.TestLedsRequest(duration_seconds=0.3)
        answer = await w.door.forward(LedService.TestLeds, request, w.bus.call("olga", "Operator"))
        assert w.lit("power-led")
        assert w.lit("identify-led")
        assert [(led.pattern, led.reason) for led in answer.leds] == [(LedPattern.ON, "a lamp test")] * 2
        await w.until(lambda: not w.lit("power-led") and not w.lit("identify-led"))


async def test_lights_are_listed_and_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(60, monkeypatch) as w:
        reader = w.bus.call("olga", "ReadOnly")
        page = await w.door.forward(LedService.ListLeds, led_pb.ListLedsRequest(page_size=1), reader)
        assert [led.name for led in page.leds] == ["identify-led"]
        request = led_pb.ListLedsRequest(page_size=1, page_token=page.next_page_token)
        page = await w.door.forward(LedService.ListLeds, request, reader)
        assert ([led.name for led in page.leds], page.next_page_token) == (["power-led"], "")
        watching = w.door.watch(LedService.WatchLeds, led_pb.WatchLedsRequest(name="power-led"), reader)
        async with asyncio.timeout(30):
            first = await anext(watching)
            assert (first.snapshot, first.led and first.led.pattern) == (True, LedPattern.OFF)
            await w.host(HostState.ON)
            second = await anext(watching)
            assert (second.snapshot, second.led and second.led.reason) == (False, "host.0 is on")
        await watching.aclose()


async def test_what_is_not_there_or_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(60, monkeypatch) as w:
        with pytest.raises(NotFound, match="there is no moon; there is identify-led, power-led"):
            await w.set("moon", LedPattern.ON)
        request = led_pb.SetLedRequest(name="power-led", pattern=LedPattern.ON)
        with pytest.raises(Denied):
            await w.door.forward(LedService.SetLed, request, w.bus.call("olga", "ReadOnly"))
