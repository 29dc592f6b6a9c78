"""Channels of industrial I/O devices: ADCs, humidity and pressure sensors (Documentation/ABI/testing/sysfs-bus-iio)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from ubmc.hw import sysfs
from ubmc.hw.sensors.channels import IioChannel
from ubmc.hw.sensors.tree import TreeSource
from ubmc.hw.sensors.wire import Wire
from ubmc.kit.errors import NotFound, Unavailable

DEVICES = "bus/iio/devices"
# One of IIO's units in ours: millivolts, milliamperes, milliwatts, joules, millidegrees, millipercent, kilopascals.
FACTORS = MappingProxyType(
    {
        "voltage": 1e-3,
        "current": 1e-3,
        "power": 1e-3,
        "energy": 1.0,
        "temp": 1e-3,
        "humidityrelative": 1e-3,
        "pressure": 1e3,
    }
)


class IioBus(Wire):
    """Sensors of one IIO device, or of several that share a bus."""

    def __init__(self, name: str, channels: Sequence[IioChannel], *, root: Path = sysfs.SYSFS) -> None:
        """Nothing is opened yet.

        Args:
            name: of the wire.
            channels: of its sensors.
            root: where sysfs is.
        """
        super().__init__(name, channels, TreeSource(lambda channel: channel.device, partial(_find, root=root), _locate))


def _find(device: str, root: Path) -> Path:
    folders = list(sysfs.members(root / DEVICES, "iio:device"))
    names = {folder: {sysfs.text_or_none(folder / "name"), sysfs.text_or_none(folder / "label")} for folder in folders}
    found = [folder for folder in folders if device in names[folder]]
    found = found or [folder for folder in folders if sysfs.on_path(str(folder.resolve()), device)]
    if not found:
        raise Unavailable(f'there is no IIO device "{device}"; is its driver loaded? `ubmc board probe` lists all')
    if len(found) > 1:
        where = ", ".join(folder.resolve().parent.name for folder in found)
        raise Unavailable(f'there are {len(found)} IIO devices "{device}"; name it by its label, or by one of {where}')
    return found[0]


@dataclass(frozen=True, slots=True)
class _Spot:
    value: Path
    scale: Path | None
    offset: Path | None
    factor: float

    def read(self) -> float:
        """(raw + offset) * scale; both are read each time, because a driver changes them with the gain."""
        value = sysfs.read_number(self.value)
        if self.offset is not None:
            value += sysfs.read_number(self.offset)
        if self.scale is not None:
            value *= sysfs.read_number(self.scale)
        return value * self.factor


def _locate(channel: IioChannel, folder: Path) -> _Spot:
    base = f"in_{channel.input}"
    kind = kind_of(channel.input)
    factor = FACTORS.get(kind, 1.0)
    if (processed := folder / f"{base}_input").exists():
        return _Spot(processed, None, None, factor)
    if not (raw := folder / f"{base}_raw").exists():
        known = ", ".join(inputs(folder)) or "none"
        raise NotFound(f'IIO device {channel.device} has no channel "{channel.input}"; its channels: {known}')
    return _Spot(raw, _shared(folder, base, kind, "scale"), _shared(folder, base, kind, "offset"), factor)


def _shared(folder: Path, base: str, kind: str, attribute: str) -> Path | None:
    """The attribute of this channel, or the one that all channels of its kind share."""
    for path in (folder / f"{base}_{attribute}", folder / f"in_{kind}_{attribute}"):
        if path.exists():
            return path
    return None


def kind_of(name: str) -> str:
    """The kind of a channel: `voltage` of `voltage0`."""
    return re.split(r"[\d_]", name, maxsplit=1)[0]


def inputs(folder: Path) -> list[str]:
    """The names of the channels in a device's folder, such as voltage0, by kind and number."""
    found = {
        known[1]
        for path in folder.iterdir()
        if (known := re.fullmatch(r"in_([a-z][a-z0-9_-]*)_(?:raw|input)", path.name)) and kind_of(known[1]) in FACTORS
    }
    return sorted(
        found, key=lambda name: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
    )


def value_of(folder: Path, name: str) -> float:
    """The value of a channel in a device's folder, in our unit. Raises `OSError` and `UbmcError`."""
    return _locate(IioChannel(sensor=name, device=folder.name, input=name), folder).read()
