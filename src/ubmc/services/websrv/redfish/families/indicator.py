"""Lighting the identify light of a chassis."""

from __future__ import annotations

from ubmc.protocols.redfish.indicator import PATTERNS, light
from ubmc.protocols.redfish.shape import Values
from ubmc.services.websrv.redfish.context import Context
from ubmc.v1alpha1.chassis_pb import SetChassisIdentifyRequest
from ubmc.v1alpha1.chassis_rpc import ChassisService
from ubmc.v1alpha1.led_pb import LedPattern, SetLedRequest
from ubmc.v1alpha1.led_rpc import LedService


async def indicate(context: Context, chassis: str, values: Values) -> None:
    """Make a chassis known by its light, or end that.

    `IndicatorLED` also says how the light looks; without it, the light looks as the BMC has it for identify.
    """
    wanted = values.get("IndicatorLED")
    active = values.get("LocationIndicatorActive", wanted != "Off")
    request = SetChassisIdentifyRequest(name=chassis, identify=active)
    answer = await context.call(ChassisService.SetChassisIdentify, request)
    if answer.chassis is not None:
        context.model.put("chassis", chassis, answer.chassis)
    led = light(context.view, chassis)
    if led is None:
        return
    pattern = PATTERNS.get(wanted or "", LedPattern.UNSPECIFIED) if active else LedPattern.UNSPECIFIED
    shown = await context.call(LedService.SetLed, SetLedRequest(name=led.name, pattern=pattern))
    if shown.led is not None:
        context.model.put("led", led.name, shown.led)
