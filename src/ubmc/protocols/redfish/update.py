"""Firmware: which versions run where.

The action that changes them is there, because Ironic's profile demands it, and refused until a service can do it.
"""

from __future__ import annotations

from ubmc.protocols.redfish import layout
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.resource import MANAGER, Action, Body, Params, Resource, known, link, links, members
from ubmc.protocols.redfish.shape import Prop
from ubmc.protocols.redfish.types import ROOT

SERVICE = f"{ROOT}/UpdateService"
FIRMWARE = f"{SERVICE}/FirmwareInventory"
SIMPLE_UPDATE = "UpdateService.SimpleUpdate"
TRANSFERS = ("HTTPS", "HTTP")


def service(_view: View, _params: Params) -> Body:
    """The service."""
    return {
        "Id": "UpdateService",
        "Name": "Update Service",
        "Status": {"State": "Enabled", "Health": "OK"},
        "ServiceEnabled": True,
        "FirmwareInventory": link(FIRMWARE),
        "Actions": {
            f"#{SIMPLE_UPDATE}": {
                "target": f"{SERVICE}/Actions/{SIMPLE_UPDATE}",
                "TransferProtocol@Redfish.AllowableValues": list(TRANSFERS),
            }
        },
    }


def _inventory(view: View) -> dict[str, Body]:
    """All firmware whose version is known, by name."""
    found: dict[str, Body] = {}
    for controller in view.table("controller"):
        found[controller.name] = {
            "Name": "BMC Firmware",
            "Version": controller.version,
            "SoftwareId": "u-bmc",
            "Manufacturer": "u-bmc",
            "RelatedItem": links([f"{ROOT}/Managers/{controller.name}"]),
        }
    for name in view.table("host").names():
        asset = layout.asset(view, name)
        version = (asset.details.get("bios_version", "") or asset.version) if asset is not None else ""
        if asset is not None and version:
            found[f"{name}.firmware"] = {
                "Name": f"Firmware of {name}",
                "Version": version,
                "Manufacturer": asset.details.get("bios_vendor", ""),
                "RelatedItem": links([f"{ROOT}/Systems/{name}"]),
            }
    return found


def inventory(view: View, _params: Params) -> Body:
    """All firmware."""
    return {"Name": "Firmware Inventory", **members(FIRMWARE, list(_inventory(view)))}


def software(view: View, params: Params) -> Body | None:
    """One firmware."""
    found = _inventory(view).get(params["firmware"])
    if found is None:
        return None
    return known(
        {"Id": params["firmware"], "Status": {"State": "Enabled", "Health": "OK"}, "Updateable": False, **found}
    )


RESOURCES = (
    Resource(
        SERVICE,
        "UpdateService",
        service,
        write=MANAGER,
        actions=(
            Action(
                SIMPLE_UPDATE,
                {
                    "ImageURI": Prop(required=True, longest=1024),
                    "TransferProtocol": Prop(nullable=True),
                    "Targets": Prop("strings", longest=32, nullable=True),
                    "Username": Prop(longest=128, nullable=True),
                    "Password": Prop(longest=128, nullable=True),
                    "ForceUpdate": Prop("boolean", nullable=True),
                },
                MANAGER,
            ),
        ),
        about="Firmware.",
    ),
    Resource(FIRMWARE, "SoftwareInventoryCollection", inventory, about="Which versions run."),
    Resource(f"{FIRMWARE}/{{firmware}}", "SoftwareInventory", software, about="One firmware."),
)
