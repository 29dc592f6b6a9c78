"""The port for cooling devices: what takes a duty in percent (PWM fans, pumps, fans with a speed controller).

Somebody must be able to make a fan safe when the process of its driver is dead or hangs. So each gives a recipe: plain
data without open handles (hwmon numbers change, handles go stale), from which a duty can be set at once, blocking and
without an event loop. The guardian keeps the recipes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to set the duty of one fan without the driver that owns it."""

    name: str
    kind: str
    """`hwmon`, `sysfs` or `sim`: by which `ubmc.hw.fans.recipes.apply` knows what `place` says."""
    place: Mapping[str, Any]
    """JSON types only; device paths and names, never hwmon numbers or descriptors."""
    failsafe_percent: float


class Fan(Protocol):
    """One cooling device."""

    @property
    def name(self) -> str:
        """The name of the device, as in the board file: `fan.0`."""

    async def set(self, percent: float) -> None:
        """Set the duty, 0 to 100 percent, and check that it was taken (read back, with manual mode where one exists).

        Raises:
            Unavailable: the hardware does not obey.
        """

    async def get(self) -> float:
        """The duty in percent that the hardware has now. Raises `Unavailable`."""

    def recipe(self) -> Recipe:
        """How to set it without us."""

    async def close(self) -> None:
        """Give the device back; its duty stays as it is."""
