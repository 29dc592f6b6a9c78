"""Fans of the simulated machine."""

from __future__ import annotations

from pathlib import Path

from ubmc.hw.fans.port import Recipe
from ubmc.hw.sim import recipe
from ubmc.hw.sim.dial import Dial
from ubmc.hw.sim.session import Session
from ubmc.kit.errors import Invalid, NotFound, Unavailable

_CLOSE_PERCENT = 0.5


class SimFan:
    """One fan (`ubmc.hw.fans.port.Fan`)."""

    def __init__(self, name: str, output: str, dial: Dial, *, socket: Path, failsafe_percent: float) -> None:
        """Nothing is connected before the first duty.

        Args:
            name: in the board file.
            output: the name of the fan in the machine.
            dial: how to reach the machine.
            socket: where the machine listens (`ubmc.hw.sim.protocol.socket_path`), for the recipe.
            failsafe_percent: what it is to be set to when nobody cares for it.
        """
        self._name = name
        self._output = output
        self._session = Session(dial)
        self._socket = socket
        self._failsafe_percent = failsafe_percent

    @property
    def name(self) -> str:
        """The name in the board file."""
        return self._name

    async def set(self, percent: float) -> None:
        """Set the duty. Raises `Unavailable`; `Invalid` unless it is between 0 and 100."""
        if not 0.0 <= percent <= 100.0:
            raise Invalid(f"a duty is between 0 and 100 percent, not {percent}")
        now = await self._ask({"do": "fan", "fan": self._output, "percent": percent})
        if abs(now - percent) > _CLOSE_PERCENT:
            raise Unavailable(f"{self._name} was told {percent:g} percent and has {now:g}")

    async def get(self) -> float:
        """The duty. Raises `Unavailable`."""
        return await self._ask({"do": "fan", "fan": self._output})

    def recipe(self) -> Recipe:
        """For `ubmc.hw.sim.recipe.apply`."""
        place = {"socket": str(self._socket), "fan": self._output}
        return Recipe(self._name, recipe.KIND, place, self._failsafe_percent)

    async def close(self) -> None:
        """Hang up; the duty stays."""
        await self._session.close()

    async def _ask(self, control: dict[str, object]) -> float:
        try:
            return float((await self._session.ask(control))["percent"])
        except NotFound as error:
            raise Unavailable(f"{self._name}: {error.message}") from error
