"""One asset out of all that is told about it. Pure.

What is nearer to the part is believed more: its own storage over what the machine tells, that over the board file.
Where it is and what it is in are the board file's, because a part does not know that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ubmc.hw.inventory.port import AssetFacts, Kind, Source
from ubmc.protocols.fru import Area, Parsed
from ubmc.services.inventorymgr import content
from ubmc.services.inventorymgr.text import shown
from ubmc.v1alpha1.inventory_pb import Asset, AssetKind, AssetSource

MAX_DETAILS = 64
_TEXTS = ("manufacturer", "model", "part_number", "serial_number", "version", "asset_tag")
_NEAREST: Mapping[Kind, tuple[Area, ...]] = MappingProxyType(
    {Kind.CHASSIS: (Area.CHASSIS, Area.PRODUCT, Area.BOARD), Kind.BOARD: (Area.BOARD, Area.PRODUCT)}
)
_USUAL = (Area.PRODUCT, Area.BOARD)
# What the fields of an asset are called in the areas of a FRU.
_CALLED: Mapping[Area, Mapping[str, str]] = MappingProxyType(
    {
        Area.CHASSIS: {"part_number": "part_number", "serial_number": "serial_number"},
        Area.BOARD: {
            "manufacturer": "manufacturer",
            "model": "product",
            "part_number": "part_number",
            "serial_number": "serial_number",
        },
        Area.PRODUCT: {
            "manufacturer": "manufacturer",
            "model": "name",
            "part_number": "part_number",
            "serial_number": "serial_number",
            "version": "version",
            "asset_tag": "asset_tag",
        },
    }
)


@dataclass(frozen=True, slots=True)
class FruSight:
    """What was found when a storage was read."""

    parsed: Parsed | None = None
    """None: it could not be read."""
    missing: bool = False
    """Nothing answered."""
    error: str = ""
    """Why it could not be read."""
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """All that is told about one asset now."""

    board: AssetFacts | None = None
    machine: AssetFacts | None = None
    source: Source = Source.BOARD
    """Who told `machine`."""
    sensed: bool | None = None
    """What its presence sensor says; None: it has none, or it cannot be read."""
    has_sensor: bool = False
    fru: FruSight | None = None
    """None: it has no storage, or that was not read yet."""

    @property
    def present(self) -> bool | None:
        """Whether it is there; None if nobody who could know says so now."""
        if self.machine is not None:
            return self.machine.present
        if self.has_sensor:
            return self.sensed
        if self.fru is not None:
            return False if self.fru.missing else True if self.fru.parsed is not None else None
        return True


def compose(name: str, told: Told, *, present: bool, tag: tuple[str, str] | None) -> Asset:
    """The asset as it is shown.

    Args:
        name: of the asset.
        told: by the sources; at least one of board file and machine.
        present: whether it is taken to be there.
        tag: the asset tag that the owner gave, and the serial number of the part that they gave it to.
    """
    board = (
        told.board if told.board is not None else AssetFacts(name, told.machine.kind if told.machine else Kind.OTHER)
    )
    machine = told.machine if told.machine is not None and present else None
    fru = told.fru if present else None
    stored = _stored(fru, board.kind)
    texts = {
        each: shown(stored.get(each) or (getattr(machine, each) if machine else "") or getattr(board, each))
        for each in _TEXTS
    }
    if tag is not None and tag[1] == texts["serial_number"]:
        texts["asset_tag"] = tag[0]
    where = told.machine if told.machine is not None else board
    details = {**board.details, **(machine.details if machine else {})}
    parsed = fru.parsed if fru is not None else None
    return Asset(
        name=name,
        kind=AssetKind[board.kind.name],
        parent=board.parent or where.parent,
        present=present,
        location=shown(board.location or where.location),
        source=_source(told, stored, machine),
        faults=_faults(fru),
        details={shown(key, 64): shown(value) for key, value in list(details.items())[:MAX_DETAILS]},
        fru=content.message(parsed) if parsed is not None else None,
        fru_writable=fru is not None and fru.writable and parsed is not None,
        **texts,
    )


def _stored(fru: FruSight | None, kind: Kind) -> dict[str, str]:
    """What the storage says, by the names of the asset's fields."""
    if fru is None or fru.parsed is None:
        return {}
    found: dict[str, str] = {}
    for area in _NEAREST.get(kind, _USUAL):
        for name, called in _CALLED[area].items():
            text = content.text_of(fru.parsed.fru.info.get(area), called).strip(" ")
            if text:
                found.setdefault(name, text)
    return found


def _source(told: Told, stored: Mapping[str, str], machine: AssetFacts | None) -> AssetSource:
    if stored:
        return AssetSource.FRU
    return AssetSource[(told.source if machine is not None else Source.BOARD).name]


def _faults(fru: FruSight | None) -> list[str]:
    if fru is None:
        return []
    if fru.parsed is None:
        return [f"FRU storage: {shown(fru.error)}"]
    return [f"FRU storage, {shown(str(fault))}" for fault in fru.parsed.faults]


def describe(asset: Asset) -> str:
    """What it is, for people: `power supply Example P750, serial number 123`."""
    kind = asset.kind.name.lower().replace("_", " ")
    text = " ".join(part for part in (kind, asset.manufacturer, asset.model) if part)
    return shown(f"{text}, serial number {asset.serial_number}" if asset.serial_number else text)
