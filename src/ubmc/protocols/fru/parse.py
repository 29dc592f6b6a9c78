"""Bytes to a FRU. Any bytes: what is wrong is listed, what can be read is given.

An area whose checksum is wrong is read all the same (many are in the field) as long as the header that points to it is
right; with a wrong header only areas that prove themselves by their own checksum are believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ubmc.protocols.fru.areas import FIELDS, HEADER, LEAD, UNIT, VERSION, Area, Fault, Fru, InfoArea, Parsed
from ubmc.protocols.fru.fields import END, Encoding, Field

MAX_FAULTS = 32
_RECORD_HEADER = 5
_BLANK = (0x00, 0xFF)


class _Reading:
    """The faults of one storage, as they are found."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.faults: list[Fault] = []
        self.damaged: set[Area] = set()
        self.layout = True

    def fault(self, offset: int, text: str, area: Area | None = None, *, layout: bool = False) -> None:
        self.layout &= not layout
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Fault(offset, text))
        if area is not None:
            self.damaged.add(area)


def parse(data: bytes) -> Parsed:
    """Read the bytes of a storage, which may have more behind the last area. Never fails."""
    if is_blank(data):
        return Parsed(Fru(), (Fault(0, "the storage is blank: nothing was ever written"),), blank=True)
    reading = _Reading(data)
    trusted = _header(reading)
    offsets = _offsets(reading)
    info: dict[Area, InfoArea] = {}
    places: dict[Area, tuple[int, int]] = {}
    raw: dict[Area, bytes] = {}
    for area, offset in sorted(offsets.items(), key=lambda pair: pair[1]):
        limit = min((other for other in offsets.values() if other > offset), default=len(data))
        if area in FIELDS:
            length = _length(reading, area, offset)
            found = _info(reading, area, offset, length, trusted=trusted) if length else None
            if found is not None:
                info[area] = found
        else:
            length = limit - offset if area is Area.INTERNAL else _records(reading, offset)
            if area is Area.INTERNAL and data[offset] & 0x0F != VERSION:
                reading.fault(offset, f"the {area.label} is of version {data[offset] & 0x0F}, not {VERSION}", area)
            raw[area] = data[offset : offset + length]
        places[area] = (offset, length)
        if offset + length > limit:
            reading.fault(limit, f"the {area.label} reaches into the next one", area, layout=True)
    fru = Fru(MappingProxyType(info), raw.get(Area.INTERNAL), raw.get(Area.MULTIRECORD))
    faults = tuple(reading.faults)
    return Parsed(fru, faults, MappingProxyType(places), damaged=frozenset(reading.damaged), layout=reading.layout)


def is_blank(data: bytes) -> bool:
    """Whether all bytes are 00h, or all FFh, or there are none."""
    return not data or (data[0] in _BLANK and data.count(data[0]) == len(data))


def _header(reading: _Reading) -> bool:
    """Whether the common header is right."""
    data, before = reading.data, len(reading.faults)
    if len(data) < HEADER:
        reading.fault(0, f"{len(data)} bytes; the header alone has {HEADER}", layout=True)
        return False
    if data[0] & 0x0F != VERSION:
        reading.fault(0, f"the format is of version {data[0] & 0x0F}, not {VERSION}", layout=True)
    if sum(data[:HEADER]) & 0xFF:
        reading.fault(HEADER - 1, "the checksum of the header is wrong", layout=True)
    return len(reading.faults) == before


def _offsets(reading: _Reading) -> Mapping[Area, int]:
    """Where the areas begin, in bytes; those outside of the storage are left out."""
    offsets: dict[Area, int] = {}
    if len(reading.data) < HEADER:
        return offsets
    for area in Area:
        offset = reading.data[area.value] * UNIT
        if not offset:
            continue
        if offset >= len(reading.data):
            reading.fault(
                area.value, f"the {area.label} would begin at byte {offset}, behind the end", area, layout=True
            )
        elif offset in offsets.values():
            reading.fault(area.value, f"the {area.label} would begin where another one does", area, layout=True)
        else:
            offsets[area] = offset
    return offsets


def _length(reading: _Reading, area: Area, offset: int) -> int:
    """The length of a chassis, board or product area, cut to what there is; 0 if it cannot be."""
    left = len(reading.data) - offset
    length = reading.data[offset + 1] * UNIT if left > 1 else 0
    if length < UNIT:
        reading.fault(offset + 1, f"the {area.label} says that it has no bytes", area, layout=True)
        return 0
    if length > left:
        reading.fault(
            offset + 1, f"the {area.label} says that it has {length} bytes; {left} are left", area, layout=True
        )
    return min(length, left)


def _info(reading: _Reading, area: Area, offset: int, length: int, *, trusted: bool) -> InfoArea | None:
    data = reading.data[offset : offset + length]
    right = not sum(data) & 0xFF
    if data[0] & 0x0F != VERSION:
        reading.fault(offset, f"the {area.label} is of version {data[0] & 0x0F}, not {VERSION}", area)
        return None
    if not right:
        reading.fault(offset + length - 1, f"the checksum of the {area.label} is wrong", area)
    if len(data) <= LEAD[area] or not (right or trusted):
        return None
    fields = _fields(reading, area, offset, data)
    own = len(FIELDS[area])
    if len(fields) < own and area not in reading.damaged:
        reading.fault(offset, f"the {area.label} ends before its {FIELDS[area][len(fields)]}")  # common, and harmless
    return InfoArea(
        area,
        tuple(fields[:own]),
        tuple(fields[own:]),
        language=0 if area is Area.CHASSIS else data[2],
        chassis_type=data[2] if area is Area.CHASSIS else 0,
        minutes=int.from_bytes(data[3:6], "little") if area is Area.BOARD else 0,
    )


def _fields(reading: _Reading, area: Area, offset: int, data: bytes) -> list[Field]:
    fields: list[Field] = []
    position, end = LEAD[area], len(data) - 1  # the last byte is the checksum
    while position < end:
        head = data[position]
        if head == END:
            return fields
        length = head & 0x3F
        if position + 1 + length > end:
            reading.fault(
                offset + position, f"a field of {length} bytes reaches over the end of the {area.label}", area
            )
            return fields
        fields.append(Field(Encoding(head >> 6), data[position + 1 : position + 1 + length]))
        position += 1 + length
    reading.fault(offset + end, f"the fields of the {area.label} have no end mark (C1h)", area)
    return fields


def _records(reading: _Reading, offset: int) -> int:
    """How many bytes the records have (section 16); all that is left if that cannot be said."""
    data, area, position = reading.data, Area.MULTIRECORD, offset
    while position + _RECORD_HEADER <= len(data):
        head = data[position : position + _RECORD_HEADER]
        end = position + _RECORD_HEADER + head[2]
        if sum(head) & 0xFF:
            reading.fault(position, "the checksum of a record's header is wrong", area)
            return len(data) - offset
        if end > len(data):
            break
        if (sum(data[position + _RECORD_HEADER : end]) + head[3]) & 0xFF:
            reading.fault(position + 3, "the checksum of a record is wrong", area)
        if head[1] & 0x80:  # the last one
            return end - offset
        position = end
    reading.fault(position, "the records have no end", area)
    return len(data) - offset
