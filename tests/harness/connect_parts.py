"""The small BMC of `connect.py` with sensors, cooling, lights, assets and a log that can be cleared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from protobuf.wkt import Timestamp

from tests.harness.connect import Bmc
from ubmc.v1alpha1 import chassis_connect, inventory_connect, led_connect, sensor_connect, thermal_connect
from ubmc.v1alpha1.chassis_pb import Chassis, ListChassisResponse, SetChassisIdentifyResponse
from ubmc.v1alpha1.event_pb import ClearEventsResponse, EventLogState, GetEventLogResponse, GetEventResponse
from ubmc.v1alpha1.inventory_pb import (
    Asset,
    AssetKind,
    Fru,
    GetAssetResponse,
    ListAssetsResponse,
    ReadFruResponse,
    UpdateAssetResponse,
    WriteFruResponse,
)
from ubmc.v1alpha1.led_pb import (
    GetLedResponse,
    Led,
    LedPattern,
    LedRole,
    ListLedsResponse,
    SetLedResponse,
    TestLedsResponse,
)
from ubmc.v1alpha1.sensor_pb import (
    GetSensorResponse,
    ListSensorsResponse,
    ResetSensorThresholdsResponse,
    Sensor,
    SensorKind,
    SensorLevel,
    SensorQuality,
    SensorSide,
    SensorThresholds,
    UpdateSensorThresholdsResponse,
    WatchSensorsResponse,
)
from ubmc.v1alpha1.thermal_pb import (
    ClearManualDutyResponse,
    CoolingDevice,
    CoolingDeviceState,
    GetControllerLogResponse,
    GetCoolingDeviceResponse,
    GetThermalZoneResponse,
    ListCoolingDevicesResponse,
    ListThermalZonesResponse,
    SetManualDutyResponse,
    SetThermalProfileResponse,
    ThermalController,
    ThermalProfile,
    ThermalZone,
    ThermalZoneState,
    WatchThermalZonesResponse,
)

FRU = bytes(range(20))


def _sensors() -> dict[str, Sensor]:
    hot = Sensor(
        name="cpu0_temp", kind=SensorKind.TEMPERATURE, unit="Cel", component="host.0", value=81.50000001,
        quality=SensorQuality.GOOD, level=SensorLevel.WARNING, side=SensorSide.UPPER, age_seconds=0.25,
        reading_time=Timestamp(seconds=1_700_000_000), thresholds=SensorThresholds(upper_warning=80, upper_critical=90),
    )  # fmt: skip
    off = Sensor(
        name="psu0_presence", kind=SensorKind.STATE, component="psu.0", state="present", quality=SensorQuality.GOOD
    )
    gone = Sensor(name="vcore", kind=SensorKind.VOLTAGE, unit="V", quality=SensorQuality.UNAVAILABLE)
    return {each.name: each for each in (hot, off, gone)}


def _zone() -> ThermalZone:
    return ThermalZone(
        name="cpu", state=ThermalZoneState.NORMAL, duty_percent=42.5, profile=ThermalProfile.BALANCED,
        duty_reason="cpu0", cooling_devices=["fan.0"],
        controllers=[ThermalController(name="cpu0", kind="stepwise", sensors=["cpu0_temp"], output_percent=42.5)],
    )  # fmt: skip


@dataclass
class Machine(
    Bmc,
    sensor_connect.SensorService,
    thermal_connect.ThermalService,
    led_connect.LedService,
    inventory_connect.InventoryService,
    chassis_connect.ChassisService,
):
    """A BMC with a machine, for tests to change; `asked` is every request that changes something."""

    sensors: dict[str, Sensor] = field(default_factory=_sensors)
    zone: ThermalZone = field(default_factory=_zone)
    led: Led = field(
        default_factory=lambda: Led(
            name="status-led", role=LedRole.STATUS, component="chassis.0", pattern=LedPattern.ON, reason="all is well"
        )
    )
    asset: Asset = field(
        default_factory=lambda: Asset(
            name="psu.0",
            kind=AssetKind.POWER_SUPPLY,
            present=True,
            model="PS-500",
            fru=Fru(product_name="PS-500"),
            details={"rated_watts": "500"},
        )
    )
    asked: list[Any] = field(default_factory=list)

    async def _take(self, request: Any, ctx: Any) -> None:
        await self._begin(ctx)
        self.asked.append(request)

    # --- sensors ------------------------------------------------------------------------------------------------

    async def list_sensors(self, request: Any, ctx: Any) -> ListSensorsResponse:
        await self._take(request, ctx)
        wanted = [each for each in self.sensors.values() if each.level.value >= request.level.value]
        at = int(request.page_token or 0)  # a page is one sensor
        return ListSensorsResponse(
            sensors=wanted[at : at + 1], next_page_token=str(at + 1) if at + 1 < len(wanted) else ""
        )

    def _sensor(self, name: str) -> Sensor:
        if name not in self.sensors:
            raise ConnectError(Code.NOT_FOUND, f"there is no {name}")
        return self.sensors[name]

    async def get_sensor(self, request: Any, ctx: Any) -> GetSensorResponse:
        await self._begin(ctx)
        return GetSensorResponse(sensor=self._sensor(request.name))

    async def watch_sensors(self, request: Any, ctx: Any) -> AsyncIterator[WatchSensorsResponse]:
        await self._take(request, ctx)
        start = int(request.cursor or 0)
        for number in range(start + 1, 4):
            yield WatchSensorsResponse(sensors=list(self.sensors.values()), cursor=str(number), snapshot=number == 1)

    async def update_sensor_thresholds(self, request: Any, ctx: Any) -> UpdateSensorThresholdsResponse:
        await self._take(request, ctx)
        return UpdateSensorThresholdsResponse(sensor=Sensor(name=request.name, thresholds=request.thresholds))

    async def reset_sensor_thresholds(self, request: Any, ctx: Any) -> ResetSensorThresholdsResponse:
        await self._take(request, ctx)
        return ResetSensorThresholdsResponse(sensor=self._sensor(request.name))

    # --- cooling ------------------------------------------------------------------------------------------------

    async def list_cooling_devices(self, request: Any, ctx: Any) -> ListCoolingDevicesResponse:
        await self._begin(ctx)
        fan = CoolingDevice(name="fan.0", state=CoolingDeviceState.SEIZED, duty_percent=100, speeds_rpm=[0, 9000])
        return ListCoolingDevicesResponse(cooling_devices=[fan])

    async def get_cooling_device(self, request: Any, ctx: Any) -> GetCoolingDeviceResponse:
        await self._begin(ctx)
        return GetCoolingDeviceResponse(cooling_device=CoolingDevice(name=request.name, kind="pwm"))

    async def list_thermal_zones(self, request: Any, ctx: Any) -> ListThermalZonesResponse:
        await self._begin(ctx)
        return ListThermalZonesResponse(thermal_zones=[self.zone])

    async def get_thermal_zone(self, request: Any, ctx: Any) -> GetThermalZoneResponse:
        await self._begin(ctx)
        return GetThermalZoneResponse(thermal_zone=self.zone)

    async def watch_thermal_zones(self, request: Any, ctx: Any) -> AsyncIterator[WatchThermalZonesResponse]:
        await self._begin(ctx)
        yield WatchThermalZonesResponse(thermal_zone=self.zone, cursor="1", snapshot=True)

    async def set_thermal_profile(self, request: Any, ctx: Any) -> SetThermalProfileResponse:
        await self._take(request, ctx)
        self.zone.profile = request.profile
        return SetThermalProfileResponse(thermal_zone=self.zone)

    async def set_manual_duty(self, request: Any, ctx: Any) -> SetManualDutyResponse:
        await self._take(request, ctx)
        self.zone.manual_percent = request.duty_percent
        self.zone.manual_remaining_seconds = request.duration_seconds
        return SetManualDutyResponse(thermal_zone=self.zone)

    async def clear_manual_duty(self, request: Any, ctx: Any) -> ClearManualDutyResponse:
        await self._take(request, ctx)
        return ClearManualDutyResponse(thermal_zone=self.zone)

    async def get_controller_log(self, request: Any, ctx: Any) -> GetControllerLogResponse:
        await self._begin(ctx)
        return GetControllerLogResponse(csv="time,duty\n1.0,42.5\n")

    # --- lights -------------------------------------------------------------------------------------------------

    async def list_leds(self, request: Any, ctx: Any) -> ListLedsResponse:
        await self._begin(ctx)
        return ListLedsResponse(leds=[self.led])

    async def get_led(self, request: Any, ctx: Any) -> GetLedResponse:
        await self._begin(ctx)
        return GetLedResponse(led=self.led)

    async def set_led(self, request: Any, ctx: Any) -> SetLedResponse:
        await self._take(request, ctx)
        self.led.pattern, self.led.reason = request.pattern, "set by admin"
        return SetLedResponse(led=self.led)

    async def test_leds(self, request: Any, ctx: Any) -> TestLedsResponse:
        await self._take(request, ctx)
        return TestLedsResponse(leds=[self.led])

    async def list_chassis(self, request: Any, ctx: Any) -> ListChassisResponse:
        await self._begin(ctx)
        return ListChassisResponse(chassis=[Chassis(name="chassis.0")])

    async def set_chassis_identify(self, request: Any, ctx: Any) -> SetChassisIdentifyResponse:
        await self._take(request, ctx)
        return SetChassisIdentifyResponse(chassis=Chassis(name=request.name, identify=request.identify))

    # --- assets -------------------------------------------------------------------------------------------------

    async def list_assets(self, request: Any, ctx: Any) -> ListAssetsResponse:
        await self._take(request, ctx)
        return ListAssetsResponse(assets=[self.asset])

    async def get_asset(self, request: Any, ctx: Any) -> GetAssetResponse:
        await self._begin(ctx)
        return GetAssetResponse(asset=self.asset)

    async def update_asset(self, request: Any, ctx: Any) -> UpdateAssetResponse:
        await self._take(request, ctx)
        return UpdateAssetResponse(asset=request.asset)

    async def read_fru(self, request: Any, ctx: Any) -> ReadFruResponse:
        await self._begin(ctx)
        return ReadFruResponse(data=FRU)

    async def write_fru(self, request: Any, ctx: Any) -> WriteFruResponse:
        await self._take(request, ctx)
        return WriteFruResponse(asset=self.asset)

    # --- events -------------------------------------------------------------------------------------------------

    async def get_event(self, request: Any, ctx: Any) -> GetEventResponse:
        await self._begin(ctx)
        return GetEventResponse(event=next(event for event in self.events if event.id == request.id))

    async def get_event_log(self, request: Any, ctx: Any) -> GetEventLogResponse:
        await self._begin(ctx)
        return GetEventLogResponse(log=EventLogState(count=len(self.events), dropped=3, max_count=10_000))

    async def clear_events(self, request: Any, ctx: Any) -> ClearEventsResponse:
        await self._take(request, ctx)
        return ClearEventsResponse(cleared=len(self.events))

    def _applications(self) -> dict[str, Any]:
        more = (
            sensor_connect.SensorServiceASGIApplication(self),
            thermal_connect.ThermalServiceASGIApplication(self),
            led_connect.LedServiceASGIApplication(self),
            inventory_connect.InventoryServiceASGIApplication(self),
            chassis_connect.ChassisServiceASGIApplication(self),
        )
        return super()._applications() | {app.path.strip("/"): app for app in more}
