"""Query parameters (DSP0266, "Query parameters"): what they ask for, and `$select` and paging done on bodies.

Expansion needs other resources and is done where these are; here is only what it asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote_plus

from ubmc.protocols.redfish.filter import Filter, parse_filter
from ubmc.protocols.redfish.messages import Message, RedfishError

MAX_LEVELS = 2
"""With 300 sensors no resource expands to more than about 600 at two levels, and to more than 10,000 at three."""
MAX_TOP = 1_000_000
_ALWAYS = ("@odata.id", "@odata.type", "@odata.etag", "@odata.context")
_EXPANDS = {"*": (True, True), ".": (True, False), "~": (False, True)}
_LONGEST = 4096
_PLAIN = "$/*(),:@'~="

Selection = Mapping[str, "Selection"]
"""A tree of names; an empty one takes everything below."""


@dataclass(frozen=True, slots=True)
class Expand:
    """Which links to replace by what they lead to."""

    subordinate: bool
    """Links outside of `Links`."""
    dependent: bool
    """Links within `Links`."""
    levels: int = 1


@dataclass(frozen=True, slots=True)
class Query:
    """What a request asks for beyond the resource itself."""

    select: Selection | None = None
    expand: Expand | None = None
    filter: Filter | None = None
    top: int | None = None
    skip: int = 0
    only: bool = False
    excerpt: bool = False
    raw: str = field(default="", compare=False)
    """As it was sent."""

    @property
    def pages(self) -> bool:
        """Whether it wants a part of the members."""
        return self.top is not None or self.skip > 0

    @property
    def part(self) -> bool:
        """Whether it only wants a part of the resource itself, which then has the resource's tag."""
        return self.expand is None and self.filter is None and not self.pages


NOTHING = Query()


def parse_query(raw: str) -> Query:
    """Read a query string; parameters that neither Redfish nor OData knows are ignored.

    Raises:
        RedfishError: 400 for a wrong value or combination, 501 for a parameter with a `$` that is not supported.
    """
    if len(raw) > _LONGEST:
        raise RedfishError(400, Message("QueryParameterValueError", ("query",)))
    found: dict[str, Any] = {}
    for pair in raw.split("&"):
        name, equals, value = pair.partition("=")
        name = unquote_plus(name)
        reader = _READERS.get(name)
        if reader is not None:
            if name in found:
                raise RedfishError(400, Message("QueryCombinationInvalid"))
            found[name] = reader(unquote_plus(value) if equals else "")
        elif name.startswith("$"):
            raise RedfishError(501, Message("QueryParameterUnsupported", (name,)))
    query = Query(**{_FIELDS[name]: value for name, value in found.items()}, raw=raw)
    if query.only and (query.expand or query.filter or query.pages):
        raise RedfishError(400, Message("QueryCombinationInvalid"))
    if query.excerpt and query.select is not None:
        raise RedfishError(400, Message("QueryCombinationInvalid"))
    return query


def _select(value: str) -> Selection:
    tree: dict[str, Any] = {}
    for path in value.split(","):
        node = tree
        segments = [segment.strip() for segment in path.split("/")]
        if not all(segments):
            raise RedfishError(400, Message("QueryParameterValueFormatError", (value, "$select")))
        for segment in segments:
            node = node.setdefault(segment, {})
    return tree


def _expand(value: str) -> Expand:
    kind, bracket, rest = value.strip().partition("(")
    which = _EXPANDS.get(kind)
    if which is None:
        raise RedfishError(400, Message("QueryParameterValueFormatError", (value, "$expand")))
    if not bracket:
        return Expand(*which)
    text = rest.removesuffix(")")
    name, _, number = text.partition("=")
    if text == rest or name.strip() != "$levels":
        raise RedfishError(400, Message("QueryParameterValueFormatError", (value, "$expand")))
    return Expand(*which, levels=_number("$levels", number.strip(), 1, MAX_LEVELS))


def _number(name: str, value: str, least: int, most: int) -> int:
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        raise RedfishError(400, Message("QueryParameterValueTypeError", (value, name)))
    number = int(value) if len(value) < 12 else most + 1
    if not least <= number <= most:
        raise RedfishError(400, Message("QueryParameterOutOfRange", (value, name, f"{least}-{most}")))
    return number


def _flag(value: str) -> bool:
    if value not in ("", "true"):
        raise RedfishError(400, Message("QueryParameterValueError", (value,)))
    return True


_READERS: dict[str, Callable[[str], Any]] = {
    "$select": _select,
    "$expand": _expand,
    "$filter": parse_filter,
    "$top": lambda value: _number("$top", value, 0, MAX_TOP),
    "$skip": lambda value: _number("$skip", value, 0, MAX_TOP),
    "only": _flag,
    "excerpt": _flag,
}
_FIELDS = {
    "$select": "select",
    "$expand": "expand",
    "$filter": "filter",
    "$top": "top",
    "$skip": "skip",
    "only": "only",
    "excerpt": "excerpt",
}


def select(body: Mapping[str, Any], wanted: Selection) -> dict[str, Any]:
    """The properties that were asked for; names that are not there are ignored, as the specification says."""
    found: dict[str, Any] = {name: body[name] for name in _ALWAYS if name in body}
    for name, value in body.items():
        plain = name.partition("@")[0] or name
        inner = wanted.get(name)
        if inner is None:
            inner = wanted.get(plain)
        if inner is not None:
            found[name] = _inside(value, inner)
    return found


def _inside(value: Any, wanted: Selection) -> Any:
    if not wanted:
        return value
    if isinstance(value, dict):
        return select(value, wanted)
    if isinstance(value, list):
        return [_inside(each, wanted) for each in value]
    return value


def next_link(path: str, query: Query, skip: int, top: int) -> str:
    """Where the members go on: the same query, with another part of what it gives.

    Args:
        path: of the collection.
        query: what was asked for.
        skip: how many members came up to here.
        top: at most so many in each part.
    """
    pairs = [pair.partition("=") for pair in query.raw.split("&") if pair]
    asked = [(unquote_plus(name), unquote_plus(value), equals) for name, equals, value in pairs]
    kept = [(name, value, equals) for name, value, equals in asked if name not in ("$skip", "$top")]
    wanted = [*kept, ("$skip", str(skip), "="), ("$top", str(top), "=")]
    return f"{path}?" + "&".join(
        f"{quote(name, _PLAIN)}{equals}{quote(value, _PLAIN)}" for name, value, equals in wanted
    )


def page(body: Mapping[str, Any], query: Query) -> dict[str, Any]:
    """The members that were asked for; the count stays that of all."""
    end = None if query.top is None else query.skip + query.top
    return {**body, "Members": body["Members"][query.skip : end]}
