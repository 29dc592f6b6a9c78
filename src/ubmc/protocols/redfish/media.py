"""Virtual media: the drives that clients look for. There is one optical drive and one USB stick for each system.

Both are shown under the system and under the manager, because clients look in one place only, and not all in the same.
"""

from __future__ import annotations

from ubmc.protocols.redfish import layout
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.resource import MANAGER as NEEDS
from ubmc.protocols.redfish.resource import Action, Body, Builder, Params, Resource, members
from ubmc.protocols.redfish.shape import Prop, Shape
from ubmc.protocols.redfish.types import ROOT

SYSTEM = f"{ROOT}/Systems/{{system}}/VirtualMedia"
MANAGER = f"{ROOT}/Managers/{{manager}}/VirtualMedia"
OF_SYSTEM = f"{SYSTEM}/{{media}}"
OF_MANAGER = f"{MANAGER}/{{media}}"
INSERT = "VirtualMedia.InsertMedia"
EJECT = "VirtualMedia.EjectMedia"
SLOTS = {"cd.0": ["CD", "DVD"], "usb.0": ["USBStick"]}
_PROTOCOLS = ("CIFS", "FTP", "SFTP", "HTTP", "HTTPS", "NFS", "SCP", "TFTP", "OEM")
_METHODS = ("Stream", "Upload")

_PARAMETERS: Shape = {
    "Image": Prop(required=True, longest=1024),
    "Inserted": Prop("boolean"),
    "WriteProtected": Prop("boolean"),
    "UserName": Prop(longest=256),
    "Password": Prop(longest=256),
    "TransferMethod": Prop(values=_METHODS),
    "TransferProtocolType": Prop(values=_PROTOCOLS),
}
PATCH: Shape = {
    "Image": Prop(nullable=True, longest=1024),
    "Inserted": Prop("boolean", nullable=True),
    "WriteProtected": Prop("boolean", nullable=True),
    "UserName": Prop(nullable=True, longest=256),
    "Password": Prop(nullable=True, longest=256),
    "TransferMethod": Prop(values=_METHODS, nullable=True),
    "TransferProtocolType": Prop(values=_PROTOCOLS, nullable=True),
}


def _there(view: View, params: Params) -> bool:
    if "system" in params:
        return layout.host(view, params["system"]) is not None
    return layout.controller(view, params["manager"]) is not None


def _collection(template: str) -> Builder:
    def build(view: View, params: Params) -> Body | None:
        if not _there(view, params):
            return None
        return {"Name": "Virtual Media", **members(template.format(**params), list(SLOTS))}

    return build


def _one(template: str) -> Builder:
    def build(view: View, params: Params) -> Body | None:
        name = params["media"]
        if not _there(view, params) or name not in SLOTS:
            return None
        target = f"{template.format(**params)}/Actions"
        return {
            "Id": name,
            "Name": name,
            "MediaTypes": SLOTS[name],
            "Image": None,
            "ImageName": None,
            "ConnectedVia": "NotConnected",
            "Inserted": False,
            "WriteProtected": True,
            "UserName": None,
            "Password": None,
            "TransferMethod": None,
            "TransferProtocolType": None,
            "Status": {"State": "Disabled", "Health": "OK"},
            "Actions": {
                f"#{INSERT}": {"target": f"{target}/{INSERT}"},
                f"#{EJECT}": {"target": f"{target}/{EJECT}"},
            },
        }

    return build


def _resource(template: str) -> Resource:
    return Resource(
        template,
        "VirtualMedia",
        _one(template),
        write=NEEDS,
        patch=PATCH,
        actions=(Action(INSERT, _PARAMETERS, needs=NEEDS), Action(EJECT, needs=NEEDS)),
        about="One drive for virtual media; refuses images until the media service is there.",
    )


RESOURCES = (
    Resource(SYSTEM, "VirtualMediaCollection", _collection(SYSTEM), about="Drives for virtual media, of a computer."),
    _resource(OF_SYSTEM),
    Resource(MANAGER, "VirtualMediaCollection", _collection(MANAGER), about="The same, of the BMC."),
    _resource(OF_MANAGER),
)
