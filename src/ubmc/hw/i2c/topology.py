"""From how a board file names an I2C bus to the number that the kernel gave its adapter.

Numbers of adapters behind muxes depend on the order in which drivers came. So a bus is resolved at each open, from its
root adapter through the muxes that are on the way (Documentation/i2c/muxes and `drivers/i2c/i2c-mux.c`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ubmc.kit.errors import Unavailable

SYSFS = Path("/sys")
_DEVICES = "bus/i2c/devices"


@dataclass(frozen=True, slots=True)
class Mux:
    """One channel of a mux."""

    address: int
    channel: int


@dataclass(frozen=True, slots=True)
class I2cPlace:
    """A bus: an adapter of the BMC and the muxes behind it, from the root outwards."""

    adapter: str
    """The kernel's number (`3` or `i2c-3`), or the adapter's name, which outlives a renumbering."""
    muxes: tuple[Mux, ...] = ()

    def __str__(self) -> str:
        """For people."""
        root = f"i2c-{self.adapter}" if self.adapter.isdecimal() else self.adapter
        return "".join([root, *(f", mux {mux.address:#04x} channel {mux.channel}" for mux in self.muxes)])


def adapters(sysfs: Path = SYSFS) -> Iterator[tuple[int, str]]:
    """The numbers and names of all adapters, by number."""
    found: list[tuple[int, str]] = []
    for folder in (sysfs / _DEVICES).glob("i2c-*"):
        number = folder.name.removeprefix("i2c-")
        if not number.isdecimal():
            continue  # an ACPI device may be called i2c-PNP0C50:00
        try:
            name = (folder / "name").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue  # it went while we looked
        found.append((int(number), name))
    yield from sorted(found)


def resolve(place: I2cPlace, sysfs: Path = SYSFS) -> int:
    """The number of the adapter: `/dev/i2c-N`.

    Raises:
        Unavailable: there is no such adapter or mux now, or several adapters have that name.
    """
    number = _root(place.adapter, sysfs)
    for mux in place.muxes:
        number = _behind(number, mux, sysfs)
    return number


def _root(adapter: str, sysfs: Path) -> int:
    if known := re.fullmatch(r"(?:i2c-)?(\d{1,4})", adapter):
        number = int(known[1])
        if not (sysfs / _DEVICES / f"i2c-{number}").exists():
            raise Unavailable(f"there is no I2C adapter {number}; `ubmc board probe` lists those that there are")
        return number
    numbers = [number for number, name in adapters(sysfs) if name == adapter]
    if not numbers:
        raise Unavailable(f'there is no I2C adapter called "{adapter}"; `ubmc board probe` lists those that there are')
    if len(numbers) > 1:
        listed = ", ".join(map(str, numbers))
        raise Unavailable(f'several I2C adapters are called "{adapter}": {listed}; name the bus by its number')
    return numbers[0]


def _behind(parent: int, mux: Mux, sysfs: Path) -> int:
    device = f"{parent}-{mux.address:04x}"
    folder = sysfs / _DEVICES / device
    link = folder / f"channel-{mux.channel}"
    name = link.resolve().name if link.exists() else ""
    if known := re.fullmatch(r"i2c-(\d+)", name):
        return int(known[1])
    for number, title in adapters(sysfs):  # kernels before 4.x have no channel links
        of = sysfs / _DEVICES / f"i2c-{number}" / "mux_device"
        if of.exists() and of.resolve().name == device and _channel(title) == mux.channel:
            return number
    what = f"no driver has the mux at {mux.address:#04x}" if folder.exists() else f"no mux at {mux.address:#04x}"
    if any(folder.glob("channel-*")):
        what = f"the mux at {mux.address:#04x} has no channel {mux.channel}"
    raise Unavailable(f"i2c-{parent}: {what}; describe it to the kernel (device tree) so that i2c-mux-pca954x takes it")


def _channel(title: str) -> int | None:
    """The channel that the name of an adapter behind a mux tells: `i2c-1-mux (chan_id 2)`."""
    found = re.search(r"\(chan_id (\d+)\)", title)
    return None if found is None else int(found[1])
