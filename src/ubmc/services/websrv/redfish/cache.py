"""Rendered resources: bytes and ETag, good until one of exactly those facts changes that its builder has read."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from ubmc.protocols.redfish.facts import ALL, Key, View
from ubmc.protocols.redfish.messages import missing
from ubmc.protocols.redfish.render import render
from ubmc.protocols.redfish.resource import Found, Tree
from ubmc.protocols.redfish.types import json_schema
from ubmc.services.websrv.redfish.model import Model

Header = tuple[bytes, bytes]
JSON = b"application/json; charset=utf-8"
MOST_KEPT = 4096
"""So many resources are kept at once, the latest; a board with 300 sensors has some 500."""


@dataclass(slots=True)
class Rendered:
    """One resource as it is sent."""

    found: Found
    data: bytes
    tag: bytes
    headers: tuple[Header, ...]
    keys: frozenset[Key]
    revision: int
    """Of the facts, when it was seen to be good last."""
    until: float = math.inf
    """Wall clock, for one that shows it."""


class Cache:
    """The rendered resources of one tree."""

    def __init__(self, tree: Tree, model: Model, now: Callable[[], float] = time.time) -> None:
        self.tree = tree
        self._model = model
        self._facts = model.facts
        self._served = frozenset(resource.template for resource in tree)
        self._kept: dict[str, Rendered] = {}
        self._now = now

    def view(self) -> View:
        """The facts as they are now."""
        return View(self._facts, now=self._now(), served=self._served)

    def kept(self, path: str) -> Rendered | None:
        """What is rendered and still good; None for anything else."""
        found = self._kept.get(path)
        if found is None:
            return None
        facts = self._facts
        if found.revision != facts.revision:
            if facts.newest(found.keys) > found.revision:
                return None
            found.revision = facts.revision
        return found if found.until is math.inf or self._now() < found.until else None

    def render(self, path: str, found: Found) -> Rendered:
        """Render a resource that has a builder.

        Raises:
            RedfishError: there is nothing at this path.
            NotFed: facts are missing.
        """
        kept = self.kept(path)
        if kept is not None:
            return kept
        view = self.view()
        resource = found.resource
        assert resource.build is not None
        content = resource.build(view, found.params)
        if content is None:
            self._kept.pop(path, None)
            raise missing(path)
        data, tag = render(resource, path, content)
        whole = {kind for kind, name in view.read if name == ALL}
        keys = frozenset(key for key in view.read if key[1] == ALL or key[0] not in whole)
        until = math.floor(view.now) + 1.0 if resource.volatile else math.inf
        made = Rendered(found, data, tag, headers(found, tag), keys, self._facts.revision, until)
        self._keep(path, made)
        return made

    def _keep(self, path: str, made: Rendered) -> None:
        self._kept.pop(path, None)
        while len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[path] = made


def headers(found: Found, tag: bytes) -> tuple[Header, ...]:
    """The headers of a resource, but for its length."""
    schema = json_schema(found.resource.type)
    return (
        (b"content-type", JSON),
        (b"etag", tag),
        (b"allow", ", ".join(found.resource.methods).encode()),
        (b"link", f"<{schema}>; rel=describedby".encode()),
    )
