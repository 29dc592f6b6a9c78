"""Which modules the drivers of a board are in, to import them before the processes are forked.

A module that a child imports costs it twice its size: its own pages, and copies of those of the warm parent that the
import writes reference counts into. The builders go on importing what they need, so nothing depends on this table.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import MappingProxyType

from ubmc.boards.spec import (
    BoardSpec,
    ButtonsSpec,
    GpioLinesSpec,
    LineChassisSpec,
    LineLedSpec,
    QemuSpec,
    SimLinesSpec,
    SysfsLedSpec,
)
from ubmc.boards.spec_assets import EepromFruSpec, SimFruSpec
from ubmc.boards.spec_console import QemuConsoleSpec, SimConsoleSpec, TtyConsoleSpec
from ubmc.boards.spec_sensors import (
    GpioSensorSpec,
    HwmonSensorSpec,
    IioSensorSpec,
    PmbusSensorSpec,
    SimSensorSpec,
    SmbusSensorSpec,
    SysfsSensorSpec,
)

_DRIVERS: Mapping[type, tuple[str, ...]] = MappingProxyType(
    {
        SimLinesSpec: ("sim.lines", "sim.control", "sim.process", "sim.assets"),
        GpioLinesSpec: ("gpio.linux",),
        ButtonsSpec: ("power.buttons",),
        QemuSpec: ("qemu.identity", "qemu.power", "qemu.inventory"),
        LineChassisSpec: ("power.level",),
        LineLedSpec: ("leds.line",),
        SysfsLedSpec: ("leds.linux",),
        TtyConsoleSpec: ("console.tty",),
        QemuConsoleSpec: ("qemu.serial",),
        SimConsoleSpec: ("sim.serial",),
        EepromFruSpec: ("fru.linux", "i2c.topology"),
        SimFruSpec: ("sim.frus",),
        HwmonSensorSpec: ("sensors.hwmon",),
        IioSensorSpec: ("sensors.iio",),
        GpioSensorSpec: ("sensors.gpio",),
        SysfsSensorSpec: ("sensors.files",),
        PmbusSensorSpec: ("sensors.i2c",),
        SmbusSensorSpec: ("sensors.i2c",),
        SimSensorSpec: ("sim.sensors",),
    }
)


def import_drivers(spec: BoardSpec) -> None:
    """Import the drivers of a board; what cannot be imported is left to who needs it, and says so."""
    for name in sorted({name for kind in _kinds(spec) for name in _DRIVERS.get(kind, ())}):
        with contextlib.suppress(ImportError):
            import_module(f"ubmc.hw.{name}")


def _kinds(spec: BoardSpec) -> Iterator[type]:
    yield type(spec.lines)
    for host in spec.hosts:
        yield from (type(host.power), type(host.console))
    for chassis in spec.chassis:
        yield type(chassis.power)
    for asset in spec.assets:
        yield type(asset.fru)
    yield from (type(each) for each in (*spec.leds, *spec.sensors))
