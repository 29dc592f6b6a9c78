"""The simulated chassis: mains, and the enable line of its supplies.

`psu-good` is active when power reaches the board and the supplies are enabled. The last supply that goes is a loss of
mains to all behind it, and takes the hosts with it at once.
"""

from __future__ import annotations

import math

from ubmc.hw.sim.wires import Change, Side, Wires

ENABLE = "psu-enable"
GOOD = "psu-good"


class Chassis:
    """Mains and supply."""

    def __init__(self, wires: Wires, *, enabled: bool) -> None:
        self._wires = wires
        self.socket = True  # there is mains in the room
        self.mains = True  # and by one supply at least it reaches the board
        self.mains_cycles = 0
        self._supplied = True
        wires.add(ENABLE, Side.BMC, active=enabled)
        wires.add(GOOD, Side.MACHINE, active=enabled)
        wires.listen(self._follow)

    def set_mains(self, *, on: bool) -> None:
        """Cut mains or bring it back; each return counts as one cycle."""
        self.socket = on
        self._reach()

    def set_supplied(self, *, supplied: bool) -> None:
        """Say whether any supply passes mains on."""
        self._supplied = supplied
        self._reach()

    def next_event(self) -> float:
        """Nothing happens here by itself."""
        return math.inf

    def step(self, now: float) -> None:
        """Nothing happens here by itself."""

    def _reach(self) -> None:
        on = self.socket and self._supplied
        if on == self.mains:
            return
        self.mains = on
        if on:
            self.mains_cycles += 1
        self._wires.tell("mains", on)
        self._settle()

    def _follow(self, change: Change) -> None:
        if change.name == ENABLE:
            self._settle()

    def _settle(self) -> None:
        self._wires.set(GOOD, active=self.mains and self._wires.get(ENABLE))
