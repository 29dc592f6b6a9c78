"""Making volumes: refused with the reason, as no board has a controller that takes orders from its BMC."""

from __future__ import annotations

from ubmc.kit.errors import Refused
from ubmc.protocols.redfish.parts import VOLUMES
from ubmc.protocols.redfish.shape import Values
from ubmc.services.websrv.redfish.context import By, Context, Family, Made


async def _create(_context: Context, _values: Values) -> Made:
    raise Refused("the drives hang on no controller that the BMC commands; make volumes in the operating system")


FAMILY = Family(creates={VOLUMES: By(_create, None)})
