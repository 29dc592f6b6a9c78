"""New values into an existing FRU. What is not changed keeps its bytes, and its place where that can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ubmc.kit.errors import Invalid, Refused
from ubmc.protocols.fru.areas import FIELDS, HEADER, UNIT, Area, Fru, InfoArea, Parsed
from ubmc.protocols.fru.build import build_header, build_info, padded
from ubmc.protocols.fru.fields import EMPTY, encode_text
from ubmc.protocols.fru.parse import is_blank, parse
from ubmc.protocols.fru.times import to_minutes

_PREFIXES = {area.name.lower() + "_": area for area in FIELDS}


def update(data: bytes, changes: Mapping[str, Any], size: int | None = None) -> bytes:
    """The bytes of the storage with new values.

    Args:
        data: all bytes of the storage. A blank one becomes a new FRU.
        changes: by name: `product_asset_tag` and the other fields of `FIELDS` with their area before them (str);
            `board_custom`, ... (a sequence of str); `chassis_type` (int); `board_manufacture_time` (aware datetime or
            None).
        size: how many bytes the storage takes; by default as many as `data` has.

    Returns:
        As many bytes as `data` has, or more, up to `size`.

    Raises:
        Invalid: there is no such field, or it cannot have this value.
        Refused: what would have to be changed is damaged, or there is no room.
    """
    parsed = parse(data)
    size = len(data) if size is None else size
    if not parsed.layout:
        raise Refused(f"the storage is damaged ({parsed.faults[0]}); write all of its bytes")
    wanted: dict[Area, dict[str, Any]] = {}
    for name, value in changes.items():
        area, key = _split(name)
        wanted.setdefault(area, {})[key] = value
    blocks = _blocks(data, parsed)
    for area, values in wanted.items():
        if area in parsed.damaged:
            fault = next((each for each in parsed.faults if area.label in each.text), parsed.faults[0])
            raise Refused(f"the {area.label} is damaged ({fault}); write all bytes of the storage")
        blocks[area] = _rebuilt(parsed.fru, area, values, len(blocks.get(area, b"")))
    return _place(data, parsed, blocks, size)


def _split(name: str) -> tuple[Area, str]:
    for prefix, area in _PREFIXES.items():
        key = name.removeprefix(prefix)
        known = key in FIELDS[area] or key == "custom"
        known |= (area, key) in ((Area.CHASSIS, "type"), (Area.BOARD, "manufacture_time"))
        if key != name and known:
            return area, key
    raise Invalid(f"a FRU has no field {name}")


def _rebuilt(fru: Fru, area: Area, values: Mapping[str, Any], length: int) -> bytes:
    old = fru.info.get(area, InfoArea(area))
    fields = list(old.fields) + [EMPTY] * (len(FIELDS[area]) - len(old.fields))
    new = old
    for key, value in values.items():
        match key:
            case "type":
                new = replace(new, chassis_type=value)
            case "manufacture_time":
                new = replace(new, minutes=to_minutes(value))
            case "custom":
                new = replace(new, custom=_custom(old, value))
            case _:
                if value != old.text(key):  # else its encoding stays
                    what = f"{area.name.lower()}_{key}"
                    fields[FIELDS[area].index(key)] = encode_text(value, old.language, what=what)
    return build_info(replace(new, fields=tuple(fields)), length)


def _custom(old: InfoArea, values: Any) -> tuple[Any, ...]:
    kept = dict(zip(old.custom_texts(), old.custom, strict=True))
    what = f"{old.area.name.lower()}_custom"
    return tuple(kept[each] if each in kept else encode_text(each, old.language, what=what) for each in values)


def _blocks(data: bytes, parsed: Parsed) -> dict[Area, bytes]:
    """The bytes of the areas, in the order in which they lie."""
    order = sorted(parsed.places.items(), key=lambda place: place[1])
    return {area: data[offset : offset + length] for area, (offset, length) in order if length}


def _place(data: bytes, parsed: Parsed, blocks: Mapping[Area, bytes], size: int) -> bytes:
    """Lay the areas out: each stays where it is unless the one before it needs the place."""
    offsets: dict[Area, int] = {}
    end = HEADER
    for area, block in blocks.items():
        before = parsed.places.get(area, (end, 0))[0]
        offsets[area] = max(before, end)
        end = offsets[area] + len(padded(block))
    if offsets and (last := max(offsets[area] + len(blocks[area]) for area in blocks)) > size:
        raise Refused(f"this needs {last} bytes; the storage has {size}: shorten some fields")
    new = bytearray(data.ljust(min(end, size), b"\0"))
    if parsed.blank:
        new[:] = bytes(len(new))
    for area, block in blocks.items():
        _check_free(data, parsed, offsets[area], len(block))
        new[offsets[area] : offsets[area] + len(block)] = block
    new[:HEADER] = build_header(offsets)
    return bytes(new)


def _check_free(data: bytes, parsed: Parsed, offset: int, length: int) -> None:
    """Bytes that no area owns may be somebody's all the same.

    Raises:
        Refused: they would be lost.
    """
    owned = [range(start, start + len(padded(bytes(count)))) for start, count in parsed.places.values()]
    for start in range(offset, min(offset + length, len(data)), UNIT):
        part = data[start : start + UNIT]
        if not any(start in each for each in owned) and not is_blank(part):
            raise Refused(
                f"there is no room: the bytes from {start} on belong to no area and are not blank; "
                "shorten some fields, or write all bytes of the storage"
            )
