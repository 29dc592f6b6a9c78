"""What the kernel found on the board it runs on: `ubmc board probe`, the start of a board file.

Everything is read from sysfs, and names of GPIO lines from their chips; nothing is written, and no bus is scanned: a
scan can change what a device holds. What has no driver is therefore not seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ubmc.hw import sysfs
from ubmc.hw.i2c.topology import adapters
from ubmc.hw.sensors import hwmon, iio
from ubmc.kit.errors import UbmcError

_MOST_NAMES_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class I2cDevice:
    """A device that the kernel knows of."""

    address: int
    name: str
    driver: str
    """Empty: none is bound."""


@dataclass(frozen=True, slots=True)
class I2cAdapter:
    """A bus, or a channel of a mux on another one."""

    number: int
    name: str
    parent: int | None
    mux: int | None
    """The address of the mux on the parent."""
    channel: int | None
    devices: tuple[I2cDevice, ...]


@dataclass(frozen=True, slots=True)
class Input:
    """Something that can be read."""

    name: str
    label: str
    value: float | None
    """In the unit of the sensor port; None: it cannot be read."""
    problem: str
    """Why it cannot be read."""


@dataclass(frozen=True, slots=True)
class HwmonChip:
    """A chip of the hardware monitoring class."""

    folder: str
    name: str
    device: str
    """The last name on the path of its device."""
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IioDevice:
    """A device of the industrial I/O class."""

    folder: str
    name: str
    label: str
    inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class GpioChip:
    """A GPIO chip with the names of its lines by offset, as far as it has names."""

    name: str
    label: str
    lines: dict[int, str]


@dataclass(frozen=True, slots=True)
class Named:
    """A light, a watchdog or a tty: its name and what it is."""

    name: str
    about: str


@dataclass(frozen=True, slots=True)
class Survey:
    """All that was found."""

    vendor: str
    model: str
    i2c: tuple[I2cAdapter, ...]
    hwmon: tuple[HwmonChip, ...]
    iio: tuple[IioDevice, ...]
    gpio: tuple[GpioChip, ...]
    leds: tuple[Named, ...]
    watchdogs: tuple[Named, ...]
    ttys: tuple[Named, ...]


def survey(root: Path = Path("/")) -> Survey:
    """Look at the board.

    Args:
        root: the root directory of the board; another one than `/` for a copy of its `sys`.
    """
    sys = root / "sys"
    vendor, model = _identity(sys)
    return Survey(
        vendor=vendor,
        model=model,
        i2c=tuple(_adapters(sys)),
        hwmon=tuple(_chip(folder) for folder in sysfs.members(sys / "class/hwmon", "hwmon")),
        iio=tuple(_iio(folder) for folder in sysfs.members(sys / iio.DEVICES, "iio:device")),
        gpio=tuple(_gpio(folder, root) for folder in sysfs.members(sys / "bus/gpio/devices", "gpiochip")),
        leds=tuple(_led(folder) for folder in _entries(sys / "class/leds")),
        watchdogs=tuple(_watchdog(folder) for folder in _entries(sys / "class/watchdog")),
        ttys=tuple(_ttys(sys)),
    )


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir(), key=lambda path: _natural(path.name))
    except OSError:
        return []


def _natural(name: str) -> list[tuple[int, str]]:
    """An order in which 2 comes before 10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def _text(path: Path) -> str:
    return sysfs.text_or_none(path) or ""


def _link(path: Path) -> str:
    """The last name of what a link leads to; empty if there is none."""
    return path.resolve().name if path.exists() else ""


def _identity(sys: Path) -> tuple[str, str]:
    """Vendor and model: of the device tree, or of the DMI tables."""
    tree = sys / "firmware/devicetree/base"
    compatible = _text(tree / "compatible").split("\0")[0]
    dmi = sys / "class/dmi/id"
    return compatible.partition(",")[0] or _text(dmi / "board_vendor"), _text(tree / "model") or _text(
        dmi / "board_name"
    )


def _adapters(sys: Path) -> Iterator[I2cAdapter]:
    folder = sys / "bus/i2c/devices"
    devices: dict[int, list[I2cDevice]] = {}
    for entry in _entries(folder):
        if place := re.fullmatch(r"(\d+)-([0-9a-f]{4})", entry.name):
            device = I2cDevice(int(place[2], 16), _text(entry / "name"), _link(entry / "driver"))
            devices.setdefault(int(place[1]), []).append(device)
    channels = _channels(folder)
    for number, name in adapters(sys):
        mux = re.fullmatch(r"(\d+)-([0-9a-f]{4})", _link(folder / f"i2c-{number}" / "mux_device"))
        told = re.search(r"\(chan_id (\d+)\)", name)
        yield I2cAdapter(
            number,
            name,
            parent=int(mux[1]) if mux else None,
            mux=int(mux[2], 16) if mux else None,
            channel=channels.get(number, int(told[1]) if told else None) if mux else None,
            devices=tuple(devices.get(number, ())),
        )


def _channels(folder: Path) -> dict[int, int]:
    """The channels of muxes by the number of the adapter that each is."""
    found: dict[int, int] = {}
    for link in folder.glob("*/channel-*"):
        number = re.fullmatch(r"i2c-(\d+)", _link(link))
        channel = link.name.removeprefix("channel-")
        if number is not None and channel.isdecimal():
            found[int(number[1])] = int(channel)
    return found


def _input(folder: Path, name: str, label: str, value_of: Callable[[Path, str], float]) -> Input:
    try:
        return Input(name, label, value_of(folder, name), "")
    except UbmcError as error:
        return Input(name, label, None, error.message)
    except OSError as error:
        return Input(name, label, None, sysfs.why(error))


def _listed(folder: Path, names: Callable[[Path], list[str]]) -> list[str]:
    try:
        return names(folder)
    except OSError:
        return []  # it went while we looked


def _chip(folder: Path) -> HwmonChip:
    inputs = [
        _input(folder, name, _text(folder / f"{name}_label"), hwmon.value_of)
        for name in _listed(folder, hwmon.inputs)
        if not name.startswith("pwm")
    ]
    outputs = [path.name for path in _entries(folder) if re.fullmatch(r"pwm\d+|fan\d+_target", path.name)]
    device = Path(sysfs.device_path(folder)).name if (folder / "device").exists() else ""
    return HwmonChip(folder.name, _text(folder / "name"), device, tuple(inputs), tuple(outputs))


def _iio(folder: Path) -> IioDevice:
    inputs = [
        _input(folder, name, _text(folder / f"in_{name}_label"), iio.value_of) for name in _listed(folder, iio.inputs)
    ]
    return IioDevice(folder.name, _text(folder / "name"), _text(folder / "label"), tuple(inputs))


def _gpio(folder: Path, root: Path) -> GpioChip:
    asked = _ask_chip(root / "dev" / folder.name)
    if asked is not None:
        return asked
    return GpioChip(folder.name, _link(folder / "of_node"), _names_in_tree(folder / "of_node/gpio-line-names"))


def _names_in_tree(path: Path) -> dict[int, str]:
    """The property of a device tree: a text for each line by offset, each with a zero byte behind it."""
    try:
        with path.open("rb") as file:
            names = file.read(_MOST_NAMES_BYTES).decode("utf-8", "backslashreplace").split("\0")
    except OSError:
        return {}
    return {offset: name for offset, name in enumerate(names) if name}


def _ask_chip(device: Path) -> GpioChip | None:
    """Name, label and names of the lines, from the chip itself; asking takes no line. None if it cannot be asked."""
    if not device.is_char_device():
        return None
    try:
        import gpiod

        with gpiod.Chip(str(device)) as chip:
            info = chip.get_info()
            names = [(offset, chip.get_line_info(offset).name) for offset in range(info.num_lines)]
    except (ImportError, OSError):
        return None
    return GpioChip(info.name, info.label, {offset: name for offset, name in names if name})


def _led(folder: Path) -> Named:
    trigger = re.search(r"\[(.+?)\]", _text(folder / "trigger"))
    return Named(folder.name, f"trigger {trigger[1]}" if trigger else "")


def _watchdog(folder: Path) -> Named:
    timeout = _text(folder / "timeout")
    about = [_text(folder / "identity"), f"timeout {timeout} s" if timeout else ""]
    return Named(folder.name, ", ".join(part for part in about if part))


def _ttys(sys: Path) -> Iterator[Named]:
    """Those with hardware behind them; the kernel makes serial ports in advance, of type 0."""
    for folder in _entries(sys / "class/tty"):
        if (folder / "device").exists() and _text(folder / "type") != "0":
            yield Named(folder.name, _link(folder / "device/driver"))
