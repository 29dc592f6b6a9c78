"""Rules about I2C: every bus is reached in one way, and a device answers alone at its address.

A device on a channel of a mux hears its channel only, but while the channel is open everything on the buses in front of
the mux hears it too: an address in use there cannot be used behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ubmc.boards.rows import Data, is_row, tables, text, violation
from ubmc.boards.shape import Path, format_path
from ubmc.kit.errors import Violation


@dataclass(frozen=True, slots=True)
class _Device:
    path: Path
    bus: str
    address: int
    what: str
    shared: bool  # several tables of the file may describe parts of this one device


def _check_buses(data: Data) -> Iterator[Violation]:
    first: dict[tuple[str, ...], Path] = {}
    for index, bus in tables(data, "i2c"):
        keys = ("adapter",) if "adapter" in bus else ("parent", "mux", "channel")
        if not all(isinstance(bus.get(key), int | str) for key in keys):
            continue
        path: Path = ("i2c", index)
        owner = first.setdefault(tuple(f"{key} {bus[key]}" for key in keys), path)
        if owner != path:
            place = (*path, keys[-1])
            yield violation(place, "unique", f"{format_path(owner)} is this bus already; a bus has one name")


def _parents(data: Data) -> dict[str, str]:
    return {
        name: parent
        for _, bus in tables(data, "i2c")
        if (name := text(bus, "name")) is not None and (parent := text(bus, "parent")) is not None
    }


def _before(bus: str, parents: Mapping[str, str]) -> list[str]:
    """The buses in front of this one, the nearest first; stops where they turn round."""
    found: list[str] = []
    while (parent := parents.get(bus)) is not None and parent not in found:
        found.append(parent)
        bus = parent
    return found


def _check_loops(data: Data) -> Iterator[Violation]:
    parents = _parents(data)
    for index, bus in tables(data, "i2c"):
        name = text(bus, "name")
        if name is not None and name in _before(name, parents):
            way = " behind ".join([name, *_before(name, parents)])
            yield violation(("i2c", index, "parent"), "loop", f"the bus is behind itself: {way}")


def _devices(data: Data) -> Iterator[_Device]:
    """All that answers on a bus; a mux once for each of its channels."""
    for index, bus in tables(data, "i2c"):
        yield from _device(("i2c", index, "mux"), bus, ("parent", "mux"), "a mux", shared=True)
    for index, sensor in tables(data, "sensors"):
        path: Path = ("sensors", index, "address")
        match sensor.get("kind"):
            case "pmbus":
                yield from _device(path, sensor, ("bus", "address"), "a PMBus device", shared=True)
            case "smbus":
                what = f"a sensor of the type {sensor.get('type')}"
                yield from _device(path, sensor, ("bus", "address"), what, shared=True)
    for index, asset in tables(data, "assets"):
        fru = asset.get("fru")
        if is_row(fru) and fru.get("kind") == "eeprom":
            yield from _device(("assets", index, "fru", "address"), fru, ("bus", "address"), "an EEPROM", shared=False)


def _device(path: Path, row: Data, keys: tuple[str, str], what: str, *, shared: bool) -> Iterator[_Device]:
    bus, address = row.get(keys[0]), row.get(keys[1])
    if isinstance(bus, str) and isinstance(address, int) and not isinstance(address, bool):
        yield _Device(path, bus, address, what, shared)


def _check_addresses(data: Data) -> Iterator[Violation]:
    first: dict[tuple[str, int], _Device] = {}
    devices = list(_devices(data))
    for device in devices:
        other = first.setdefault((device.bus, device.address), device)
        if other is not device and not (device.shared and device.what == other.what):
            yield _taken(device, other, f"on {device.bus}")
    parents = _parents(data)
    told: set[tuple[str, int]] = set()
    for device in devices:
        for bus in _before(device.bus, parents):
            in_front = first.get((bus, device.address))
            if bus != device.bus and in_front is not None and (device.bus, device.address) not in told:
                told.add((device.bus, device.address))
                yield _taken(device, in_front, f"on {bus}, which the mux joins with {device.bus}")


def _taken(device: _Device, other: _Device, where: str) -> Violation:
    message = f"{device.address:#x} is taken {where}: {other.what} at {format_path(other.path[:2])}"
    return violation(device.path, "address", message)


I2C_RULES: Sequence[Callable[[Data], Iterator[Violation]]] = (_check_buses, _check_loops, _check_addresses)
