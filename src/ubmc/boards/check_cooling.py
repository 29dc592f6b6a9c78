"""Rules about cooling: every fan is driven, and a zone knows when the temperatures that it looks at are too high."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from ubmc.boards.check_sensors import measured
from ubmc.boards.kinds import parse_duration
from ubmc.boards.rows import Data, Row, number, tables, text, texts, violation
from ubmc.boards.shape import Path, format_path
from ubmc.boards.spec_sensors import Quantity
from ubmc.kit.errors import Violation

MOST_INTERVAL_SECONDS = 1.0
_OUTPUTS = {"hwmon": ("chip", "device", "output"), "sysfs": ("path",)}


def _check_fans(data: Data) -> Iterator[Violation]:
    known = measured(data)
    driven = {fan for _, zone in tables(data, "zones") for _, fan in texts(zone, "fans")}
    rotors: dict[str, Path] = {}
    outputs: dict[tuple[str, ...], Path] = {}
    for index, fan in tables(data, "fans"):
        path: Path = ("fans", index)
        name = text(fan, "name")
        if name is not None and name not in driven:
            yield violation(
                (*path, "name"), "zone", f"{name} is in no zone, so nothing drives it; add it to a zone's fans"
            )
        for place, rotor in texts(fan, "tachometers"):
            spot = (*path, "tachometers", place)
            if known.get(rotor, Quantity.FAN_SPEED) is not Quantity.FAN_SPEED:
                yield violation(spot, "tachometer", f"{rotor} measures {known[rotor].value}, no speed")
            owner = rotors.setdefault(rotor, spot)
            if owner != spot:
                yield violation(spot, "tachometer", f"{rotor} is the tachometer of {format_path(owner[:2])} already")
        yield from check_presence(path, fan, known)
        kind = str(fan.get("kind"))
        if kind in _OUTPUTS:
            output = (kind, *(str(fan.get(key, "")) for key in _OUTPUTS[kind]))
            if outputs.setdefault(output, path) != path:
                yield violation((*path, _OUTPUTS[kind][-1]), "output", f"drives {format_path(outputs[output])} already")


def check_presence(path: Path, row: Row, known: Mapping[str, Quantity]) -> Iterator[Violation]:
    """What says whether a part is there shows states."""
    sensor = text(row, "presence")
    if sensor is not None and known.get(sensor, Quantity.STATE) is not Quantity.STATE:
        yield violation((*path, "presence"), "presence", f"{sensor} measures {known[sensor].value}, no state")


def _check_zones(data: Data) -> Iterator[Violation]:
    known = measured(data)
    rows = {name: row for _, row in tables(data, "sensors") if (name := text(row, "name")) is not None}
    for index, zone in tables(data, "zones"):
        path: Path = ("zones", index)
        yield from _check_twice(path, zone)
        names: dict[str, int] = {}
        for place, controller in tables(zone, "controllers"):
            spot = (*path, "controllers", place)
            name = text(controller, "name")
            if name is not None and names.setdefault(name, place) != place:
                message = f'"{name}" is the name of controllers[{names[name]}] of this zone already'
                yield violation((*spot, "name"), "unique", message)
            for number_, sensor in texts(controller, "sensors"):
                if sensor in rows:
                    yield from _check_sensor((*spot, "sensors", number_), rows[sensor], known.get(sensor))
            yield from _check_set_point(spot, controller, rows)
        for place, sensor in texts(zone, "watched"):
            if sensor in rows:
                yield from _check_sensor((*path, "watched", place), rows[sensor], known.get(sensor))
        yield from _check_missing(path, zone)


def _check_twice(path: Path, zone: Row) -> Iterator[Violation]:
    for key in ("fans", "hosts"):
        seen: set[str] = set()
        for place, name in texts(zone, key):
            if name in seen:
                yield violation((*path, key, place), "unique", f"{name} stands there already")
            seen.add(name)


def _check_sensor(path: Path, sensor: Row, quantity: Quantity | None) -> Iterator[Violation]:
    name = sensor["name"]
    if quantity is not None and quantity is not Quantity.TEMPERATURE:
        yield violation(path, "temperature", f"{name} measures {quantity.value}, no temperature")
    elif number(sensor.get("upper"), "critical") is None:
        message = f"{name} has no upper critical limit, so nobody would know when it is too hot; give it one"
        yield violation(path, "critical", message)
    if _seconds(sensor.get("interval")) > MOST_INTERVAL_SECONDS:
        yield violation(path, "interval", f"{name} cools a zone and is read too rarely; at most every second")


def _seconds(interval: object) -> float:
    try:
        return parse_duration(interval)
    except ValueError:
        return 0.0


def _check_set_point(path: Path, controller: Row, rows: Mapping[str, Row]) -> Iterator[Violation]:
    """What is to be held must be cooler than where people are warned."""
    aim = number(controller, "set_point")
    for _, name in texts(controller, "sensors"):
        upper = rows[name].get("upper") if name in rows else None
        limit = number(upper, "warning")
        limit = number(upper, "critical") if limit is None else limit
        if aim is not None and limit is not None and aim >= limit:
            message = f"{aim:g} is not below the limit of {name}, {limit:g}: it would always be told as too hot"
            yield violation((*path, "set_point"), "set_point", message)
            return


def _check_missing(path: Path, zone: Row) -> Iterator[Violation]:
    used = {name for _, controller in tables(zone, "controllers") for _, name in texts(controller, "sensors")}
    used |= {name for _, name in texts(zone, "watched")}
    excused = {name: place for place, name in texts(zone, "missing_is_acceptable")}
    for name, place in excused.items():
        if name not in used:
            spot = (*path, "missing_is_acceptable", place)
            yield violation(spot, "missing", f"nobody in this zone looks at {name}; leave it out")
    if used and used <= excused.keys():
        message = "names every sensor of the zone; at least one must be needed"
        yield violation((*path, "missing_is_acceptable"), "missing", message)


COOLING_RULES: Sequence[Callable[[Data], Iterator[Violation]]] = (_check_fans, _check_zones)
