"""Path templates of google.api.http: `/v1/{name=hosts/*}:verb`.

The grammar is that of google/api/http.proto, "Path template syntax". `*` is one segment, `**` any number of segments at
the end. A template is flattened into segments, and variables are spans of them, which is all a router needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

ONE: Final = "*"
REST: Final = "**"

_IDENT = r"[A-Za-z_][A-Za-z0-9_]*"
_LITERAL = r"[A-Za-z0-9._~\-!$&'()+,;=@]+"
_PART = re.compile(
    rf"\{{(?P<field>{_IDENT}(?:\.{_IDENT})*)(?:=(?P<inner>[^{{}}]+))?\}}|(?P<wild>\*\*|\*)|(?P<literal>{_LITERAL})"
)
_VERB = re.compile(r":([A-Za-z][A-Za-z0-9_\-]*)$")


@dataclass(frozen=True, slots=True)
class Variable:
    """A request field that is bound by some segments of the path."""

    field: str
    """Its path in the request, as in the proto: `host.name`."""
    start: int
    stop: int | None
    """The first segment behind it; None means up to the end (`**`)."""

    single: bool
    """It is bound by exactly one segment."""


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled path template."""

    text: str
    segments: tuple[str, ...]
    """Literals, and the marks ONE and REST; only the last can be REST."""
    variables: tuple[Variable, ...]
    verb: str
    """What follows the colon at the end; empty if nothing does."""


def parse(text: str) -> Template:
    """Compiles a template.

    Raises:
        ValueError: it does not follow the grammar, binds a field twice, or has `**` before its end.
    """
    if not text.startswith("/"):
        raise ValueError(f"path template {text!r} does not begin with a slash")
    verb = _VERB.search(text) if not text.endswith("}") else None
    rest = text[1 : verb.start()] if verb else text[1:]
    segments: list[str] = []
    variables: list[Variable] = []
    while True:
        part = _PART.match(rest)
        if part is None:
            raise ValueError(f"path template {text!r} cannot be read at {rest!r}")
        _take(part, text, segments, variables)
        rest = rest[part.end() :]
        if not rest:
            break
        if not rest.startswith("/"):
            raise ValueError(f"path template {text!r} cannot be read at {rest!r}")
        rest = rest[1:]
    if REST in segments[:-1]:
        raise ValueError(f"path template {text!r} has ** before its end")
    names = [variable.field for variable in variables]
    if len(set(names)) != len(names):
        raise ValueError(f"path template {text!r} binds a field twice")
    return Template(text, tuple(segments), tuple(variables), verb[1] if verb else "")


def _take(part: re.Match[str], text: str, segments: list[str], variables: list[Variable]) -> None:
    """Adds one segment, or a variable with all of its segments."""
    if part["field"] is None:
        segments.append(part["wild"] or part["literal"])
        return
    inner = (part["inner"] or ONE).split("/")
    for segment in inner:
        if segment not in {ONE, REST} and not re.fullmatch(_LITERAL, segment):
            raise ValueError(f"path template {text!r} cannot be read at {segment!r}")
    start = len(segments)
    segments.extend(inner)
    stop = None if inner[-1] == REST else len(segments)
    variables.append(Variable(part["field"], start, stop, stop == start + 1))
