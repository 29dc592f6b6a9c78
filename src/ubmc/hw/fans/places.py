"""Where a fan's duty is written, and the writing itself: blocking, and the same for the driver and for the guardian.

Nothing is kept between two writes: the chip is looked for by name each time, because hwmon numbers change and a chip
whose driver was bound again is back in automatic mode.
"""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from ubmc.hw import hwmon, sysfs
from ubmc.kit.errors import Invalid, UbmcError

# Chips round: the coarsest kept ones know 16 steps, so half a step (3.3 %) may lie between what is written and read.
TOLERANCE = 0.035
MANUAL = 1  # pwmN_enable: the duty is what pwmN says (Documentation/hwmon/sysfs-interface.rst)
_FULL_PWM = 255
_OUTPUT = re.compile(r"pwm(\d{1,3})|fan(\d{1,3})_target")


class Place(Protocol):
    """Where a duty is written. Calls block and raise `OSError`."""

    @property
    def kind(self) -> str:
        """The kind of the recipe."""

    def write(self, percent: float) -> None:
        """Set the duty and read it back."""

    def read(self) -> float:
        """The duty in percent that the hardware has now."""

    def as_json(self) -> dict[str, Any]:
        """What `from_json` makes it from again."""


def _kept(path: Path, wanted: int, full: float) -> None:
    """Write a number and see whether it was kept."""
    sysfs.write(path, str(wanted))
    found = sysfs.read_number(path)
    if abs(found - wanted) > TOLERANCE * full:
        raise OSError(errno.EIO, f"{wanted} was written and it says {found:g}: something else drives it", str(path))


@dataclass(frozen=True, slots=True)
class HwmonPlace:
    """An output of a hwmon chip: a duty (`pwm1`) or a speed (`fan1_target`)."""

    chip: hwmon.Chip
    output: str
    minimum_rpm: float = 0.0
    """Of a speed: what 0 percent is."""
    maximum_rpm: float = 0.0
    """Of a speed: what 100 percent is; above the minimum."""
    enable: int | None = None
    """What `pwmN_enable` must say; None: 1 for a duty, and not looked at for a speed."""
    root: Path = sysfs.SYSFS
    kind = "hwmon"

    def __post_init__(self) -> None:
        """Check the output and its range."""
        if not _OUTPUT.fullmatch(self.output):
            raise Invalid(f'"{self.output}" is no output of hwmon; write one such as pwm1 or fan1_target')
        if self._is_speed and not self.maximum_rpm > self.minimum_rpm >= 0:
            raise Invalid(f"{self.output} needs the speeds that are 0 and 100 percent, the second above the first")

    @property
    def _is_speed(self) -> bool:
        return self.output.endswith("_target")

    def write(self, percent: float) -> None:
        """Take manual mode if the chip is in another, set the duty and read it back."""
        folder = self._folder()
        self._take(folder)
        if self._is_speed:
            wanted = round(self.minimum_rpm + (self.maximum_rpm - self.minimum_rpm) * percent / 100)
            _kept(folder / self.output, wanted, self.maximum_rpm)
        else:
            _kept(folder / self.output, round(percent * _FULL_PWM / 100), _FULL_PWM)

    def _take(self, folder: Path) -> None:
        wanted = MANUAL if self.enable is None and not self._is_speed else self.enable
        path = folder / f"pwm{re.sub(r'[^0-9]', '', self.output)}_enable"
        if wanted is None or not path.exists() or sysfs.read_number(path) == wanted:
            return
        sysfs.write(path, str(wanted))
        if sysfs.read_number(path) != wanted:
            raise OSError(errno.EIO, f"it does not take {wanted}: the chip keeps control of the fan", str(path))

    def read(self) -> float:
        """The duty in percent; of a speed, the one that was asked for."""
        found = sysfs.read_number(self._folder() / self.output)
        if self._is_speed:
            percent = (found - self.minimum_rpm) * 100 / (self.maximum_rpm - self.minimum_rpm)
            return min(max(percent, 0.0), 100.0)
        return found * 100 / _FULL_PWM

    def _folder(self) -> Path:
        try:
            return hwmon.find(self.chip, self.root)
        except UbmcError as error:
            raise OSError(errno.ENODEV, error.message) from error

    def as_json(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "root": str(self.root),
            "chip": self.chip.name,
            "device": self.chip.device,
            "output": self.output,
            "minimum_rpm": self.minimum_rpm,
            "maximum_rpm": self.maximum_rpm,
            "enable": self.enable,
        }

    @classmethod
    def from_json(cls, place: Mapping[str, Any]) -> HwmonPlace:
        """From what `as_json` made."""
        return cls(
            hwmon.Chip(place["chip"], place.get("device")),
            place["output"],
            minimum_rpm=place.get("minimum_rpm", 0.0),
            maximum_rpm=place.get("maximum_rpm", 0.0),
            enable=place.get("enable"),
            root=Path(place.get("root", sysfs.SYSFS)),
        )


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A file that takes a number: `cur_state` of a thermal cooling device, `brightness` of a PWM LED."""

    path: Path
    full_value: int = _FULL_PWM
    kind = "sysfs"

    def write(self, percent: float) -> None:
        """Set the duty and read it back. Of a few steps the upper one is taken: never less air than asked for."""
        _kept(self.path, math.ceil(percent * self.full_value / 100 - 1e-9), self.full_value)

    def read(self) -> float:
        """The duty in percent."""
        return sysfs.read_number(self.path) * 100 / self.full_value

    def as_json(self) -> dict[str, Any]:
        """JSON types only."""
        return {"path": str(self.path), "full_value": self.full_value}

    @classmethod
    def from_json(cls, place: Mapping[str, Any]) -> FilePlace:
        """From what `as_json` made."""
        return cls(Path(place["path"]), place.get("full_value", _FULL_PWM))


PLACES: Mapping[str, type[HwmonPlace | FilePlace]] = MappingProxyType({"hwmon": HwmonPlace, "sysfs": FilePlace})
