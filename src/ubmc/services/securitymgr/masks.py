"""Taking the fields that a mask names from one message into another."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

from protobuf import Message
from protobuf.wkt import FieldMask

from ubmc.kit.errors import Invalid, Violation

M = TypeVar("M", bound=Message[Any])


def merged(before: M, wanted: M, mask: FieldMask | None, changeable: Sequence[str]) -> M:
    """`before` with the masked fields of `wanted`; without a mask, those that are set there.

    Raises:
        Invalid: the mask names something that cannot be changed, or nothing is to be changed.
    """
    named = tuple(mask.paths) if mask is not None else ()
    unknown = [path for path in named if path not in changeable]
    if unknown:
        raise _wrong(f"{', '.join(unknown)} cannot be changed; name some of {', '.join(changeable)}")
    paths = named or tuple(path for path in changeable if _is_set(wanted, path))
    if not paths:
        raise _wrong(f"name what is to change: some of {', '.join(changeable)}")
    after = copy.deepcopy(before)
    for path in paths:
        setattr(after, path, getattr(wanted, path))
    return after


def _is_set(message: Message[Any], path: str) -> bool:
    return bool(getattr(message, path)) or message.has_field(path)


def _wrong(text: str) -> Invalid:
    return Invalid(f"updateMask: {text}", violations=[Violation("updateMask", "known", text)])
