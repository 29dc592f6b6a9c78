"""The service ledmgr: its lights follow what the other managers tell, unless somebody overrides or tests them.

News can be missed while the bus is away, so now and then it also asks how things are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from ubmc.hw.leds.port import Led
from ubmc.kit.call import asking
from ubmc.kit.errors import UbmcError, Unavailable
from ubmc.kit.feed import Feed
from ubmc.kit.pages import find, natural, page
from ubmc.kit.service import Service, lasting, on, rpc, stream
from ubmc.rpc import Req, Res, Unary
from ubmc.services.ledmgr import pattern
from ubmc.services.ledmgr.facts import Duty, Facts
from ubmc.services.ledmgr.light import Light
from ubmc.v1alpha1 import led_pb
from ubmc.v1alpha1.chassis_pb import ChassisIdentifyChange, ChassisStateChange, ListChassisRequest
from ubmc.v1alpha1.chassis_rpc import ChassisService
from ubmc.v1alpha1.host_pb import HostStateChange, ListHostsRequest
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.led_pb import (
    GetLedRequest,
    GetLedResponse,
    LedPattern,
    LedRole,
    ListLedsRequest,
    ListLedsResponse,
    SetLedRequest,
    SetLedResponse,
    TestLedsRequest,
    TestLedsResponse,
    WatchLedsRequest,
    WatchLedsResponse,
)
from ubmc.v1alpha1.led_rpc import LedService
from ubmc.v1alpha1.sensor_pb import ListSensorsRequest, Sensor, SensorQualityChange, SensorThresholdCrossing
from ubmc.v1alpha1.sensor_rpc import SensorService
from ubmc.v1alpha1.system_pb import GetHealthRequest, ServiceHealthChange
from ubmc.v1alpha1.system_rpc import SystemService
from ubmc.v1alpha1.thermal_pb import (
    CoolingDeviceStateChange,
    ListCoolingDevicesRequest,
    ListThermalZonesRequest,
    ThermalTrip,
    ThermalZoneStateChange,
)
from ubmc.v1alpha1.thermal_rpc import ThermalService

__all__ = ["Duty", "LedManager", "Lights"]

RESYNC_SECONDS = 10.0
HEALTH_SECONDS = 30.0
RETRY_SECONDS = 0.5
SETTLE_SECONDS = 3.0
"""A sensor that fails for less is never told of: who saw that must look again, for no news will say that it is well."""
TRIES = 3
TRIED_SECONDS = 2.0
TEST_SECONDS = 5.0
SENSORS_A_PAGE = 200
MOST_PAGES = 50
HEALTH_ROLES = frozenset({LedRole.STATUS, LedRole.FAULT})


class Lights(Protocol):
    """The lights of a board, open."""

    @property
    def leds(self) -> Mapping[str, Led]:
        """By name."""

    async def close(self) -> None:
        """Give all back."""


class LedManager(Service):
    """Drives the lights of the board, and answers for them.

    Args:
        duties: what each light is there for.
        open_lights: opens the hardware; again after a restart of the service.
    """

    name = "ledmgr"
    after = ("statemgr",)
    calls = (
        HostService.ListHosts,
        ChassisService.ListChassis,
        SensorService.ListSensors,
        ThermalService.ListCoolingDevices,
        ThermalService.ListThermalZones,
        SystemService.GetHealth,
    )

    def __init__(self, duties: Sequence[Duty], open_lights: Callable[[], Lights]) -> None:
        self._duties = tuple(sorted(duties, key=lambda duty: natural(duty.led)))
        self._open_lights = open_lights
        self._hardware: Lights | None = None
        self._facts = Facts()
        self._lights: dict[str, Light] = {}
        self._feed: Feed[led_pb.Led] = Feed()
        self._told = 0  # how many news of power and identify have come
        self._health_told = 0  # and of health
        self._unsure = asyncio.Event()  # set when news are about something that we have not heard of

    async def setup(self) -> None:
        """Open the lights."""
        self._hardware = self._open_lights()
        self._lights = {duty.led: Light(duty, self._hardware.leds[duty.led], self._publish) for duty in self._duties}
        self._refresh()
        for light in self._lights.values():
            light.say()

    async def teardown(self) -> None:
        """Give the lights back as they are."""
        if self._hardware is not None:
            await self._hardware.close()
            self._hardware = None

    async def work(self) -> None:
        """Drive every light, and ask now and then how things are."""
        async with asyncio.TaskGroup() as group:
            for light in self._lights.values():
                group.create_task(lasting(light.run()))
            group.create_task(lasting(self._keep_asking(self._ask_states, asyncio.Event())))
            if any(duty.kind in HEALTH_ROLES for duty in self._duties):
                group.create_task(lasting(self._keep_asking(self._ask_health, self._unsure)))

    def _publish(self, light: led_pb.Led) -> None:
        self._feed.publish(light.name, light)

    def _refresh(self) -> None:
        """Decide anew what every light shows."""
        best: dict[str, LedRole] = {}
        homes = {duty: self._facts.home(self._facts.whose(duty)) for duty in self._duties}
        for role in reversed(pattern.STANDS_IN):
            best |= {home: role for duty, home in homes.items() if duty.kind is role}
        for duty in self._duties:
            holding = self._facts.holding(duty, identifies=duty.kind is best[homes[duty]])
            self._lights[duty.led].usually(pattern.decide(duty.kind, holding), self._facts.whose(duty))

    # --- asking -------------------------------------------------------------------------------------------------

    async def _keep_asking(self, ask: Callable[[], Awaitable[float]], sooner: asyncio.Event) -> None:
        while True:
            seconds = await ask()
            self._refresh()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await sooner.wait()
                    await asyncio.sleep(RETRY_SECONDS)  # much may be new at once
            sooner.clear()

    async def _ask_states(self) -> float:
        """Power and identify of everything; after how long it is to be asked again."""
        for _ in range(TRIES):
            told = self._told
            hosts = await self._ask(HostService.ListHosts, ListHostsRequest())
            chassis = await self._ask(ChassisService.ListChassis, ListChassisRequest())
            if hosts is None or chassis is None:
                return RETRY_SECONDS
            if told == self._told:  # else the answers may be older than what is known already
                self._facts.take_hosts(hosts.hosts)
                self._facts.take_chassis(chassis.chassis)
                break
        return RESYNC_SECONDS

    async def _ask_health(self) -> float:
        """Everything that may be wrong; after how long it is to be asked again."""
        before = self._facts.failing
        for _ in range(TRIES):
            told = self._health_told
            sensors = await self._all_sensors()
            devices = await self._ask(ThermalService.ListCoolingDevices, ListCoolingDevicesRequest())
            zones = await self._ask(ThermalService.ListThermalZones, ListThermalZonesRequest())
            services = await self._ask(SystemService.GetHealth, GetHealthRequest())
            if told == self._health_told:
                if sensors is not None:
                    self._facts.take_sensors(sensors)
                if devices is not None:
                    self._facts.take_devices(devices.cooling_devices)
                if zones is not None:
                    self._facts.take_zones(zones.thermal_zones)
                if services is not None:
                    self._facts.take_services(services.services)
                if services is not None and self._facts.failing - before:
                    return SETTLE_SECONDS
                return HEALTH_SECONDS if services is not None else RETRY_SECONDS
        return HEALTH_SECONDS if self._facts.health_known else RETRY_SECONDS

    async def _all_sensors(self) -> list[Sensor] | None:
        """All sensors with their levels; None where nobody answers, as on a board without any."""
        sensors: list[Sensor] = []
        token = ""
        for _ in range(MOST_PAGES):
            request = ListSensorsRequest(page_size=SENSORS_A_PAGE, page_token=token)
            answer = await self._ask(SensorService.ListSensors, request)
            if answer is None:
                return None
            sensors += answer.sensors
            token = answer.next_page_token
            if not token:
                break
        return sensors

    async def _ask(self, token: Unary[Req, Res], request: Req) -> Res | None:
        try:
            return await self.bus.ask(token, request)
        except UbmcError:
            return None  # whoever is away is asked again later; what was known of it stays

    # --- news ---------------------------------------------------------------------------------------------------

    @on(HostStateChange)
    async def follow_host(self, change: HostStateChange) -> None:
        """A host changed."""
        self._told += 1
        self._facts.host(change.name, change.current)
        self._refresh()

    @on(ChassisStateChange)
    async def follow_chassis(self, change: ChassisStateChange) -> None:
        """A chassis changed."""
        self._told += 1
        self._facts.chassis[change.name] = change.current
        self._refresh()

    @on(ChassisIdentifyChange)
    async def follow_identify(self, change: ChassisIdentifyChange) -> None:
        """Identify was asked for, or not any more."""
        self._told += 1
        self._facts.identify[change.name] = change.identify
        self._refresh()

    @on(SensorThresholdCrossing)
    async def follow_sensor(self, change: SensorThresholdCrossing) -> None:
        """A sensor went past a limit, or came back."""
        self._health_told += 1
        self._facts.level(change.name, change.current)
        self._sensor_news(change.name)

    @on(SensorQualityChange)
    async def follow_quality(self, change: SensorQualityChange) -> None:
        """A sensor failed, or can be read again."""
        self._health_told += 1
        self._facts.quality(change.name, change.current, change.reason)
        self._sensor_news(change.name)

    def _sensor_news(self, name: str) -> None:
        if name not in self._facts.sensors:
            self._unsure.set()  # where it is, only the sensor itself says
        self._refresh()

    @on(CoolingDeviceStateChange)
    async def follow_device(self, change: CoolingDeviceStateChange) -> None:
        """A fan or pump failed, or is well again."""
        self._health_told += 1
        self._facts.device(change.name, change.current)
        self._refresh()

    @on(ThermalZoneStateChange)
    async def follow_zone(self, change: ThermalZoneStateChange) -> None:
        """A zone entered another state."""
        self._health_told += 1
        self._facts.zone(change.name, change.current, change.reason)
        self._refresh()

    @on(ThermalTrip)
    async def follow_trip(self, trip: ThermalTrip) -> None:
        """A host was powered off because it was too hot."""
        self._health_told += 1
        self._facts.trip(trip.host, trip.reason)
        self._refresh()

    @on(ServiceHealthChange)
    async def follow_service(self, change: ServiceHealthChange) -> None:
        """A service of the BMC failed, or works again."""
        self._health_told += 1
        self._facts.service(change.name, change.state)
        self._refresh()

    # --- calls --------------------------------------------------------------------------------------------------

    @rpc(LedService.ListLeds)
    async def list_leds(self, request: ListLedsRequest) -> ListLedsResponse:
        """One page of lights."""
        lights = [light.message() for light in self._lights.values()]
        shown, token = page(lights, request.page_size, request.page_token, key=lambda light: light.name)
        return ListLedsResponse(leds=shown, next_page_token=token)

    @rpc(LedService.GetLed)
    async def get_led(self, request: GetLedRequest) -> GetLedResponse:
        """One light."""
        return GetLedResponse(led=find(self._lights, request.name).message())

    @stream(LedService.WatchLeds)
    async def watch_leds(self, request: WatchLedsRequest) -> AsyncIterator[WatchLedsResponse]:
        """Lights as they change."""
        if request.name:
            find(self._lights, request.name)
        async for update in self._feed.watch(request.cursor, request.name):
            yield WatchLedsResponse(
                led=update.item, cursor=update.cursor, snapshot=update.snapshot, complete=update.complete
            )

    @rpc(LedService.SetLed)
    async def set_led(self, request: SetLedRequest) -> SetLedResponse:
        """Show something by hand, or no longer."""
        light = find(self._lights, request.name)
        if request.pattern is LedPattern.UNSPECIFIED:
            light.override(None, 0.0)
        else:
            who = asking()
            reason = f"set by {who.user}" if who is not None else "set by hand"
            light.override(pattern.Shown(request.pattern, reason), request.duration_seconds)
        await light.tried(TRIED_SECONDS)
        return SetLedResponse(led=light.message())

    @rpc(LedService.TestLeds)
    async def test_leds(self, request: TestLedsRequest) -> TestLedsResponse:
        """Light all lights for a while."""
        if self._hardware is None:
            raise Unavailable("the lights are not open yet; try again")
        for light in self._lights.values():
            light.test(request.duration_seconds or TEST_SECONDS)
        await asyncio.gather(*(light.tried(TRIED_SECONDS) for light in self._lights.values()))
        return TestLedsResponse(leds=[light.message() for light in self._lights.values()])
