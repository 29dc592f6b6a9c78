"""Good requests for every call of the schema, to be mangled; made of its descriptors."""

from __future__ import annotations

from typing import Any

import orjson
from protobuf import (
    DescEnum,
    DescField,
    DescFieldValueList,
    DescFieldValueMap,
    DescMessage,
    ScalarType,
)

from ubmc.protocols.rest.fields import Element, element_of
from ubmc.protocols.rest.router import Route

_DEEPEST = 4
_FORMS = {
    "google.protobuf.Timestamp": "2024-01-31T12:00:00.5Z",
    "google.protobuf.Duration": "1.5s",
    "google.protobuf.FieldMask": "name",
}
_TEXTS = frozenset({ScalarType.STRING, ScalarType.BYTES})


def sample(message: DescMessage, depth: int = 0) -> dict[str, Any]:
    """The JSON form of a message that has all its fields."""
    return {each.json_name: _content(each, depth) for each in message.fields}


def _content(each: DescField, depth: int) -> Any:
    element = element_of(each)
    value = _value(element, depth)
    if isinstance(each.value, DescFieldValueList):  # of enums different ones, which some lists want
        return [one.name for one in element.values[-2:]] if isinstance(element, DescEnum) else [value, value]
    return {"key": value} if isinstance(each.value, DescFieldValueMap) else value


def _value(element: Element, depth: int) -> Any:
    if isinstance(element, DescEnum):
        return element.values[-1].name
    if isinstance(element, DescMessage):
        if element.type_name in _FORMS:
            return _FORMS[element.type_name]
        if element.type_name.startswith("google.protobuf.") or depth >= _DEEPEST:
            return None
        return sample(element, depth + 1)
    if element is ScalarType.BOOL:
        return True
    return "aGk=" if element in _TEXTS else 7


def path_of(route: Route) -> bytes:
    """A path that leads there."""
    segments = ["host.0" if each in ("*", "**") else each for each in route.template.segments]
    verb = f":{route.template.verb}" if route.template.verb else ""
    return f"/{'/'.join(segments)}{verb}".encode()


def body_of(route: Route) -> bytes:
    """A body for it; empty where none is taken."""
    if not route.body:
        return b""
    whole = sample(route.method.token.request.desc())
    if route.body_key:
        whole = whole[route.body_key]
    bound = {param.keys[-1] for param in route.bound}
    return orjson.dumps({name: value for name, value in whole.items() if name not in bound})


def query_of(route: Route) -> bytes:
    """A query with every parameter that it takes."""
    values = {param.name: _value(param.element, 0) for param in route.query.values()}
    return "&".join(f"{name}={_text(value)}" for name, value in sorted(values.items())).encode()


def _text(value: Any) -> str:
    return "true" if value is True else "" if value is None else str(value)
