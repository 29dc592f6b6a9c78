"""The lines of the board that the lane's kernel simulates, and what is on the other end of them.

The reset button is active-low with a pull-up, as most real ones are; the last line has no name.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.hardware.gpio_sim import GpioSim

from ubmc.hw.power.buttons import ButtonBoard, Wire
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.parts.host import Timings
from ubmc.hw.sim.plant import Plant, Settings
from ubmc.hw.sim.wires import Change

BUTTONS = ("power-button-0", "reset-button-0", "nmi-button-0")
INPUTS = ("power-good-0", "front-power-button", "front-identify-button")
HELD = "psu-enable"
LINES = (*BUTTONS, *INPUTS, HELD, "")
ACTIVE_LOW = frozenset({"reset-button-0", "front-identify-button"})
PULLED_UP = tuple(sorted(ACTIVE_LOW))
# A fast host: it cuts the power when the button is held for a second.
TIMINGS = Timings(
    override_seconds=1.0,
    rails_seconds=0.1,
    post_seconds=0.2,
    boot_seconds=0.2,
    shutdown_seconds=0.2,
    debounce_seconds=0.02,
)
LOOK_SECONDS = 0.005


def button_board(*, press_seconds: float = 0.1, hold_seconds: float = 3.0) -> ButtonBoard:
    """The board file of this board."""

    def wire(name: str) -> Wire:
        return Wire(name, active_low=name in ACTIVE_LOW)

    return ButtonBoard(
        button=wire("power-button-0"),
        good=wire("power-good-0"),
        reset=wire("reset-button-0"),
        nmi=wire("nmi-button-0"),
        front_button=wire("front-power-button"),
        identify=wire("front-identify-button"),
        press_seconds=press_seconds,
        hold_seconds=hold_seconds,
        reset_seconds=0.1,
        nmi_seconds=0.1,
        debounce_seconds=0.01,
    )


def is_active(chip: GpioSim, line: str) -> bool:
    """The logical level on a wire."""
    return chip.is_high(line) is not (line in ACTIVE_LOW)


class Host:
    """The simulated host, soldered to the kernel's chip: it feels the buttons there, and drives power-good."""

    def __init__(self, chip: GpioSim) -> None:
        self.machine = InProcessMachine(Plant(Settings(timings=TIMINGS)))
        self._chip = chip
        self._felt = dict.fromkeys(BUTTONS, False)
        self._stop = self.machine.plant.listen(self._follow)

    def drive_all(self) -> None:
        """Drive every line that the host drives; needed again when the chip came back."""
        for line in INPUTS:
            self._drive(line, active=self.machine.plant.read(line))

    def _follow(self, change: Change) -> None:
        if change.name in INPUTS:
            self._drive(change.name, active=bool(change.value))

    def _drive(self, line: str, *, active: bool) -> None:
        if self._chip.there:
            self._chip.pull(line, high=active is not (line in ACTIVE_LOW))

    async def feel(self) -> None:
        """Follow the buttons until cancelled."""
        while True:
            for line, before in self._felt.items():
                if self._chip.there and (active := is_active(self._chip, line)) is not before:
                    self._felt[line] = active
                    self._push(line, active=active)
            await asyncio.sleep(LOOK_SECONDS)

    def _push(self, line: str, *, active: bool) -> None:
        self.machine.act(lambda plant: plant.drive(line, active=active))

    def close(self) -> None:
        """Time stands still."""
        self._stop()
        self.machine.close()


@contextlib.asynccontextmanager
async def host_on(chip: GpioSim) -> AsyncIterator[Host]:
    """A host that is off, connected to the chip."""
    host = Host(chip)
    feeling = asyncio.create_task(host.feel())
    try:
        host.drive_all()
        yield host
    finally:
        feeling.cancel()
        await asyncio.wait([feeling])
        host.close()
        feeling.cancelled() or feeling.result()
