"""Rigs of the simulated machine: within the loop on virtual time, and as a process of its own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.contract.power_rig import Factory, Rig

from ubmc.hw.power.buttons import ButtonBoard, ButtonPower, Wire
from ubmc.hw.power.port import BootTarget, News, Power
from ubmc.hw.sim import process
from ubmc.hw.sim.control import Control
from ubmc.hw.sim.dial import Dial, unix_dial
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.lines import SimLines
from ubmc.kit.testing import run_virtual

BUTTONS = ("power-button-0", "reset-button-0", "nmi-button-0")
SPEED = 8.0


def board(speed: float) -> ButtonBoard:
    """The buttons of the simulated board, for a plant that is `speed` times as fast."""
    return ButtonBoard(
        button=Wire("power-button-0"),
        good=Wire("power-good-0"),
        reset=Wire("reset-button-0"),
        nmi=Wire("nmi-button-0"),
        front_button=Wire("front-power-button"),
        identify=Wire("front-identify-button"),
        press_seconds=0.2 / speed,
        # A real second more, as the other side of the socket may be late.
        hold_seconds=5.0 / speed + (1.0 if speed > 1 else 0.0),
        reset_seconds=0.5 / speed,
        nmi_seconds=0.2 / speed,
        debounce_seconds=0.02 / speed,
    )


@dataclass
class SimRig:
    """A simulated machine."""

    dial: Dial
    speed: float
    patience_seconds: float
    soft_off_seconds: float
    lose_now: Callable[[], None] | None = None
    find_now: Callable[[], None] | None = None
    news: frozenset[News] = frozenset({News.BUTTON_PRESSED, News.IDENTIFY_PRESSED})

    @property
    def control(self) -> Control:
        return Control(self.dial)

    def driver(self) -> Power:
        control = self.control
        return ButtonPower(
            SimLines(self.dial),
            board(self.speed),
            mains_epoch=control.mains_epoch,
            set_boot=control.set_boot,
            boot_order=(BootTarget.DISK,),
        )

    async def is_on(self) -> bool:
        return bool((await self.control.state())["lines"]["power-good-0"])

    async def os_up(self) -> None:
        async with asyncio.timeout(self.patience_seconds):
            while (await self.control.state())["hosts"]["host.0"]["stage"] != "up":
                await asyncio.sleep(0.02)

    async def hang(self) -> None:
        await self.control.set_fault("hang-off", on=True)

    async def guest_shutdown(self) -> None:
        await self.control.guest("shutdown")

    async def guest_reset(self) -> None:
        await self.control.guest("reset")

    async def booted_from(self) -> BootTarget | None:
        _, text = await self.control.console()
        return next((BootTarget(name) for name in reversed(re.findall(r"booting from (\S+)", text))), None)

    async def asserted(self) -> frozenset[str]:
        levels = (await self.control.state())["lines"]
        return frozenset(name for name in BUTTONS if levels[name])

    async def lose(self) -> None:
        assert self.lose_now is not None
        self.lose_now()

    async def find(self) -> None:
        assert self.find_now is not None
        self.find_now()


class InProcess:
    """On virtual time."""

    name = "sim-virtual"
    can_lose = True

    def run(self, body: Callable[[Rig], Awaitable[None]], directory: Path) -> None:
        del directory

        async def main() -> None:
            machine = InProcessMachine()
            try:
                await body(SimRig(machine.dial, 1.0, 60.0, 3.0, machine.unplug, machine.plug))
            finally:
                machine.close()

        run_virtual(main())


class OwnProcess:
    """The real machine process, faster than real time."""

    name = "sim-process"
    can_lose = False

    def run(self, body: Callable[[Rig], Awaitable[None]], directory: Path) -> None:
        async def main() -> None:
            await body(SimRig(unix_dial(directory), SPEED, 20.0, 3.0 / SPEED))

        process.ensure_running(directory, speed=SPEED)
        try:
            asyncio.run(main())
        finally:
            process.end(directory)


FACTORIES: tuple[Factory, ...] = (InProcess(), OwnProcess())
