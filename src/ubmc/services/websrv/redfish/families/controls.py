"""Driving a thermal zone by hand."""

from __future__ import annotations

from ubmc.kit.errors import NotFound
from ubmc.protocols.redfish.controls import AUTOMATIC, CONTROL
from ubmc.protocols.redfish.shape import Values
from ubmc.services.websrv.redfish.context import Context, Family, Unit
from ubmc.v1alpha1.thermal_pb import ClearManualDutyRequest, SetManualDutyRequest, ThermalZone
from ubmc.v1alpha1.thermal_rpc import ThermalService


async def _drive(context: Context, values: Values) -> None:
    """A set point means by hand; by hand without one keeps the duty as it is now."""
    name = context.params["control"]
    if values.get("ControlMode") == AUTOMATIC:
        cleared = await context.call(ThermalService.ClearManualDuty, ClearManualDutyRequest(name=name))
        context.model.put("zone", name, cleared.thermal_zone)
        return
    zone: ThermalZone | None = context.view.table("zone").get(name)
    if zone is None:
        raise NotFound("the zone is not there any more")
    duty = float(values.get("SetPoint", zone.duty_percent))
    driven = await context.call(ThermalService.SetManualDuty, SetManualDutyRequest(name=name, duty_percent=duty))
    context.model.put("zone", name, driven.thermal_zone)


FAMILY = Family(patches={CONTROL: (Unit(("SetPoint", "ControlMode"), _drive, ThermalService.SetManualDuty),)})
