"""Changes of chassis and sensors."""

from __future__ import annotations

from protobuf.wkt import FieldMask

from ubmc.protocols.redfish import chassis, sensors
from ubmc.protocols.redfish.shape import Values
from ubmc.services.websrv.redfish.context import By, Context, Done, Family, Unit, text
from ubmc.services.websrv.redfish.families.indicator import indicate
from ubmc.v1alpha1.chassis_pb import ChangeChassisPowerRequest
from ubmc.v1alpha1.chassis_rpc import ChassisService
from ubmc.v1alpha1.inventory_pb import Asset, UpdateAssetRequest
from ubmc.v1alpha1.inventory_rpc import InventoryService
from ubmc.v1alpha1.sensor_pb import (
    ResetSensorStatisticsRequest,
    Sensor,
    SensorThresholds,
    UpdateSensorThresholdsRequest,
)
from ubmc.v1alpha1.sensor_rpc import SensorService


async def _tag(context: Context, values: Values) -> None:
    asset = Asset(name=context.params["chassis"], asset_tag=text(values["AssetTag"]))
    answer = await context.call(InventoryService.UpdateAsset, UpdateAssetRequest(asset=asset))
    if answer.asset is not None:
        context.model.put("asset", answer.asset.name, answer.asset)


async def _light(context: Context, values: Values) -> None:
    await indicate(context, context.params["chassis"], values)


async def _reset(context: Context, values: Values) -> Done:
    """Without a type it is the first one, On (DSP0266, "Reset")."""
    name = context.params["chassis"]
    action = chassis.RESETS[values.get("ResetType", "On")]
    answer = await context.call(ChassisService.ChangeChassisPower, ChangeChassisPowerRequest(name=name, action=action))
    if answer.chassis is not None:
        context.model.put("chassis", name, answer.chassis)
    return Done(task=answer.task)


async def _thresholds(context: Context, values: Values) -> None:
    """Change limits; null takes one away."""
    fields = {sensors.THRESHOLDS[path.split("/")[1]]: value for path, value in values.items()}
    sensor: Sensor | None = context.view.table("sensor").get(context.params["sensor"])
    scale = sensors.measure(sensor)[2] if sensor is not None else 1.0
    given = {name: float(value) / scale for name, value in fields.items() if value is not None}
    request = UpdateSensorThresholdsRequest(
        name=context.params["sensor"],
        thresholds=SensorThresholds(**given),
        update_mask=FieldMask(paths=list(fields)),
    )
    answer = await context.call(SensorService.UpdateSensorThresholds, request)
    if answer.sensor is not None:
        context.model.put("sensor", answer.sensor.name, answer.sensor)


async def _reset_metrics(context: Context, _values: Values) -> Done:
    request = ResetSensorStatisticsRequest(name=context.params["sensor"])
    await context.call(SensorService.ResetSensorStatistics, request)
    return Done()


FAMILY = Family(
    patches={
        chassis.CHASSIS: (
            Unit(("AssetTag",), _tag, InventoryService.UpdateAsset),
            Unit(("IndicatorLED", "LocationIndicatorActive"), _light, ChassisService.SetChassisIdentify),
        ),
        sensors.SENSOR: (
            Unit(
                tuple(f"Thresholds/{name}/Reading" for name in sensors.THRESHOLDS),
                _thresholds,
                SensorService.UpdateSensorThresholds,
            ),
        ),
    },
    actions={
        (chassis.CHASSIS, chassis.RESET): By(_reset, ChassisService.ChangeChassisPower),
        (sensors.SENSOR, sensors.RESET_METRICS): By(_reset_metrics, SensorService.ResetSensorStatistics),
    },
)
