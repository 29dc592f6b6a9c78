"""What the simulated machine tells about its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ubmc.hw.inventory.port import AssetFacts, Kind, Source
from ubmc.hw.sim.dial import Dial
from ubmc.hw.sim.session import Session


class SimAssets:
    """A source of facts (`ubmc.hw.inventory.port.AssetReader`)."""

    def __init__(self, dial: Dial) -> None:
        """Ask whoever `dial` reaches."""
        self._session = Session(dial)
        self._told: list[dict[str, Any]] = []
        self._facts: tuple[AssetFacts, ...] = ()

    @property
    def source(self) -> Source:
        """The simulation."""
        return Source.SIMULATION

    async def read(self) -> Sequence[AssetFacts]:
        """All parts, those that are unplugged included. Raises `Unavailable`."""
        told = (await self._session.ask({"do": "assets"}))["assets"]
        if told != self._told:  # it is asked often, and seldom has anything new to say
            self._told, self._facts = told, tuple(_facts(asset) for asset in told)
        return self._facts

    async def close(self) -> None:
        """Hang up."""
        await self._session.close()


def _facts(told: dict[str, Any]) -> AssetFacts:
    return AssetFacts(**{**told, "kind": Kind(told["kind"])})
