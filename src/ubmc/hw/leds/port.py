"""The port for lights. A driver shows what it is told; which light shows what is ledmgr's business."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ubmc.kit.errors import Invalid

SHORTEST_BLINK_SECONDS = 0.02
LONGEST_BLINK_SECONDS = 60.0


class Steady(Enum):
    """A light that does not change."""

    OFF = "off"
    ON = "on"


@dataclass(frozen=True, slots=True)
class Blink:
    """A light that is lit and dark in turn, beginning lit; each 0.02 to 60 seconds."""

    on_seconds: float
    off_seconds: float

    def __post_init__(self) -> None:
        """Raises `Invalid` for times out of range."""
        for seconds in (self.on_seconds, self.off_seconds):
            if not SHORTEST_BLINK_SECONDS <= seconds <= LONGEST_BLINK_SECONDS:
                raise Invalid(f"a light blinks with 20 ms to 60 s lit and as much dark, not {seconds} s")


LedState = Steady | Blink


class Led(Protocol):
    """One light."""

    @property
    def name(self) -> str:
        """The name of the light, as in the board file."""

    async def set(self, state: LedState) -> None:
        """Show this from now on; returns when the hardware was told.

        Raises:
            Unavailable: the hardware does not obey.
        """

    async def close(self) -> None:
        """Give the light back. A steady light stays as it is; one that this process blinks itself goes dark."""
