"""Virtual media: refused with the reason, until there is a service for it."""

from __future__ import annotations

from ubmc.kit.errors import Refused
from ubmc.protocols.redfish.media import EJECT, INSERT, OF_MANAGER, OF_SYSTEM, PATCH
from ubmc.protocols.redfish.shape import Values
from ubmc.services.websrv.redfish.context import By, Context, Done, Family, Unit

_REASON = "this BMC has no media service yet, so no image can be inserted; boot from the network instead"


async def _insert(_context: Context, _values: Values) -> Done:
    raise Refused(_REASON)


async def _eject(_context: Context, _values: Values) -> Done:
    raise Refused("nothing is inserted, so nothing can be ejected")


async def _change(_context: Context, _values: Values) -> None:
    raise Refused(_REASON)


FAMILY = Family(
    patches={template: (Unit(tuple(PATCH), _change, None),) for template in (OF_SYSTEM, OF_MANAGER)},
    actions={
        (template, name): By(act, None)
        for template in (OF_SYSTEM, OF_MANAGER)
        for name, act in ((INSERT, _insert), (EJECT, _eject))
    },
)
