"""The heat, air, fans and supplies of the simulated machine.

It steps on a grid of its own, anchored at plant time 0, and only when somebody looks or changes something: how time was
split never shows, and a machine that nobody looks at computes nothing. Whoever changes what it depends on calls
`catch_up` first.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ubmc.hw.sim.parts.supply import Unit
from ubmc.hw.sim.shape import Fan, Machine

STEP_SECONDS = 0.5
START_PERCENT = 30.0
_AIR_LAG = 0.1  # share of the way to its new temperature that the air goes in one step
_FLOW_EXPONENT = 0.8  # turbulent flow along a plate, as every text on heat transfer has it
_LEAST_DUTY = 2.0  # percent; below it a fan stands
_SETTLED = 0.0003


class Climate:
    """The continuous part of a machine."""

    def __init__(self, machine: Machine, load: Callable[[int], float]) -> None:
        """Make it cold, without mains.

        Args:
            machine: what it is made of.
            load: how much the host computes at a step of the grid, 0 to 1.
        """
        self._machine = machine
        self._load_at = load
        self._steps = 0
        self.ambient = 25.0
        self.host_on = False
        self.enabled = False  # the supplies give their main voltage
        self.duties = [START_PERCENT] * len(machine.fans)
        self.seized: set[int] = set()
        self.slow: dict[int, float] = {}
        self.units = [Unit(supply) for supply in machine.supplies]
        self.temperatures = [self.ambient] * len(machine.nodes)
        self.heats = [0.0] * len(machine.nodes)
        self.speeds = [0.0] * len(machine.fans)  # share of full speed
        self.rise = 0.0  # of the outlet's air over the room's
        self.flow = 0.0  # share of full
        self.joules = 0.0
        self.watts = 0.0  # direct current, all supplies together
        self.load = 0.0
        self._conductances = [node.still for node in machine.nodes]
        self._moving = True
        self._decays = [1.0 - math.exp(-STEP_SECONDS / fan.inertia_seconds) for fan in machine.fans]
        self._gains = [STEP_SECONDS / node.capacity for node in machine.nodes]
        self._preheats = [node.preheat for node in machine.nodes]
        self._air = machine.air_still
        self._settle()

    @property
    def steps(self) -> int:
        """How far it has come on its grid."""
        return self._steps

    def catch_up(self, now: float) -> None:
        """Let time pass until the last point of the grid that is not after `now` (plant time)."""
        self._run(int(now / STEP_SECONDS) - self._steps)

    def changed(self) -> None:
        """Somebody changed a duty, a fault, the power, or the load: heat and speeds are no longer what they were."""
        self._moving = True
        self._heat()

    def rpm(self, fan: int, rotor: int) -> float:
        """The speed of a rotor; the rear one is slower by design."""
        return self.speeds[fan] * self._machine.fans[fan].full_rpm * (1.0 if rotor == 0 else 0.92)

    def _run(self, steps: int) -> None:
        machine, gains, preheats, ambient = self._machine, self._gains, self._preheats, self.ambient
        for _ in range(steps):
            self._steps += 1
            load = self._load_at(self._steps)
            if load != self.load:
                self.load = load
                self._heat()
            if self._moving:
                self._move()
            rise = self.rise
            flows = [
                conductance * (temperature - ambient - preheat * rise)
                for conductance, temperature, preheat in zip(
                    self._conductances, self.temperatures, preheats, strict=True
                )
            ]
            self.temperatures = [
                temperature + gain * (heat - flow)
                for temperature, gain, heat, flow in zip(self.temperatures, gains, self.heats, flows, strict=True)
            ]
            self.rise = rise + _AIR_LAG * ((sum(flows) + machine.other_watts * self.enabled) / self._air - rise)
            drawn = 0.0
            for unit in self.units:
                unit.step(STEP_SECONDS, ambient + 0.5 * self.rise)
                drawn += unit.input_watts
            self.joules += drawn * STEP_SECONDS

    def _target(self, index: int, fan: Fan) -> float:
        duty = self.duties[index]
        if not self.enabled or index in self.seized or duty < _LEAST_DUTY:
            return 0.0
        least = fan.least_rpm / fan.full_rpm
        return (least + (1.0 - least) * duty / 100.0) * self.slow.get(index, 1.0)

    def _move(self) -> None:
        moving = False
        for index, fan in enumerate(self._machine.fans):
            target, speed = self._target(index, fan), self.speeds[index]
            away = target - speed
            if abs(away) < _SETTLED:
                self.speeds[index] = target
                continue
            # A seized rotor stands at once.
            self.speeds[index] = target if index in self.seized else speed + away * self._decays[index]
            moving = True
        self._moving = moving
        self._settle()

    def _settle(self) -> None:
        speeds, machine = self.speeds, self._machine
        self._conductances = [
            node.still
            + node.blown * sum(share * speed for share, speed in zip(node.flow, speeds, strict=True)) ** _FLOW_EXPONENT
            for node in machine.nodes
        ]
        self.flow = sum(speeds) / len(speeds) if speeds else 0.0
        self._air = machine.air_still + machine.air_full * self.flow
        self._heat()

    def _heat(self) -> None:
        """What every node and fan draws, and who gives it."""
        machine = self._machine
        on = self.host_on and self.enabled
        load = self.load
        self.heats = [
            node.idle_watts + (node.full_watts - node.idle_watts) * load if on else 0.0 for node in machine.nodes
        ]
        fans = sum(fan.full_watts * speed**3 for fan, speed in zip(machine.fans, self.speeds, strict=True))
        self.watts = sum(self.heats) + fans + machine.other_watts if self.enabled else 0.0
        working = [unit for unit in self.units if unit.works]
        standby = [unit for unit in self.units if unit.fed]
        for unit in self.units:
            unit.enabled = self.enabled
            unit.output_watts = self.watts / len(working) if unit.works and self.enabled else 0.0
            unit.standby_watts = machine.standby_watts / len(standby) if unit.fed else 0.0
            unit.settle()
