"""The rules for serial consoles that no table can know alone."""

from __future__ import annotations

from collections.abc import Iterator

from ubmc.boards.rows import Data, kind_of, tables, violation
from ubmc.boards.shape import Path, format_path
from ubmc.kit.errors import Violation


def _check_worlds(data: Data) -> Iterator[Violation]:
    """A console belongs to the world of its host: virtual machine, simulation or wires."""
    for index, host in tables(data, "hosts"):
        power, console = kind_of(host, "power"), kind_of(host, "console")
        path: Path = ("hosts", index, "console", "kind")
        if console == "qemu" and power != "qemu":
            yield violation(path, "console", '"qemu" is the console of a host whose power has kind = "qemu"')
        if console == "sim" and kind_of(data, "lines") != "sim":
            yield violation(path, "console", '"sim" is the console of a board whose lines have kind = "sim"')
        if power == "qemu" and console not in {None, "qemu"}:
            yield violation(path, "console", 'a virtual machine has the console kind = "qemu", or none')


def _check_lines(data: Data) -> Iterator[Violation]:
    """A serial line has one host."""
    first: dict[object, Path] = {}
    for index, host in tables(data, "hosts"):
        console = host.get("console")
        if not isinstance(console, dict) or console.get("kind") not in {"tty", "sim"}:
            continue
        path: Path = ("hosts", index, "console")
        line = console.get("path") if console.get("kind") == "tty" else "the serial line of the simulated machine"
        if line in first:
            yield violation(path, "console", f"{line} is used by {format_path(first[line])} already")
        first.setdefault(line, path)


def _check_sights(data: Data) -> Iterator[Violation]:
    """How far a boot has come is said where boot progress is looked for, and nowhere else."""
    for index, host in tables(data, "hosts"):
        console = host.get("console")
        sights = console.get("sights") if isinstance(console, dict) else None
        for place, sight in enumerate(sights if isinstance(sights, list) else ()):
            if not isinstance(sight, dict):
                continue
            path: Path = ("hosts", index, "console", "sights", place, "progress")
            if sight.get("sight") == "boot-progress" and "progress" not in sight:
                yield violation(path, "console", 'is missing; write how far the boot has come: progress = "os-running"')
            if sight.get("sight") in {"login-prompt", "panic"} and "progress" in sight:
                yield violation(path, "console", 'belongs to sight = "boot-progress"')


CONSOLE_RULES = (_check_worlds, _check_lines, _check_sights)
