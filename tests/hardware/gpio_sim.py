"""GPIO chips of the kernel's own simulator: made in configfs, looked at and pulled from the other side in sysfs.

Documentation/admin-guide/gpio/gpio-sim.rst describes both trees. Levels are those of the wire: True is high.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

CONFIG = Path("/sys/kernel/config/gpio-sim")
DEVICES = Path("/sys/devices/platform")


class GpioSim:
    """One chip; what is connected to its lines are pulls, which act on a line while nobody drives it."""

    def __init__(self, label: str, lines: Sequence[str], *, pulled_up: Sequence[str] = ()) -> None:
        """Make the chip and let it appear.

        Args:
            label: the chip's label.
            lines: names by offset; "" for a line without a name.
            pulled_up: names of the lines that are high while nobody drives them.
        """
        self._lines = tuple(lines)
        self._pulled_up = frozenset(pulled_up)
        self._config = CONFIG / label
        self._config.mkdir()
        bank = self._config / "bank0"
        bank.mkdir()
        (bank / "label").write_text(label)
        (bank / "num_lines").write_text(str(len(lines)))
        for offset, name in enumerate(lines):
            if name:
                (bank / f"line{offset}").mkdir()
                (bank / f"line{offset}/name").write_text(name)
        self.label = label
        self.appear()

    @property
    def name(self) -> str:
        """The kernel's name, such as gpiochip0; it may be another one after each `appear`."""
        return (self._config / "bank0/chip_name").read_text().strip()

    @property
    def there(self) -> bool:
        """Whether the chip exists now."""
        return (self._config / "live").read_text().strip() == "1"

    def appear(self) -> None:
        """The chip is plugged in."""
        (self._config / "live").write_text("1")
        device = (self._config / "dev_name").read_text().strip()
        self._wires = DEVICES / device / self.name
        for name in self._pulled_up:
            self.pull(name, high=True)

    def vanish(self) -> None:
        """The chip is unplugged, whoever uses it."""
        (self._config / "live").write_text("0")

    def is_high(self, line: str | int) -> bool:
        """The level on the wire."""
        return (self._wire(line) / "value").read_text().strip() == "1"

    def pull(self, line: str | int, *, high: bool) -> None:
        """Pull the wire up or down."""
        (self._wire(line) / "pull").write_text("pull-up" if high else "pull-down")

    def _wire(self, line: str | int) -> Path:
        offset = line if isinstance(line, int) else self._lines.index(line)
        return self._wires / f"sim_gpio{offset}"

    def remove(self) -> None:
        """Undo it all."""
        if self.there:
            self.vanish()
        for path in (*self._config.glob("bank0/line*"), self._config / "bank0", self._config):
            path.rmdir()


@contextlib.contextmanager
def gpio_sim(label: str, lines: Sequence[str], *, pulled_up: Sequence[str] = ()) -> Iterator[GpioSim]:
    """A chip that is removed in the end."""
    chip = GpioSim(label, lines, pulled_up=pulled_up)
    try:
        yield chip
    finally:
        chip.remove()
