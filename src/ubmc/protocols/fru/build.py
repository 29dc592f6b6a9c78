"""A FRU to bytes."""

from __future__ import annotations

from collections.abc import Mapping

from ubmc.kit.errors import Invalid
from ubmc.protocols.fru.areas import FIELDS, HEADER, MAX_AREA, MAX_OFFSET, UNIT, VERSION, Area, Fru, InfoArea
from ubmc.protocols.fru.fields import EMPTY, END
from ubmc.protocols.fru.times import MAX_MINUTES


def checksum(data: bytes) -> int:
    """The byte with which the sum of all is 0 modulo 256."""
    return -sum(data) & 0xFF


def padded(data: bytes) -> bytes:
    """With zero bytes to a whole number of units."""
    return data + bytes(-len(data) % UNIT)


def build_info(area: InfoArea, length: int = 0) -> bytes:
    """The bytes of an area.

    Args:
        area: what shall be in it. Fields that it lacks are written empty.
        length: at least so many bytes, a multiple of 8.

    Raises:
        Invalid: it is too large, or a number in it is out of range.
    """
    if not (0 <= area.language <= 0xFF and 0 <= area.chassis_type <= 0xFF and 0 <= area.minutes <= MAX_MINUTES):
        raise Invalid(f"{area.area.label}: language and chassis type are 0 to 255, minutes 0 to {MAX_MINUTES}")
    lead = {
        Area.CHASSIS: bytes([area.chassis_type]),
        Area.BOARD: bytes([area.language]) + area.minutes.to_bytes(3, "little"),
        Area.PRODUCT: bytes([area.language]),
    }[area.area]
    own = area.fields + (EMPTY,) * (len(FIELDS[area.area]) - len(area.fields))
    content = lead + b"".join(each.encode() for each in (*own, *area.custom)) + bytes([END])
    total = max(len(padded(content + bytes(3))), length)  # version, length and checksum
    if total > MAX_AREA:
        raise Invalid(f"the {area.area.label} would have {total} bytes; {MAX_AREA} is the most: shorten its fields")
    body = bytes([VERSION, total // UNIT]) + content
    body += bytes(total - 1 - len(body))
    return body + bytes([checksum(body)])


def build_header(offsets: Mapping[Area, int]) -> bytes:
    """The common header.

    Args:
        offsets: of the areas that there are, in bytes.

    Raises:
        Invalid: an area is too far away for the header to say so.
    """
    header = bytearray(HEADER - 1)
    header[0] = VERSION
    for area, offset in offsets.items():
        if offset % UNIT or not HEADER <= offset <= MAX_OFFSET:
            raise Invalid(f"the {area.label} cannot begin at byte {offset}; {MAX_OFFSET} is the last place")
        header[area.value] = offset // UNIT
    return bytes(header) + bytes([checksum(bytes(header))])


def build(fru: Fru) -> bytes:
    """The bytes of a whole new one: header, internal use, chassis, board, product, records.

    Raises:
        Invalid: it is too large.
    """
    blocks: dict[Area, bytes] = {}
    if fru.internal is not None:
        blocks[Area.INTERNAL] = padded(fru.internal)
    for area in FIELDS:
        if area in fru.info:
            blocks[area] = build_info(fru.info[area])
    if fru.multirecord is not None:
        blocks[Area.MULTIRECORD] = padded(fru.multirecord)
    offsets, end = {}, HEADER
    for area, block in blocks.items():
        offsets[area] = end
        end += len(block)
    return build_header(offsets) + b"".join(blocks.values())
