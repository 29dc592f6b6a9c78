"""A simulated board under control, without a process, a bus or a clock: hours of it run in seconds.

What sensormon does is here as plain as can be: it reads every half second, and believes a reading or does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ubmc.boards.load import load_board
from ubmc.hw.sim.catalogue import machine_named
from ubmc.hw.sim.parts.load import Profile as Load
from ubmc.hw.sim.plant import Plant, Settings
from ubmc.hw.sim.shape import Quantity
from ubmc.kit.errors import UbmcError
from ubmc.kit.readings import Quality, Reading, Readings
from ubmc.plans.safety import thermal_plan
from ubmc.services.thermalmgr.control import Control, Step
from ubmc.services.thermalmgr.plan import ThermalPlan
from ubmc.services.thermalmgr.profile import Profile

INTERVAL = 0.5
HOST = "host.0"


@dataclass
class Twin:
    """A plant with its control."""

    board: str = "sim"
    seed: int = 1
    interval: float = INTERVAL
    readings: Readings = field(default_factory=Readings)

    def __post_init__(self) -> None:
        spec = load_board(self.board).spec
        machine = machine_named("large" if self.board.endswith("large") else "standard")
        self.plant = Plant(Settings(seed=self.seed, machine=machine))
        plan = thermal_plan(spec)
        assert plan is not None
        self.plan: ThermalPlan = plan
        self.control = Control(plan)
        sensors = {each.name: each for each in machine.sensors}
        tachometers = [name for fan in plan.fans for name in fan.tachometers]
        self.names = list(dict.fromkeys([*(n for zone in plan.zones for n in zone.sensors), *tachometers]))
        self.gated = {name: plan.limits[name].host for name in self.names}
        self.degrees = [name for name in self.names if sensors[name].shows.quantity is Quantity.TEMPERATURE]
        self.node_limits = {node.name: node.limits for node in machine.nodes}
        self.now = 0.0
        self.tripped: dict[str, float] = {}
        self.step: Step | None = None

    @property
    def on(self) -> bool:
        """Whether the host has power."""
        return self.plant.read("power-good-0")

    def power_on(self) -> None:
        """Press the button, and wait until the host is on."""
        self.plant.drive("power-button-0", active=True)
        self.run(0.5)
        self.plant.drive("power-button-0", active=False)
        for _ in range(40):
            self.run(0.5)
            if self.on:
                return
        raise AssertionError("the host does not come up")

    def profile(self, profile: Profile) -> None:
        """Set the profile of all zones."""
        for zone in self.control.zones.values():
            zone.profile = profile

    def load(self, percent: float) -> None:
        """Let the host compute so much."""
        self.plant.set_load(Load.CONSTANT, percent)

    def run(self, seconds: float, each: Callable[[], None] | None = None) -> None:
        """Let time pass under control."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now += self.interval
            self.plant.advance(self.now)
            self._read(self.names)
            self._control()
            if each is not None:
                each()

    def _read(self, names: Iterable[str]) -> None:
        on = self.on
        self.readings.put_power(HOST, on)
        outcomes = self.plant.read_sensors(names)
        found = {}
        for name, outcome in outcomes.items():
            if self.gated[name] and not on:
                found[name] = Reading(math.nan, Quality.UNAVAILABLE, self.now)
            elif isinstance(outcome, UbmcError):
                found[name] = Reading(math.nan, Quality.FAILED, self.now)
            elif not -40.0 <= outcome <= (250.0 if name in self.degrees else 250_000.0):  # nor is NaN between them
                found[name] = Reading(math.nan, Quality.IMPLAUSIBLE, self.now)
            else:
                found[name] = Reading(float(outcome), Quality.GOOD, self.now)
        self.readings.put(found)

    def _control(self) -> None:
        self.step = self.control.step(self.now, self.readings)
        failed = set()
        for fan, duty in self.step.duties.items():
            try:
                self.plant.set_duty(fan, duty)
            except UbmcError:
                failed.add(fan)
        self.control.wrote(self.now, self.step.duties, failed)
        for host in self.step.trips:
            self.tripped.setdefault(host, self.now)
            self.plant.drive("power-button-0", active=True)  # held until it is off
        if not self.on:
            self.plant.drive("power-button-0", active=False)

    def duties(self) -> dict[str, float]:
        """What every fan is given."""
        return {fan.name: self.plant.duty(fan.name) for fan in self.plan.fans}

    def temperatures(self) -> dict[str, float]:
        """How warm everything really is."""
        return {name: t for name, t in self.plant.temperatures().items() if name in self.node_limits}
