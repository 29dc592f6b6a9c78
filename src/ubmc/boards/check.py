"""The second pass over a board file: what no table can know alone, names and what refers to them.

Pure, and works on the file as read (see `shape.py`), so that its findings come together with those of the models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches

from ubmc.boards.check_assets import ASSET_RULES
from ubmc.boards.check_consoles import CONSOLE_RULES
from ubmc.boards.check_cooling import COOLING_RULES
from ubmc.boards.check_i2c import I2C_RULES
from ubmc.boards.check_sensors import SENSOR_RULES
from ubmc.boards.check_sim import SIM_RULES
from ubmc.boards.kinds import Names, Refers, UsesLine
from ubmc.boards.rows import Data, kind_of, tables, violation
from ubmc.boards.shape import Path, format_path, marked
from ubmc.boards.spec import BoardSpec
from ubmc.kit.errors import Violation

_MOST_NAMES = 8


def check(data: Data) -> list[Violation]:
    """Everything wrong between the parts of a board; empty when it fits together.

    Args:
        data: the board file as read by `tomllib`.
    """
    return [each for rule in _RULES for each in rule(data)]


def _names(data: Data) -> dict[str, list[str]]:
    """The names that the board gives, by sort. A board without a bmc section has the default one."""
    names: dict[str, list[str]] = {"bmc": [] if "bmc" in data else ["bmc.0"]}
    for _, mark, text in marked(BoardSpec, data):
        if isinstance(mark, Names):
            names.setdefault(mark.sort, []).append(text)
    if not names["bmc"]:
        names["bmc"] = ["bmc.0"]
    return names


def _check_names(data: Data) -> Iterator[Violation]:
    first: dict[tuple[str, str], Path] = {}
    for path, mark, text in marked(BoardSpec, data):
        if not isinstance(mark, Names):
            continue
        if not re.fullmatch(mark.pattern, text):
            yield violation(path, "name", f'"{text}" has the wrong form; write {mark.form}')
        owner = first.setdefault((mark.sort, text), path)
        if owner != path:
            yield violation(path, "unique", f'"{text}" is the name of {format_path(owner[:-1])} already')


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES]) or "none"
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"


def _check_references(data: Data) -> Iterator[Violation]:
    names = _names(data)
    for path, mark, text in marked(BoardSpec, data):
        if not isinstance(mark, Refers):
            continue
        known = [name for sort in mark.sorts for name in names.get(sort, [])]
        if text not in known:
            close = get_close_matches(text, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there is {_list(known)}"
            yield violation(path, "reference", f'no {" or ".join(mark.sorts)} is called "{text}"; {hint}')


def _check_lines(data: Data) -> Iterator[Violation]:
    first: dict[str, Path] = {}
    for path, mark, text in marked(BoardSpec, data):
        if not isinstance(mark, UsesLine):
            continue
        if text in first:
            yield violation(path, "line", f'line "{text}" is used by {format_path(first[text])} already')
        first.setdefault(text, path)
    if first and "lines" not in data:
        yield violation(("lines",), "lines", 'is missing; the board uses GPIO lines: write [lines] with kind = "gpio"')


def _check_membership(data: Data) -> Iterator[Violation]:
    """Every host is in exactly one chassis."""
    homes: dict[str, Path] = {}
    for index, chassis in tables(data, "chassis"):
        members = chassis.get("hosts")
        for place, host in enumerate(members if isinstance(members, list) else []):
            if not isinstance(host, str):
                continue
            path: Path = ("chassis", index, "hosts", place)
            if host in homes:
                yield violation(path, "member", f"{host} is in {format_path(homes[host][:2])} already")
            homes.setdefault(host, path)
    for index, table in tables(data, "hosts"):
        name = table.get("name")
        if isinstance(name, str) and name not in homes:
            yield violation(("hosts", index, "name"), "member", f"{name} is in no chassis; add it to a chassis' hosts")


def _check_lights(data: Data) -> Iterator[Violation]:
    """At most one power light for each host, and it is clear whose it is."""
    hosts = [name for _, host in tables(data, "hosts") if isinstance(name := host.get("name"), str)]
    first: dict[object, Path] = {}
    for index, led in tables(data, "leds"):
        if led.get("role") != "power":
            continue
        path: Path = ("leds", index)
        owner = led.get("component")
        if owner is None and len(hosts) > 1:
            yield violation(
                (*path, "component"), "light", f"is missing; there are several hosts: write one of {', '.join(hosts)}"
            )
            continue
        owner = hosts[0] if owner is None and hosts else owner
        if owner in first:
            yield violation((*path, "role"), "light", f"{owner} has a power light already: {format_path(first[owner])}")
        first.setdefault(owner, path)


def _check_identify(data: Data) -> Iterator[Violation]:
    """The identify button is read with the lines of a host, so there must be one with lines."""
    virtual = {host.get("name") for _, host in tables(data, "hosts") if kind_of(host, "power") == "qemu"}
    for index, chassis in tables(data, "chassis"):
        members = chassis.get("hosts")
        if "identify_button" in chassis and isinstance(members, list) and virtual.issuperset(map(str, members)):
            path: Path = ("chassis", index, "identify_button")
            yield violation(path, "identify", 'needs a host in this chassis whose power has kind = "buttons"')


_RULES: Sequence[Callable[[Data], Iterator[Violation]]] = (
    _check_names,
    _check_references,
    _check_lines,
    _check_membership,
    _check_lights,
    _check_identify,
    *CONSOLE_RULES,
    *I2C_RULES,
    *SENSOR_RULES,
    *COOLING_RULES,
    *ASSET_RULES,
    *SIM_RULES,
)
