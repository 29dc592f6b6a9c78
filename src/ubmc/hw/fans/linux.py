"""Cooling devices of the Linux kernel: PWM and speed outputs of hwmon chips, and files that take a number.

Each has a thread of its own, so that one whose chip hangs delays no other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ubmc.hw import sysfs
from ubmc.hw.fans.places import FilePlace, HwmonPlace, Place
from ubmc.hw.fans.port import Fan, Recipe
from ubmc.hw.hwmon import Chip
from ubmc.hw.worker import Worker
from ubmc.kit.errors import Invalid

T = TypeVar("T")
_DEADLINE_SECONDS = 1.0


class LinuxFan(Fan):
    """A cooling device that has a place."""

    def __init__(self, name: str, place: Place, *, failsafe_percent: float) -> None:
        """Nothing is opened, nothing is written yet.

        Args:
            name: as in the board file.
            place: where its duty is written.
            failsafe_percent: of its recipe.
        """
        self._name = name
        self._place = place
        self._failsafe_percent = failsafe_percent
        self._worker = Worker(name)

    @property
    def name(self) -> str:
        """The name of the device, as in the board file."""
        return self._name

    async def set(self, percent: float) -> None:
        """Set the duty, take manual mode where there is one, and read back.

        Raises:
            Invalid: it is not 0 to 100 percent.
            Unavailable: the hardware does not obey, or not within a second.
        """
        if not 0.0 <= percent <= 100.0:
            raise Invalid(f"{self._name}: a duty is 0 to 100 percent, not {percent:g}")
        await self._call(lambda: self._place.write(percent))

    async def get(self) -> float:
        """The duty in percent that the hardware has now. Raises `Unavailable`."""
        return await self._call(self._place.read)

    async def _call(self, function: Callable[[], T]) -> T:
        try:
            return await self._worker.call(lambda _: function(), within_seconds=_DEADLINE_SECONDS)
        except OSError as error:
            raise sysfs.unavailable(self._name, error) from error

    def recipe(self) -> Recipe:
        """How to set it without us."""
        return Recipe(self._name, self._place.kind, self._place.as_json(), self._failsafe_percent)

    async def close(self) -> None:
        """Give the device back; its duty stays as it is. Does not wait for a write that hangs."""
        self._worker.close()


def hwmon_pwm(
    name: str,
    chip: str,
    output: str,
    *,
    device: str | None = None,
    failsafe_percent: float,
    root: Path = sysfs.SYSFS,
) -> LinuxFan:
    """A fan on `pwmN` of a hwmon chip; `pwmN_enable` is set to manual before every write that finds it different.

    Args:
        name: as in the board file.
        chip: what the chip's file `name` says.
        output: such as `pwm1`.
        device: part of the path of the chip's device, to tell equal chips apart.
        failsafe_percent: of its recipe.
        root: where sysfs is.

    Raises:
        Invalid: hwmon has no such output.
    """
    return LinuxFan(name, HwmonPlace(Chip(chip, device), output, root=root), failsafe_percent=failsafe_percent)


def hwmon_speed(
    name: str,
    chip: str,
    output: str,
    *,
    minimum_rpm: float,
    maximum_rpm: float,
    device: str | None = None,
    enable: int | None = None,
    failsafe_percent: float,
    root: Path = sysfs.SYSFS,
) -> LinuxFan:
    """A fan whose chip controls the speed, on `fanN_target`: 0 percent is `minimum_rpm`, 100 percent `maximum_rpm`.

    Args:
        name: as in the board file.
        chip: what the chip's file `name` says.
        output: such as `fan1_target`.
        minimum_rpm: the speed at 0 percent.
        maximum_rpm: the speed at 100 percent.
        device: part of the path of the chip's device, to tell equal chips apart.
        enable: what `pwmN_enable` must say for this mode (2 on a MAX31790); None: it is not looked at.
        failsafe_percent: of its recipe.
        root: where sysfs is.

    Raises:
        Invalid: hwmon has no such output, or the speeds are no range.
    """
    place = HwmonPlace(Chip(chip, device), output, minimum_rpm, maximum_rpm, enable, root)
    return LinuxFan(name, place, failsafe_percent=failsafe_percent)


def file_fan(name: str, path: Path, *, full_value: int = 255, failsafe_percent: float) -> LinuxFan:
    """A fan whose duty is a number in a file, such as `cur_state` of a thermal cooling device.

    Args:
        name: as in the board file.
        path: the file.
        full_value: what to write for 100 percent.
        failsafe_percent: of its recipe.
    """
    return LinuxFan(name, FilePlace(path, full_value), failsafe_percent=failsafe_percent)
