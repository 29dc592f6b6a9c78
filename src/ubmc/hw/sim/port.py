"""The port for what can be done to a simulated machine and to no real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """Something that is wrong."""

    kind: str
    target: str
    value: float | None


@dataclass(frozen=True, slots=True)
class KindOfFault:
    """Something that can be wrong."""

    kind: str
    description: str
    targets: Sequence[str]
    """Empty if it needs none."""
    takes_value: bool


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the machine goes through now."""

    time_seconds: float
    faults: Sequence[ActiveFault]
    load_profile: str
    """`idle`, `constant`, `waves`, `day`, `full`."""
    load_percent: float
    ambient_celsius: float
    mains: bool
    """In the room, whether a supply takes it or not."""
    buttons: Sequence[str]


class Twin(Protocol):
    """A simulated machine. All raise `Unavailable` when it does not answer."""

    async def conditions(self) -> Conditions:
        """How things are."""

    async def fault_kinds(self) -> Sequence[KindOfFault]:
        """What can be wrong."""

    async def inject(self, kind: str, target: str = "", value: float | None = None) -> None:
        """Break something. Raises `NotFound` for kind or target, `Invalid` for a value that is not taken."""

    async def clear(self, kind: str = "", target: str = "") -> None:
        """Mend; empty means any. Raises `NotFound` for the kind."""

    async def set_load(self, profile: str | None = None, percent: float | None = None) -> None:
        """Let the host compute so; None: as it was. Raises `NotFound`, `Invalid`."""

    async def set_ambient(self, celsius: float) -> None:
        """Set the temperature of the room, -20 to 60. Raises `Invalid`."""

    async def set_mains(self, *, on: bool) -> None:
        """Cut mains, or bring it back."""

    async def press(self, button: str, seconds: float = 0.2) -> None:
        """Press a button of the front panel. Raises `NotFound`, `Invalid`."""
