"""Where each sensor of a real board is read: plain data, made from the board file, without anything open.

The values are in the units of `ubmc.hw.sensors.port`. Scale and offset of a board (a divider before an ADC) are no part
of this: sensormon applies them. The classes that read them are those of the same name in `hwmon.py`, `iio.py`,
`i2c.py`, `files.py` and `gpio.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ubmc.hw.i2c.topology import I2cPlace
from ubmc.protocols.pmbus import Command, Direct, Vid


@dataclass(frozen=True, slots=True)
class HwmonChannel:
    """An input of a hwmon chip. One of `input` and `label` is given."""

    sensor: str
    chip: str
    """What the chip's file `name` says."""
    input: str | None = None
    """`temp1`, `in0`, `fan2`, `pwm1`, `intrusion0`; or an alarm, such as `in0_alarm`, which is 0 or 1."""
    label: str | None = None
    """What a file such as `temp1_label` says."""
    device: str | None = None
    """Part of the path of its device, whole names, such as `3-0048` or `i2c-3/3-0048`, to tell equal chips apart."""


@dataclass(frozen=True, slots=True)
class IioChannel:
    """A channel of an IIO device."""

    sensor: str
    device: str
    """What the device's file `name` or `label` says, or part of its path, whole names."""
    input: str
    """The channel without `in_`: `voltage0`, `temp`, `humidityrelative`."""


class PmbusFormat(Enum):
    """How a PMBus device writes a number."""

    AUTO = "auto"  # READ_VOUT as VOUT_MODE says, anything else LINEAR11
    LINEAR11 = "linear11"
    LINEAR16 = "linear16"  # with the exponent of VOUT_MODE
    DIRECT = "direct"
    VID = "vid"


@dataclass(frozen=True, slots=True)
class PmbusChannel:
    """A reading of a PMBus device that no kernel driver has."""

    sensor: str
    bus: I2cPlace
    address: int
    command: Command
    page: int | None = None
    """None: PAGE is never written."""
    format: PmbusFormat = PmbusFormat.AUTO
    direct: Direct | None = None
    """For `DIRECT`, and for a device whose VOUT_MODE says so."""
    vid: Vid | None = None
    """For `VID`, and for a device whose VOUT_MODE says so."""
    pec: bool = False
    """Packets carry an error code."""


class SmbusType(Enum):
    """Temperature sensors that are read by their registers."""

    LM75 = "lm75"
    JC42 = "jc42"
    TMP421 = "tmp421"


@dataclass(frozen=True, slots=True)
class SmbusChannel:
    """A temperature sensor that no kernel driver has."""

    sensor: str
    bus: I2cPlace
    address: int
    type: SmbusType
    channel: int = 0
    """Of a TMP421: 0 is its own temperature, 1 to 3 are the remote ones."""
    bits: int = 9
    """The resolution of an LM75 or relative: 9 to 16."""
    pec: bool = False


@dataclass(frozen=True, slots=True)
class FileChannel:
    """A number in a file of its own; 0 and 1 for off and on."""

    sensor: str
    path: Path


@dataclass(frozen=True, slots=True)
class GpioChannel:
    """A state that a GPIO line shows: 1 while it is active, else 0."""

    sensor: str
    line: str
    active_low: bool = False
