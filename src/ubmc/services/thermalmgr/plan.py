"""What is cooled, by what, and how: the zones, controllers, fans and limits of a board, as data.

Temperatures are in degrees Celsius, duties in percent, gains in percent per degree (`kp`), percent per degree and
second (`ki`), percent seconds per degree (`kd`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STEPS_MAX = 20


@dataclass(frozen=True, slots=True)
class SensorLimits:
    """One temperature sensor, as far as cooling is concerned; None: it has no such limit."""

    warning: float | None = None
    critical: float | None = None
    fatal: float | None = None
    host: str = ""
    """The host whose power gates it; empty: it has power whenever the BMC has."""
    hysteresis: float = 2.0
    """An overheated zone is well only when all its sensors are this far below warning."""
    stale_seconds: float = 0.0
    """A reading that is older is none: a little more than the interval at which it is read. 0: as the plan says."""
    stuck_seconds: float = 0.0
    """A value that is exactly the same for so long counts as stuck, while its host is on; 0: may stay the same."""


@dataclass(frozen=True, slots=True)
class PidPlan:
    """A PID controller: the hottest of its sensors is to be held at the set-point."""

    name: str
    sensors: tuple[str, ...]
    set_point: float
    kp: float
    ki: float
    kd: float = 0.0
    slew_up: float = 100.0
    """The duty rises at most so fast, in percent a second."""
    slew_down: float = 5.0
    """The duty falls at most so fast, in percent a second."""


@dataclass(frozen=True, slots=True)
class MarginPlan:
    """A PID controller over the distance of each sensor from its critical limit; the smallest one counts."""

    name: str
    sensors: tuple[str, ...]
    margin: float
    """The distance that is to be held, in degrees."""
    kp: float
    ki: float
    kd: float = 0.0
    slew_up: float = 100.0
    slew_down: float = 5.0


@dataclass(frozen=True, slots=True)
class StepwisePlan:
    """A table: from each temperature on, a duty; the hottest of its sensors counts."""

    name: str
    sensors: tuple[str, ...]
    steps: tuple[tuple[float, float], ...]
    """(from this temperature on, this duty), rising in both; at most 20. Below the first: the zone's minimum."""
    hysteresis: float = 2.0
    """A step is left downwards only so far below its temperature."""


ControllerPlan = PidPlan | MarginPlan | StepwisePlan


@dataclass(frozen=True, slots=True)
class FanPlan:
    """One cooling device."""

    name: str
    kind: str = "pwm"
    """`pwm`, `rpm` or `pump`."""
    tachometers: tuple[str, ...] = ()
    """The sensors of its rotors; none: its speed is not known and not checked."""
    location: str = ""
    presence: str = ""
    """A discrete sensor: 0 means that it is not plugged. Empty: it is always there."""
    minimum_rpm: float = 500.0
    """A rotor slower than this, though told to turn, is seized."""
    full_rpm: float = 0.0
    """The speed of a good rotor at 100 percent; 0: not known, then only a seized rotor is found."""
    slow_fraction: float = 0.6
    """A rotor below this part of the speed expected at its duty is slow."""
    settle_seconds: float = 5.0
    """How long a rotor may take to follow its duty."""
    start_percent: float = 30.0
    """The least duty that sets a standing rotor in motion."""
    minimum_percent: float = 20.0
    """The least duty at which it keeps turning; it is never given less."""
    fail_safe_percent: float = 100.0


@dataclass(frozen=True, slots=True)
class ZonePlan:
    """What is cooled together."""

    name: str
    fans: tuple[str, ...]
    controllers: tuple[ControllerPlan, ...]
    hosts: tuple[str, ...] = ()
    """Whose power is cut when cooling does not help."""
    minimum_percent: float = 25.0
    maximum_percent: float = 100.0
    """The most that its controllers give; fail-safe and overheating go above it."""
    fail_safe_percent: float = 85.0
    trip_after_seconds: float = 60.0
    """How long it may stay over critical, without falling, before its hosts are cut."""
    missing_is_acceptable: frozenset[str] = frozenset()
    """Sensors that may fail without the zone going to fail-safe (of those that are one of several)."""
    watched: tuple[str, ...] = ()
    """Further temperature sensors: no controller looks at them, but their limits and their loss count."""

    @property
    def sensors(self) -> tuple[str, ...]:
        """All its temperature sensors, each once."""
        controlled = (name for each in self.controllers for name in each.sensors)
        return tuple(dict.fromkeys((*controlled, *self.watched)))


@dataclass(frozen=True, slots=True)
class ThermalPlan:
    """All that thermalmgr needs to know of a board."""

    zones: tuple[ZonePlan, ...]
    fans: tuple[FanPlan, ...]
    limits: Mapping[str, SensorLimits] = field(default_factory=dict)
    """By name of the sensor; every sensor of a zone should be here."""
    interval_seconds: float = 0.5
    """A cycle of control begins so often; also the longest that a lost sensor stays unseen."""
    stale_seconds: float = 3.0
    """A reading that is older than this is none. sensormon says so earlier; this stands behind it."""
