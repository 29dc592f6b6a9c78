"""Our own message registry, made of the schema."""

from __future__ import annotations

from ubmc.protocols.redfish import registries
from ubmc.protocols.redfish.query import Query
from ubmc.protocols.redfish.registry import kinds, registry
from ubmc.protocols.redfish.resource import Body
from ubmc.services.websrv.redfish.context import Context, Family


async def _own(context: Context, _query: Query) -> Body | None:
    if context.path != registries.OWN:
        return None
    return registry(kinds(context.schema.events.values()))


FAMILY = Family(loads={registries.FILE: _own})
