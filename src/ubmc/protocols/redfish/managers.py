"""Managers: the BMC itself, its clock, and what it lets in."""

from __future__ import annotations

import datetime as dt

from ubmc.protocols.redfish import consoles, health, layout
from ubmc.protocols.redfish.actioninfo import action_info, reset_offer
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.resource import MANAGER as NEEDS
from ubmc.protocols.redfish.resource import Action, Body, Params, Resource, known, links, members
from ubmc.protocols.redfish.shape import Prop, Shape
from ubmc.protocols.redfish.types import ROOT
from ubmc.protocols.redfish.when import stamp
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.management_controller_pb import ManagementControllerState
from ubmc.v1alpha1.network_pb import Time
from ubmc.v1alpha1.security_pb import ClientCertificates, SecurityPolicy
from ubmc.v1alpha1.system_pb import GetHealthResponse

COLLECTION = f"{ROOT}/Managers"
MANAGER = f"{COLLECTION}/{{manager}}"
POLICY = f"{MANAGER}/SecurityPolicy"
RESET = "Manager.Reset"
RESETS = ("GracefulRestart", "ForceRestart")
_SUBORDINATE = (
    "EthernetInterfaces",
    "LogServices",
    "NetworkProtocol",
    "SecurityPolicy",
    "VirtualMedia",
)
VERSIONS_TLS = ("1.2", "1.3")


def collection(view: View, _params: Params) -> Body:
    """All managers."""
    return {"Name": "Managers", **members(COLLECTION, view.table("controller").names())}


def manager(view: View, params: Params) -> Body | None:
    """The BMC."""
    name = params["manager"]
    controller = layout.controller(view, name)
    if controller is None:
        return None
    part = layout.asset(view, name)
    of = layout.system(view)
    ready = controller.state is ManagementControllerState.READY
    return known(
        {
            "Id": name,
            "Name": name,
            "ManagerType": "BMC",
            "Manufacturer": (part.manufacturer if part is not None else "") or of.vendor,
            "Model": (part.model if part is not None else "") or "u-bmc",
            "SerialNumber": part.serial_number if part is not None else "",
            "PartNumber": part.part_number if part is not None else "",
            "FirmwareVersion": controller.version,
            "UUID": layout.identity(view, name),
            "ServiceEntryPointUUID": layout.identity(view, name),
            "PowerState": "On",
            "LastResetTime": stamp(controller.start_time),
            "Status": health.status("Enabled" if ready else "Starting", _health(view)),
            **clock(view),
            **consoles.of_manager(view),
            **{key: view.link(f"{MANAGER}/{key}", manager=name) for key in _SUBORDINATE},
            "Links": _links(view, name),
            "Actions": {f"#{RESET}": reset_offer(f"{COLLECTION}/{name}", RESET, RESETS)},
        }
    )


def _health(view: View) -> str:
    """The health of the services."""
    told: GetHealthResponse | None = view.table("health").get("")
    return health.SEVERITIES.get(told.health if told is not None else Severity.OK, health.OK)


def _links(view: View, name: str) -> Body:
    hosts = [f"{ROOT}/Systems/{each}" for each in view.table("host").names()]
    boxes = [f"{ROOT}/Chassis/{each}" for each in view.table("chassis").names()]
    box = layout.chassis_of(view, name)
    return known(
        {
            "ManagerForServers": links(hosts),
            "ManagerForServers@odata.count": len(hosts),
            "ManagerForChassis": links(boxes),
            "ManagerForChassis@odata.count": len(boxes),
            "ManagerInChassis": {"@odata.id": f"{ROOT}/Chassis/{box}"} if box else None,
        }
    )


def clock(view: View) -> Body:
    """The clock as it is now."""
    told: Time | None = view.table("time").get("")
    offset = told.utc_offset_minutes if told is not None else 0
    ahead = told.offset_seconds if told is not None else 0.0
    zone = dt.timezone(dt.timedelta(minutes=offset))
    now = dt.datetime.fromtimestamp(int(view.now + ahead), zone)
    text = now.isoformat(timespec="seconds")
    local = text[-6:]
    return {
        "DateTime": f"{text[:-6]}Z" if local == "+00:00" else text,
        "DateTimeLocalOffset": local,
        "DateTimeSource": "NTP" if told is not None and told.ntp_enabled else "Firmware",
    }


def reset_action_info(view: View, params: Params) -> Body | None:
    """The parameters of the action Reset."""
    if layout.controller(view, params["manager"]) is None:
        return None
    offer = reset_offer("", RESET, RESETS)
    return action_info("Reset Action Info", "ResetActionInfo", required=False, ResetType=offer)


def policy(view: View, params: Params) -> Body | None:
    """What the BMC demands of connections."""
    if layout.controller(view, params["manager"]) is None:
        return None
    told: SecurityPolicy = view.table("security").get("") or SecurityPolicy()
    asks = told.client_certificates in (ClientCertificates.OPTIONAL, ClientCertificates.REQUIRED)
    return {
        "Id": "SecurityPolicy",
        "Name": "Security Policy",
        "SPDM": {"Enabled": False},
        "TLS": {
            "Server": {
                "Allowed": {"Versions": list(VERSIONS_TLS if told.tls_1_2 else VERSIONS_TLS[1:])},
                "VerifyCertificate": asks,
            }
        },
        "Status": {"State": "Enabled", "Health": health.OK},
    }


def asked_for(now: ClientCertificates, *, verify: bool) -> ClientCertificates:
    """What `VerifyCertificate` makes of the certificates of clients: where nobody comes in without, that stays so."""
    if not verify:
        return ClientCertificates.OFF
    return now if now is ClientCertificates.REQUIRED else ClientCertificates.OPTIONAL


PATCH: Shape = {
    "DateTime": Prop("time"),
    "DateTimeLocalOffset": Prop(pattern=r"[+-](0\d|1[0-4]):[0-5]\d"),
}
POLICY_PATCH: Shape = {
    "TLS": {
        "Server": {
            "Allowed": {"Versions": Prop("strings", values=VERSIONS_TLS)},
            "VerifyCertificate": Prop("boolean"),
        }
    }
}

RESOURCES = (
    Resource(COLLECTION, "ManagerCollection", collection, about="The BMC, as the only member."),
    Resource(
        MANAGER,
        "Manager",
        manager,
        write=NEEDS,
        patch=PATCH,
        actions=(Action(RESET, {"ResetType": Prop(values=RESETS)}, needs=NEEDS),),
        volatile=("DateTime",),
        about="The BMC: version, clock, health of its services.",
    ),
    Resource(f"{MANAGER}/ResetActionInfo", "ActionInfo", reset_action_info, about="What Reset can do."),
    Resource(
        POLICY,
        "SecurityPolicy",
        policy,
        write=NEEDS,
        patch=POLICY_PATCH,
        about="What the BMC demands of connections.",
    ),
)
