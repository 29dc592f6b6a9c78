"""Rigs on the simulated machine: within the process on virtual time, and the machine's own process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.contract.sensor_rig import Factory, Rig

from ubmc.hw.sensors.port import SensorBus
from ubmc.hw.sim import process
from ubmc.hw.sim.control import Control
from ubmc.hw.sim.dial import Dial, unix_dial
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.sensors import SimSensors
from ubmc.kit.testing import run_virtual

VALUES = {"inlet_temp": (21.5, 38.0), "humidity": (40.0, 61.0), "p12v": (12.05, 11.8)}


class SimRig:
    """A few sensors of one bus; what they show is forced by faults."""

    sensors: Sequence[str] = tuple(VALUES)
    patience_seconds = 2.0

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._control = Control(dial)

    def bus(self) -> SensorBus:
        return SimSensors("sim-board", {name: name for name in VALUES}, self._dial)

    def values(self, sensor: str) -> tuple[float, float]:
        return VALUES[sensor]

    async def show(self, sensor: str, value: float) -> None:
        await self._control.inject("sensor-stuck", sensor, value)

    async def fail(self, sensor: str) -> None:
        await self._control.inject("sensor-stale", sensor)

    async def mend(self, sensor: str) -> None:
        await self._control.clear("sensor-stale", sensor)
        await self.show(sensor, VALUES[sensor][0])

    async def hang(self) -> None:
        raise NotImplementedError("a read of the simulated machine has a deadline of its own")

    async def let_go(self) -> None:
        raise NotImplementedError("nobody hangs")

    async def prepare(self) -> None:
        for sensor in self.sensors:
            await self.mend(sensor)


@dataclass(frozen=True)
class InProcess:
    """On virtual time."""

    name: str = "sim in-process"
    can_hang: bool = False

    def run(self, body: Callable[[Rig], Awaitable[None]], directory: Path) -> None:
        async def main() -> None:
            machine = InProcessMachine()
            try:
                rig = SimRig(machine.dial)
                await rig.prepare()
                await body(rig)
            finally:
                machine.close()

        run_virtual(main())


@dataclass(frozen=True)
class OwnProcess:
    """The machine's own process."""

    name: str = "sim process"
    can_hang: bool = False

    def run(self, body: Callable[[Rig], Awaitable[None]], directory: Path) -> None:
        async def main() -> None:
            rig = SimRig(unix_dial(directory))
            await rig.prepare()
            await body(rig)

        process.ensure_running(directory)
        try:
            asyncio.run(main())
        finally:
            process.end(directory)


FACTORIES: tuple[Factory, ...] = (InProcess(), OwnProcess())
