"""What a body may hold: the properties of a PATCH or a new member, or the parameters of an action.

A value is checked against what is written here and against `@Redfish.AllowableValues` of the resource as it is now, so
that what is offered and what is accepted cannot differ.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ubmc.protocols.redfish.messages import Message, RedfishError, pointer

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
    """All that are allowed; empty: any. What the resource offers comes before this, even if it offers none."""
    nullable: bool = False
    required: bool = False
    """Of a new member or an action."""
    minimum: float | None = None
    maximum: float | None = None
    longest: int = 1024
    """Characters of a string, members of an array."""
    pattern: str = ""
    items: Shape | None = None
    """What the objects of an array can have; without it they can have anything."""


Shape = Mapping[str, "Prop | Shape"]


class Removable(dict[str, "Prop | Shape"]):
    """An object that null takes away (DSP0266, "PATCH"): what of it can be null is null then."""

    def nullable(self) -> list[str]:
        """The properties that null means."""
        return [name for name, spec in self.items() if isinstance(spec, Prop) and spec.nullable]


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
            problems.append(Message("ActionParameterUnknown", (name, parameter), (pointer(parameter),)))
            continue
        if not isinstance(spec, Prop):
            spec = Prop("object")
        problem = _problem(spec, value, parameter, offered)
        if problem is None:
            values[parameter] = value
        else:
            problems.append(of_action(problem, name, parameter))
    for parameter, spec in shape.items():
        if isinstance(spec, Prop) and spec.required and parameter not in body:
            problems.append(Message("ActionParameterMissing", (name, parameter), (f"/{parameter}",)))
    return Checked(values, tuple(problems))


def check_apply_time(body: Mapping[str, Any], able: Sequence[str]) -> None:
    """Refuse a change that is wanted at another time than it would be made (DSP0266, "Settings resource").

    Args:
        body: what was sent; `@Redfish.SettingsApplyTime` says when, if it is there.
        able: when changes of this resource can be made.

    Raises:
        RedfishError: 400, not then.
    """
    if _APPLY_TIME not in body:
        return
    place = pointer(_APPLY_TIME, "ApplyTime")
    sent = body[_APPLY_TIME]
    wanted = sent.get("ApplyTime") if isinstance(sent, Mapping) else None
    if not isinstance(wanted, str):
        raise RedfishError(400, Message("PropertyValueTypeError", (_shown(sent), place[1:]), (place,)))
    if wanted not in able:
        text = f"what is changed here is taken over {' or '.join(able)}: ask for that, or say no time"
        raise RedfishError(400, Message("PropertyValueNotInList", (_shown(wanted), place[1:]), (place,), text))


_APPLY_TIME = "@Redfish.SettingsApplyTime"
_AS_ACTION = {
    "PropertyValueError": "ActionParameterValueError",
    "PropertyValueTypeError": "ActionParameterValueTypeError",
    "PropertyValueFormatError": "ActionParameterValueFormatError",
    "PropertyValueNotInList": "ActionParameterValueNotInList",
    "PropertyValueOutOfRange": "ActionParameterValueOutOfRange",
}


def of_action(problem: Message, name: str, parameter: str) -> Message:
    """What is wrong with a property, said of the parameter of an action.

    Args:
        problem: of a property; messages of other kinds are `ActionParameterValueError`.
        name: of the action.
        parameter: of it.
    """
    key = _AS_ACTION.get(problem.key, "ActionParameterValueError")
    shown = () if key == "ActionParameterValueError" else problem.args[:1]
    return Message(key, (*shown, parameter, name), (pointer(parameter),), problem.text)


def is_of_value(problem: Message) -> bool:
    """Whether it is about the value of a property, which for an action is a parameter."""
    return problem.key in _AS_ACTION


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
            problems.append(_not_taken(name, path, prefix, current))
        elif not isinstance(spec, Prop):
            inner = current.get(name)
            if value is None and isinstance(spec, Removable):
                values.update({f"{path}/{leaf}": None for leaf in spec.nullable()})
            elif not isinstance(value, dict):
                problems.append(Message("PropertyValueTypeError", (_shown(value), path), (f"/{path}",)))
            else:
                _walk(spec, value, inner if isinstance(inner, dict) else {}, f"{path}/", values, problems)
        else:
            problem = _problem(spec, value, path, current)
            if problem is not None:
                problems.append(problem)
            elif spec.items is None:
                values[path] = value
            else:
                _walk_items(spec.items, value, current.get(name), path, values, problems)


def _not_taken(name: str, path: str, prefix: str, current: Mapping[str, Any]) -> Message:
    """A property that nobody can send. Its name may be anything, so it is no part of the path that `prefix` is."""
    key = "PropertyNotWritable" if name in current else "PropertyUnknown"
    return Message(key, (path[:_LONGEST_SHOWN],), (pointer(*prefix.split("/")[:-1], name),))


def _walk_items(
    shape: Shape, sent: list[Any], current: Any, path: str, values: Values, problems: list[Message]
) -> None:
    """The objects of an array; null takes one away, so it is kept.

    Half an object is none: with one wrong value nothing of the array is taken. What there is not is only told.
    """
    now = current if isinstance(current, list) else []
    taken: list[Any] = []
    wrong: list[Message] = []
    told_any = False
    for index, each in enumerate(sent):
        if not isinstance(each, dict):
            taken.append(each)
            if each is not None:
                wrong.append(Message("PropertyValueTypeError", (_shown(each), path), (f"/{path}/{index}",)))
            continue
        own: Values = {}
        told: list[Message] = []
        before = now[index] if index < len(now) and isinstance(now[index], dict) else {}
        prefix = f"{path}/{index}/"
        _walk(shape, each, before, prefix, own, told)
        taken.append({key.removeprefix(prefix): value for key, value in own.items()})
        wrong += [problem for problem in told if problem.key not in _HARMLESS]
        problems += [problem for problem in told if problem.key in _HARMLESS]
        told_any = told_any or bool(told)
    problems += wrong
    if not wrong and (not told_any or any(each != {} for each in taken)):
        values[path] = taken


_HARMLESS = ("PropertyUnknown", "PropertyNotWritable")


def _problem(spec: Prop, value: Any, path: str, near: Mapping[str, Any]) -> Message | None:
    """What is wrong with one value; None if nothing is."""
    pointer = (f"/{path}",)
    if value is None and spec.nullable:
        return None
    if value is None or not _KINDS[spec.kind](value):
        return Message("PropertyValueTypeError", (_shown(value), path), pointer)
    offered = near.get(f"{path.rpartition('/')[2]}@Redfish.AllowableValues")
    allowed = spec.values if offered is None else offered
    if (allowed or offered is not None) and any(
        each not in allowed for each in (value if isinstance(value, list) else [value])
    ):
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
    if spec.kind in ("link", "links"):
        fits = all(isinstance(each.get("@odata.id"), str) for each in (value if spec.kind == "links" else [value]))
    return None if fits else Message("PropertyValueFormatError", (_shown(value), path), (f"/{path}",))


def _within(spec: Prop, value: float) -> bool:
    return (spec.minimum is None or value >= spec.minimum) and (spec.maximum is None or value <= spec.maximum)


def _is_time(text: str) -> bool:
    try:
        time = dt.datetime.fromisoformat(text)
        return time.tzinfo is not None and time.astimezone(dt.UTC) is not None
    except (ValueError, OverflowError):  # the first and the last day there is have hours that UTC has not
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
