"""Reading: a path and a query to bytes. Cached resources cost nothing twice; only what a query needs is taken apart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from ubmc.kit.errors import NotFound
from ubmc.protocols.redfish.facts import NotFed, View
from ubmc.protocols.redfish.messages import Message, RedfishError, missing
from ubmc.protocols.redfish.query import NOTHING, Expand, Query, Selection, page, select
from ubmc.protocols.redfish.render import etag, render
from ubmc.protocols.redfish.resource import Body, Found
from ubmc.protocols.redfish.tree import EXCERPTS
from ubmc.services.websrv.redfish.bites import BITE, Bites, Turns
from ubmc.services.websrv.redfish.cache import Cache, Rendered, headers
from ubmc.services.websrv.redfish.context import Context, Load
from ubmc.services.websrv.redfish.model import Model

At = Callable[[str, Found], Context]
"""A context of the same caller for another resource."""


@dataclass(frozen=True, slots=True)
class _Level:
    """One level of an expansion."""

    how: Expand
    bites: Bites
    above: frozenset[str]
    """The resources that it stands in."""
    chosen: Selection | None


class Reader:
    """Reads resources for callers."""

    def __init__(self, cache: Cache, model: Model, loads: dict[str, Load]) -> None:
        self._cache = cache
        self._model = model
        self._loads = loads
        self._turns = Turns()

    async def read(self, context: Context, query: Query = NOTHING) -> Rendered:
        """One resource, or what a query makes of it.

        Raises:
            RedfishError: it is not there, or the query cannot be answered.
            UbmcError: what a service answers, for one that is read live.
        """
        plain = await self._one(context, query)
        if query is NOTHING or query == NOTHING:
            return plain
        return await self._queried(context, query, plain)

    def find(self, path: str) -> Found:
        """What is at a path that we made ourselves. Raises `RedfishError` if there is nothing."""
        found = self._cache.tree.find(path)
        if found is None:
            raise missing(path)
        return found

    def view(self) -> View:
        """The facts as they are now."""
        return self._cache.view()

    async def _one(self, context: Context, query: Query = NOTHING) -> Rendered:
        found = context.found
        load = self._loads.get(found.resource.template)
        if load is None:
            return await self._modelled(context.path, found)
        body = await self._loaded(context, query, load)
        if body is None:
            raise missing(context.path)
        data, tag = render(found.resource, context.path, body)
        return Rendered(found, data, tag, headers(found, tag), frozenset(), 0)

    async def _loaded(self, context: Context, query: Query, load: Load) -> Body | None:
        while True:
            try:
                return await load(context, query)
            except NotFed as error:
                await self._model.fed(error.kind)

    async def _modelled(self, path: str, found: Found) -> Rendered:
        while True:
            try:
                return self._cache.render(path, found)
            except NotFed as error:
                await self._model.fed(error.kind)

    # --- queries --------------------------------------------------------------------------------------------------

    async def _queried(self, context: Context, query: Query, plain: Rendered) -> Rendered:
        resource = context.found.resource
        members = resource.collection
        if not members and (query.filter is not None or query.pages):
            raise RedfishError(400, Message("QueryNotSupportedOnResource"))
        body: Body = orjson.loads(plain.data)
        if query.only:
            return await self._only(context, query, body, plain)
        if query.excerpt:
            body = self._excerpt(resource.type, body)
        if query.filter is not None and not resource.pages:
            body = await self._filtered(context, query, body)
        if query.pages and not resource.pages:
            body = page(body, query)
        if query.expand is not None:
            async with self._turns.bites(context.user) as bites:
                body = await self._expanded(context, query.expand, body, bites, query=query)
        elif query.select is not None:
            body = select(body, query.select)
        data = orjson.dumps(body)
        tag = plain.tag if query.part else etag(data)
        return Rendered(context.found, data, tag, headers(context.found, tag), frozenset(), 0)

    async def _only(self, context: Context, query: Query, body: Body, plain: Rendered) -> Rendered:
        """The one member of a collection that has one; otherwise the collection itself."""
        if not context.found.resource.collection:
            raise RedfishError(400, Message("QueryNotSupportedOnResource"))
        members = body["Members"]
        inner = self._at(context, members[0]["@odata.id"]) if len(members) == 1 else None
        if inner is None:
            return plain
        return await self.read(inner, Query(select=query.select, excerpt=query.excerpt))

    @staticmethod
    def _excerpt(kind: str, body: Body) -> Body:
        """What a schema calls the excerpt of a resource; all of one that has none (DSP0266, "Query parameters")."""
        wanted = EXCERPTS.get(kind)
        return body if wanted is None else select(body, {name: {} for name in wanted})

    async def _filtered(self, context: Context, query: Query, body: Body) -> Body:
        assert query.filter is not None
        kept = []
        for number, member in enumerate(body["Members"], 1):
            if not number % BITE:
                await asyncio.sleep(0)
            inner = self._at(context, member["@odata.id"])
            if inner is None:
                continue
            content = orjson.loads((await self._one(inner)).data)
            if query.filter(content):
                kept.append(member)
        return {**body, "Members": kept, "Members@odata.count": len(kept)}

    def _at(self, context: Context, path: str) -> Context | None:
        """The same caller at another resource; None if it is not there, or the caller may not read it."""
        bare, pointer, _ = path.partition("#")
        found = None if pointer else self._cache.tree.find(bare)
        if found is None or found.action is not None:
            return None
        if found.resource.read and not context.may(*found.resource.read):
            return None
        return Context(
            bare,
            found,
            context.headers,
            context.peer,
            context.identity,
            self._cache.view(),
            context.model,
            context.forwarder,
            context.schema,
        )

    # --- expansion ------------------------------------------------------------------------------------------------

    async def _expanded(
        self,
        context: Context,
        how: Expand,
        body: Body,
        bites: Bites,
        above: frozenset[str] = frozenset(),
        query: Query | None = None,
    ) -> Body:
        """A body whose links are replaced by what they lead to; those that lead back up stay links."""
        level = _Level(how, bites, above | {context.path}, query.select if query is not None else None)
        members = context.found.resource.collection
        found: Body = {}
        for name, value in body.items():
            if name.startswith(("@", "#")) or name == "Actions":
                found[name] = value
            elif name == "Links":
                found[name] = await self._inside(context, level, value) if how.dependent else value
            else:
                wanted = how.subordinate or (members and name == "Members")
                found[name] = await self._inside(context, level, value) if wanted else value
        return select(found, level.chosen) if level.chosen is not None and not members else found

    async def _inside(self, context: Context, level: _Level, value: Any) -> Any:
        if isinstance(value, list):
            return [await self._inside(context, level, each) for each in value]
        if not isinstance(value, dict):
            return value
        if value.keys() == {"@odata.id"}:
            return await self._replaced(context, level, value)
        return {name: await self._inside(context, level, each) for name, each in value.items()}

    async def _replaced(self, context: Context, level: _Level, link: Body) -> Any:
        """What a link leads to; the link itself where the caller may not go, or comes from."""
        inner = self._at(context, link["@odata.id"])
        if inner is None or inner.path in level.above:
            return link
        await level.bites.one_more()
        kept = self._cache.kept(inner.path)
        try:
            plain = kept if kept is not None else await self._one(inner)
        except RedfishError as error:
            if error.status == 404:  # it went away meanwhile
                return link
            raise
        except NotFound:  # this board has no such service
            return link
        chosen, how = level.chosen, level.how
        select_members = chosen is not None and context.found.resource.collection
        if how.levels <= 1 and not select_members:
            return orjson.Fragment(plain.data)
        content = orjson.loads(plain.data)
        if how.levels > 1:
            deeper = Expand(how.subordinate, how.dependent, how.levels - 1)
            content = await self._expanded(inner, deeper, content, level.bites, level.above)
        return select(content, chosen) if select_members and chosen is not None else content
