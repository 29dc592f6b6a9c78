"""From the body of a builder to the bytes that are sent, with a strong ETag made of the content.

So the tag changes when the content does and not otherwise, whatever else happened in between, and survives a restart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from ubmc.protocols.redfish.messages import Message
from ubmc.protocols.redfish.resource import Resource
from ubmc.protocols.redfish.types import ROOT

_TAG_BYTES = 10
Body = dict[str, Any]


def render(resource: Resource, path: str, content: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The bytes of a resource, and its ETag with the quotes.

    Args:
        resource: what it is.
        path: where it is.
        content: what its builder made.
    """
    body = {"@odata.id": f"{ROOT}/" if path == ROOT else path, "@odata.type": resource.odata_type, **content}
    data = orjson.dumps(body)
    counted = data
    if resource.volatile:
        counted = orjson.dumps({name: value for name, value in body.items() if name not in resource.volatile})
    tag = etag(counted)
    return b'{"@odata.etag":"\\"%s\\"",%s' % (tag[1:-1], data[1:]), tag


def etag(data: bytes) -> bytes:
    """A strong tag of some bytes, with the quotes."""
    return b'"%s"' % hashlib.blake2b(data, digest_size=_TAG_BYTES).hexdigest().encode()


def same_tag(asked: str, tag: bytes) -> bool:
    """Whether an `If-Match` names this tag.

    Weak and strong ones are the same here, and so is the tag of the compressed form: clients send back what they were
    given by us or by whatever stood in between (FIELD: a strict comparison of weak tags broke many).
    """
    bare = tag.decode("ascii").strip('"')
    for each in asked.split(","):
        text = each.strip().removeprefix("W/").strip('"').removesuffix("-gz")
        if text in ("*", bare):
            return True
    return False


def annotate(body: Body, problems: tuple[Message, ...]) -> Body:
    """A resource after a change of which some parts did not work (DSP0266, "PATCH").

    All messages stand at the resource, where some clients look, and each one beside its property, where others do.
    """
    found = {**body, "@Message.ExtendedInfo": [problem.body() for problem in problems]}
    for problem in problems:
        if problem.related:
            names = problem.related[0].removeprefix("/").split("/")
            _beside(found, [name.replace("~1", "/").replace("~0", "~") for name in names], problem)
    return found


def _beside(node: Body, names: Sequence[str], problem: Message) -> None:
    """Put a message beside the property that it is about, or as near to it as the resource goes on that way."""
    first, *rest = names
    inner = node.get(first)
    if rest and isinstance(inner, dict):
        node[first] = dict(inner)
        _beside(node[first], rest, problem)
        return
    if len(rest) > 1 and isinstance(inner, list) and rest[0] in (at := {str(n): n for n in range(len(inner))}):
        element = inner[at[rest[0]]]
        if isinstance(element, dict):
            node[first] = [dict(each) if each is element else each for each in inner]
            _beside(node[first][at[rest[0]]], rest[1:], problem)
            return
    key = f"{first}@Message.ExtendedInfo"
    node[key] = [*node.get(key, ()), problem.body()]
