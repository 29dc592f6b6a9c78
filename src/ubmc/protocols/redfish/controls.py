"""Controls: what a person can turn by hand. Each thermal zone is one, by its duty; by hand only for a time."""

from __future__ import annotations

from ubmc.protocols.redfish import health, layout, sensors
from ubmc.protocols.redfish.facts import View, given
from ubmc.protocols.redfish.resource import Body, Params, Resource, known, links, members
from ubmc.protocols.redfish.shape import Prop, Shape
from ubmc.protocols.redfish.types import ROOT
from ubmc.v1alpha1.thermal_pb import ThermalZone, ThermalZoneState

CONTROLS = f"{ROOT}/Chassis/{{chassis}}/Controls"
CONTROL = f"{CONTROLS}/{{control}}"
AUTOMATIC, MANUAL = "Automatic", "Manual"
_HEALTHS = {ThermalZoneState.FAIL_SAFE: health.WARNING, ThermalZoneState.OVERHEATED: health.CRITICAL}


def _chassis(view: View, zone: ThermalZone) -> str:
    """The chassis that a zone is in: that of its first fan."""
    first = next(iter(zone.cooling_devices), "")
    return layout.chassis_of(view, first)


def collection(view: View, params: Params) -> Body | None:
    """The zones of a chassis."""
    name = params["chassis"]
    if layout.chassis(view, name) is None:
        return None
    found = [zone.name for zone in view.table("zone") if _chassis(view, zone) == name]
    return {"Name": "Controls", **members(CONTROLS.format(chassis=name), found)}


def control(view: View, params: Params) -> Body | None:
    """One zone: the duty that it gives, and who says so."""
    zone: ThermalZone | None = view.table("zone").get(params["control"])
    if zone is None or _chassis(view, zone) != params["chassis"]:
        return None
    by_hand = given(zone, "manual_percent")
    fans = [path for name in zone.cooling_devices for path in sensors.related(view, name)]
    return known(
        {
            "Id": zone.name,
            "Name": f"Cooling of the zone {zone.name}",
            "Description": zone.duty_reason,
            "ControlType": "DutyCycle",
            "ControlMode": AUTOMATIC if by_hand is None else MANUAL,
            "ControlMode@Redfish.AllowableValues": [AUTOMATIC, MANUAL],
            "SetPoint": sensors.tidy(zone.duty_percent if by_hand is None else by_hand),
            "SetPointType": "Single",
            "SetPointUnits": "%",
            "AllowableMin": 0,
            "AllowableMax": 100,
            "PhysicalContext": "Fan",
            "RelatedItem": links(fans),
            "RelatedItem@odata.count": len(fans),
            "Status": health.status("Enabled", _HEALTHS.get(zone.state, health.OK)),
        }
    )


PATCH: Shape = {"SetPoint": Prop("number", minimum=0, maximum=100), "ControlMode": Prop(values=(AUTOMATIC, MANUAL))}

RESOURCES = (
    Resource(CONTROLS, "ControlCollection", collection, about="What can be turned by hand."),
    Resource(CONTROL, "Control", control, patch=PATCH, about="The duty of one thermal zone; by hand for ten minutes."),
)
