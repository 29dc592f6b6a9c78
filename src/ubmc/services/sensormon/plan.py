"""What sensormon is told of each sensor. Pure data; the board file is the source of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import MappingProxyType

from ubmc.v1alpha1.sensor_pb import SensorKind, SensorLevel

UNITS: Mapping[SensorKind, str] = MappingProxyType(
    {
        SensorKind.TEMPERATURE: "Cel",
        SensorKind.VOLTAGE: "V",
        SensorKind.CURRENT: "A",
        SensorKind.FAN_SPEED: "RPM",
        SensorKind.POWER: "W",
        SensorKind.ENERGY: "J",
        SensorKind.HUMIDITY: "%",
        SensorKind.PRESSURE: "Pa",
        SensorKind.FLOW: "L/min",
        SensorKind.PERCENT: "%",
        SensorKind.STATE: "",
    }
)
"""The unit of each kind in the notation of UCUM, as Redfish has it (Sensor.ReadingUnits)."""

_HYSTERESIS = MappingProxyType({SensorKind.TEMPERATURE: 2.0, SensorKind.HUMIDITY: 2.0, SensorKind.PERCENT: 2.0})
_HYSTERESIS_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits in the unit of the sensor; one that is None is not watched."""

    upper_fatal: float | None = None
    upper_critical: float | None = None
    upper_warning: float | None = None
    lower_warning: float | None = None
    lower_critical: float | None = None
    lower_fatal: float | None = None
    hysteresis: float | None = None
    """So far a reading must come back; None: 2 for degrees and percent, else 1 % of the largest limit."""
    debounce_seconds: float = 0.0
    """So long a reading must be past a limit (or a state must last) before that counts."""

    def margin(self, kind: SensorKind) -> float:
        """The hysteresis that holds."""
        if self.hysteresis is not None:
            return self.hysteresis
        limits = (
            self.upper_fatal, self.upper_critical, self.upper_warning,
            self.lower_warning, self.lower_critical, self.lower_fatal,
        )  # fmt: skip
        largest = max((abs(limit) for limit in limits if limit is not None), default=0.0)
        return _HYSTERESIS.get(kind, largest * _HYSTERESIS_SHARE)


@dataclass(frozen=True, slots=True)
class StatePlan:
    """One state of a discrete sensor; its number is its place in the list."""

    name: str  # `present`, `absent`
    level: SensorLevel = SensorLevel.NORMAL


class Function(Enum):
    """How a virtual sensor is made of its sources."""

    MAXIMUM = "max"
    MINIMUM = "min"
    SUM = "sum"
    DIFFERENCE = "difference"  # the first one less all others
    AVERAGE = "average"


@dataclass(frozen=True, slots=True)
class Virtual:
    """A sensor that is made of others; these may be virtual too, but not of each other."""

    function: Function
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SensorPlan:
    """One sensor.

    Drivers give SI units; `scale` and `offset` are for what the board adds, such as a voltage divider.
    """

    name: str  # `cpu0_temp`
    kind: SensorKind
    component: str  # `host.0`, `psu.0`
    bus: str = ""
    """The name of the wire (`SensorBus.name`); empty for a virtual sensor."""
    interval_seconds: float = 1.0
    stale_after_seconds: float = 0.0
    """A reading older than this is stale; 0: two intervals and half a second."""
    range_minimum: float | None = None
    range_maximum: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    """A reading is what the driver gives, times `scale`, plus `offset`."""
    limits: Limits = field(default_factory=Limits)
    powered_by: str = ""
    """The host (`host.0`) without whose power it cannot be read; empty: it can always be read."""
    settle_seconds: float = 5.0
    """So long after power-on nothing is told of it, and its statistics do not count."""
    present_sensor: str = ""
    """The sensor of kind STATE that tells whether its unit is plugged; empty: it always is."""
    present_state: str = "present"
    """The state of that sensor in which the unit is plugged."""
    states: tuple[StatePlan, ...] = ()
    """For the kind STATE: all states."""
    virtual: Virtual | None = None

    @property
    def unit(self) -> str:
        """The unit in the notation of UCUM."""
        return UNITS[self.kind]

    @property
    def stale_after(self) -> float:
        """How old a reading may be, in seconds."""
        return self.stale_after_seconds or 2 * self.interval_seconds + 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """How sensormon behaves."""

    thresholds_file: Path
    """Where changed thresholds are kept."""
    tick_seconds: float = 0.5
    """So often age, power and patience are looked at, whatever the wires do."""
    round_seconds: float = 5.0
    """So long one round of a wire may take before it is given up; a slow wire is read as often as it can be."""
    retry_seconds: float = 5.0
    """So slowly a sensor that fails for long is tried again (or at its own interval, if that is longer)."""
    quality_debounce_seconds: float = 2.0
    """So long a reading must be bad (or good again) before that is told; thermalmgr sees it at once."""
    history_points: int = 3600
    """At most so many points of history are kept for each sensor (8 bytes each, 12 for energy)."""
