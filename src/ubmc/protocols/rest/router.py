"""Which call a path and an HTTP method mean.

Routes are kept in a tree of segments, so that a lookup costs as much with a thousand routes as with ten. A literal goes
before `*`, and `*` before `**`. A colon in the last segment begins a verb only if a route there has that verb;
otherwise it belongs to the name, because names (addresses, for instance) may contain colons.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from protobuf import DescFieldValueMessage, DescMessage

from ubmc.kit.errors import Invalid
from ubmc.kit.schema import Method, Schema
from ubmc.protocols.rest import fields, template
from ubmc.protocols.rest.fields import Param
from ubmc.protocols.rest.template import ONE, REST, Template
from ubmc.v1alpha1.deps.google.api.http_pb import CustomHttpPattern, HttpRule

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SLASH_ESCAPE = re.compile("(%2[Ff])")
_DOTS = frozenset({".", ".."})
_UPDATE_MASK = "update_mask"
_CURSOR = "cursor"


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One REST form of a call."""

    method: Method
    verb: str
    """The HTTP method."""
    template: Template
    body: str
    """What the body is: empty for none, `*` for the whole request, else a field of it (proto name)."""
    body_key: str
    """The JSON name of that field."""
    bound: tuple[Param, ...]
    """The fields that the path binds, in the order of the variables of the template."""
    query: Mapping[str, Param] = field(repr=False)
    """What may be asked for in the query, under every name that it has."""
    resource: DescMessage | None = field(repr=False)
    """What an update changes: without `update_mask` that is filled with the fields that the body has."""
    resumes: bool
    """The request has a `cursor`, which a Last-Event-ID sets."""


class Match(NamedTuple):
    """A route, and the texts of its variables, percent-decoded."""

    route: Route
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class Miss:
    """No call: 404, or 405 if the path is one of ours under other HTTP methods."""

    allow: tuple[str, ...] = ()
    """Those other methods, for the Allow header; empty means 404."""

    @property
    def status(self) -> int:
        """The HTTP status code."""
        return 405 if self.allow else 404


@dataclass(slots=True, eq=False)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    one: _Node | None = None
    rest: _Node | None = None
    routes: dict[str, dict[str, Route]] = field(default_factory=dict)  # verb of the template, HTTP method

    def below(self, segment: str) -> _Node:
        if segment == ONE:
            self.one = self.one or _Node()
            return self.one
        if segment == REST:
            self.rest = self.rest or _Node()
            return self.rest
        return self.literals.setdefault(segment, _Node())


class Router:
    """All REST routes of a schema."""

    def __init__(self, schema: Schema) -> None:
        """Builds the tree.

        Raises:
            ValueError: a rule cannot be read or names a field that is not there, two routes are the same, or a call
                that is internal has a REST form.
        """
        self._root = _Node()
        self.routes = tuple(route for method in schema.methods for route in compile_routes(method))
        self._endings = frozenset(route.template.verb for route in self.routes) - {""}
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._root
        for segment in route.template.segments:
            node = node.below(segment)
        routes = node.routes.setdefault(route.template.verb, {})
        if (other := routes.get(route.verb)) is not None:
            names = f"{other.method.name} and {route.method.name}"
            raise ValueError(f"{names} are both {route.verb} {route.template.text}")
        routes[route.verb] = route

    def find(self, verb: str, path: bytes) -> Match | Miss:
        """The route of a request.

        Args:
            verb: the HTTP method; HEAD counts as GET.
            path: as it came over the wire, still percent-encoded, without the query.

        Raises:
            Invalid: the path is not percent-encoded UTF-8.
        """
        text = path.decode("latin-1")
        if not text.startswith("/") or text.endswith("/") or "//" in text:
            return Miss()
        raw = text[1:].split("/")
        if ":" in raw[-1]:
            stem, _, ending = raw[-1].rpartition(":")
            if stem and ending in self._endings:
                found = self._look(verb, [*raw[:-1], stem], ending)
                if isinstance(found, Match) or found.allow:
                    return found
        return self._look(verb, raw, "")

    def _look(self, verb: str, raw: list[str], ending: str) -> Match | Miss:
        segments = [segment if "%" not in segment and segment.isascii() else _decode(segment) for segment in raw]
        if not _DOTS.isdisjoint(segments):
            return Miss()
        wanted = _Wanted(segments, ending, verb)
        route = _walk(self._root, wanted, 0)
        if route is None:
            return wanted.miss()
        values = [
            segments[v.start] if v.single else "/".join(_decode_but_slashes(s) for s in raw[v.start : v.stop])
            for v in route.template.variables
        ]
        return Match(route, values)


class _Wanted:
    """What one lookup looks for; it collects the methods at the places that fit."""

    __slots__ = ("ending", "seen", "segments", "verb")

    def __init__(self, segments: list[str], ending: str, verb: str) -> None:
        self.segments = segments
        self.ending = ending
        self.verb = verb
        self.seen: set[str] = set()

    def miss(self) -> Miss:
        return Miss(tuple(sorted(self.seen | {"HEAD"} if "GET" in self.seen else self.seen)))


def _walk(node: _Node, wanted: _Wanted, at: int) -> Route | None:
    if at < len(wanted.segments):
        below = node.literals.get(wanted.segments[at])
        if below is not None and (found := _walk(below, wanted, at + 1)) is not None:
            return found
        if node.one is not None and (found := _walk(node.one, wanted, at + 1)) is not None:
            return found
    elif (found := _pick(node, wanted)) is not None:
        return found
    return None if node.rest is None else _pick(node.rest, wanted)


def _pick(node: _Node, wanted: _Wanted) -> Route | None:
    routes = node.routes.get(wanted.ending)
    if routes is None:
        return None
    found = routes.get(wanted.verb)
    if found is None and wanted.verb == "HEAD":
        found = routes.get("GET")
    if found is None:
        wanted.seen.update(routes)
    return found


def _decode(segment: str) -> str:
    if "%" not in segment and segment.isascii():
        return segment
    if _BAD_ESCAPE.search(segment):
        raise Invalid("the path has a percent sign that two hexadecimal digits do not follow")
    try:
        return unquote_to_bytes(segment.encode("latin-1")).decode()
    except UnicodeDecodeError as error:
        raise Invalid("the path is not percent-encoded UTF-8") from error


def _decode_but_slashes(segment: str) -> str:
    """Decodes a segment of a variable of several segments, where an encoded slash is left as it is (http.proto)."""
    if "%" not in segment:
        return _decode(segment)
    return "".join(part if part in {"%2F", "%2f"} else _decode(part) for part in _SLASH_ESCAPE.split(segment))


def compile_routes(method: Method) -> list[Route]:
    """The routes of a method, from its rule and the additional bindings of that.

    Raises:
        ValueError: the rule cannot be read or names a field that is not there, or the method is internal.
    """
    if method.http is None:
        return []
    if method.internal:
        raise ValueError(f"{method.name} is internal and must not have a REST form")
    try:
        return [_compile(method, rule) for rule in (method.http, *method.http.additional_bindings)]
    except ValueError as error:
        raise ValueError(f"{method.name}: {error}") from error


def _compile(method: Method, rule: HttpRule) -> Route:
    if rule.pattern is None:
        raise ValueError("option (google.api.http) has no pattern")
    if rule.response_body:
        raise ValueError("response_body is not supported; name the whole response")
    if rule is not method.http and rule.additional_bindings:
        raise ValueError("additional bindings cannot have additional bindings")
    verb, path = rule.pattern.field.upper(), rule.pattern.value
    if isinstance(path, CustomHttpPattern):
        verb, path = path.kind, path.path
    if not re.fullmatch("[A-Z]+", verb) or verb == "HEAD":
        raise ValueError(f"{verb!r} cannot be an HTTP method of a rule")
    if rule.body and verb == "GET":
        raise ValueError("GET has no body")
    compiled = template.parse(path)
    request = method.desc.input
    bound = tuple(fields.leaf(request, variable.field) for variable in compiled.variables)
    names = {f.name: f for f in request.fields}
    if rule.body not in {"", "*"} and rule.body not in names:
        raise ValueError(f"{request.type_name} has no field {rule.body}, which shall be the body")
    return Route(
        method=method,
        verb=verb,
        template=compiled,
        body=rule.body,
        body_key=names[rule.body].json_name if rule.body in names else "",
        bound=bound,
        query=_query(request, rule.body, bound),
        resource=_resource(request, rule.body) if verb == "PATCH" else None,
        resumes=method.streams and _CURSOR in names,
    )


def _query(request: DescMessage, body: str, bound: tuple[Param, ...]) -> Mapping[str, Param]:
    if body == "*":
        return MappingProxyType({})
    taken = {param.names for param in bound}
    return MappingProxyType({
        spelling: param
        for param in fields.leaves(request)
        if param.names not in taken and param.names[0] != body
        for spelling in fields.spellings(param)
    })  # fmt: skip


def _resource(request: DescMessage, body: str) -> DescMessage | None:
    """The message that the body is, if the request has a mask for it (AIP-134)."""
    values = {f.name: f.value for f in request.fields}
    mask, resource = values.get(_UPDATE_MASK), values.get(body)
    if not isinstance(mask, DescFieldValueMessage) or mask.message.type_name != fields.FIELD_MASK:
        return None
    return resource.message if isinstance(resource, DescFieldValueMessage) else None
