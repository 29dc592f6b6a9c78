"""The rig of the kernel's GPIO lines, for the contract suite of power drivers.

It exists only in the virtual machine of `tests/hardware`, whose kernel simulates the chip: the driver presses buttons
through the character device, and the simulated host feels them on the other side of the wire.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.contract.power_rig import Factory, Rig
from tests.hardware.gpio_sim import GpioSim, gpio_sim
from tests.hardware.machine import IN_GUEST
from tests.hardware.wires import BUTTONS, LINES, PULLED_UP, Host, button_board, host_on, is_active

from ubmc.hw.gpio.linux import LinuxLines
from ubmc.hw.power.buttons import ButtonPower
from ubmc.hw.power.port import News, Power
from ubmc.hw.sim.parts.host import Fault, Guest, Stage


class LinuxRig:
    """One simulated host behind one chip of the kernel."""

    patience_seconds = 20.0
    soft_off_seconds = 1.0
    news = frozenset({News.BUTTON_PRESSED, News.IDENTIFY_PRESSED})

    def __init__(self, chip: GpioSim, host: Host) -> None:
        self._chip = chip
        self._host = host

    def driver(self) -> Power:
        return ButtonPower(LinuxLines(), button_board())

    async def is_on(self) -> bool:
        return self._host.machine.plant.read("power-good-0")

    async def os_up(self) -> None:
        async with asyncio.timeout(self.patience_seconds):
            while self._host.machine.plant.host.stage is not Stage.UP:
                await asyncio.sleep(0.02)

    async def hang(self) -> None:
        self._host.machine.act(lambda plant: plant.set_fault(Fault.HANG_OFF, on=True))

    async def guest_shutdown(self) -> None:
        self._host.machine.act(lambda plant: plant.guest(Guest.SHUTDOWN))

    async def asserted(self) -> frozenset[str]:
        return frozenset(line for line in BUTTONS if is_active(self._chip, line))

    async def lose(self) -> None:
        self._chip.vanish()

    async def find(self) -> None:
        self._chip.appear()
        self._host.drive_all()


class LinuxFactory:
    """Makes chips, each with a host."""

    name = "linux"
    can_lose = True

    def run(self, body: Callable[[Rig], Awaitable[None]], directory: Path) -> None:
        del directory

        async def within() -> None:
            with gpio_sim("board", LINES, pulled_up=PULLED_UP) as chip:
                async with host_on(chip) as host:
                    await body(LinuxRig(chip, host))

        asyncio.run(within())


FACTORIES: tuple[Factory, ...] = (LinuxFactory(),) if IN_GUEST in os.environ else ()
