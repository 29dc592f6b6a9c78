"""The simulated chassis: mains, and the supply with its enable line.

`psu-good` is active when mains is there and the supply is enabled. A supply that goes takes the hosts with it at once.
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
        self.mains = True
        self.mains_cycles = 0
        wires.add(ENABLE, Side.BMC, active=enabled)
        wires.add(GOOD, Side.MACHINE, active=enabled)
        wires.listen(self._follow)

    def set_mains(self, *, on: bool) -> None:
        """Cut mains or bring it back; each return counts as one cycle."""
        if on == self.mains:
            return
        self.mains = on
        if on:
            self.mains_cycles += 1
        self._wires.tell("mains", on)
        self._settle()

    def next_event(self) -> float:
        """Nothing happens here by itself."""
        return math.inf

    def step(self, now: float) -> None:
        """Nothing happens here by itself."""

    def _follow(self, change: Change) -> None:
        if change.name == ENABLE:
            self._settle()

    def _settle(self) -> None:
        self._wires.set(GOOD, active=self.mains and self._wires.get(ENABLE))
