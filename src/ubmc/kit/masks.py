"""Taking the fields that a mask names from one message into another."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

from protobuf import Message
from protobuf.wkt import FieldMask

from ubmc.kit.errors import Invalid, Violation

M = TypeVar("M", bound=Message[Any])


def merged(before: M, wanted: M, mask: FieldMask | None, changeable: Sequence[str]) -> tuple[M, frozenset[str]]:
    """`before` with the masked fields of `wanted`, and which fields were taken.

    Args:
        before: is not changed.
        wanted: where fields are taken from.
        mask: which; without one, those that are set. A path that stands for several changeable ones means all of them.
        changeable: the fields that can be changed, those of inner messages as `inner.field`; one level at most.

    Raises:
        Invalid: the mask names something that cannot be changed, or nothing is to be changed.
    """
    named = tuple(mask.paths) if mask is not None else ()
    unknown = [path for path in named if not _below(path, changeable)]
    if unknown:
        raise _wrong(f"{', '.join(unknown)} cannot be changed; name some of {', '.join(changeable)}")
    if not named:
        named = tuple(dict.fromkeys(top for path in changeable if is_set(wanted, top := path.partition(".")[0])))
    paths = [path for name in named for path in _below(name, changeable)]
    if not paths:
        raise _wrong(f"name what is to change: some of {', '.join(changeable)}")
    after = copy.deepcopy(before)
    for path in paths:
        _take(path, wanted, after)
    return after, frozenset(paths)


def is_set(message: Message[Any], name: str) -> bool:
    """Whether a field says anything: it is present, or is not its default."""
    return bool(getattr(message, name)) or message.has_field(name)


def _below(path: str, changeable: Sequence[str]) -> list[str]:
    return [each for each in changeable if each == path or each.startswith(f"{path}.")]


def _take(path: str, wanted: Message[Any], after: Message[Any]) -> None:
    outer, _, inner = path.partition(".")
    if not inner:
        _copy(outer, wanted, after)
        return
    source = getattr(wanted, outer)
    target = getattr(after, outer)
    if source is None and target is None:
        return
    if target is None:
        target = type(source)()
        setattr(after, outer, target)
    _copy(inner, source if source is not None else type(target)(), target)


def _copy(name: str, source: Message[Any], target: Message[Any]) -> None:
    """Copy a field; one with presence that is absent becomes absent, for what stands there then says nothing."""
    if is_set(source, name):
        setattr(target, name, copy.deepcopy(getattr(source, name)))
    else:
        target.clear_field(name)


def _wrong(text: str) -> Invalid:
    return Invalid(f"updateMask: {text}", violations=[Violation("updateMask", "known", text)])
