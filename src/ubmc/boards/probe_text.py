"""What `ubmc board probe` found, as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ubmc.boards.probe import GpioChip, I2cAdapter, I2cDevice, Input, Named, Survey
from ubmc.hw.sensors import hwmon, iio

_UNITS = {
    "temp": "C",
    "in": "V",
    "voltage": "V",
    "curr": "A",
    "current": "A",
    "power": "W",
    "energy": "J",
    "humidity": "%",
    "humidityrelative": "%",
    "pressure": "Pa",
    "fan": "RPM",
}


def survey_text(found: Survey) -> str:
    """All of it, a section for each sort."""
    sections = (
        ("Board", [" ".join(part for part in (found.vendor, found.model) if part) or "not known"]),
        ("I2C buses", list(_buses(found.i2c))),
        ("hwmon chips", list(_chips(found))),
        ("IIO devices", list(_devices(found))),
        ("GPIO chips", list(_gpio(found.gpio))),
        ("Lights", _named(found.leds)),
        ("Watchdogs", _named(found.watchdogs)),
        ("Serial lines", _named(found.ttys)),
    )
    return "\n".join(
        line for title, lines in sections for line in (title, *(f"  {line}" for line in lines or ["none"]))
    )


def _buses(buses: Sequence[I2cAdapter], parent: int | None = None, depth: int = 0) -> Iterator[str]:
    """The tree below one bus; what says that it is behind a bus that is not there stands at the root."""
    numbers = {bus.number for bus in buses}
    for bus in buses:
        if (bus.parent if bus.parent in numbers else None) != parent or depth > len(buses):
            continue
        indent = "  " * depth
        channel = "" if bus.mux is None else f", mux {bus.mux:#04x} channel {bus.channel}"
        yield f"{indent}i2c-{bus.number}: {bus.name}{channel}"
        yield from (f"{indent}  {_device(device)}" for device in bus.devices)
        yield from _buses(buses, bus.number, depth + 1)


def _device(device: I2cDevice) -> str:
    return f"{device.address:#04x} {device.name}" + (f" (driver {device.driver})" if device.driver else " (no driver)")


def _chips(found: Survey) -> Iterator[str]:
    for chip in found.hwmon:
        yield f"{chip.name} ({', '.join(part for part in (chip.folder, chip.device) if part)})"
        yield from (f"  {_input(each, hwmon.kind_of(each.name))}" for each in chip.inputs)
        if chip.outputs:
            yield f"  outputs {', '.join(chip.outputs)}"


def _devices(found: Survey) -> Iterator[str]:
    for device in found.iio:
        yield f"{device.name} ({', '.join(part for part in (device.folder, device.label) if part)})"
        yield from (f"  {_input(each, iio.kind_of(each.name))}" for each in device.inputs)


def _input(found: Input, kind: str) -> str:
    label = f' "{found.label}"' if found.label else ""
    value = found.problem if found.value is None else f"{found.value:.6g} {_UNITS.get(kind, '')}".rstrip()
    return f"{found.name}{label}: {value}"


def _gpio(chips: Sequence[GpioChip]) -> Iterator[str]:
    for chip in chips:
        yield f"{chip.name}" + (f" ({chip.label})" if chip.label else "")
        yield from (f"  {offset:3} {name}" for offset, name in chip.lines.items())


def _named(found: Sequence[Named]) -> list[str]:
    return [f"{each.name}: {each.about}" if each.about else each.name for each in found]
