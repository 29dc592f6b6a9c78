"""The port for inventory: what a machine tells about its parts by itself, besides the board file and FRU storage.

A reader is asked every few seconds and answers how things are now; it tells no changes. Who compares is inventorymgr.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Protocol


class Kind(Enum):
    """What a part is."""

    CHASSIS = "chassis"
    HOST = "host"
    BOARD = "board"
    MANAGEMENT_CONTROLLER = "management-controller"
    PROCESSOR = "processor"
    MEMORY = "memory"
    DRIVE = "drive"
    POWER_SUPPLY = "power-supply"
    FAN = "fan"
    NETWORK_CARD = "network-card"
    OTHER = "other"


class Source(Enum):
    """Who told."""

    BOARD = "board"  # the board file
    SMBIOS = "smbios"  # what the host's firmware says
    SIMULATION = "simulation"  # the simulated machine


@dataclass(frozen=True, slots=True)
class AssetFacts:
    """What is known of one part now. Texts are as the part gives them; whoever shows them makes them safe."""

    name: str
    """`psu.0`, `dimm.3`; at most 64 characters."""
    kind: Kind
    parent: str = ""
    """What it is in: `chassis.0`; empty for the outermost."""
    present: bool = True
    manufacturer: str = ""
    model: str = ""
    part_number: str = ""
    serial_number: str = ""
    version: str = ""
    asset_tag: str = ""
    location: str = ""
    """Where it is, for people: `CPU1_DIMM_A1`."""
    details: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """`cores`, `capacity_bytes`, `speed_mts`, `uuid`, `rated_watts`, ..."""


class AssetReader(Protocol):
    """One source of facts."""

    @property
    def source(self) -> Source:
        """What it is, as assets show it."""

    async def read(self) -> Sequence[AssetFacts]:
        """All parts that the source knows now.

        A part that is no longer listed counts as gone, like one that is not present. Cancelling leaves the reader
        usable.

        Raises:
            Unavailable: it cannot be asked now; then nothing is known, and nothing counts as gone.
        """

    async def close(self) -> None:
        """Give it back."""
