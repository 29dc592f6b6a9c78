"""Chassis: the boxes, their power, light, lid, and what is built into them."""

from __future__ import annotations

from ubmc.protocols.redfish import health, indicator, layout
from ubmc.protocols.redfish.actioninfo import action_info, reset_offer
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.resource import NULL, Action, Body, Params, Resource, known, links, members
from ubmc.protocols.redfish.shape import Prop, Shape
from ubmc.protocols.redfish.types import ROOT
from ubmc.protocols.redfish.when import stamp
from ubmc.v1alpha1.chassis_pb import Chassis, ChassisPowerAction, ChassisState
from ubmc.v1alpha1.inventory_pb import Asset, AssetKind
from ubmc.v1alpha1.sensor_pb import Sensor, SensorKind, SensorQuality

COLLECTION = f"{ROOT}/Chassis"
CHASSIS = f"{COLLECTION}/{{chassis}}"
ASSEMBLY = f"{CHASSIS}/Assembly"
RESET = "Chassis.Reset"
RESETS = {
    "On": ChassisPowerAction.ON,
    "GracefulShutdown": ChassisPowerAction.OFF,
    "ForceOff": ChassisPowerAction.FORCE_OFF,
    "PowerCycle": ChassisPowerAction.CYCLE,
    "FullPowerCycle": ChassisPowerAction.FORCE_CYCLE,
}
"""Cutting the power of a host that runs needs a forced one: GracefulShutdown and PowerCycle are refused then."""
_POWER = {
    ChassisState.OFF: "Off",
    ChassisState.POWERING_ON: "PoweringOn",
    ChassisState.ON: "On",
    ChassisState.POWERING_OFF: "PoweringOff",
    ChassisState.CYCLING: "PoweringOff",
}
_STATES = {ChassisState.OFF: "StandbyOffline", ChassisState.POWERING_ON: "Starting", ChassisState.ON: "Enabled"}
_TYPES = {
    3: "StandAlone",
    7: "StandAlone",
    17: "RackMount",
    23: "RackMount",
    25: "Enclosure",
    28: "Blade",
    29: "Enclosure",
}
"""By the number of the FRU's chassis area, which is that of SMBIOS (DSP0134, table 17)."""
_SUBORDINATE = (
    "Assembly",
    "Controls",
    "Drives",
    "EnvironmentMetrics",
    "Power",
    "PowerSubsystem",
    "Sensors",
    "Thermal",
    "ThermalSubsystem",
)


def collection(view: View, _params: Params) -> Body:
    """All chassis."""
    return {"Name": "Chassis", **members(COLLECTION, view.table("chassis").names())}


def chassis(view: View, params: Params) -> Body | None:
    """One chassis."""
    name = params["chassis"]
    box = layout.chassis(view, name)
    if box is None:
        return None
    part: Asset | None = view.table("asset").get(name)
    number = part.fru.chassis_type if part is not None and part.fru is not None else 0
    return known(
        {
            "Id": name,
            "Name": name,
            "ChassisType": _TYPES.get(number, "RackMount"),
            **(_identity(part) if part is not None else {}),
            "UUID": layout.identity(view, name),
            "PowerState": _POWER.get(box.state, NULL),
            "Status": _status(view, box, part),
            **indicator.properties(view, name),
            "PhysicalSecurity": _security(view, name),
            **{key: view.link(f"{CHASSIS}/{key}", chassis=name) for key in _SUBORDINATE},
            "Links": _links(view, box),
            "Actions": {f"#{RESET}": reset_offer(f"{COLLECTION}/{name}", RESET, RESETS)},
        }
    )


def _identity(part: Asset) -> Body:
    return {
        "Manufacturer": part.manufacturer,
        "Model": part.model,
        "SerialNumber": part.serial_number,
        "PartNumber": part.part_number,
        "SKU": part.part_number,
        "AssetTag": part.asset_tag or NULL,
        "Version": part.version,
    }


def reset_action_info(view: View, params: Params) -> Body | None:
    """The parameters of the action Reset."""
    if layout.chassis(view, params["chassis"]) is None:
        return None
    offer = reset_offer("", RESET, RESETS)
    return action_info("Reset Action Info", "ResetActionInfo", required=False, ResetType=offer)


def _status(view: View, box: Chassis, part: Asset | None) -> Body:
    rollup = health.of_components(view, lambda component: layout.chassis_of(view, component) == box.name)
    return health.status(_STATES.get(box.state, "Enabled"), health.of_part(part), rollup)


def _security(view: View, name: str) -> Body | None:
    """Whether the box was opened, where a sensor tells."""
    for sensor in view.table("alarm").names():
        alarm = view.table("alarm").get(sensor)
        if alarm is None or alarm.kind is not SensorKind.STATE or "intrusion" not in sensor:
            continue
        if layout.chassis_of(view, alarm.component) == name:
            seen: Sensor | None = view.table("sensor").get(sensor)
            return {"IntrusionSensor": _lid(seen), "IntrusionSensorReArm": "Automatic"}
    return None


def _lid(sensor: Sensor | None) -> str | None:
    """How the lid is; null while its sensor cannot be believed."""
    if sensor is None or sensor.quality is not SensorQuality.GOOD:
        return None
    return "HardwareIntrusion" if sensor.state == "open" else "Normal"


def _links(view: View, box: Chassis) -> Body:
    managers = [f"{ROOT}/Managers/{each}" for each in view.table("controller").names()]
    found: Body = {}
    groups = {
        "ComputerSystems": [f"{ROOT}/Systems/{each}" for each in box.hosts],
        "ManagedBy": managers,
        "ManagersInChassis": managers,
        "Drives": _parts(view, box, AssetKind.DRIVE),
        "Processors": _parts(view, box, AssetKind.PROCESSOR),
        "PowerSupplies": _parts(view, box, AssetKind.POWER_SUPPLY),
    }
    for name, paths in groups.items():
        if paths:
            found |= {name: links(paths), f"{name}@odata.count": len(paths)}
    return found


def _parts(view: View, box: Chassis, kind: AssetKind) -> list[str]:
    found = []
    # The place of a supply is a resource of its own, whether there is one in it or not.
    for part in layout.parts(view, kind, of_chassis=box.name, absent=kind is AssetKind.POWER_SUPPLY):
        hosts = layout.hosts_of(view, part.name)
        found.append(layout.place(view, part, hosts[0] if hosts else "", box.name))
    return [path for path in found if path]


def assembly(view: View, params: Params) -> Body | None:
    """The boards that are built into a chassis, as their FRU storage tells."""
    name = params["chassis"]
    if layout.chassis(view, name) is None:
        return None
    boards = layout.parts(view, AssetKind.BOARD, of_chassis=name)
    base = ASSEMBLY.format(chassis=name)
    return {
        "Id": "Assembly",
        "Name": f"Assembly of {name}",
        "Assemblies": [_board(base, index, each) for index, each in enumerate(boards)],
        "Assemblies@odata.count": len(boards),
    }


def _board(base: str, index: int, part: Asset) -> Body:
    made = part.fru.board_manufacture_time if part.fru is not None else None
    return known(
        {
            "@odata.id": f"{base}#/Assemblies/{index}",
            "MemberId": str(index),
            "Name": part.name,
            "Vendor": part.manufacturer,
            "Producer": part.manufacturer,
            "Model": part.model,
            "PartNumber": part.part_number,
            "SerialNumber": part.serial_number,
            "Version": part.version,
            "ProductionDate": stamp(made),
            "PhysicalContext": "SystemBoard",
            "Status": {"State": "Enabled", "Health": health.of_part(part)},
        }
    )


PATCH: Shape = {"AssetTag": Prop(longest=63, nullable=True), **indicator.SHAPE}

RESOURCES = (
    Resource(COLLECTION, "ChassisCollection", collection, about="All boxes."),
    Resource(
        CHASSIS,
        "Chassis",
        chassis,
        patch=PATCH,
        actions=(Action(RESET, {"ResetType": Prop(values=tuple(RESETS))}),),
        about="One box: identity, power, light, lid.",
    ),
    Resource(f"{CHASSIS}/ResetActionInfo", "ActionInfo", reset_action_info, about="What Reset can do."),
    Resource(ASSEMBLY, "Assembly", assembly, about="The boards that are built in."),
)
