"""Pages of lists. A page token says behind which item the next page begins, so it survives every change of the list.

Names are in the order in which people count: `host.10` comes after `host.9`, `cpu10_temp` after `cpu9_temp`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from ubmc.kit.errors import Invalid, NotFound, Violation

T = TypeVar("T")

DEFAULT_SIZE = 100
MAX_SIZE = 1000
_NUMBER = re.compile(r"([0-9]{1,18})")
_NAMED = 20


def natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    """What names are sorted by: their numbers as numbers."""
    parts = enumerate(_NUMBER.split(name))  # text and numbers in turn, text first
    return tuple((at % 2 == 1, int(part) if at % 2 else 0, part) for at, part in parts if part)


def page_size(asked: int) -> int:
    """How many items a page has at most.

    Args:
        asked: what the request says; 0 for the default of 100.

    Raises:
        Invalid: it is negative or more than 1,000.
    """
    if not 0 <= asked <= MAX_SIZE:
        raise wrong("pageSize", f"a page has 1 to {MAX_SIZE} items")
    return asked or DEFAULT_SIZE


def page(
    items: Iterable[T],
    size: int,
    token: str,
    *,
    key: Callable[[T], str],
    order: Callable[[str], Any] = natural,
    reverse: bool = False,
) -> tuple[list[T], str]:
    """One page in the order of the keys, and the token of the next; an empty token after the last.

    Args:
        items: all items, in any order.
        size: how many at most; 0 for the default of 100.
        token: that of the page before, or empty.
        key: the name of an item; unique, and not empty.
        order: what the names are sorted by.
        reverse: the last one first.

    Raises:
        Invalid: the token is not one of ours, or the size is out of range.
    """
    limit = page_size(size)
    ranked = sorted(((order(key(item)), item) for item in items), key=lambda pair: pair[0], reverse=reverse)
    if token:
        last = order(_decode(token))
        ranked = [pair for pair in ranked if (pair[0] < last if reverse else pair[0] > last)]
    shown = [item for _, item in ranked[:limit]]
    return shown, _encode(key(shown[-1])) if len(shown) < len(ranked) else ""


def find(items: Mapping[str, T], name: str) -> T:
    """The item of that name.

    Raises:
        NotFound: there is none; says what there is.
    """
    if name in items:
        return items[name]
    names = sorted(items, key=natural)
    rest = len(names) - _NAMED
    there = ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
    raise NotFound(f"there is no {name}; there is {there or 'nothing of that kind'}")


def wrong(field: str, message: str) -> Invalid:
    """The error for a field that has to do with pages."""
    return Invalid(f"{field}: {message}", violations=[Violation(field, "page", message)])


def _encode(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _decode(token: str) -> str:
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise wrong("pageToken", "is not a token of an earlier answer; begin without one") from error
