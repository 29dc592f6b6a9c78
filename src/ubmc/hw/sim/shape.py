"""What a simulated machine is made of, as data: heat, air, fans, supplies, rails, sensors and parts.

Nothing here computes: `ubmc.hw.sim.parts.climate` does, and `ubmc.hw.sim.catalogue` holds the machines that exist.
Units are those of `ubmc.hw.sensors.port`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType


class Quantity(Enum):
    """What a sensor measures; the words are those of a board file's `measures`."""

    TEMPERATURE = "temperature"
    VOLTAGE = "voltage"
    CURRENT = "current"
    FAN_SPEED = "fan-speed"
    POWER = "power"
    ENERGY = "energy"
    HUMIDITY = "humidity"
    PRESSURE = "pressure"
    FLOW = "flow"
    PERCENT = "percent"
    STATE = "state"


class Shows(Enum):
    """Which physical quantity a sensor is put to; `Sensor.of` says of what."""

    NODE_TEMPERATURE = ("node-temperature", Quantity.TEMPERATURE)
    NODE_POWER = ("node-power", Quantity.POWER)
    INLET_TEMPERATURE = ("inlet-temperature", Quantity.TEMPERATURE)
    OUTLET_TEMPERATURE = ("outlet-temperature", Quantity.TEMPERATURE)
    ROTOR_SPEED = ("rotor-speed", Quantity.FAN_SPEED)  # of a fan; `Sensor.rotor` says of which rotor
    FAN_DUTY = ("fan-duty", Quantity.PERCENT)
    SUPPLY_INPUT_VOLTAGE = ("supply-input-voltage", Quantity.VOLTAGE)
    SUPPLY_INPUT_CURRENT = ("supply-input-current", Quantity.CURRENT)
    SUPPLY_INPUT_POWER = ("supply-input-power", Quantity.POWER)
    SUPPLY_OUTPUT_VOLTAGE = ("supply-output-voltage", Quantity.VOLTAGE)
    SUPPLY_OUTPUT_CURRENT = ("supply-output-current", Quantity.CURRENT)
    SUPPLY_OUTPUT_POWER = ("supply-output-power", Quantity.POWER)
    SUPPLY_TEMPERATURE = ("supply-temperature", Quantity.TEMPERATURE)
    SUPPLY_FAN_SPEED = ("supply-fan-speed", Quantity.FAN_SPEED)
    SUPPLY_PRESENCE = ("supply-presence", Quantity.STATE)  # 0 absent, 1 present
    RAIL_VOLTAGE = ("rail-voltage", Quantity.VOLTAGE)
    RAIL_CURRENT = ("rail-current", Quantity.CURRENT)
    TOTAL_POWER = ("total-power", Quantity.POWER)
    TOTAL_ENERGY = ("total-energy", Quantity.ENERGY)
    LOAD = ("load", Quantity.PERCENT)
    HUMIDITY = ("humidity", Quantity.HUMIDITY)
    PRESSURE = ("pressure", Quantity.PRESSURE)
    AIRFLOW = ("airflow", Quantity.FLOW)
    INTRUSION = ("intrusion", Quantity.STATE)  # 0 closed, 1 open

    def __init__(self, word: str, quantity: Quantity) -> None:
        self.word = word
        self.quantity = quantity


@dataclass(frozen=True, slots=True)
class Limits:
    """Where one side of a quantity is normal no more."""

    warning: float | None = None
    critical: float | None = None
    fatal: float | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """Something that gets warm: C dT/dt = P - (G0 + G1 * flow^0.8) * (T - air), the exponent being that of forced flow.

    `air` is the inlet's temperature plus `preheat` (0 to 1) times what the whole machine warms its air by.
    """

    name: str
    capacity: float
    """Heat capacity C in joules a kelvin."""
    still: float
    """Conductance G0 to air that stands, in watts a kelvin."""
    blown: float
    """Conductance G1 that full airflow adds, in watts a kelvin."""
    preheat: float
    flow: tuple[float, ...]
    """The share of each fan in its airflow, in the order of the machine's fans; they add up to 1."""
    idle_watts: float
    full_watts: float
    """Heat of a host that is on, at no load and at full load; between them it is linear."""
    limits: Limits
    """Temperatures; past `fatal` it is damaged."""


@dataclass(frozen=True, slots=True)
class Fan:
    """A fan: speed follows duty along a line from `least_rpm` (at the least duty that turns it) to `full_rpm`."""

    name: str
    full_rpm: float
    least_rpm: float
    rotors: int = 1
    full_watts: float = 15.0
    inertia_seconds: float = 1.5
    """Time constant of its speed."""


@dataclass(frozen=True, slots=True)
class Supply:
    """A power supply; those that work share the load evenly."""

    name: str
    rated_watts: float
    efficiency: tuple[tuple[float, float], ...]
    """Pairs of share of the rated power and efficiency there, rising; linear between them."""
    output_volts: float = 12.2
    output_ohms: float = 0.002
    standby_watts: float = 6.0
    capacity: float = 150.0
    still: float = 0.4
    blown: float = 2.6
    fan_rpm: float = 16000.0
    limits: Limits = Limits(60.0, 70.0, 80.0)


@dataclass(frozen=True, slots=True)
class Rail:
    """A voltage that is made on the board."""

    name: str
    volts: float
    ohms: float
    """How far it droops, in volts an ampere."""
    idle_amps: float
    full_amps: float
    standby: bool = False
    """It is there with mains alone."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor: what it shows, where it is read, and how well."""

    name: str
    shows: Shows
    bus: str
    of: str = ""
    """The node, fan, supply or rail."""
    rotor: int = 0
    factor: float = 1.0
    offset: float = 0.0
    noise: float = 0.0
    """The largest deviation."""
    resolution: float = 0.0
    """Readings are multiples of it; 0: no steps."""
    host: bool = False
    """It answers only while the host has power."""
    asset: str = ""
    """The part that it is in, if that can be pulled out."""
    upper: Limits = Limits()
    lower: Limits = Limits()
    span: tuple[float, float] | None = None
    """What it can show at all."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A part of the machine; `kind` is a word of `ubmc.hw.inventory.port.Kind`."""

    name: str
    kind: str
    parent: str = "chassis.0"
    manufacturer: str = "Example"
    model: str = ""
    part_number: str = ""
    serial_number: str = ""
    version: str = ""
    location: str = ""
    details: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    fru_bytes: int = 0
    """The size of its FRU storage; 0: it has none."""
    fru_writable: bool = False
    pluggable: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """A whole machine with one host."""

    name: str
    nodes: tuple[Node, ...]
    fans: tuple[Fan, ...]
    supplies: tuple[Supply, ...]
    rails: tuple[Rail, ...]
    sensors: tuple[Sensor, ...]
    assets: tuple[Asset, ...]
    air_full: float
    """What all fans at full speed move, as heat in watts a kelvin."""
    air_still: float
    """What moves by itself."""
    litres_per_minute: float
    """What all fans at full speed move, as volume."""
    standby_watts: float = 4.0
    other_watts: float = 15.0
    """What is drawn while the supply is enabled, wherever it goes, host or no host."""

    @property
    def buses(self) -> Mapping[str, Sequence[str]]:
        """The sensors of each bus by name, in the machine's order."""
        buses: dict[str, list[str]] = {}
        for sensor in self.sensors:
            buses.setdefault(sensor.bus, []).append(sensor.name)
        return buses

    def sensor(self, name: str) -> Sensor:
        """The sensor of that name. Raises KeyError."""
        for sensor in self.sensors:
            if sensor.name == name:
                return sensor
        raise KeyError(name)
