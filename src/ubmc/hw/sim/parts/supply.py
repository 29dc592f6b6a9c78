"""One simulated power supply: efficiency, readings, its own heat and its own fan."""

from __future__ import annotations

from itertools import pairwise

from ubmc.hw.sim.shape import Supply

_COLD = 30.0
_HOT = 60.0
_LEAST_SPEED = 0.25
MAINS_VOLTS = 230.0


class Unit:
    """A supply; who owns it says what it has to give, and calls `settle` after that."""

    def __init__(self, supply: Supply) -> None:
        self.supply = supply
        self.mains = False
        self.plugged_in = True  # into the chassis
        self.cord = True  # into the wall
        self.good = True  # it is not broken
        self.enabled = False
        self.output_watts = 0.0
        self.standby_watts = 0.0
        self.input_watts = 0.0
        self.temperature = 25.0
        self.speed = 0.0  # of its fan, as a share

    @property
    def fed(self) -> bool:
        """Whether mains reaches it."""
        return self.mains and self.plugged_in and self.cord

    @property
    def works(self) -> bool:
        """Whether it can give power."""
        return self.fed and self.good

    def settle(self) -> None:
        """Work out what it draws."""
        own = self.supply.standby_watts + self.standby_watts if self.fed else 0.0
        self.input_watts = own + (self.output_watts / self._efficiency() if self.output_watts > 0.0 else 0.0)

    def step(self, seconds: float, air: float) -> None:
        """Warm it for so long."""
        supply = self.supply
        heat = self.input_watts - self.output_watts - self.standby_watts if self.fed else 0.0
        self.speed = self._speed()
        conductance = supply.still + supply.blown * self.speed
        self.temperature += seconds / supply.capacity * (heat - conductance * (self.temperature - air))

    @property
    def input_volts(self) -> float:
        """At its inlet."""
        return MAINS_VOLTS if self.fed else 0.0

    @property
    def output_volts(self) -> float:
        """At its main output."""
        if not self.works or not self.enabled:
            return 0.0
        return self.supply.output_volts - self.supply.output_ohms * self.output_amps

    @property
    def output_amps(self) -> float:
        """From its main output."""
        return self.output_watts / self.supply.output_volts

    @property
    def rpm(self) -> float:
        """The speed of its fan."""
        return self.speed * self.supply.fan_rpm

    def _speed(self) -> float:
        if not self.works or not self.enabled:
            return 0.0
        return min(max(_LEAST_SPEED + (self.temperature - _COLD) / (_HOT - _COLD), _LEAST_SPEED), 1.0)

    def _efficiency(self) -> float:
        share = self.output_watts / self.supply.rated_watts
        for (low, worse), (high, better) in pairwise(self.supply.efficiency):
            if share <= high:
                return worse + (better - worse) * (share - low) / (high - low)
        return self.supply.efficiency[-1][1]
