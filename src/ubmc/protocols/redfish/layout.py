"""Which part belongs to which system and chassis, and what identifies it. Families ask here, never each other."""

from __future__ import annotations

import uuid

from ubmc.protocols.redfish.facts import View, natural
from ubmc.protocols.redfish.types import ROOT
from ubmc.v1alpha1.chassis_pb import Chassis
from ubmc.v1alpha1.host_pb import Host
from ubmc.v1alpha1.inventory_pb import Asset, AssetKind
from ubmc.v1alpha1.management_controller_pb import ManagementController
from ubmc.v1alpha1.system_pb import System

_DEEPEST = 8
_NAMESPACE = uuid.UUID("6b8c1f0e-53a7-5d0e-9f64-2f1d7c0f9a11")  # ours alone; made once
_UNKNOWN = System()


def system(view: View) -> System:
    """What this device is as a whole."""
    return view.table("system").get("") or _UNKNOWN


def host(view: View, name: str) -> Host | None:
    """A host."""
    found: Host | None = view.table("host").get(name)
    return found


def chassis(view: View, name: str) -> Chassis | None:
    """A chassis."""
    found: Chassis | None = view.table("chassis").get(name)
    return found


def controller(view: View, name: str) -> ManagementController | None:
    """A management controller."""
    found: ManagementController | None = view.table("controller").get(name)
    return found


def chassis_of_host(view: View, name: str) -> str:
    """The chassis that a host is in; empty if nobody says."""
    return next((each.name for each in view.table("chassis") if name in each.hosts), "")


def asset(view: View, name: str) -> Asset | None:
    """An asset that is there."""
    found: Asset | None = view.table("asset").get(name)
    return found if found is not None and found.present else None


def line(view: View, name: str) -> list[str]:
    """An asset and what it is in, outwards."""
    table = view.table("asset")
    found: list[str] = []
    while name and name not in found and len(found) < _DEEPEST:
        found.append(name)
        each = table.get(name)
        name = each.parent if each is not None else ""
    return found


def chassis_of(view: View, component: str) -> str:
    """The chassis that a component is in; the first one if nobody says."""
    names = view.table("chassis").names()
    for name in line(view, component):
        if name in names:
            return name
        if name.startswith("host.") and (of_host := chassis_of_host(view, name)):
            return of_host
    return names[0] if names else ""


def hosts_of(view: View, component: str) -> list[str]:
    """The hosts that a part belongs to: the one that it is in, else those of its chassis."""
    hosts = view.table("host").names()
    for name in line(view, component):
        if name in hosts:
            return [name]
    box = chassis(view, chassis_of(view, component))
    return [name for name in hosts if box is not None and name in box.hosts]


def parts(view: View, kind: AssetKind, *, of_host: str = "", of_chassis: str = "", absent: bool = False) -> list[Asset]:
    """The parts of one kind that are there, in the order of their names; with `absent`, the empty places too."""
    found = []
    for each in view.table("asset"):
        if each.kind is not kind or not (each.present or absent):
            continue
        if of_host and of_host not in hosts_of(view, each.name):
            continue
        if of_chassis and chassis_of(view, each.name) != of_chassis:
            continue
        found.append(each)
    return sorted(found, key=lambda each: natural(each.name))


def number(part: Asset, name: str) -> int | None:
    """A number among the details of an asset."""
    text = part.details.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def identity(view: View, name: str) -> str:
    """The UUID of a host, chassis or controller.

    What its firmware says, else one made of the serial numbers, so that it stays the same for this machine.
    """
    own = view.table("asset").get(name)
    said = own.details.get("uuid", "") if own is not None else ""
    try:
        return str(uuid.UUID(said))
    except ValueError:
        pass
    of = system(view)
    serials = [each.serial_number for each in view.table("asset") if each.parent == "" or each.name == name]
    return str(uuid.uuid5(_NAMESPACE, "/".join([of.vendor, of.board, *serials, name])))


PLACES = {
    AssetKind.POWER_SUPPLY: f"{ROOT}/Chassis/{{chassis}}/PowerSubsystem/PowerSupplies/{{supply}}",
    AssetKind.FAN: f"{ROOT}/Chassis/{{chassis}}/ThermalSubsystem/Fans/{{fan}}",
    AssetKind.PROCESSOR: f"{ROOT}/Systems/{{system}}/Processors/{{processor}}",
    AssetKind.MEMORY: f"{ROOT}/Systems/{{system}}/Memory/{{memory}}",
    AssetKind.DRIVE: f"{ROOT}/Chassis/{{chassis}}/Drives/{{drive}}",
}
"""Where the parts of each kind are."""
STORAGE = "storage.0"


def place(view: View, part: Asset, host: str, box: str) -> str:
    """The path of the resource that a part has; empty if it has none."""
    template = PLACES.get(part.kind, "")
    if template not in view.served or (not part.present and part.kind is not AssetKind.POWER_SUPPLY):
        return ""
    if part.kind is AssetKind.FAN and part.name not in view.table("fan").names():
        return ""
    if "{system}" in template and not host:
        return ""
    names = dict.fromkeys(("supply", "fan", "processor", "memory", "drive"), part.name)
    return template.format(system=host, chassis=box, **names)
