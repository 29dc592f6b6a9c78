"""What the contract suite for fan drivers needs of each: a rig, which is one fan and a second opinion of it.

A module `fans_<kind>.py` beside this one offers `FACTORIES`, a tuple of `Factory`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from ubmc.hw.fans.port import Fan


class Rig(Protocol):
    """One fan under test, called fan.0, at 50 percent at first, with a fail-safe duty of 80 percent."""

    @property
    def patience_seconds(self) -> float:
        """How long anything may take that the suite waits for."""

    @property
    def step_percent(self) -> float:
        """How exactly a duty is kept."""

    def fan(self) -> Fan:
        """A new driver for this same fan. The suite closes it."""

    async def duty(self) -> float:
        """The duty in percent, not asked through a driver."""

    async def disobey(self) -> None:
        """The hardware does not take duties any more, and says so or shows it."""

    async def obey(self) -> None:
        """It takes them again."""

    async def lose(self) -> None:
        """The hardware is not there any more."""

    async def find(self) -> None:
        """It is there again, at 50 percent, maybe in another place and in automatic mode."""

    async def apart(self, function: Callable[[], None]) -> None:
        """Run what blocks, while the hardware goes on: on a thread, if the hardware is served by this event loop."""


class Factory(Protocol):
    """Makes rigs."""

    @property
    def name(self) -> str:
        """The test id."""

    def run(self, body: Callable[[Rig], Awaitable[None]], directory: Path) -> None:
        """Make a rig in `directory`, run `body` with it in an event loop of the factory's choice, and clean up."""
