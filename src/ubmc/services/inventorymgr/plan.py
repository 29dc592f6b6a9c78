"""What inventorymgr is given: the parts that the board file names, and the sources that tell of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ubmc.hw.fru.port import FruStore
from ubmc.hw.inventory.port import AssetFacts, AssetReader


@dataclass(frozen=True, slots=True)
class AssetPlan:
    """A part that the board file names."""

    facts: AssetFacts
    """What the board file says."""
    presence: str = ""
    """The state sensor whose first state means that the part is not there; empty: none."""


class Sources(Protocol):
    """What tells of parts, open."""

    @property
    def frus(self) -> Mapping[str, FruStore]:
        """FRU storage, by the name of its asset."""

    @property
    def readers(self) -> Sequence[AssetReader]:
        """What else tells of parts."""

    async def close(self) -> None:
        """Give all back."""
