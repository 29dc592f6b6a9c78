"""Which sensors share a wire: they are read together, on one thread, and are stuck together.

Everything behind one I2C adapter is one wire, whatever muxes are between. Each hwmon chip is a wire of its own, because
its driver waits for the bus that the chip is on. The simulated machine has wires of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from ubmc.boards.spec import BoardSpec, SimLinesSpec
from ubmc.boards.spec_sensors import (
    GpioSensorSpec,
    HwmonSensorSpec,
    IioSensorSpec,
    PmbusSensorSpec,
    SensorSpec,
    SimSensorSpec,
    SmbusSensorSpec,
    SysfsSensorSpec,
)
from ubmc.hw.i2c.topology import I2cPlace, Mux


def wire_of(spec: BoardSpec, sensor: SensorSpec) -> str:
    """The name of the wire that a sensor is read by; empty for a virtual one, which is not read."""
    match sensor:
        case HwmonSensorSpec():
            return f"hwmon-{sensor.chip}" + (f"-{sensor.device}" if sensor.device else "")
        case IioSensorSpec():
            return f"iio-{sensor.device}"
        case PmbusSensorSpec() | SmbusSensorSpec():
            return root_of(spec, sensor.bus)
        case GpioSensorSpec() | SysfsSensorSpec():
            return sensor.kind
        case SimSensorSpec() if isinstance(spec.lines, SimLinesSpec):
            return _simulated(spec.lines.machine.value)[sensor.input or sensor.name]
    return ""


@cache
def _simulated(machine: str) -> Mapping[str, str]:
    """The wire of each sensor of a simulated machine."""
    from ubmc.hw.sim.catalogue import machine_named

    return {sensor.name: sensor.bus for sensor in machine_named(machine).sensors}


def root_of(spec: BoardSpec, bus: str) -> str:
    """The bus of the adapter that an I2C bus is behind, muxes between them or not."""
    buses = {each.name: each for each in spec.i2c}
    while (parent := buses[bus].parent) is not None:
        bus = parent
    return bus


def place_of(spec: BoardSpec, bus: str) -> I2cPlace:
    """Where an I2C bus is: its adapter, and the muxes between."""
    buses = {each.name: each for each in spec.i2c}
    each = buses[bus]
    muxes: list[Mux] = []
    while each.parent is not None and each.mux is not None and each.channel is not None:
        muxes.insert(0, Mux(each.mux, each.channel))
        each = buses[each.parent]
    return I2cPlace(each.adapter or "", tuple(muxes))


def by_wire(spec: BoardSpec) -> Mapping[str, Sequence[SensorSpec]]:
    """The sensors that are read, by their wire, in the order of the board file."""
    wires: dict[str, list[SensorSpec]] = {}
    for sensor in spec.sensors:
        if wire := wire_of(spec, sensor):
            wires.setdefault(wire, []).append(sensor)
    return wires
