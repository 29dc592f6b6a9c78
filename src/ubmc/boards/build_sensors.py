"""From sensors and fans of a board to drivers. Nothing is opened here; who gets a port opens and closes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ubmc.boards.build import build_lines, sim_directory
from ubmc.boards.spec import BoardSpec
from ubmc.boards.spec_cooling import Control, FanSpec, HwmonFanSpec, SysfsFanSpec
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
from ubmc.boards.wiring import by_wire, place_of
from ubmc.hw.fans.port import Fan
from ubmc.hw.sensors.port import SensorBus

if TYPE_CHECKING:
    from ubmc.hw.sensors.channels import PmbusChannel, SmbusChannel


def build_sensors(spec: BoardSpec, machine_dir: Path) -> Sequence[SensorBus]:
    """The sensors of a board, by wire; empty for a board without. Names of wires are those of `wiring.wire_of`.

    Args:
        spec: the board.
        machine_dir: the folder of all machines of this board, absolute.

    Raises:
        Invalid: the board or the folder's path cannot work.
    """
    return [_build_wire(spec, machine_dir, name, sensors) for name, sensors in by_wire(spec).items()]


def _build_wire(spec: BoardSpec, machine_dir: Path, name: str, sensors: Sequence[SensorSpec]) -> SensorBus:
    """The sensors of one wire are of one kind (on I2C of two)."""
    from ubmc.hw.sensors import channels

    match sensors[0]:
        case HwmonSensorSpec():
            from ubmc.hw.sensors.hwmon import HwmonBus

            found = [each for each in sensors if isinstance(each, HwmonSensorSpec)]
            return HwmonBus(name, [channels.HwmonChannel(s.name, s.chip, s.input, s.label, s.device) for s in found])
        case IioSensorSpec():
            from ubmc.hw.sensors.iio import IioBus

            devices = [each for each in sensors if isinstance(each, IioSensorSpec)]
            return IioBus(name, [channels.IioChannel(s.name, s.device, s.input) for s in devices])
        case GpioSensorSpec():
            from ubmc.hw.sensors.gpio import GpioBus

            wired = [each for each in sensors if isinstance(each, GpioSensorSpec)]
            lines = [channels.GpioChannel(s.name, s.line.line, s.line.active_low) for s in wired]
            return GpioBus(name, lines, build_lines(spec, machine_dir))
        case SysfsSensorSpec():
            from ubmc.hw.sensors.files import FileBus

            files = [each for each in sensors if isinstance(each, SysfsSensorSpec)]
            return FileBus(name, [channels.FileChannel(s.name, s.path) for s in files])
        case SimSensorSpec():
            return _build_sim_wire(machine_dir, name, [each for each in sensors if isinstance(each, SimSensorSpec)])
    from ubmc.hw.sensors.i2c import I2cSensors

    return I2cSensors(name, [_i2c(spec, s) for s in sensors if isinstance(s, PmbusSensorSpec | SmbusSensorSpec)])


def _i2c(spec: BoardSpec, sensor: PmbusSensorSpec | SmbusSensorSpec) -> PmbusChannel | SmbusChannel:
    from ubmc.hw.sensors.channels import PmbusChannel, SmbusChannel
    from ubmc.protocols.pmbus import Command, Direct

    bus = place_of(spec, sensor.bus)
    if isinstance(sensor, SmbusSensorSpec):
        return SmbusChannel(
            sensor.name, bus, sensor.address, sensor.type, sensor.channel, bits=sensor.bits, pec=sensor.pec
        )
    numbers = sensor.coefficients
    return PmbusChannel(
        sensor.name,
        bus,
        sensor.address,
        Command[sensor.command.name],
        page=sensor.page,
        format=sensor.format,
        direct=None if numbers is None else Direct(numbers.m, numbers.b, numbers.r),
        vid=sensor.vid,
        pec=sensor.pec,
    )


def _build_sim_wire(machine_dir: Path, name: str, sensors: Sequence[SimSensorSpec]) -> SensorBus:
    from ubmc.hw.sim.dial import unix_dial
    from ubmc.hw.sim.sensors import SimSensors

    inputs = {sensor.name: sensor.input or sensor.name for sensor in sensors}
    return SimSensors(name, inputs, unix_dial(sim_directory(machine_dir)))


def build_fans(spec: BoardSpec, machine_dir: Path) -> Sequence[Fan]:
    """The fans and pumps of a board, in the order of its file; empty for a board without. Arguments as above.

    Raises:
        Invalid: the board or the folder's path cannot work.
    """
    return [_build_fan(fan, machine_dir) for fan in spec.fans]


def _build_fan(fan: FanSpec, machine_dir: Path) -> Fan:
    if isinstance(fan, HwmonFanSpec):
        return _build_hwmon_fan(fan)
    if isinstance(fan, SysfsFanSpec):
        from ubmc.hw.fans.linux import file_fan

        return file_fan(fan.name, fan.path, full_value=fan.full_value, failsafe_percent=fan.fail_safe)
    from ubmc.hw.sim.dial import unix_dial
    from ubmc.hw.sim.fans import SimFan
    from ubmc.hw.sim.protocol import socket_path

    directory = sim_directory(machine_dir)
    output = fan.output or fan.name
    socket = socket_path(directory)
    return SimFan(fan.name, output, unix_dial(directory), socket=socket, failsafe_percent=fan.fail_safe)


def _build_hwmon_fan(fan: HwmonFanSpec) -> Fan:
    from ubmc.hw.fans.linux import hwmon_pwm, hwmon_speed

    if fan.control is not Control.RPM:
        return hwmon_pwm(fan.name, fan.chip, fan.output, device=fan.device, failsafe_percent=fan.fail_safe)
    return hwmon_speed(
        fan.name,
        fan.chip,
        fan.output,
        minimum_rpm=fan.zero_speed,
        maximum_rpm=fan.full_speed,
        device=fan.device,
        enable=fan.enable,
        failsafe_percent=fan.fail_safe,
    )
