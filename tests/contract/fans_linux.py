"""The rigs of the Linux drivers, for the contract suite of fan drivers: fake trees of sysfs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.contract.fan_rig import Factory, Rig
from tests.harness.sysfs import FakeSysfs

from ubmc.hw.fans.linux import file_fan, hwmon_pwm, hwmon_speed
from ubmc.hw.fans.port import Fan

DEVICE = "soc/i2c-1/1-002e"
Make = Callable[[FakeSysfs], Fan]


class ChipRig:
    """An output of a hwmon chip; another number and automatic mode after it was lost."""

    patience_seconds = 10.0
    step_percent = 0.3

    def __init__(self, tree: FakeSysfs, make: Make, output: str, low: float, full: float, mode: str) -> None:
        self._tree, self._make, self._output, self._mode = tree, make, output, mode
        self._low, self._full = low, full
        self._number = 2
        tree.hwmon(9, "nct6775", "soc/i2c-7/7-002e", {output: 1, "pwm1_enable": 5})
        self._appear()

    def _appear(self) -> None:
        half = round((self._low + self._full) / 2)
        files = {self._output: half, "pwm1_enable": 5}
        self._chip = self._tree.hwmon(self._number, "nct6775", DEVICE, files)

    def fan(self) -> Fan:
        return self._make(self._tree)

    async def duty(self) -> float:
        raw = int((self._chip / self._output).read_text())
        if raw != round((self._low + self._full) / 2):  # somebody set it: in manual mode, or it would not last
            assert (self._chip / "pwm1_enable").read_text().strip() == self._mode
        assert (self._tree.root / "class/hwmon/hwmon9" / self._output).read_text() == "1\n"
        return (raw - self._low) * 100 / (self._full - self._low)

    async def disobey(self) -> None:
        path = self._chip / self._output
        path.unlink()
        path.symlink_to("/dev/full")

    async def obey(self) -> None:
        (self._chip / self._output).unlink()
        (self._chip / self._output).write_text("0\n")

    async def lose(self) -> None:
        self._tree.gone(self._chip)

    async def find(self) -> None:
        self._number += 3
        self._appear()

    async def apart(self, function: Callable[[], None]) -> None:
        function()


class FileRig(ChipRig):
    """A file that takes a number of 0 to 1000."""

    step_percent = 0.1

    def __init__(self, tree: FakeSysfs) -> None:
        self._tree = tree
        self._path = tree.write("class/thermal/cooling_device0/cur_state", "500\n")

    def fan(self) -> Fan:
        return file_fan("fan.0", self._path, full_value=1000, failsafe_percent=80)

    async def duty(self) -> float:
        return int(self._path.read_text()) / 10

    async def disobey(self) -> None:
        self._path.unlink()
        self._path.symlink_to("/dev/full")

    async def obey(self) -> None:
        self._path.unlink()
        self._path.write_text("0\n")

    async def lose(self) -> None:
        self._path.unlink()

    async def find(self) -> None:
        self._path.write_text("500\n")


class TreeFactory:
    """Makes trees."""

    def __init__(self, name: str, make: Callable[[FakeSysfs], ChipRig]) -> None:
        self.name = name
        self._make = make

    def run(self, body: Callable[[Rig], Awaitable[None]], directory: Path) -> None:
        async def within() -> None:
            await body(self._make(FakeSysfs(directory / "sys")))

        asyncio.run(within())


def _pwm(tree: FakeSysfs) -> ChipRig:
    def make(tree: FakeSysfs) -> Fan:
        return hwmon_pwm("fan.0", "nct6775", "pwm1", device="1-002e", failsafe_percent=80, root=tree.root)

    return ChipRig(tree, make, "pwm1", 0, 255, "1")


def _speed(tree: FakeSysfs) -> ChipRig:
    def make(tree: FakeSysfs) -> Fan:
        return hwmon_speed(
            "fan.0",
            "nct6775",
            "fan1_target",
            minimum_rpm=1000,
            maximum_rpm=9000,
            device="1-002e",
            enable=2,
            failsafe_percent=80,
            root=tree.root,
        )

    return ChipRig(tree, make, "fan1_target", 1000, 9000, "2")


FACTORIES: tuple[Factory, ...] = (
    TreeFactory("pwm", _pwm),
    TreeFactory("speed", _speed),
    TreeFactory("sysfs", FileRig),
)
