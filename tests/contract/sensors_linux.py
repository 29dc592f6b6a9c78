"""The rigs of the Linux drivers, for the contract suite of sensor drivers: fake trees, and a fake I2C kernel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from tests.contract.sensor_rig import Factory, Rig
from tests.harness.i2c import I2cKernel
from tests.harness.sysfs import FakeSysfs, hanging

from ubmc.hw.i2c.linux import LinuxI2cBus
from ubmc.hw.i2c.topology import I2cPlace, Mux
from ubmc.hw.sensors.channels import (
    FileChannel,
    HwmonChannel,
    IioChannel,
    PmbusChannel,
    SmbusChannel,
    SmbusType,
)
from ubmc.hw.sensors.files import FileBus
from ubmc.hw.sensors.hwmon import HwmonBus
from ubmc.hw.sensors.i2c import I2cSensors
from ubmc.hw.sensors.iio import IioBus
from ubmc.hw.sensors.port import SensorBus
from ubmc.protocols.pmbus import Command, encode_linear11, encode_linear16


class FileRig:
    """Sensors that are files, each with what one unit of the sensor is in it."""

    patience_seconds = 10.0

    def __init__(self, make: Callable[[], SensorBus], files: Mapping[str, tuple[Path, float]]) -> None:
        self._make = make
        self._files = files
        self._stack = contextlib.ExitStack()
        for sensor, (path, _) in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._put(sensor, self.values(sensor)[0])

    @property
    def sensors(self) -> Sequence[str]:
        return tuple(self._files)

    def bus(self) -> SensorBus:
        return self._make()

    def values(self, sensor: str) -> tuple[float, float]:
        return (51.0, 1.0) if self._files[sensor][1] != 1 else (1.0, 0.0)

    def _put(self, sensor: str, value: float) -> None:
        path, unit = self._files[sensor]
        path.write_text(f"{round(value * unit)}\n")

    async def show(self, sensor: str, value: float) -> None:
        self._put(sensor, value)

    async def fail(self, sensor: str) -> None:
        self._files[sensor][0].unlink()

    async def mend(self, sensor: str) -> None:
        self._put(sensor, self.values(sensor)[0])

    async def hang(self) -> None:
        self._stack.enter_context(hanging(self._files[self.sensors[0]][0]))

    async def let_go(self) -> None:
        self._stack.close()


class FileFactory:
    """Makes trees."""

    can_hang = True

    def __init__(self, name: str, make: Callable[[FakeSysfs], FileRig]) -> None:
        self.name = name
        self._make = make

    def run(self, body: Callable[[Rig], Awaitable[None]], directory: Path) -> None:
        async def within() -> None:
            rig = self._make(FakeSysfs(directory / "sys"))
            try:
                await body(rig)
            finally:
                await rig.let_go()

        asyncio.run(within())


def _hwmon(tree: FakeSysfs) -> FileRig:
    chip = tree.hwmon(3, "nct7802", "soc/i2c-1/1-0028", {"temp1_input": 0, "temp1_fault": 0, "in2_label": "vcore"})
    other = tree.hwmon(4, "lm75", "soc/i2c-3/3-0048", {})
    tree.hwmon(5, "lm75", "soc/i2c-3/3-0049", {"temp1_input": 99000})
    channels = (
        HwmonChannel("cpu0_temp", "nct7802", input="temp1"),
        HwmonChannel("vcore", "nct7802", label="vcore"),
        HwmonChannel("inlet_temp", "lm75", input="temp1", device="3-0048"),
        HwmonChannel("psu0_pin", "lm75", input="power1", device="3-0048"),
        HwmonChannel("fan0_duty", "nct7802", input="pwm1"),
    )
    files = {
        "cpu0_temp": (chip / "temp1_input", 1e3),
        "vcore": (chip / "in2_input", 1e3),
        "inlet_temp": (other / "temp1_input", 1e3),
        "psu0_pin": (other / "power1_input", 1e6),
        "fan0_duty": (chip / "pwm1", 2.55),
    }
    return FileRigOfDuty(lambda: HwmonBus("hwmon", channels, root=tree.root), files)


class FileRigOfDuty(FileRig):
    """With values that are whole steps of a duty too: 20 and 80 percent are 51 and 204."""

    def values(self, sensor: str) -> tuple[float, float]:
        del sensor
        return (20.0, 80.0)


def _iio(tree: FakeSysfs) -> FileRig:
    adc = tree.iio(0, "1e6e9000.adc", "apb/1e6e9000.adc", {"in_voltage_scale": "0.5", "in_voltage1_offset": 100})
    dht = tree.iio(1, "hdc1080", "soc/i2c-1/1-0040", {})
    channels = (
        IioChannel("p12v", "1e6e9000.adc", "voltage0"),
        IioChannel("humidity", "hdc1080", "humidityrelative"),
    )
    files = {
        "p12v": (adc / "in_voltage0_raw", 2e3),
        "humidity": (dht / "in_humidityrelative_input", 1e3),
    }
    return FileRig(lambda: IioBus("iio", channels, root=tree.root), files)


def _files(tree: FakeSysfs) -> FileRig:
    paths = {name: tree.write(f"class/power_supply/{name}/online", "1\n") for name in ("ac0", "ac1")}
    channels = tuple(FileChannel(name, path) for name, path in paths.items())
    return FileRig(lambda: FileBus("sysfs", channels), {name: (path, 1) for name, path in paths.items()})


class I2cRig:
    """A PMBus supply, and two sensors behind a mux."""

    patience_seconds = 10.0
    sensors = ("psu0_vout", "inlet_temp", "dimm0_temp", "psu1_temp")

    def __init__(self, tree: FakeSysfs) -> None:
        root = tree.adapter(1, "1e78a080.i2c-bus")
        mux = tree.i2c_device(root, 0x70, "pca9548", driver="pca954x")
        tree.mux_channel(mux, 2, 11)
        devices = tree.root / "dev"
        devices.mkdir()
        self.kernels = {number: I2cKernel(devices / f"i2c-{number}") for number in (1, 11)}
        behind = I2cPlace("1", (Mux(0x70, 2),))
        self._channels = (
            PmbusChannel("psu0_vout", I2cPlace("i2c-1"), 0x58, Command.READ_VOUT, page=1),
            SmbusChannel("inlet_temp", behind, 0x48, SmbusType.LM75),
            SmbusChannel("dimm0_temp", behind, 0x18, SmbusType.JC42),
            PmbusChannel("psu1_temp", I2cPlace("1e78a080.i2c-bus"), 0x59, Command.READ_TEMPERATURE_1, pec=True),
        )
        self._tree = tree
        self._devices = devices
        self.kernels[1].devices[0x58] = {0x20: 0x17}  # VOUT_MODE: linear, exponent -9
        self.kernels[1].devices[0x59] = {}
        self.kernels[11].devices[0x48] = {}
        self.kernels[11].devices[0x18] = {}
        for sensor in self.sensors:
            self._put(sensor, self.values(sensor)[0])

    def bus(self) -> SensorBus:
        return I2cSensors("i2c-1", self._channels, root=self._tree.root, open_bus=self._opened)

    def _opened(self, number: int) -> LinuxI2cBus:
        return LinuxI2cBus(number, devices=self._devices, ioctl=self.kernels[number].ioctl)

    def values(self, sensor: str) -> tuple[float, float]:
        return (12.0, 11.5) if sensor == "psu0_vout" else (31.5, -5.0)

    def _put(self, sensor: str, value: float) -> None:
        match sensor:
            case "psu0_vout":
                self.kernels[1].devices[0x58][0x8B] = encode_linear16(value, -9)
            case "psu1_temp":
                self.kernels[1].devices[0x59][0x8D] = encode_linear11(value)
            case "inlet_temp":
                self._swapped(0x48, 0x00, round(value * 2) << 7)
            case _:
                self._swapped(0x18, 0x05, round(value * 16) & 0x1FFF | 0xE000)

    def _swapped(self, address: int, register: int, word: int) -> None:
        low_first = (word & 0xFFFF).to_bytes(2, "big")
        self.kernels[11].devices[address][register] = int.from_bytes(low_first, "little")

    def _device(self, sensor: str) -> tuple[I2cKernel, int]:
        channel = next(channel for channel in self._channels if channel.sensor == sensor)
        return self.kernels[11 if channel.bus.muxes else 1], channel.address

    async def show(self, sensor: str, value: float) -> None:
        self._put(sensor, value)

    async def fail(self, sensor: str) -> None:
        kernel, address = self._device(sensor)
        kernel.silent.add(address)

    async def mend(self, sensor: str) -> None:
        kernel, address = self._device(sensor)
        kernel.silent.discard(address)
        self._put(sensor, self.values(sensor)[0])

    async def hang(self) -> None:
        self.kernels[1].goes.clear()

    async def let_go(self) -> None:
        self.kernels[1].goes.set()


class I2cFactory:
    """Makes buses."""

    name = "i2c"
    can_hang = True

    def run(self, body: Callable[[Rig], Awaitable[None]], directory: Path) -> None:
        async def within() -> None:
            rig = I2cRig(FakeSysfs(directory))
            try:
                await body(rig)
            finally:
                await rig.let_go()

        asyncio.run(within())


FACTORIES: tuple[Factory, ...] = (
    FileFactory("hwmon", _hwmon),
    FileFactory("iio", _iio),
    FileFactory("sysfs", _files),
    I2cFactory(),
)
