"""Changes that somebody may not make: which calls they would have come to, so that the audit trail can name them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from ubmc.protocols.redfish.resource import Found
from ubmc.services.websrv.redfish.context import Context, Families, Rpc, Unit


async def have_recorded(context: Context, families: Families, method: str, data: bytes) -> None:
    """Let the services that would have done it refuse it too, which puts it into the audit trail.

    Args:
        context: the request and its caller, who lacks what the resource asks for.
        families: what carries out changes.
        method: of HTTP.
        data: the body; it may be anything.
    """
    assert context.identity is not None
    for rpc in calls_behind(families, context.found, method, data):
        await context.forwarder.record_refusal(
            context.schema.method(rpc), context.identity, context.headers, context.peer
        )


def calls_behind(families: Families, found: Found, method: str, data: bytes) -> Sequence[Rpc]:
    """The calls that a change would come to, each once; none where no service does it."""
    template = found.resource.template
    rpcs: Iterable[Rpc | None]
    if found.action is not None:
        rpcs = (families.actions[(template, found.action.name)].rpc,)
    elif method == "PATCH":
        rpcs = (unit.rpc for unit in _touched(families.patches[template], data))
    elif method == "POST":
        rpcs = (families.creates[template].rpc,)
    else:
        rpcs = (families.deletes[template].rpc,)
    return tuple(dict.fromkeys(rpc for rpc in rpcs if rpc is not None))


def _touched(units: Sequence[Unit], data: bytes) -> Sequence[Unit]:
    """Those that a body is about; all of them if it is about none, as it is an attempt all the same."""
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        return units
    return [unit for unit in units if any(_has(body, path.split("/")) for path in unit.paths)] or units


def _has(body: Any, path: Sequence[str]) -> bool:
    for name in path:
        if not isinstance(body, Mapping) or name not in body:
            return False
        body = body[name]
    return True
