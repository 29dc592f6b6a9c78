"""Which resource a component of the house is: what an event, a log entry or a task is about."""

from __future__ import annotations

from ubmc.protocols.redfish.types import ROOT

CHASSIS = "chassis.0"
MANAGER = "bmc.0"
_PLACES: dict[str, tuple[str, str]] = {
    "host": ("ComputerSystem", "{root}/Systems/{name}"),
    "chassis": ("Chassis", "{root}/Chassis/{name}"),
    "bmc": ("Manager", "{root}/Managers/{name}"),
    "psu": ("PowerSupply", "{root}/Chassis/{chassis}/PowerSubsystem/PowerSupplies/{name}"),
    "fan": ("Fan", "{root}/Chassis/{chassis}/ThermalSubsystem/Fans/{name}"),
    "cpu": ("Processor", "{root}/Systems/{host}/Processors/{name}"),
    "dimm": ("Memory", "{root}/Systems/{host}/Memory/{name}"),
    "drive": ("Drive", "{root}/Chassis/{chassis}/Drives/{name}"),
    "board": ("Chassis", "{root}/Chassis/{chassis}"),
}
_SERVICES: dict[str, tuple[str, str]] = {
    "usermgr": ("AccountService", "{root}/AccountService"),
    "securitymgr": ("CertificateService", "{root}/CertificateService"),
    "subscription": ("EventService", "{root}/EventService"),
    "report": ("TelemetryService", "{root}/TelemetryService"),
}


def origin(
    component: str, *, sensor: bool = False, zone: bool = False, chassis: str = CHASSIS, host: str = "host.0"
) -> tuple[str, str]:
    """The type of a resource, and where it is.

    Args:
        component: as events name it: `host.0`, `psu.0`, `usermgr`; or the name of a sensor or thermal zone.
        sensor: it is a sensor.
        zone: it is a thermal zone.
        chassis: the chassis to look in for parts.
        host: the system to look in for parts.
    """
    if sensor:
        return "Sensor", f"{ROOT}/Chassis/{chassis}/Sensors/{component}"
    if zone:
        return "Control", f"{ROOT}/Chassis/{chassis}/Controls/{component}"
    found = _PLACES.get(component.partition(".")[0]) or _SERVICES.get(component)
    if found is None:
        return "Manager", f"{ROOT}/Managers/{MANAGER}"
    kind, template = found
    return kind, template.format(root=ROOT, name=component, chassis=chassis, host=host)
