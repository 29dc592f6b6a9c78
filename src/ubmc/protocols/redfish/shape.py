"""What a body may hold: the properties of a PATCH or a new member, or the parameters of an action.

A value is checked against what is written here and against `@Redfish.AllowableValues` of the resource as it is now, so
that what is offered and what is accepted cannot differ.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from ubmc.protocols.redfish.messages import Message, RedfishError

_KINDS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "strings": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "time": lambda value: isinstance(value, str),
    "link": lambda value: isinstance(value, dict),
    "links": lambda value: isinstance(value, list) and all(isinstance(each, dict) for each in value),
}
_LONGEST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Prop:
    """One value that may be sent."""

    kind: str = "string"
    """string, boolean, integer, number, strings, array, object, time, link or links."""
    values: tuple[str, ...] = ()
    """All that are allowed; empty: any, unless the resource says which."""
    nullable: bool = False
    required: bool = False
    """Of a new member or an action."""
    minimum: float | None = None
    maximum: float | None = None
    longest: int = 1024
    """Characters of a string, members of an array."""
    pattern: str = ""


Shape = Mapping[str, "Prop | Shape"]
Values = dict[str, Any]
"""What was sent, by path: `Boot/BootSourceOverrideTarget`."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a body says."""

    values: Values
    problems: tuple[Message, ...]


def parse(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises `RedfishError`."""
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise RedfishError(400, Message("MalformedJSON")) from None
    if not isinstance(content, dict):
        raise RedfishError(400, Message("UnrecognizedRequestBody"))
    return content


def check_patch(shape: Shape, body: Mapping[str, Any], current: Mapping[str, Any]) -> Checked:
    """Compare what is to be changed with what can be.

    Args:
        shape: what can be changed.
        body: what was sent.
        current: the resource as it is; properties that it has and the shape has not can only be read.
    """
    values: Values = {}
    problems: list[Message] = []
    _walk(shape, body, current, "", values, problems)
    return Checked(values, tuple(problems))


def check_new(shape: Shape, body: Mapping[str, Any]) -> Checked:
    """Compare what a new member shall be with what it can be."""
    checked = check_patch(shape, body, {})
    absent = [
        Message("CreateFailedMissingReqProperties", (path,), (f"/{path}",))
        for path in _required(shape, "")
        if path not in checked.values and not any(path in problem.args for problem in checked.problems)
    ]
    return Checked(checked.values, (*checked.problems, *absent))


def check_action(name: str, shape: Shape, body: Mapping[str, Any], offered: Mapping[str, Any]) -> Checked:
    """Compare the parameters of an action with what it takes.

    Args:
        name: `ComputerSystem.Reset`
        shape: its parameters.
        body: what was sent.
        offered: what the resource says about the action: `ResetType@Redfish.AllowableValues` and the like.
    """
    values: Values = {}
    problems: list[Message] = []
    for parameter, value in body.items():
        spec = shape.get(parameter)
        if _is_annotation(parameter):
            continue
        if spec is None:
            problems.append(Message("ActionParameterUnknown", (name, parameter), (f"/{parameter}",)))
            continue
        if not isinstance(spec, Prop):
            spec = Prop("object")
        problem = _problem(spec, value, parameter, offered)
        if problem is None:
            values[parameter] = value
        else:
            problems.append(_of_action(problem, name, parameter))
    for parameter, spec in shape.items():
        if isinstance(spec, Prop) and spec.required and parameter not in body:
            problems.append(Message("ActionParameterMissing", (name, parameter), (f"/{parameter}",)))
    return Checked(values, tuple(problems))


_AS_ACTION = {
    "PropertyValueTypeError": "ActionParameterValueTypeError",
    "PropertyValueFormatError": "ActionParameterValueFormatError",
    "PropertyValueNotInList": "ActionParameterValueNotInList",
    "PropertyValueOutOfRange": "ActionParameterValueOutOfRange",
}


def _of_action(problem: Message, name: str, parameter: str) -> Message:
    key = _AS_ACTION.get(problem.key)
    if key is None:
        return Message("ActionParameterValueError", (parameter, name), (f"/{parameter}",))
    return Message(key, (problem.args[0], parameter, name), (f"/{parameter}",))


def _walk(
    shape: Shape,
    body: Mapping[str, Any],
    current: Mapping[str, Any],
    prefix: str,
    values: Values,
    problems: list[Message],
) -> None:
    for name, value in body.items():
        path = f"{prefix}{name}"
        if _is_annotation(name):
            continue
        spec = shape.get(name)
        if spec is None:
            key = "PropertyNotWritable" if name in current else "PropertyUnknown"
            problems.append(Message(key, (path,), (f"/{path}",)))
        elif not isinstance(spec, Prop):
            inner = current.get(name)
            if not isinstance(value, dict):
                problems.append(Message("PropertyValueTypeError", (_shown(value), path), (f"/{path}",)))
            else:
                _walk(spec, value, inner if isinstance(inner, dict) else {}, f"{path}/", values, problems)
        else:
            problem = _problem(spec, value, path, current)
            if problem is None:
                values[path] = value
            else:
                problems.append(problem)


def _problem(spec: Prop, value: Any, path: str, near: Mapping[str, Any]) -> Message | None:
    """What is wrong with one value; None if nothing is."""
    pointer = (f"/{path}",)
    if value is None and spec.nullable:
        return None
    if value is None or not _KINDS[spec.kind](value):
        return Message("PropertyValueTypeError", (_shown(value), path), pointer)
    allowed = near.get(f"{path.rpartition('/')[2]}@Redfish.AllowableValues") or spec.values
    if allowed and any(each not in allowed for each in (value if isinstance(value, list) else [value])):
        return Message("PropertyValueNotInList", (_shown(value), path), pointer)
    if spec.kind in ("integer", "number") and not _within(spec, value):
        return Message("PropertyValueOutOfRange", (_shown(value), path), pointer)
    return _too_long(spec, value, path) or _misformed(spec, value, path)


def _too_long(spec: Prop, value: Any, path: str) -> Message | None:
    if isinstance(value, str) and len(value) > spec.longest:
        return Message("StringValueTooLong", (_shown(value), str(spec.longest)), (f"/{path}",))
    if isinstance(value, list) and len(value) > spec.longest:
        return Message("ArraySizeTooLong", (path, str(spec.longest)), (f"/{path}",))
    return None


def _misformed(spec: Prop, value: Any, path: str) -> Message | None:
    fits = True
    if spec.pattern and isinstance(value, str):
        fits = re.fullmatch(spec.pattern, value) is not None
    if spec.kind == "time":
        fits = fits and _is_time(value)
    if spec.kind == "link":
        fits = isinstance(value.get("@odata.id"), str)
    return None if fits else Message("PropertyValueFormatError", (_shown(value), path), (f"/{path}",))


def _within(spec: Prop, value: float) -> bool:
    return (spec.minimum is None or value >= spec.minimum) and (spec.maximum is None or value <= spec.maximum)


def _is_time(text: str) -> bool:
    try:
        return dt.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_annotation(name: str) -> bool:
    """`@odata.type` and the like: nobody can change them, and clients send back what they have read."""
    return "@odata." in name or "@Redfish." in name or "@Message." in name


def _required(shape: Shape, prefix: str) -> list[str]:
    found = []
    for name, spec in shape.items():
        if isinstance(spec, Prop):
            if spec.required:
                found.append(f"{prefix}{name}")
        else:
            found += _required(spec, f"{prefix}{name}/")
    return found


def leaves(shape: Shape, prefix: str = "") -> list[str]:
    """All paths that a shape has."""
    found = []
    for name, spec in shape.items():
        path = f"{prefix}{name}"
        found += [path] if isinstance(spec, Prop) else leaves(spec, f"{path}/")
    return found


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text[:_LONGEST_SHOWN]
