"""Pages of components in the order of their names. The page token is the last name of the page before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ubmc.kit.errors import Invalid, NotFound, Violation

T = TypeVar("T")

DEFAULT_SIZE = 100


def page(items: Mapping[str, T], size: int, token: str) -> tuple[list[T], str]:
    """One page, and the token of the next; an empty token after the last.

    Args:
        items: all items by name.
        size: how many at most; 0 for 100.
        token: that of the page before, or empty.

    Raises:
        Invalid: the token is not one of ours.
    """
    if token and token not in items:
        message = "is not a token of an earlier answer; begin without one"
        raise Invalid(f"page_token {message}", violations=[Violation("page_token", "token", message)])
    names = sorted(items, key=_order)
    rest = names[names.index(token) + 1 :] if token else names
    shown = rest[: size or DEFAULT_SIZE]
    return [items[name] for name in shown], shown[-1] if len(shown) < len(rest) else ""


def find(items: Mapping[str, T], name: str) -> T:
    """The item of that name.

    Raises:
        NotFound: there is none; says what there is.
    """
    if name not in items:
        raise NotFound(f"there is no {name}; there is {', '.join(sorted(items, key=_order))}")
    return items[name]


def _order(name: str) -> tuple[str, int]:
    """`host.10` comes after `host.9`."""
    kind, _, number = name.rpartition(".")
    return kind, int(number) if number.isdecimal() else 0
