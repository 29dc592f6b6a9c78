"""What the contract suite for power drivers needs of each: a rig, which is one machine and a second opinion of it.

A module `power_sim.py` or `rig_<kind>.py` beside this one offers `FACTORIES`, a tuple of `Factory`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from ubmc.hw.power.port import BootTarget, News, Power


class Rig(Protocol):
    """One machine under test, off and well at first. What a rig cannot do, it skips with `pytest.skip`."""

    @property
    def patience_seconds(self) -> float:
        """How long anything may take that the suite waits for."""

    @property
    def soft_off_seconds(self) -> float:
        """After this time a guest that hears a soft shutdown has surely powered off."""

    @property
    def news(self) -> frozenset[News]:
        """What these wires tell besides levels."""

    def driver(self) -> Power:
        """A new driver for this same machine, not yet open."""

    async def is_on(self) -> bool:
        """Whether the machine has power, not asked through a driver."""

    async def os_up(self) -> None:
        """Wait until an operating system hears a soft shutdown."""

    async def hang(self) -> None:
        """From now on the operating system ignores a soft shutdown."""

    async def guest_shutdown(self) -> None:
        """The operating system powers itself off."""

    async def asserted(self) -> frozenset[str]:
        """The momentary lines that are active now; empty where there are no lines."""

    async def lose(self) -> None:
        """Make the hardware unreachable for drivers; the machine goes on."""

    async def find(self) -> None:
        """Make it reachable again."""


@runtime_checkable
class BootRig(Rig, Protocol):
    """A rig of a driver that can choose where the machine boots from. The machine's own order begins with its disk."""

    async def guest_reset(self) -> None:
        """The operating system restarts itself."""

    async def booted_from(self) -> BootTarget | None:
        """What the last boot came from; None: none has come so far."""


class Factory(Protocol):
    """Makes rigs."""

    @property
    def name(self) -> str:
        """The test id."""

    @property
    def can_lose(self) -> bool:
        """Whether `Rig.lose` and `Rig.find` work."""

    def run(self, body: Callable[[Rig], Awaitable[None]], directory: Path) -> None:
        """Make a rig in `directory`, run `body` with it in an event loop of the factory's choice, and clean up."""
