"""How a system boots: the override, and the order that the host has of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ubmc.protocols.redfish import layout
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.messages import Message, RedfishError
from ubmc.protocols.redfish.resource import Body, Params, Resource, known, members
from ubmc.protocols.redfish.shape import Prop, Shape
from ubmc.protocols.redfish.types import ROOT
from ubmc.v1alpha1.host_pb import BootFirmware, BootOverride, BootOverrideMode, BootTarget, Host

OPTIONS = f"{ROOT}/Systems/{{system}}/BootOptions"
NONE = "None"
TARGETS = {
    BootTarget.PXE: "Pxe",
    BootTarget.DISK: "Hdd",
    BootTarget.CD: "Cd",
    BootTarget.USB: "Usb",
    BootTarget.FIRMWARE_SETUP: "BiosSetup",
    BootTarget.HTTP: "UefiHttp",
    BootTarget.DIAGNOSTICS: "Diags",
}
ENABLED = {
    BootOverrideMode.DISABLED: "Disabled",
    BootOverrideMode.ONCE: "Once",
    BootOverrideMode.CONTINUOUS: "Continuous",
}
FIRMWARES = {BootFirmware.UEFI: "UEFI", BootFirmware.LEGACY: "Legacy"}
_TARGET = "Boot/BootSourceOverrideTarget"
_ENABLED = "Boot/BootSourceOverrideEnabled"
_MODE = "Boot/BootSourceOverrideMode"
_URI = "Boot/HttpBootUri"
PATHS = (_TARGET, _ENABLED, _MODE, _URI)
ORDER = "Boot/BootOrder"

SHAPE: Shape = {
    "BootSourceOverrideTarget": Prop(values=(NONE, *TARGETS.values())),
    "BootSourceOverrideEnabled": Prop(values=tuple(ENABLED.values())),
    "BootSourceOverrideMode": Prop(values=tuple(FIRMWARES.values())),
    "HttpBootUri": Prop(longest=1024, nullable=True),
    "BootOrder": Prop("strings", longest=32),
}


def properties(view: View, host: Host) -> Body:
    """The object `Boot` of a system."""
    override = host.boot_override or BootOverride()
    enabled = ENABLED.get(override.mode, "Disabled")
    offered = [name for target, name in TARGETS.items() if target in host.boot_targets]
    own = order(host)
    return known(
        {
            "BootSourceOverrideEnabled": enabled,
            "BootSourceOverrideEnabled@Redfish.AllowableValues": list(ENABLED.values()),
            "BootSourceOverrideTarget": NONE if enabled == "Disabled" else TARGETS.get(override.target, NONE),
            "BootSourceOverrideTarget@Redfish.AllowableValues": [NONE, *offered],
            **_firmware(host, override),
            "HttpBootUri": override.http_uri if BootTarget.HTTP in host.boot_targets else None,
            "BootOptions": view.link(OPTIONS, system=host.name) if own else None,
            "BootOrder": own or None,
        }
    )


def order(host: Host) -> list[str]:
    """From where the host boots by itself, the first one first, as far as that is known."""
    return [TARGETS[target] for target in host.boot_order if target in TARGETS]


def check_order(host: Host, wanted: Sequence[str]) -> None:
    """Take the order as it is, which clients send back; no other one, as it is the firmware's own.

    Raises:
        RedfishError: 400, with what can be done instead.
    """
    if list(wanted) == order(host):
        return
    whose = "is the firmware's own, and the BMC can only read it" if host.boot_order else "is not known to the BMC"
    text = f"the boot order of {host.name} {whose}: set BootSourceOverrideTarget, with Continuous if it is to stay"
    raise RedfishError(400, Message("PropertyNotWritable", (ORDER,), (f"/{ORDER}",), text))


def _firmware(host: Host, override: BootOverride) -> Body:
    """What is shown must be what a client can send back, so a host that does not say is shown as its first choice."""
    offered = [name for firmware, name in FIRMWARES.items() if firmware in host.boot_firmwares]
    if not offered:
        return {}
    return {
        "BootSourceOverrideMode": FIRMWARES.get(override.firmware, offered[0]),
        "BootSourceOverrideMode@Redfish.AllowableValues": offered,
    }


def changed(host: Host, values: Mapping[str, Any]) -> BootOverride:
    """The override after a PATCH.

    A target without `BootSourceOverrideEnabled` is for the next boot; the target None, or `Disabled`, ends it.

    Args:
        host: as it is.
        values: what was sent, by path.
    """
    now = host.boot_override or BootOverride()
    target, mode = now.target, now.mode or BootOverrideMode.DISABLED
    if _TARGET in values:
        target = _key(TARGETS, values[_TARGET], BootTarget.UNSPECIFIED)
        if target is BootTarget.UNSPECIFIED:
            mode = BootOverrideMode.DISABLED
        elif mode is BootOverrideMode.DISABLED:
            mode = BootOverrideMode.ONCE
    if _ENABLED in values and not (_TARGET in values and target is BootTarget.UNSPECIFIED):
        mode = _key(ENABLED, values[_ENABLED], BootOverrideMode.DISABLED)
    if mode is BootOverrideMode.DISABLED:
        target = BootTarget.UNSPECIFIED
    return BootOverride(
        mode=mode,
        target=target,
        firmware=_key(FIRMWARES, values[_MODE], now.firmware) if _MODE in values else now.firmware,
        http_uri=(values[_URI] or "") if _URI in values else now.http_uri,
    )


def _key(table: Mapping[Any, str], name: str, default: Any) -> Any:
    return next((key for key, each in table.items() if each == name), default)


def options(view: View, params: Params) -> Body | None:
    """From where the host can boot by its own order."""
    host = layout.host(view, params["system"])
    if host is None:
        return None
    return {"Name": "Boot options", **members(OPTIONS.format(system=host.name), order(host))}


def option(view: View, params: Params) -> Body | None:
    """One place to boot from."""
    host, name = layout.host(view, params["system"]), params["option"]
    if host is None or name not in order(host):
        return None
    return {
        "Id": name,
        "Name": name,
        "DisplayName": name,
        "Alias": name,
        "BootOptionReference": name,
        "BootOptionEnabled": True,
    }


RESOURCES = (
    Resource(OPTIONS, "BootOptionCollection", options, about="From where a computer boots by its own order."),
    Resource(f"{OPTIONS}/{{option}}", "BootOption", option, about="One place to boot from."),
)
