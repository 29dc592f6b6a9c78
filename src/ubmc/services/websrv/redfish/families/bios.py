"""Changes of a host's set-up, which its next boot carries out."""

from __future__ import annotations

from ubmc.protocols.redfish import bios
from ubmc.protocols.redfish.messages import Message, RedfishError, pointer
from ubmc.protocols.redfish.shape import Values
from ubmc.services.websrv.redfish.context import By, Context, Done, Family, Unit
from ubmc.services.websrv.redfish.families.blame import blaming
from ubmc.v1alpha1.bios_pb import ResetBiosRequest, UpdateBiosRequest
from ubmc.v1alpha1.bios_rpc import BiosService


async def _change(context: Context, values: Values) -> None:
    wanted = values["Attributes"]
    for name, value in wanted.items():
        if not isinstance(value, str | int | float | bool):
            path = _path(name)
            raise RedfishError(400, Message("PropertyValueTypeError", (str(value)[:100], path[1:]), (path,)))
    request = UpdateBiosRequest(
        host=context.params["system"], attributes={name: bios.as_text(value) for name, value in wanted.items()}
    )
    paths = {f"attributes.{name}": _path(name) for name in wanted} | {name: _path(name) for name in wanted}
    with blaming(context.path, paths, ("Attributes",)):
        answer = await context.call(BiosService.UpdateBios, request)
    context.model.put("bios", request.host, answer.bios)


def _path(attribute: str) -> str:
    """Where an attribute is, whatever it is called."""
    return pointer("Attributes", attribute)


async def _reset(context: Context, _values: Values) -> Done:
    answer = await context.call(BiosService.ResetBios, ResetBiosRequest(host=context.params["system"]))
    context.model.put("bios", context.params["system"], answer.bios)
    return Done()


FAMILY = Family(
    patches={bios.SETTINGS: (Unit(("Attributes",), _change, BiosService.UpdateBios),)},
    actions={(bios.BIOS, bios.RESET): By(_reset, BiosService.ResetBios)},
)
