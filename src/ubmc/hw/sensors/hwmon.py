"""Sensors of hwmon chips (Documentation/hwmon/sysfs-interface.rst), found by the names of chips and inputs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import MappingProxyType

from ubmc.hw import hwmon, sysfs
from ubmc.hw.hwmon import Chip
from ubmc.hw.sensors.channels import HwmonChannel
from ubmc.hw.sensors.tree import TreeSource
from ubmc.hw.sensors.wire import Wire
from ubmc.kit.errors import Invalid, NotFound, Unavailable

# One of the file's units in ours: millidegrees, millivolts, milliamperes, microwatts, microjoules, millipercent.
FACTORS = MappingProxyType(
    {
        "temp": 1e-3,
        "in": 1e-3,
        "curr": 1e-3,
        "power": 1e-6,
        "energy": 1e-6,
        "humidity": 1e-3,
        "fan": 1.0,
        "pwm": 100 / 255,
        "intrusion": 1.0,
    }
)
_INPUT = re.compile(rf"({'|'.join(FACTORS)})\d{{1,3}}(_[a-z_]*(?:alarm|fault))?")
# Where the value of a type is; power meters may have an average only.
_FILES = MappingProxyType({"pwm": ("",), "intrusion": ("_alarm",), "power": ("_input", "_average")})


class HwmonBus(Wire):
    """Sensors of one hwmon chip, or of several that share a bus."""

    def __init__(self, name: str, channels: Sequence[HwmonChannel], *, root: Path = sysfs.SYSFS) -> None:
        """Nothing is opened yet.

        Args:
            name: of the wire.
            channels: of its sensors.
            root: where sysfs is.

        Raises:
            Invalid: a channel has neither input nor label, or an input that hwmon does not know.
        """
        for channel in channels:
            _check(channel)
        find = partial(hwmon.find, root=root)
        super().__init__(name, channels, TreeSource(_chip, find, _locate))


def _chip(channel: HwmonChannel) -> Chip:
    return Chip(channel.chip, channel.device)


def _check(channel: HwmonChannel) -> None:
    if (channel.input is None) == (channel.label is None):
        raise Invalid(f"{channel.sensor}: give an input or a label, one of them")
    if channel.input is not None and not _INPUT.fullmatch(channel.input):
        raise Invalid(f'{channel.sensor}: "{channel.input}" is no input of hwmon; write one such as temp1 or in0')


@dataclass(frozen=True, slots=True)
class _Spot:
    what: str
    value: Path
    fault: Path | None
    factor: float

    def read(self) -> float:
        if self.fault is not None and sysfs.read_number(self.fault) != 0:
            raise Unavailable(
                f"{self.what}: the chip says that the sensor is broken or not connected ({self.fault.name})"
            )
        return sysfs.read_number(self.value) * self.factor


def _locate(channel: HwmonChannel, folder: Path) -> _Spot:
    name = channel.input or _labelled(channel.label or "", channel, folder)
    kind = kind_of(name)
    discrete = "_" in name
    for suffix in ("",) if discrete else _FILES.get(kind, ("_input",)):
        value = folder / f"{name}{suffix}"
        if value.exists():
            fault = folder / f"{name}_fault"
            known = not discrete and kind in {"temp", "fan"} and fault.exists()
            return _Spot(f"{channel.chip} {name}", value, fault if known else None, 1.0 if discrete else FACTORS[kind])
    close = get_close_matches(name, inputs(folder), n=3)
    hint = f"there is {', '.join(close)}" if close else "`ubmc board probe` lists its inputs"
    raise NotFound(f"hwmon chip {channel.chip} has no {name}; {hint}")


def _labelled(label: str, channel: HwmonChannel, folder: Path) -> str:
    labels = {path.name.removesuffix("_label"): sysfs.text_or_none(path) for path in folder.glob("*_label")}
    found = sorted(name for name, text in labels.items() if text == label and _INPUT.fullmatch(name))
    if not found:
        known = ", ".join(sorted(f'"{text}"' for text in labels.values() if text)) or "none"
        raise NotFound(f'hwmon chip {channel.chip} has no label "{label}"; its labels: {known}')
    if len(found) > 1:
        raise NotFound(f'hwmon chip {channel.chip} has the label "{label}" at {", ".join(found)}; write the input')
    return found[0]


def kind_of(name: str) -> str:
    """The type of an input: `temp` of `temp1`."""
    return re.split(r"\d", name, maxsplit=1)[0]


def inputs(folder: Path) -> list[str]:
    """The names of what can be read in a chip's folder, such as temp1, by type and number."""
    found: set[str] = set()
    for path in folder.iterdir():
        known = re.fullmatch(rf"((?:{'|'.join(FACTORS)})\d{{1,3}})(_input|_average|_alarm)?", path.name)
        if known is not None and (known[2] or "") in _FILES.get(kind_of(known[1]), ("_input",)):
            found.add(known[1])
    order = list(FACTORS)
    return sorted(found, key=lambda name: (order.index(kind_of(name)), int(re.sub(r"\D", "", name))))


def value_of(folder: Path, name: str) -> float:
    """The value of an input in a chip's folder, in our unit.

    Raises:
        OSError: it cannot be read.
        UbmcError: the chip says that it is broken, or has none of that name.
    """
    return _locate(HwmonChannel(sensor=name, chip=folder.name, input=name), folder).read()
