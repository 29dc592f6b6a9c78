"""Turns what pydantic found wrong into what a person can do: key path, what is wrong, what to write instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import PurePath

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ubmc.boards.kinds import is_tag
from ubmc.boards.shape import Path, format_path, keys
from ubmc.kit.errors import Violation

_WANTED = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number without quotes",
    "float_type": "must be a number without quotes",
    "bool_type": "must be true or false, without quotes",
    "tuple_type": "must be a list in [ ]",
    "model_type": "must be a table",
    "path_type": "must be a path in quotes",
}


def write(value: object) -> str:
    """A value as it is written in TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case str() | PurePath():
            text = str(value).replace("\\", "\\\\").replace('"', '\\"')
            return f'"{text}"'
        case Mapping():
            return "{ " + ", ".join(f"{key} = {write(item)}" for key, item in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(write(item) for item in value) + "]"
    return str(value)


def explain(root: type[BaseModel], error: ValidationError) -> list[Violation]:
    """One violation for each mistake, in the order of the file's keys."""
    details = error.errors(include_url=False)
    # pydantic also calls a list too short whose items were all wrong.
    details = [d for d in details if d["type"] != "too_short" or not _has_inner(d, details)]
    return [_explain_one(root, detail) for detail in details]


def _has_inner(outer: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    size = len(outer["loc"])
    return any(len(d["loc"]) > size and d["loc"][:size] == outer["loc"] for d in details)


def _explain_one(root: type[BaseModel], detail: ErrorDetails) -> Violation:
    path: Path = detail["loc"]
    rule = detail["type"]
    if rule in {"union_tag_invalid", "union_tag_not_found"}:
        return _explain_kind(root, detail)
    parent = tuple(part for part in path[:-1] if isinstance(part, str))
    known = keys(root).get(parent, {})
    name = str(path[-1]) if path else ""
    match rule:
        case "missing":
            message = f"is missing{_example(name, known)}"
        case "extra_forbidden":
            message = f"is no key here{_nearest(name, known)}"
        case "value_error":
            message = str(detail["ctx"]["error"])
        case "enum" | "literal_error":
            message = f"must be one of {detail['ctx']['expected']}"
        case "string_pattern_mismatch":
            message = f"{write(detail['input'])} has the wrong form{_example(name, known)}"
        case _ if rule in _WANTED:
            message = f"{_WANTED[rule]}{_example(name, known)}"
        case _:
            text = detail["msg"].removeprefix("Input ").replace("after validation, ", "")
            message = text[:1].lower() + text[1:]
    return Violation(format_path(path), rule, message)


def _explain_kind(root: type[BaseModel], detail: ErrorDetails) -> Violation:
    path: Path = detail["loc"]
    place = tuple(part for part in path if isinstance(part, str))
    kinds = [key[-1].partition("=")[2] for key in keys(root) if key[:-1] == place and is_tag(key[-1])]
    allowed = ", ".join(write(kind) for kind in kinds)
    given = detail["input"]
    if not isinstance(given, Mapping):
        return Violation(format_path(path), "kind", f"must be a table such as {{ kind = {write(kinds[0])}, ... }}")
    kind = given.get("kind")
    where = format_path((*path, "kind"))
    if kind is None:
        return Violation(where, "kind", f"is missing; write one of {allowed}")
    return Violation(where, "kind", f"{write(kind)} is not known; write one of {allowed}")


def _example(name: str, known: Mapping[str, object]) -> str:
    example = known.get(name)
    return "" if example is None else f"; write for example: {name} = {write(example)}"


def _nearest(name: str, known: Mapping[str, object]) -> str:
    if close := get_close_matches(name, known, n=1):
        return f"; did you mean {close[0]}?"
    return f"; known here: {', '.join(known)}" if known else ""
