"""What a system is made of, as far as the inventory tells: processors, memory, drives, network interfaces."""

from __future__ import annotations

from ubmc.protocols.redfish import health, layout
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.resource import NULL, Body, Builder, Params, Resource, known, link, links, members
from ubmc.protocols.redfish.shape import Prop
from ubmc.protocols.redfish.types import ROOT
from ubmc.v1alpha1.inventory_pb import Asset, AssetKind

SYSTEM = f"{ROOT}/Systems/{{system}}"
PROCESSORS = f"{SYSTEM}/Processors"
MEMORY = f"{SYSTEM}/Memory"
STORAGES = f"{SYSTEM}/Storage"
STORAGE = f"{STORAGES}/{{storage}}"
DRIVES = f"{ROOT}/Chassis/{{chassis}}/Drives"
DRIVE = f"{DRIVES}/{{drive}}"
VOLUMES = f"{STORAGE}/Volumes"
CONTROLLERS = f"{STORAGE}/Controllers"
CONTROLLER = "controller.0"
SIMPLE_STORAGES = f"{SYSTEM}/SimpleStorage"
INTERFACES = f"{SYSTEM}/EthernetInterfaces"

_MIB = 1 << 20
_APPLY_TIMES = {
    "@Redfish.OperationApplyTimeSupport": {
        "@odata.type": "#Settings.v1_4_0.OperationApplyTimeSupport",
        "SupportedValues": ["Immediate"],
    }
}
_ARCHITECTURES = {"x86": "x86", "x86_64": "x86", "amd64": "x86", "aarch64": "ARM", "arm64": "ARM", "riscv64": "RISC-V"}
_MEDIA = {"hdd": "HDD", "ssd": "SSD", "disk": "SSD", "smr": "SMR"}
_PROTOCOLS = {
    "nvme": "NVMe",
    "sata": "SATA",
    "sas": "SAS",
    "pcie": "PCIe",
    "usb": "USB",
    "virtio": "PCIe",
    "scsi": "SAS",
}
_MEMORIES = {"ddr3": "DDR3", "ddr4": "DDR4", "ddr5": "DDR5"}


def _one(view: View, params: Params, place: str, kind: AssetKind) -> Asset | None:
    """The part that a path names, if it is of that kind, there, and in that system."""
    part = layout.asset(view, params[place])
    if part is None or part.kind is not kind or params["system"] not in layout.hosts_of(view, part.name):
        return None
    return part


def _status(view: View, part: Asset) -> Body:
    return health.status("Enabled", health.of_components(view, lambda component: component == part.name))


def _identity(part: Asset) -> Body:
    return {
        "Id": part.name,
        "Name": part.name,
        "Manufacturer": part.manufacturer,
        "Model": part.model,
        "PartNumber": part.part_number,
        "SerialNumber": part.serial_number,
    }


def location(label: str, kind: str = "Slot") -> Body | None:
    """Where a part is, by the label that people read there."""
    return {"PartLocation": {"ServiceLabel": label, "LocationType": kind}} if label else None


def _collection(name: str, template: str, kind: AssetKind) -> Builder:
    """The collection of the parts of one kind."""

    def build(view: View, params: Params) -> Body | None:
        if layout.host(view, params["system"]) is None:
            return None
        found = [each.name for each in layout.parts(view, kind, of_host=params["system"])]
        return {"Name": name, **members(template.format(**params), found)}

    return build


def processor(view: View, params: Params) -> Body | None:
    """One processor."""
    part = _one(view, params, "processor", AssetKind.PROCESSOR)
    if part is None:
        return None
    cores, threads = layout.number(part, "cores"), layout.number(part, "threads")
    architecture = _ARCHITECTURES.get(part.details.get("architecture", "").lower())
    return known(
        {
            **_identity(part),
            "ProcessorType": "CPU",
            "ProcessorArchitecture": architecture or NULL,
            "Socket": part.location,
            "TotalCores": cores,
            "TotalThreads": threads if threads is not None else cores if cores is not None else NULL,
            "MaxSpeedMHz": layout.number(part, "speed_mhz"),
            "Version": part.version,
            "Status": _status(view, part),
        }
    )


def memory(view: View, params: Params) -> Body | None:
    """One memory module."""
    part = _one(view, params, "memory", AssetKind.MEMORY)
    if part is None:
        return None
    capacity = layout.number(part, "capacity_bytes")
    return known(
        {
            **_identity(part),
            "MemoryType": "DRAM",
            "MemoryDeviceType": _MEMORIES.get(part.details.get("type", "").lower()),
            "Location": location(part.location),
            "CapacityMiB": capacity // _MIB if capacity is not None else None,
            "OperatingSpeedMhz": layout.number(part, "speed_mts"),
            "Status": _status(view, part),
        }
    )


# --- storage ------------------------------------------------------------------------------------------------------


def _drives(view: View, host: str) -> list[Asset]:
    return [each for each in layout.parts(view, AssetKind.DRIVE, of_host=host) if each.details.get("type") != "cdrom"]


def _with_drives(view: View, params: Params) -> list[Asset] | None:
    """The drives of a system that has some."""
    if layout.host(view, params["system"]) is None:
        return None
    if params.get("storage", layout.STORAGE) != layout.STORAGE:
        return None
    return _drives(view, params["system"]) or None


def _storage_collection(name: str, template: str) -> Builder:
    def build(view: View, params: Params) -> Body | None:
        if layout.host(view, params["system"]) is None:
            return None
        there = [layout.STORAGE] if _drives(view, params["system"]) else []
        return {"Name": name, **members(template.format(**params), there)}

    return build


def _drives_status(view: View, found: list[Asset]) -> Body:
    healths = [str(_status(view, each)["Health"]) for each in found]
    return health.status("Enabled", health.OK, health.worst(healths))


def storage(view: View, params: Params) -> Body | None:
    """The drives of a system; which controller they hang on, the inventory does not tell."""
    found = _with_drives(view, params)
    if found is None:
        return None
    return {
        "Id": layout.STORAGE,
        "Name": "Drives",
        "Drives": links([DRIVE.format(chassis=layout.chassis_of(view, each.name), drive=each.name) for each in found]),
        "Drives@odata.count": len(found),
        "Controllers": link(CONTROLLERS.format(**params)),
        "Volumes": link(VOLUMES.format(**params)),
        "Status": _drives_status(view, found),
    }


def volumes(view: View, params: Params) -> Body | None:
    """Volumes are the business of the operating system: there are none here, and none can be made."""
    if _with_drives(view, params) is None:
        return None
    return {"Name": "Volumes", **_APPLY_TIMES, **members(VOLUMES.format(**params), [])}


def controllers(view: View, params: Params) -> Body | None:
    """What the drives hang on: one, of which nothing more is known."""
    if _with_drives(view, params) is None:
        return None
    return {"Name": "Storage Controllers", **members(CONTROLLERS.format(**params), [CONTROLLER])}


def controller(view: View, params: Params) -> Body | None:
    """The one controller."""
    found = _with_drives(view, params)
    if found is None or params["controller"] != CONTROLLER:
        return None
    return {"Id": CONTROLLER, "Name": "Whatever the drives hang on", "Status": _drives_status(view, found)}


def drives(view: View, params: Params) -> Body | None:
    """The drives that are built into a chassis."""
    if layout.chassis(view, params["chassis"]) is None:
        return None
    found = layout.parts(view, AssetKind.DRIVE, of_chassis=params["chassis"])
    names = [each.name for each in found if each.details.get("type") != "cdrom"]
    return {"Name": "Drives", **members(DRIVES.format(**params), names)}


def drive(view: View, params: Params) -> Body | None:
    """One drive."""
    part = layout.asset(view, params["drive"])
    if part is None or part.kind is not AssetKind.DRIVE or part.details.get("type") == "cdrom":
        return None
    if layout.chassis_of(view, part.name) != params["chassis"]:
        return None
    hosts = layout.hosts_of(view, part.name)
    of = [STORAGE.format(system=hosts[0], storage=layout.STORAGE)] if hosts else []
    return known(
        {
            **_identity(part),
            "CapacityBytes": layout.number(part, "capacity_bytes"),
            "MediaType": _MEDIA.get(part.details.get("media", part.details.get("type", "")).lower(), NULL),
            "Protocol": _PROTOCOLS.get(part.details.get("protocol", "").lower(), NULL),
            "Revision": part.version,
            "PhysicalLocation": location(part.location, "Bay"),
            "Status": _status(view, part),
            "Links": known({"Chassis": _box(view, part), "Storage": link(of[0]) if of else None}),
        }
    )


def _box(view: View, part: Asset) -> Body | None:
    box = layout.chassis_of(view, part.name)
    return link(f"{ROOT}/Chassis/{box}") if box else None


def simple_storage(view: View, params: Params) -> Body | None:
    """The drives of a system in the form of old."""
    found = _with_drives(view, params)
    if found is None:
        return None
    return {
        "Id": layout.STORAGE,
        "Name": "Drives",
        "Devices": [_device(view, each) for each in found],
        "Devices@odata.count": len(found),
        "Status": _drives_status(view, found),
        "Links": {"Storage": link(STORAGE.format(**params))},
    }


def _device(view: View, part: Asset) -> Body:
    return known(
        {
            "Name": part.name,
            "Manufacturer": part.manufacturer,
            "Model": part.model,
            "CapacityBytes": layout.number(part, "capacity_bytes"),
            "Status": _status(view, part),
        }
    )


# --- network ------------------------------------------------------------------------------------------------------


def cards(view: View, host: str) -> list[Asset]:
    """The network cards whose address is known: without one, an interface is of no use to anybody."""
    return [
        each for each in layout.parts(view, AssetKind.NETWORK_CARD, of_host=host) if each.details.get("mac_address")
    ]


def interfaces(view: View, params: Params) -> Body | None:
    """The network interfaces of a system, where any is known."""
    if layout.host(view, params["system"]) is None:
        return None
    found = [each.name for each in cards(view, params["system"])]
    if not found:
        return None
    return {"Name": "Ethernet Interfaces", **members(INTERFACES.format(**params), found)}


def interface(view: View, params: Params) -> Body | None:
    """One network interface, as far as can be seen from outside."""
    part = _one(view, params, "interface", AssetKind.NETWORK_CARD)
    if part is None or part not in cards(view, params["system"]):
        return None
    address = part.details["mac_address"].upper()
    return known(
        {
            "Id": part.name,
            "Name": part.name,
            "Description": f"{part.manufacturer} {part.model}".strip(),
            "MACAddress": address,
            "PermanentMACAddress": address,
            "InterfaceEnabled": True,
            "LinkStatus": NULL,
            "SpeedMbps": layout.number(part, "speed_mbps"),
            "Status": _status(view, part),
        }
    )


RESOURCES = (
    Resource(
        PROCESSORS,
        "ProcessorCollection",
        _collection("Processors", PROCESSORS, AssetKind.PROCESSOR),
        about="The processors of a computer.",
    ),
    Resource(f"{PROCESSORS}/{{processor}}", "Processor", processor, about="One processor."),
    Resource(
        MEMORY, "MemoryCollection", _collection("Memory", MEMORY, AssetKind.MEMORY), about="The memory of a computer."
    ),
    Resource(f"{MEMORY}/{{memory}}", "Memory", memory, about="One memory module."),
    Resource(
        STORAGES, "StorageCollection", _storage_collection("Storage", STORAGES), about="The storage of a computer."
    ),
    Resource(STORAGE, "Storage", storage, about="All drives of a computer."),
    Resource(DRIVES, "DriveCollection", drives, about="All drives of a chassis."),
    Resource(DRIVE, "Drive", drive, about="One drive."),
    Resource(
        VOLUMES,
        "VolumeCollection",
        volumes,
        create={name: Prop() for name in ("RAIDType", "Name", "DisplayName")}
        | {"CapacityBytes": Prop("integer"), "Links": Prop("object"), "Encrypted": Prop("boolean")},
        about="Volumes are the business of the operating system; always empty, and making one is refused.",
    ),
    Resource(CONTROLLERS, "StorageControllerCollection", controllers, about="What the drives hang on."),
    Resource(f"{CONTROLLERS}/{{controller}}", "StorageController", controller, about="The one that must be there."),
    Resource(
        SIMPLE_STORAGES,
        "SimpleStorageCollection",
        _storage_collection("Simple Storage", SIMPLE_STORAGES),
        about="The storage of a computer, in the form of old.",
    ),
    Resource(
        f"{SIMPLE_STORAGES}/{{storage}}", "SimpleStorage", simple_storage, about="All drives, in the form of old."
    ),
    Resource(INTERFACES, "EthernetInterfaceCollection", interfaces, about="The network interfaces of a computer."),
    Resource(f"{INTERFACES}/{{interface}}", "EthernetInterface", interface, about="One network interface."),
)
