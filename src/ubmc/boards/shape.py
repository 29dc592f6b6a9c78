"""The shape of the models: which keys stand where, and where in a file the marked values are.

Works on the file as read, not on the finished model, so that a file with mistakes of every sort has all of them found
at once: whatever has the wrong type is passed over here and reported by the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from ubmc.boards.kinds import Names, Refers, UsesLine, is_tag, tag

Path = tuple[str | int, ...]
Mark = Names | Refers | UsesLine


def format_path(path: Path) -> str:
    """The key path as people read it: `hosts[0].power.press`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not is_tag(part):
            text += f".{part}" if text else part
    return text


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _kind(model: type[BaseModel]) -> str | None:
    """The `kind` of a table that is one of several; None for any other."""
    field = model.model_fields.get("kind")
    if field is None or get_origin(field.annotation) is not Literal:
        return None
    kind = get_args(field.annotation)[0]
    return kind if isinstance(kind, str) else None


@cache
def keys(root: type[BaseModel]) -> Mapping[tuple[str, ...], Mapping[str, object]]:
    """For each table, by its path without array indices and with variant tags: its keys, each with an example or None.

    A union's own path holds the keys of all its variants.
    """
    found: dict[tuple[str, ...], dict[str, object]] = {}

    def add(model: type[BaseModel], path: tuple[str, ...]) -> None:
        kind = _kind(model)
        for name, field in model.model_fields.items():
            example = (field.examples or [None])[0]
            for place in {path, (*path, tag(kind)) if kind else path}:
                found.setdefault(place, {})[name] = example
            for inner in _models(field.annotation):
                add(inner, (*path, *((tag(kind),) if kind else ()), name))

    add(root, ())
    return found


def marked(root: type[BaseModel], data: object) -> Iterator[tuple[Path, Mark, str]]:
    """Every marked text of a file: where it stands, its mark, and the text."""
    yield from _walk(root, data, ())


def _walk(annotation: Any, value: object, path: Path) -> Iterator[tuple[Path, Mark, str]]:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *marks = get_args(annotation)
        if isinstance(value, str):
            yield from ((path, mark, value) for mark in marks if isinstance(mark, Names | Refers | UsesLine))
        yield from _walk(inner, value, path)
    elif origin in {Union, UnionType}:
        for variant in get_args(annotation):
            yield from _walk(variant, value, path)
    elif origin is tuple and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(get_args(annotation)[0], item, (*path, index))
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from _walk_table(annotation, value, path)


@cache
def _annotations(model: type[BaseModel]) -> Mapping[str, Any]:
    """The annotations of a table's keys, marks included."""
    hints = get_type_hints(model, include_extras=True)
    return {name: annotation for name, annotation in hints.items() if name in model.model_fields}


def _walk_table(model: type[BaseModel], value: object, path: Path) -> Iterator[tuple[Path, Mark, str]]:
    if isinstance(value, str) and "line" in model.model_fields:  # the short form of a line
        yield from _walk(_annotations(model)["line"], value, path)
    if not isinstance(value, Mapping):
        return
    kind = _kind(model)
    if kind is not None and value.get("kind") != kind:
        return
    for name, annotation in _annotations(model).items():
        if name in value:
            yield from _walk(annotation, value[name], (*path, name))
