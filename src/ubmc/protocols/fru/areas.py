"""What a FRU is made of, as data (sections 8 to 16)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from ubmc.kit.errors import Invalid
from ubmc.protocols.fru.fields import EMPTY, MAX_LENGTH, Field

UNIT = 8
"""Areas begin at, and are of, multiples of so many bytes."""
HEADER = 8
MAX_AREA = 255 * UNIT
MAX_OFFSET = 255 * UNIT
VERSION = 1


class Area(Enum):
    """The areas; the value is where the common header says how far away they are."""

    INTERNAL = 1
    CHASSIS = 2
    BOARD = 3
    PRODUCT = 4
    MULTIRECORD = 5

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.name.lower()} area"


FIELDS: Mapping[Area, tuple[str, ...]] = MappingProxyType(
    {
        Area.CHASSIS: ("part_number", "serial_number"),
        Area.BOARD: ("manufacturer", "product", "serial_number", "part_number", "file_id"),
        Area.PRODUCT: (
            "manufacturer",
            "name",
            "part_number",
            "version",
            "serial_number",
            "asset_tag",
            "file_id",
        ),
    }
)
"""The fields that an area has in any case, in their order."""

LEAD: Mapping[Area, int] = MappingProxyType({Area.CHASSIS: 3, Area.BOARD: 6, Area.PRODUCT: 3})
"""How many bytes come before the first field."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong."""

    offset: int
    """Of the byte, from the beginning of the storage."""
    text: str
    """For people."""

    def __str__(self) -> str:
        return f"at byte {self.offset}: {self.text}"


@dataclass(frozen=True, slots=True)
class InfoArea:
    """A chassis, board or product area."""

    area: Area
    fields: tuple[Field, ...] = ()
    """Those of `FIELDS`, in that order; fewer if the area ends before."""
    custom: tuple[Field, ...] = ()
    """What comes behind them."""
    language: int = 0
    """Board and product: the language code; 0 and 25 are English."""
    chassis_type: int = 0
    """Chassis: the type by its number in SMBIOS."""
    minutes: int = 0
    """Board: when it was made, in minutes since 1996-01-01; 0 unspecified."""

    def __post_init__(self) -> None:
        if len(self.fields) > len(FIELDS[self.area]):
            raise Invalid(f"the {self.area.label} has {len(FIELDS[self.area])} fields of its own")
        if any(len(each.data) > MAX_LENGTH for each in (*self.fields, *self.custom)):
            raise Invalid(f"a field of the {self.area.label} has more than {MAX_LENGTH} bytes")

    def get(self, name: str) -> Field:
        """The field of that name in `FIELDS`; an empty one if the area ends before it."""
        index = FIELDS[self.area].index(name)
        return self.fields[index] if index < len(self.fields) else EMPTY

    def text(self, name: str) -> str:
        """What that field says."""
        return self.get(name).text(self.language)

    def custom_texts(self) -> list[str]:
        """What the further fields say."""
        return [each.text(self.language) for each in self.custom]


@dataclass(frozen=True, slots=True)
class Fru:
    """The content of a storage."""

    info: Mapping[Area, InfoArea] = field(default_factory=lambda: MappingProxyType({}))
    """Chassis, board and product area, as far as there are."""
    internal: bytes | None = None
    """The internal use area with its version byte; what is in it is the manufacturer's."""
    multirecord: bytes | None = None
    """The records, as they are."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What was read."""

    fru: Fru
    faults: tuple[Fault, ...] = ()
    places: Mapping[Area, tuple[int, int]] = field(default_factory=lambda: MappingProxyType({}))
    """Offset and length in bytes of the areas that lie within the storage."""
    blank: bool = False
    """Nothing was ever written."""
    damaged: frozenset[Area] = frozenset()
    """Areas that something is wrong with."""
    layout: bool = True
    """The common header is right, and all areas lie within the storage, one behind the other."""
