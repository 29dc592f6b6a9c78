"""How much the simulated host computes: a profile over plant time, and what the host's stage makes of it."""

from __future__ import annotations

import math
from enum import Enum

from ubmc.hw.sim.parts.chance import chance
from ubmc.hw.sim.parts.climate import STEP_SECONDS
from ubmc.hw.sim.parts.host import Stage
from ubmc.kit.errors import Invalid

_IDLE = 0.05
_FIRMWARE = 0.4
_WAVE_SECONDS = 240.0
_DAY_SECONDS = 86400.0
_BUSIEST_SECONDS = 15 * 3600.0
_GUST_STEPS = 60
_STAGES = {
    Stage.POST: _FIRMWARE,
    Stage.SETUP: _FIRMWARE,
    Stage.BOOT: 0.6,
    Stage.STOPPING: 0.2,
}


class Profile(Enum):
    """A course of load."""

    IDLE = "idle"
    CONSTANT = "constant"
    WAVES = "waves"  # between a fifth and four fifths, every four minutes
    DAY = "day"  # of a web server: busiest in the afternoon, with gusts
    FULL = "full"


class Load:
    """The load of a host."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._steady: float | None = 0.0
        self._stage = Stage.OFF
        self.profile = Profile.IDLE
        self.percent = 50.0

    def choose(self, profile: Profile | None, percent: float | None) -> None:
        """Compute by this profile, and so much where it is CONSTANT; None: as it was.

        Raises:
            Invalid: not between 0 and 100 percent.
        """
        if percent is not None:
            if not 0.0 <= percent <= 100.0:
                raise Invalid(f"a load is between 0 and 100 percent, not {percent}")
            self.percent = percent
        self.profile = profile or self.profile
        self._settle()

    def enter(self, stage: Stage) -> None:
        """The host is at another stage."""
        self._stage = stage
        self._settle()

    def at(self, step: int) -> float:
        """The load at a step of the climate's grid, 0 to 1."""
        if self._steady is not None:
            return self._steady
        seconds = step * STEP_SECONDS
        if self.profile is Profile.WAVES:
            return 0.5 - 0.3 * math.cos(2.0 * math.pi * seconds / _WAVE_SECONDS)
        gust = 0.15 * chance(self._seed, -1, step // _GUST_STEPS)
        tide = 0.4 + 0.3 * math.cos(2.0 * math.pi * (seconds - _BUSIEST_SECONDS) / _DAY_SECONDS)
        return min(max(tide + gust, 0.0), 1.0)

    def _settle(self) -> None:
        if self._stage is not Stage.UP:
            self._steady = _STAGES.get(self._stage, 0.0)
        elif self.profile in {Profile.WAVES, Profile.DAY}:
            self._steady = None
        else:
            fixed = {Profile.IDLE: _IDLE, Profile.FULL: 1.0}
            self._steady = fixed.get(self.profile, self.percent / 100.0)
