"""Finds and reads board files; all their mistakes at once.

A board is called by its name ("sim", "asus/iec": a folder of `targets/`, which comes with the package) or by the path
of its file.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ubmc.boards.check import check
from ubmc.boards.explain import explain
from ubmc.boards.spec import BoardSpec
from ubmc.kit.errors import Invalid, NotFound, Unavailable, Violation

_FILE = "board.toml"
_MOST_BYTES = 1 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)?")
# What a file says for people, or how the hardware is watched and cooled; a change of it is no change of the hardware.
_NOT_HARDWARE: dict[str, Any] = {
    "board": {"description", "verified"},
    "sensors": {"__all__": {"upper", "lower", "hysteresis", "debounce", "interval", "stale_after", "settle"}},
    "fans": {"__all__": {"start", "minimum", "fail_safe", "minimum_speed", "slow_fraction", "follow", "location"}},
    "zones": True,
}

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Board:
    """A board that has been read and found whole."""

    spec: BoardSpec
    path: Path
    fingerprint: str


def targets_folder() -> Path:
    """The folder of the boards that come with the package."""
    return Path(str(files("ubmc"))) / "targets"


def board_names() -> tuple[str, ...]:
    """The names of the boards that come with the package, in alphabetical order."""
    root = targets_folder()
    found = [*root.glob(f"*/{_FILE}"), *root.glob(f"*/*/{_FILE}")]
    return tuple(sorted(path.parent.relative_to(root).as_posix() for path in found))


def find_board(name_or_file: str) -> Path:
    """The board file that is meant: a name that comes with the package, else a file, else a folder with a board file.

    Raises:
        NotFound: neither; says which names there are.
    """
    if _NAME.fullmatch(name_or_file):
        packaged = targets_folder() / name_or_file / _FILE
        if packaged.is_file():
            return packaged
    path = Path(name_or_file)
    for candidate in (path, path / _FILE):
        if candidate.is_file():
            return candidate.resolve()
    names = board_names()
    close = get_close_matches(name_or_file, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there is {', '.join(names)}; or give the path of a board file"
    raise NotFound(f'there is no board and no file "{name_or_file}"; {hint}')


def load_board(name_or_file: str) -> Board:
    """Find, read and check a board.

    Raises:
        NotFound: there is no such board.
        Invalid: the file has mistakes; its violations are all of them, each with the key path.
        Unavailable: the file cannot be read.
    """
    path = find_board(name_or_file)
    data = read_toml(path)
    violations = list(check(data))
    spec: BoardSpec | None = None
    try:
        spec = parse(BoardSpec, data, folder=path.parent)
    except Invalid as error:
        violations = [*error.violations, *violations]
    if spec is None or violations:
        raise mistakes(path, violations)
    return Board(spec, path, fingerprint(spec))


def parse(model: type[ModelT], data: Mapping[str, object], *, folder: Path | None = None) -> ModelT:
    """Data to a model of ours.

    Args:
        model: the model of the whole file.
        data: what `tomllib` read.
        folder: what relative paths in the file are relative to.

    Raises:
        Invalid: with a violation for each mistake.
    """
    try:
        return model.model_validate(dict(data), context={"folder": folder})
    except ValidationError as error:
        raise Invalid("the file has mistakes", violations=explain(model, error)) from None


def mistakes(path: Path, violations: list[Violation]) -> Invalid:
    """The error that carries all mistakes of a file."""
    count = len(violations)
    lines = [f"{path} has {count} mistake{'s' if count != 1 else ''}:"]
    lines += [f"  {v.field}: {v.message}" if v.field else f"  {v.message}" for v in violations]
    return Invalid("\n".join(lines), violations=violations)


def read_toml(path: Path) -> dict[str, object]:
    """Read a TOML file.

    Raises:
        Invalid: it is no TOML (says the line), no UTF-8, or larger than 1 MiB.
        Unavailable: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error
    if len(content) > _MOST_BYTES:
        raise mistakes(path, [Violation("", "size", "is larger than 1 MiB; this is no board or owner's file")])
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise mistakes(
            path, [Violation("", "utf-8", f"line {line} is no UTF-8 text; save the file as UTF-8")]
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise mistakes(path, [Violation("", "toml", str(error))]) from None
    except RecursionError:
        raise mistakes(path, [Violation("", "toml", "is nested too deeply")]) from None


def fingerprint(spec: BoardSpec) -> str:
    """A text that changes when the hardware that the file describes changes: 64 hexadecimal digits (SHA-256).

    Order and comments of the file, its prose, its limits and control loops, and keys written with their default value
    do not matter. So a newer version of this program, whose models know more keys, gives the same fingerprint.
    """
    content = spec.model_dump(mode="json", exclude_defaults=True, exclude=_NOT_HARDWARE)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a board file, for editors."""
    schema = BoardSpec.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "u-bmc board file"} | {
        key: value for key, value in schema.items() if key != "title"
    }
