"""Pages of a sorted list. A page token says after which key the next page begins, so it survives every change."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import TypeVar

from ubmc.kit.errors import Invalid, Violation

T = TypeVar("T")

DEFAULT_SIZE = 100


def page(items: Iterable[T], key: Callable[[T], str], size: int, token: str) -> tuple[list[T], str]:
    """One page in the order of the keys, and the token of the next; an empty token after the last.

    Args:
        items: all items, in any order.
        key: what they are sorted by; unique, and not empty.
        size: how many at most; 0 for the default of 100.
        token: that of the page before, or empty.

    Raises:
        Invalid: the token is not one of ours, or the size is negative.
    """
    if size < 0:
        raise Invalid("pageSize is negative", violations=[Violation("pageSize", "int32.gte", "must be 0 or more")])
    after = _decode(token)
    rest = sorted((item for item in items if key(item) > after), key=key)
    shown = rest[: size or DEFAULT_SIZE]
    return shown, _encode(key(shown[-1])) if len(shown) < len(rest) else ""


def _encode(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _decode(token: str) -> str:
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        message = "is not a token of an earlier answer; begin without one"
        raise Invalid(f"pageToken {message}", violations=[Violation("pageToken", "token", message)]) from error
