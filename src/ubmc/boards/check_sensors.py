"""Rules about sensors: each measures something known, is read once, and has limits that make sense."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise

from ubmc.boards.quantities import quantities
from ubmc.boards.rows import Data, Row, is_row, number, tables, text, texts, violation
from ubmc.boards.shape import Path, format_path
from ubmc.boards.spec_sensors import Quantity
from ubmc.kit.errors import Violation

_ALLOWED = {"gpio": Quantity.STATE, "smbus": Quantity.TEMPERATURE}
_PLACES = {
    "hwmon": ("chip", "device", "input", "label"),
    "iio": ("device", "input"),
    "pmbus": ("bus", "address", "page", "command"),
    "smbus": ("bus", "address", "channel"),
    "sysfs": ("path",),
}


def measured(data: Data) -> dict[str, Quantity]:
    """What the sensors of the board measure, by name, as far as that can be known."""
    return dict(quantities(row for _, row in tables(data, "sensors")))


def _check_quantities(data: Data) -> Iterator[Violation]:
    known = measured(data)
    for index, sensor in tables(data, "sensors"):
        kind, quantity = text(sensor, "kind"), known.get(text(sensor, "name") or "")
        path: Path = ("sensors", index, "measures")
        silent = kind in {"sysfs", "sim"} or (kind == "hwmon" and "input" not in sensor)
        if quantity is None and silent and "measures" not in sensor:
            choice = ", ".join(f'"{each.value}"' for each in Quantity)
            yield violation(path, "measures", f"is missing; write one of {choice}")
        only = _ALLOWED.get(kind or "")
        if only is not None and quantity not in {None, only}:
            yield violation(path, "measures", f'kind = "{kind}" measures "{only.value}"; leave measures out')
        if quantity is not None:
            yield from _check_states(("sensors", index), sensor, quantity)


def _check_states(path: Path, sensor: Row, quantity: Quantity) -> Iterator[Violation]:
    states = sensor.get("states", [])
    if not isinstance(states, list):
        return
    if quantity is not Quantity.STATE:
        if states:
            yield violation((*path, "states"), "states", f"is for states, and this measures {quantity.value}")
        return
    names = [each.get("name") if is_row(each) else each for each in states]
    two = sensor.get("kind") == "gpio"
    if len(names) < 2 or (two and len(names) > 2):
        want = "two names, of inactive and active" if two else "at least two names, from 0 on"
        yield violation((*path, "states"), "states", f'needs {want}; write for example: states = ["absent", "present"]')
    elif any(one == other for one, other in combinations(names, 2)):
        yield violation((*path, "states"), "states", "has a name twice")
    for side in ("upper", "lower"):
        if sensor.get(side):
            yield violation((*path, side), "limits", "a state has no limits; give its states a level instead")


def _check_limits(data: Data) -> Iterator[Violation]:
    for index, sensor in tables(data, "sensors"):
        path: Path = ("sensors", index)
        upper = [(key, number(sensor.get("upper"), key)) for key in ("warning", "critical", "fatal")]
        lower = [(key, number(sensor.get("lower"), key)) for key in ("warning", "critical", "fatal")]
        yield from _check_order((*path, "upper"), upper, "rise")
        yield from _check_order((*path, "lower"), lower, "fall")
        highs, lows = [v for _, v in upper if v is not None], [v for _, v in lower if v is not None]
        if highs and lows and min(highs) <= max(lows):
            yield violation((*path, "lower"), "limits", "must be below the limits of upper, or no value is normal")
        yield from _check_range(path, sensor, [*highs, *lows])


def _check_order(path: Path, limits: Sequence[tuple[str, float | None]], way: str) -> Iterator[Violation]:
    given = [(key, value) for key, value in limits if value is not None]
    for (one, low), (other, high) in pairwise(given):
        if low >= high if way == "rise" else low <= high:
            message = f"{other} ({high:g}) must be {'above' if way == 'rise' else 'below'} {one} ({low:g})"
            yield violation((*path, other), "limits", message)


def _check_range(path: Path, sensor: Row, limits: Sequence[float]) -> Iterator[Violation]:
    lowest, highest = number(sensor.get("range"), "minimum"), number(sensor.get("range"), "maximum")
    if lowest is None or highest is None:
        return
    if outside := [f"{limit:g}" for limit in limits if not lowest <= limit <= highest]:
        message = f"the limit {', '.join(outside)} is outside of it and can never be passed"
        yield violation((*path, "range"), "range", message)


def _check_places(data: Data) -> Iterator[Violation]:
    first: dict[tuple[str, ...], Path] = {}
    for index, sensor in tables(data, "sensors"):
        kind, path = str(sensor.get("kind")), ("sensors", index)
        if kind not in _PLACES:
            continue
        place = (kind, *(str(sensor.get(key, "")) for key in _PLACES[kind]))
        owner = first.setdefault(place, path)
        if owner != path and sensor.get("name"):
            yield violation((*path, "kind"), "place", f"reads the same place as {format_path(owner)}")


def _check_virtual(data: Data) -> Iterator[Violation]:
    rows = {name: row for _, row in tables(data, "sensors") if (name := text(row, "name")) is not None}
    sources = {name: [each for _, each in texts(row, "of")] for name, row in rows.items()}
    known = measured(data)
    for index, sensor in tables(data, "sensors"):
        name = text(sensor, "name")
        if name is None or sensor.get("kind") != "virtual":
            continue
        if name in _reached(sources, name):
            yield violation(("sensors", index, "of"), "loop", f"{name} is made of itself")
            continue
        for place, source in texts(sensor, "of"):
            path: Path = ("sensors", index, "of", place)
            if known.get(source) is Quantity.STATE:
                yield violation(path, "virtual", f"{source} shows states, with which nothing can be reckoned")
            elif source in known and name in known and known[source] is not known[name]:
                message = f"{source} measures {known[source].value}, and this {known[name].value}"
                yield violation(path, "virtual", message)


def _reached(sources: dict[str, list[str]], start: str) -> set[str]:
    """All that a sensor is made of, directly or not."""
    found: set[str] = set()
    waiting = list(sources.get(start, []))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += sources.get(name, [])
    return found


SENSOR_RULES: Sequence[Callable[[Data], Iterator[Violation]]] = (
    _check_quantities,
    _check_limits,
    _check_places,
    _check_virtual,
)
