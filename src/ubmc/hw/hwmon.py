"""Chips of the kernel's hardware monitoring class, found by name (Documentation/hwmon/sysfs-interface.rst).

The number in `hwmonN` depends on the order in which drivers were loaded, and is another one after a driver was bound
again. So a number is never kept: chips are found by what their `name` says and where their device is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ubmc.hw import sysfs
from ubmc.kit.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Chip:
    """How a chip is called."""

    name: str
    device: str | None = None
    """Part of the path of its device, whole names, such as `3-0048`; None: there is only one of that name."""

    def __str__(self) -> str:
        """For people."""
        return f"{self.name} ({self.device})" if self.device else self.name


def find(chip: Chip, root: Path = sysfs.SYSFS) -> Path:
    """The folder of a chip now.

    Raises:
        Unavailable: there is none, or there are several.
    """
    found = [
        folder
        for folder in sysfs.members(root / "class/hwmon", "hwmon")
        if sysfs.text_or_none(folder / "name") == chip.name
        and (chip.device is None or sysfs.on_path(sysfs.device_path(folder), chip.device))
    ]
    if not found:
        raise Unavailable(f"there is no hwmon chip {chip}; is its driver loaded? `ubmc board probe` lists all chips")
    if len(found) > 1:
        devices = ", ".join(Path(sysfs.device_path(folder)).name for folder in found)
        raise Unavailable(f"there are {len(found)} hwmon chips {chip}; say which with device, one of {devices}")
    return found[0]
