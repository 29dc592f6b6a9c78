"""The content of FRU storage as the schema has it: out for people, in for changes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from protobuf.wkt import Timestamp

from ubmc.kit.errors import Invalid, Violation
from ubmc.protocols import fru as codec
from ubmc.protocols.fru import FIELDS, Area, InfoArea, Parsed
from ubmc.services.inventorymgr.text import shown
from ubmc.v1alpha1 import inventory_pb as wire

TAG = "asset_tag"
STORED_TAG = "product_asset_tag"
"""The field of a storage that takes it."""
_PREFIX = "fru."
_HIDDEN = "file_id"  # how the manufacturer's tools made the content; of no use to anybody else
_SPECIAL = ("chassis_type", "board_manufacture_time")
_TEXTS = tuple(f"{area.name.lower()}_{name}" for area, names in FIELDS.items() for name in names if name != _HIDDEN)
_CUSTOM = tuple(f"{area.name.lower()}_custom" for area in FIELDS)
NAMES = frozenset((*_SPECIAL, *_TEXTS, *_CUSTOM))
"""The fields of the message `Fru`."""


def message(parsed: Parsed) -> wire.Fru | None:
    """What is in a storage, made safe to be shown; None if nothing can be read."""
    info = parsed.fru.info
    if not info:
        return None
    chassis, board = info.get(Area.CHASSIS), info.get(Area.BOARD)
    made = codec.from_minutes(board.minutes) if board is not None else None
    found: dict[str, Any] = {}
    for area, content in info.items():
        for name in FIELDS[area]:
            if name != _HIDDEN:
                found[f"{area.name.lower()}_{name}"] = shown(content.text(name))
        found[f"{area.name.lower()}_custom"] = [shown(text) for text in content.custom_texts()]
    return wire.Fru(
        chassis_type=chassis.chassis_type if chassis is not None else 0,
        board_manufacture_time=Timestamp.from_datetime(made) if made is not None else None,
        **found,
    )


def text_of(content: InfoArea | None, name: str) -> str:
    """One field of an area that may not be there, as it is stored."""
    return content.text(name) if content is not None else ""


@dataclass(frozen=True, slots=True)
class Change:
    """What an UpdateAsset asks for."""

    tag: str | None
    """The new asset tag; None: not asked for."""
    fru: Mapping[str, Any]
    """New values of fields of the storage, as the codec takes them."""


def change_of(asset: wire.Asset, paths: Sequence[str]) -> Change:
    """What is asked for.

    Args:
        asset: the new values.
        paths: which of them to take; none means `asset_tag`.

    Raises:
        Invalid: a path cannot be changed, or a value cannot be.
    """
    tag: str | None = None
    values: dict[str, Any] = {}
    for path in dict.fromkeys(paths or (TAG,)):
        name = path.removeprefix(_PREFIX)
        if path == TAG:
            tag = _clean(asset.asset_tag)
        elif path != name and name in NAMES:
            values[name] = _value(asset.fru if asset.fru is not None else wire.Fru(), name)
        else:
            raise _wrong(path, f"only asset_tag and the fields of fru can be changed, not {shown(path, 80)}")
    if tag is not None and STORED_TAG in values:
        raise _wrong(TAG, "asset_tag and fru.product_asset_tag are the same; name one of them")
    return Change(tag, values)


def differing(values: Mapping[str, Any], shown_now: wire.Fru | None) -> dict[str, Any]:
    """Those that are not what is shown already: what was shown escaped must not be stored so."""
    now = shown_now if shown_now is not None else wire.Fru()
    return {name: value for name, value in values.items() if value != _value(now, name)}


def _value(content: wire.Fru, name: str) -> Any:
    value = getattr(content, name)
    if isinstance(value, Timestamp):
        return value.to_datetime()
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


def _clean(tag: str) -> str:
    if not tag.isprintable():
        raise _wrong(TAG, "an asset tag has no control characters")
    return tag.strip()


def _wrong(field: str, text: str) -> Invalid:
    return Invalid(text, violations=[Violation(field, "update", text)])
