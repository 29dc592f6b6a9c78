"""What the contract suite for sensor drivers needs of each: a rig, which is one wire and the hardware behind it.

A module `sensors_<kind>.py` beside this one offers `FACTORIES`, a tuple of `Factory`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from ubmc.hw.sensors.port import SensorBus


class Rig(Protocol):
    """One wire under test; all is well at first."""

    @property
    def sensors(self) -> Sequence[str]:
        """The names of at least two sensors, of which none shares a device with another."""

    @property
    def patience_seconds(self) -> float:
        """How long anything may take that the suite waits for."""

    def bus(self) -> SensorBus:
        """A new driver for this same wire. The suite closes it."""

    def values(self, sensor: str) -> tuple[float, float]:
        """Two values that the hardware can show, in the sensor's unit, exact to 0.1 %."""

    async def show(self, sensor: str, value: float) -> None:
        """The hardware shows this one of its `values`, from now on."""

    async def fail(self, sensor: str) -> None:
        """The sensor breaks."""

    async def mend(self, sensor: str) -> None:
        """It works again, and shows the first of its values."""

    async def hang(self) -> None:
        """Whoever reads the first sensor hangs from now on. Only if the factory says `can_hang`."""

    async def let_go(self) -> None:
        """Nobody hangs any more."""


class Factory(Protocol):
    """Makes rigs."""

    @property
    def name(self) -> str:
        """The test id."""

    @property
    def can_hang(self) -> bool:
        """Whether `Rig.hang` and `Rig.let_go` work."""

    def run(self, body: Callable[[Rig], Awaitable[None]], directory: Path) -> None:
        """Make a rig in `directory`, run `body` with it in an event loop of the factory's choice, and clean up."""
