"""Sensors of the simulated machine: all that are wanted of a bus are read in one exchange on a kept connection."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ubmc.hw.sensors.port import Outcome
from ubmc.hw.sim.dial import Dial
from ubmc.hw.sim.protocol import MOST_NAMES
from ubmc.hw.sim.session import ANSWER_SECONDS, Session
from ubmc.kit.errors import NotFound, Unavailable


class SimSensors:
    """The sensors on one simulated bus (`ubmc.hw.sensors.port.SensorBus`)."""

    def __init__(
        self, bus: str, inputs: Mapping[str, str], dial: Dial, *, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        """Nothing is connected before the first read.

        Args:
            bus: a bus of the machine, such as `sim-cpu`.
            inputs: the names of the sensors there, by their names in the board file.
            dial: how to reach the machine.
            answer_seconds: a bus that says nothing for so long is stuck.
        """
        self._bus = bus
        self._inputs = dict(inputs)
        self._session = Session(dial, answer_seconds=answer_seconds)

    @property
    def name(self) -> str:
        """The bus."""
        return self._bus

    @property
    def sensors(self) -> Sequence[str]:
        """The names in the board file."""
        return tuple(self._inputs)

    async def read(self, sensors: Sequence[str]) -> Mapping[str, Outcome]:
        """Read these. Raises `Unavailable` when the bus is stuck or the machine is gone."""
        inputs = {name: self._inputs[name] for name in sensors if name in self._inputs}
        request: dict[str, object] = {"do": "read", "bus": self._bus}
        if len(inputs) <= MOST_NAMES:
            request["sensors"] = sorted(set(inputs.values()))
        try:
            values = (await self._session.ask(request))["values"]
        except NotFound as error:
            raise Unavailable(
                f"{error.message}: another machine runs than the board file asks for; "
                "stop the BMC and end the machine with 'ubmc machine end'"
            ) from error
        return {name: _outcome(inputs.get(name, name), values) for name in sensors}

    async def close(self) -> None:
        """Hang up."""
        await self._session.close()


def _outcome(name: str, values: Mapping[str, float | str | None]) -> Outcome:
    if name not in values:
        return NotFound(f"the simulated machine has no sensor {name!r} on this bus")
    value = values[name]
    if isinstance(value, str):
        return Unavailable(value)
    return math.nan if value is None else float(value)
