"""The sensors of the simulated machine: what each would show, with its noise, its steps and its faults."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from ubmc.hw.sim.parts import faults
from ubmc.hw.sim.parts.chance import chance
from ubmc.hw.sim.parts.climate import Climate
from ubmc.hw.sim.parts.faults import Faults
from ubmc.hw.sim.shape import Machine, Quantity, Sensor, Shows
from ubmc.kit.errors import NotFound, UbmcError, Unavailable

Outcome = float | UbmcError
_FAR_OUT = 1_000_000.0
_HUMIDITY = 45.0
_PRESSURE = 101_325.0  # the standard atmosphere, ISO 2533
_OF_SUPPLY: dict[Shows, str] = {
    Shows.SUPPLY_INPUT_VOLTAGE: "input_volts",
    Shows.SUPPLY_INPUT_POWER: "input_watts",
    Shows.SUPPLY_OUTPUT_VOLTAGE: "output_volts",
    Shows.SUPPLY_OUTPUT_CURRENT: "output_amps",
    Shows.SUPPLY_OUTPUT_POWER: "output_watts",
    Shows.SUPPLY_TEMPERATURE: "temperature",
    Shows.SUPPLY_FAN_SPEED: "rpm",
}


class Instruments:
    """All sensors of a machine. They read the climate as it is: who asks has it catch up first."""

    def __init__(self, machine: Machine, climate: Climate, wrong: Faults, seed: int) -> None:
        self._machine = machine
        self._climate = climate
        self._faults = wrong
        self._seed = seed
        self._stuck: dict[str, float] = {}
        self._sensors = {
            sensor.name: (sensor, index, self._wire(sensor)) for index, sensor in enumerate(machine.sensors)
        }

    def bus(self, name: str) -> str:
        """The bus of a sensor. Raises `NotFound`."""
        return self._find(name)[0].bus

    def read(self, name: str) -> Outcome:
        """What it shows, or why it shows nothing. Raises `NotFound`."""
        sensor, index, physical = self._find(name)
        if self._faults.active and (wrong := self._misbehave(sensor)) is not None:
            return wrong
        if sensor.host and not self._climate.host_on:
            return Unavailable(f"{name} does not answer: its host has no power")
        return self._measure(sensor, index, physical)

    def freeze(self, name: str) -> None:
        """Remember what a sensor shows now, for when it is stuck."""
        sensor, index, physical = self._find(name)
        value = self._measure(sensor, index, physical)
        self._stuck[name] = value if isinstance(value, float) else 0.0

    def _misbehave(self, sensor: Sensor) -> Outcome | None:
        """What it says for its faults; None if it has none."""
        name, wrong = sensor.name, self._faults
        if wrong.has(faults.BUS_STUCK, sensor.bus):
            return Unavailable(f"bus {sensor.bus} is stuck")
        if sensor.asset and wrong.has(faults.ASSET_UNPLUGGED, sensor.asset):
            return Unavailable(f"{name} does not answer: {sensor.asset} is not plugged in")
        if wrong.has(faults.SENSOR_STALE, name):
            return Unavailable(f"{name} does not answer")
        shown: Outcome | None = None
        if wrong.has(faults.SENSOR_NAN, name):
            shown = math.nan
        elif wrong.has(faults.SENSOR_RANGE, name):
            shown = wrong.value(faults.SENSOR_RANGE, name, _FAR_OUT)
        elif wrong.has(faults.SENSOR_STUCK, name):
            shown = wrong.value(faults.SENSOR_STUCK, name, self._stuck.get(name, 0.0))
        return shown

    def _measure(self, sensor: Sensor, index: int, physical: Callable[[], Outcome]) -> Outcome:
        value = physical()
        if isinstance(value, UbmcError):
            return value
        value = value * sensor.factor + sensor.offset
        # Nothing turns, nothing flows: there is nothing for noise to come from.
        if sensor.noise and (value or sensor.shows.quantity is Quantity.TEMPERATURE):
            value += sensor.noise * chance(self._seed, index, self._climate.steps)
        if sensor.resolution:
            value = round(round(value / sensor.resolution) * sensor.resolution, 6)
        if sensor.span is not None:
            value = min(max(value, sensor.span[0]), sensor.span[1])
        return float(value)

    def _find(self, name: str) -> tuple[Sensor, int, Callable[[], Outcome]]:
        if name not in self._sensors:
            raise NotFound(f"the machine {self._machine.name} has no sensor {name!r}")
        return self._sensors[name]

    def _wire(self, sensor: Sensor) -> Callable[[], Outcome]:
        """What a sensor is put to, looked up once."""
        climate, shows, nodes, fans = self._climate, sensor.shows, self._machine.nodes, self._machine.fans
        rotor = sensor.rotor
        match shows:
            case Shows.NODE_POWER:
                return partial(_item, climate, "heats", _place(nodes, sensor.of))
            case Shows.NODE_TEMPERATURE:
                return partial(_item, climate, "temperatures", _place(nodes, sensor.of))
            case Shows.FAN_DUTY:
                return partial(_item, climate, "duties", _place(fans, sensor.of))
            case Shows.ROTOR_SPEED:
                return partial(climate.rpm, _place(fans, sensor.of), rotor)
            case Shows.RAIL_VOLTAGE | Shows.RAIL_CURRENT:
                return self._wire_rail(sensor)
        return self._wire_supply(sensor) if sensor.of else self._wire_other(shows)

    def _wire_supply(self, sensor: Sensor) -> Callable[[], Outcome]:
        unit, shows = self._climate.units[_place(self._machine.supplies, sensor.of)], sensor.shows
        if shows is Shows.SUPPLY_PRESENCE:
            return lambda: float(unit.plugged_in)

        def read() -> Outcome:
            # Its microcontroller lives on the standby power that all supplies share.
            if not unit.plugged_in:
                return Unavailable(f"{sensor.name} does not answer: {sensor.of} is not plugged in")
            if shows is Shows.SUPPLY_INPUT_CURRENT:
                return unit.input_watts / unit.input_volts if unit.input_volts else 0.0
            return float(getattr(unit, _OF_SUPPLY[shows]))

        return read

    def _wire_rail(self, sensor: Sensor) -> Callable[[], Outcome]:
        climate, rail = self._climate, self._machine.rails[_place(self._machine.rails, sensor.of)]

        def amps() -> float:
            if not (climate.host_on or rail.standby):
                return 0.0
            return rail.idle_amps + (rail.full_amps - rail.idle_amps) * climate.load

        def volts() -> float:
            return rail.volts - rail.ohms * amps() if climate.host_on or rail.standby else 0.0

        return volts if sensor.shows is Shows.RAIL_VOLTAGE else amps

    def _wire_other(self, shows: Shows) -> Callable[[], Outcome]:
        climate, machine, wrong = self._climate, self._machine, self._faults
        others: dict[Shows, Callable[[], Outcome]] = {
            Shows.INLET_TEMPERATURE: lambda: climate.ambient,
            Shows.OUTLET_TEMPERATURE: lambda: climate.ambient + climate.rise,
            Shows.TOTAL_POWER: lambda: sum(unit.input_watts for unit in climate.units),
            Shows.TOTAL_ENERGY: lambda: climate.joules,
            Shows.LOAD: lambda: 100.0 * climate.load,
            Shows.HUMIDITY: lambda: _HUMIDITY,
            Shows.PRESSURE: lambda: _PRESSURE,
            Shows.AIRFLOW: lambda: machine.litres_per_minute * climate.flow,
            Shows.INTRUSION: lambda: float(wrong.has(faults.INTRUSION)),
        }
        return others[shows]


def _item(climate: Climate, what: str, index: int) -> float:
    """The climate makes new lists as it goes, so a sensor cannot hold one."""
    return float(getattr(climate, what)[index])


def _place(parts: Sequence[object], name: str) -> int:
    return [getattr(part, "name", "") for part in parts].index(name)
