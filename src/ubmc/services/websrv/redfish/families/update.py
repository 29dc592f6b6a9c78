"""Firmware updates: refused, with the reason, until the service that installs firmware is there."""

from __future__ import annotations

from ubmc.kit.errors import Refused
from ubmc.protocols.redfish import update
from ubmc.protocols.redfish.shape import Values
from ubmc.services.websrv.redfish.context import By, Context, Done, Family


async def _simple_update(_context: Context, _values: Values) -> Done:
    raise Refused("this BMC has no service yet that installs firmware: replace the installation of u-bmc instead")


FAMILY = Family(actions={(update.SERVICE, update.SIMPLE_UPDATE): By(_simple_update, None)})
