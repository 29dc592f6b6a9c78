"""Messages as text for people: names and numbers as they are read, in tables; all of it safe to print."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from protobuf.wkt import Duration, Timestamp

from ubmc.cli.terminal import printable

_NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """One fact about a message: its title, and the path of attributes that leads to it (`boot_override.mode`)."""

    title: str
    path: str


def columns(*facts: str) -> tuple[Column, ...]:
    """Columns, each as `title: path`; where the title is left out, it is the path with spaces for underscores."""
    pairs = [fact.rpartition(": ") for fact in facts]
    return tuple(Column(title or path.replace("_", " "), path) for title, _, path in pairs)


def cell(message: object, path: str) -> str:
    """The value at a path, for people; `-` if there is none on the way."""
    value: object = message
    for name in path.split("."):
        if value is None:
            break
        value = getattr(value, name)
    return format_value(value)


def format_value(value: object) -> str:
    """A value of a message for people, safe to print."""
    match value:
        case None:
            text = _NOTHING
        case bool():
            text = "yes" if value else "no"
        case Enum():
            text = format_enum(value)
        case Timestamp():
            text = format_time(value)
        case Duration():
            text = format_duration(value.seconds + value.nanos / 1e9)
        case float():
            text = format_number(value)
        case str():
            text = printable(value) or _NOTHING
        case Mapping():
            pairs = (f"{printable(str(name))}={format_value(item)}" for name, item in value.items())
            text = " ".join(pairs) or _NOTHING
        case Sequence():
            text = ", ".join(format_value(item) for item in value) or _NOTHING
        case _:
            text = printable(str(value))
    return text


def format_enum(value: Enum) -> str:
    """`POWERING_ON` is `powering on`; what this program does not know stays a number."""
    if value.value == 0:
        return _NOTHING
    return printable(value.name.replace("_", " ").lower()) if value.name else str(value.value)


def format_time(time: Timestamp) -> str:
    """A time as ISO 8601 in UTC, to the second."""
    try:
        return datetime.fromtimestamp(time.seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return _NOTHING  # a year that no calendar here can show


def format_number(value: float) -> str:
    """A measured value without needless digits: three behind the point at most."""
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def format_duration(seconds: float) -> str:
    """`3d 4h`, `5m 20s`, `0.5s`: the two largest units."""
    if abs(seconds) < 60:
        return f"{seconds:.3g}s"
    left = int(abs(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    return ("-" if seconds < 0 else "") + " ".join(part for part in parts[:2] if not part.startswith("0"))


def few(names: Sequence[str], most: int) -> str:
    """The first of many names, and how many more there are."""
    if len(names) <= 2 * most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def width(text: str) -> int:
    """How many places of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _pad(text: str, size: int) -> str:
    return text + " " * (size - width(text))


def table(shown: Sequence[Column], messages: Iterable[Any]) -> list[list[str]]:
    """The rows of a table, the titles first, padded so that columns stand under each other."""
    rows = [[column.title.upper() for column in shown]]
    rows += [[cell(message, column.path) for column in shown] for message in messages]
    sizes = [max(width(row[place]) for row in rows) for place in range(len(shown))]
    last = len(shown) - 1
    return [[text if i == last else _pad(text, sizes[i]) for i, text in enumerate(row)] for row in rows]


def sheet(shown: Sequence[Column], message: object) -> list[list[str]]:
    """One message as lines of title and value."""
    size = max(width(column.title) for column in shown)
    return [[_pad(column.title, size), cell(message, column.path)] for column in shown]
