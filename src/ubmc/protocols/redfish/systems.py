"""Systems: a host as a computer, its power, how it boots, and what is on the way to its parts."""

from __future__ import annotations

from typing import Any

from ubmc.protocols.redfish import boot, conditions, consoles, health, indicator, layout, parts
from ubmc.protocols.redfish.actioninfo import action_info, reset_offer
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.resource import NULL, Action, Body, Params, Resource, known, links, members
from ubmc.protocols.redfish.shape import Prop, Shape
from ubmc.protocols.redfish.types import ROOT
from ubmc.protocols.redfish.when import stamp
from ubmc.v1alpha1.host_pb import (
    BootProgress,
    Host,
    HostPowerAction,
    HostState,
    RestartCause,
    RestorePolicy,
    WatchdogAction,
    WatchdogPretimeoutAction,
)
from ubmc.v1alpha1.inventory_pb import Asset, AssetKind

SYSTEMS = f"{ROOT}/Systems"
SYSTEM = f"{SYSTEMS}/{{system}}"
RESET = "ComputerSystem.Reset"

POWER_STATES = {
    HostState.OFF: "Off",
    HostState.POWERING_ON: "PoweringOn",
    HostState.ON: "On",
    HostState.POWERING_OFF: "PoweringOff",
    HostState.RESTARTING: "PoweringOn",
}
"""A restart is neither off nor on until it is through, so nobody who waits for `On` is told too early."""
_STATES = {
    HostState.OFF: "StandbyOffline",
    HostState.POWERING_ON: "Starting",
    HostState.ON: "Enabled",
    HostState.POWERING_OFF: "Enabled",
    HostState.RESTARTING: "Starting",
}
RESETS = {
    "On": HostPowerAction.ON,
    "ForceOn": HostPowerAction.ON,
    "ForceOff": HostPowerAction.FORCE_OFF,
    "GracefulShutdown": HostPowerAction.GRACEFUL_OFF,
    "GracefulRestart": HostPowerAction.REBOOT,
    "ForceRestart": HostPowerAction.FORCE_RESTART,
    "PowerCycle": HostPowerAction.POWER_CYCLE,
    "PushPowerButton": HostPowerAction.PUSH_POWER_BUTTON,
    "Nmi": HostPowerAction.NMI,
}
RESTORE = {
    RestorePolicy.ALWAYS_ON: "AlwaysOn",
    RestorePolicy.ALWAYS_OFF: "AlwaysOff",
    RestorePolicy.LAST_STATE: "LastState",
}
TIMEOUT_ACTIONS = {
    WatchdogAction.NONE: "None",
    WatchdogAction.RESET: "ResetSystem",
    WatchdogAction.POWER_CYCLE: "PowerCycle",
    WatchdogAction.FORCE_OFF: "PowerDown",
}
WARNING_ACTIONS = {
    WatchdogPretimeoutAction.NONE: "None",
    WatchdogPretimeoutAction.NMI: "DiagnosticInterrupt",
}
_PROGRESS = {
    BootProgress.NONE: "None",
    BootProgress.HARDWARE_INITIALIZATION: "BusInitializationStarted",
    BootProgress.PRIMARY_PROCESSOR_INITIALIZATION: "PrimaryProcessorInitializationStarted",
    BootProgress.MEMORY_INITIALIZATION: "MemoryInitializationStarted",
    BootProgress.PCI_RESOURCE_CONFIG: "PCIResourceConfigStarted",
    BootProgress.HARDWARE_INITIALIZATION_COMPLETE: "SystemHardwareInitializationComplete",
    BootProgress.SETUP_ENTERED: "SetupEntered",
    BootProgress.OS_BOOT_STARTED: "OSBootStarted",
    BootProgress.OS_RUNNING: "OSRunning",
}
_CAUSES = {
    RestartCause.UNKNOWN: "Unknown",
    RestartCause.CHASSIS_CONTROL: "ManagementCommand",
    RestartCause.RESET_BUTTON: "PowerButtonPress",
    RestartCause.POWER_BUTTON: "PowerButtonPress",
    RestartCause.WATCHDOG: "WatchdogExpiration",
    RestartCause.RESTORE_ALWAYS_ON: "PowerRestorePolicy",
    RestartCause.RESTORE_LAST_STATE: "PowerRestorePolicy",
    RestartCause.SOFT_RESET: "OSSoftRestart",
}


def collection(view: View, _params: Params) -> Body:
    """All systems."""
    return {"Name": "Systems", **members(SYSTEMS, view.table("host").names())}


def system(view: View, params: Params) -> Body | None:
    """One system."""
    name = params["system"]
    host = layout.host(view, name)
    if host is None:
        return None
    box = layout.chassis_of_host(view, name)
    return known(
        {
            "Id": name,
            "Name": name,
            "Description": f"The computer {name}",
            "SystemType": "Virtual" if layout.system(view).board.startswith("qemu") else "Physical",
            **_identity(view, name),
            "PowerState": POWER_STATES.get(host.state, NULL),
            "PowerRestorePolicy": RESTORE.get(host.effective_restore_policy or host.restore_policy),
            "PowerRestorePolicy@Redfish.AllowableValues": list(RESTORE.values()),
            "Status": _status(view, host),
            **indicator.properties(view, box),
            "Boot": boot.properties(view, host),
            "BootProgress": _progress(host),
            "LastResetTime": stamp(host.restart_time),
            "LastResetCause": _CAUSES.get(host.restart_cause),
            "HostWatchdogTimer": _watchdog(host),
            **_summaries(view, name),
            **consoles.of_system(view, name),
            **{key: view.link(f"{SYSTEM}/{key}", system=name) for key in _SUBORDINATE},
            "EthernetInterfaces": view.link(parts.INTERFACES, system=name) if parts.cards(view, name) else None,
            "Bios": view.link(f"{SYSTEM}/Bios", system=name) if view.table("bios").get(name) is not None else None,
            "Links": known(
                {
                    "Chassis": links([f"{ROOT}/Chassis/{box}"] if box else []),
                    "Chassis@odata.count": 1 if box else 0,
                    "ManagedBy": links([f"{ROOT}/Managers/{each}" for each in view.table("controller").names()]),
                    "ManagedBy@odata.count": len(view.table("controller").names()),
                }
            ),
            "Actions": {f"#{RESET}": _reset_offer(host)},
        }
    )


_SUBORDINATE = (
    "LogServices",
    "Memory",
    "Processors",
    "SimpleStorage",
    "Storage",
    "VirtualMedia",
)


def _reset_offer(host: Host) -> Body:
    able = [name for name, action in RESETS.items() if action in host.power_actions]
    return reset_offer(f"{SYSTEMS}/{host.name}", RESET, able)


def reset_action_info(view: View, params: Params) -> Body | None:
    """The parameters of the action Reset."""
    host = layout.host(view, params["system"])
    if host is None:
        return None
    return action_info("Reset Action Info", "ResetActionInfo", ResetType=_reset_offer(host))


def _identity(view: View, name: str) -> Body:
    """Who made it and which one it is: what its firmware says, else its board, else the box."""
    chain: list[Asset | None] = [layout.asset(view, name)]
    chain += layout.parts(view, AssetKind.BOARD, of_host=name)[:1]
    chain.append(layout.asset(view, layout.chassis_of_host(view, name)))
    found = [each for each in chain if each is not None]

    def first(field: str) -> str:
        return next((getattr(each, field) for each in found if getattr(each, field)), "")

    of = layout.system(view)
    own = layout.asset(view, name)
    return {
        "UUID": layout.identity(view, name),
        "Manufacturer": first("manufacturer") or of.vendor,
        "Model": first("model") or of.model,
        "SerialNumber": first("serial_number"),
        "PartNumber": first("part_number"),
        "SKU": first("part_number"),
        "AssetTag": (own.asset_tag if own is not None else "") or NULL,
        "BiosVersion": _firmware(view, name, own),
        "HostName": own.details.get("host_name", "") if own is not None else "",
    }


def _firmware(view: View, name: str, own: Asset | None) -> str:
    """The version of the firmware: as the inventory tells it, or as its own set-up does."""
    told = (own.details.get("bios_version", "") or own.version) if own is not None else ""
    bios = view.table("bios").get(name)
    return told or (bios.attributes.get("BiosVersion", "") if bios is not None else "")


def _status(view: View, host: Host) -> Body:
    wrong = conditions.of_host(host)
    own = health.worst(str(each["Severity"]) for each in wrong)
    rollup = health.of_components(view, lambda component: host.name in layout.hosts_of(view, component))
    found = health.status(_STATES.get(host.state, "UnavailableOffline"), own, rollup)
    return {**found, "Conditions": wrong} if wrong else found


def _progress(host: Host) -> Body | None:
    progress = _PROGRESS.get(host.boot_progress)
    return {"LastState": progress} if progress is not None else None


def _watchdog(host: Host) -> Body:
    dog = host.watchdog
    running = dog.running if dog is not None else False
    return {
        "FunctionEnabled": running,
        "TimeoutAction": TIMEOUT_ACTIONS.get(dog.action, "None") if dog is not None else "None",
        "TimeoutAction@Redfish.AllowableValues": list(TIMEOUT_ACTIONS.values()),
        "WarningAction": WARNING_ACTIONS.get(dog.pretimeout_action, "None") if dog is not None else "None",
        "WarningAction@Redfish.AllowableValues": list(WARNING_ACTIONS.values()),
        "Status": {"State": "Enabled" if running else "Disabled"},
    }


def _summaries(view: View, name: str) -> Body:
    """Processors and memory in sum, as far as the inventory knows them."""
    found: dict[str, Any] = {}
    processors = layout.parts(view, AssetKind.PROCESSOR, of_host=name)
    if processors:
        cores = [layout.number(each, "cores") or 0 for each in processors]
        threads = [layout.number(each, "threads") or 0 for each in processors]
        found["ProcessorSummary"] = known(
            {
                "Count": len(processors),
                "Model": processors[0].model,
                "CoreCount": sum(cores) or None,
                "LogicalProcessorCount": sum(threads) or None,
            }
        )
    modules = layout.parts(view, AssetKind.MEMORY, of_host=name)
    own = layout.asset(view, name)
    total = sum(layout.number(each, "capacity_bytes") or 0 for each in modules)
    total = total or ((layout.number(own, "memory_bytes") or 0) if own is not None else 0)
    if total:
        found["MemorySummary"] = {"TotalSystemMemoryGiB": round(total / (1 << 30), 3)}
    return found


PATCH: Shape = {
    "AssetTag": Prop(longest=63, nullable=True),
    "PowerRestorePolicy": Prop(values=tuple(RESTORE.values())),
    **indicator.SHAPE,
    "Boot": boot.SHAPE,
    "HostWatchdogTimer": {
        "FunctionEnabled": Prop("boolean"),
        "TimeoutAction": Prop(values=tuple(TIMEOUT_ACTIONS.values())),
        "WarningAction": Prop(values=tuple(WARNING_ACTIONS.values())),
    },
}

RESOURCES = (
    Resource(SYSTEMS, "ComputerSystemCollection", collection, about="All computers that this BMC manages."),
    Resource(
        SYSTEM,
        "ComputerSystem",
        system,
        patch=PATCH,
        actions=(Action(RESET, {"ResetType": Prop(required=True, values=tuple(RESETS))}),),
        about="One computer: power, boot, identity, health.",
    ),
    Resource(f"{SYSTEM}/ResetActionInfo", "ActionInfo", reset_action_info, about="What Reset can do now."),
)
