"""How the second pass reads a board file: the tables of a list, and values of the type that they should have.

The file is read as it is, with whatever mistakes; a value of the wrong type is passed over, for the models report it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeGuard

from ubmc.boards.shape import Path, format_path
from ubmc.kit.errors import Violation

Row = Mapping[str, object]
Data = Row


def violation(path: Path, rule: str, message: str) -> Violation:
    """A mistake at a place of the file."""
    return Violation(format_path(path), rule, message)


def is_row(value: object) -> TypeGuard[Row]:
    """Whether this is a table."""
    return isinstance(value, Mapping)


def tables(data: Row, key: str) -> Iterator[tuple[int, Row]]:
    """The tables of one list, with their index."""
    value = data.get(key)
    for index, item in enumerate(value if isinstance(value, list) else []):
        if is_row(item):
            yield index, item


def texts(row: Row, key: str) -> Iterator[tuple[int, str]]:
    """The texts of one list, with their index."""
    value = row.get(key)
    for index, item in enumerate(value if isinstance(value, list) else []):
        if isinstance(item, str):
            yield index, item


def text(row: Row, key: str) -> str | None:
    """A text; None if there is none."""
    value = row.get(key)
    return value if isinstance(value, str) else None


def number(row: object, key: str) -> float | None:
    """A number in a table; None if there is none, or no table."""
    value = row.get(key) if is_row(row) else None
    return None if isinstance(value, bool) or not isinstance(value, int | float) else float(value)


def kind_of(row: Row, key: str) -> object:
    """The `kind` of the table of that key; None if there is none."""
    inner = row.get(key)
    return inner.get("kind") if is_row(inner) else None
