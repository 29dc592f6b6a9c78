"""What inventorymgr is given: the parts that the board file names, what tells of them, and how often to ask that."""

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


@dataclass(frozen=True, slots=True)
class Options:
    """How often is looked."""

    poll_seconds: float = 5.0
    """Between questions to what the machine tells, and to storage that is silent; news of a sensor make it sooner."""
    fru_seconds: float = 30.0
    """Between readings of a storage; one is also read when its part is plugged."""
    presence_seconds: float = 5.0
    """Between questions to presence sensors, if there is no news of them."""
    first_seconds: float = 3.0
    """How long the start waits for sources; who is later is taken in later."""


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
