"""Rules about the simulated machine: what a board file expects of it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches

from ubmc.boards.check_sensors import measured
from ubmc.boards.rows import Data, is_row, kind_of, tables, text, violation
from ubmc.boards.shape import Path
from ubmc.hw.sim.catalogue import MACHINES
from ubmc.hw.sim.shape import Machine
from ubmc.kit.errors import Violation


def simulated(data: Data) -> Machine | None:
    """The simulated machine of the board; None for a board without, or with one that there is not."""
    lines = data.get("lines")
    if not is_row(lines) or lines.get("kind") != "sim":
        return None
    make = MACHINES.get(text(lines, "machine") or "standard")
    return None if make is None else make()


def _check_world(data: Data) -> Iterator[Violation]:
    """Only a board whose lines are simulated has a simulated machine."""
    if kind_of(data, "lines") == "sim":
        return
    message = '"sim" is for a board whose lines have kind = "sim"'
    for key in ("sensors", "fans"):
        for index, row in tables(data, key):
            if row.get("kind") == "sim":
                yield violation((key, index, "kind"), "sim", message)
    for index, asset in tables(data, "assets"):
        if kind_of(asset, "fru") == "sim":
            yield violation(("assets", index, "fru", "kind"), "sim", message)


def _check_machine(data: Data) -> Iterator[Violation]:
    machine = simulated(data)
    if machine is None:
        return
    quantities = {sensor.name: sensor.shows.quantity.value for sensor in machine.sensors}
    known = measured(data)
    for index, sensor in tables(data, "sensors"):
        if sensor.get("kind") != "sim":
            continue
        path: Path = ("sensors", index)
        key = "input" if "input" in sensor else "name"
        place, name = text(sensor, key), text(sensor, "name") or ""
        yield from _check_there((*path, key), place, quantities, "sensor")
        if place in quantities and name in known and known[name].value != quantities[place]:
            yield violation(
                (*path, "measures"), "sim", f"{place} of the simulated machine measures {quantities[place]}"
            )
    for index, fan in tables(data, "fans"):
        if fan.get("kind") == "sim":
            key = "output" if "output" in fan else "name"
            yield from _check_there(("fans", index, key), text(fan, key), [each.name for each in machine.fans], "fan")
    storages = [asset.name for asset in machine.assets if asset.fru_bytes]
    for index, asset in tables(data, "assets"):
        if kind_of(asset, "fru") == "sim":
            yield from _check_there(("assets", index, "fru"), text(asset, "name"), storages, "FRU storage")


def _check_there(path: Path, name: str | None, there: Iterable[str], what: str) -> Iterator[Violation]:
    if name is None or name in there:
        return
    close = get_close_matches(name, there, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    yield violation(path, "sim", f'the simulated machine has no {what} "{name}"{hint}')


SIM_RULES: Sequence[Callable[[Data], Iterator[Violation]]] = (_check_world, _check_machine)
