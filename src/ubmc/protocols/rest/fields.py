"""Request fields as text: what a query parameter or a path variable becomes in the JSON form of the request.

The proto JSON decoder does the real work afterwards; here text only becomes what it accepts, since in a URL everything
is text: `true` becomes true, `3` the third enum value, `restore_policy` a FieldMask in its JSON form.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from protobuf import (
    DescEnum,
    DescField,
    DescFieldValueEnum,
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescFieldValueScalar,
    DescMessage,
    ScalarType,
)

_MAX_DEPTH = 6  # messages may contain themselves
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_SNAKE = re.compile(r"_([a-z0-9])")
_BOOLEANS = {"true": True, "false": False}
_PLAIN = frozenset({ScalarType.STRING, ScalarType.BYTES, ScalarType.FLOAT, ScalarType.DOUBLE})
WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)
FIELD_MASK = "google.protobuf.FieldMask"
_TEXTS = {
    "google.protobuf.Timestamp": "a time such as 2024-01-31T12:00:00Z",
    "google.protobuf.Duration": "a duration in seconds such as 1.5s",
    FIELD_MASK: "names of fields between commas",
}
_SCALARS = {
    ScalarType.BOOL: "true or false",
    ScalarType.STRING: "a text",
    ScalarType.BYTES: "bytes in base64",
    ScalarType.FLOAT: "a number",
    ScalarType.DOUBLE: "a number",
}

Element = DescMessage | DescEnum | ScalarType


@dataclass(frozen=True, slots=True)
class Param:
    """A field of a request that text in a URL can set."""

    keys: tuple[str, ...]
    """Its path in the JSON form of the request: ("filter", "severity")."""
    names: tuple[str, ...]
    """The same with the names of the proto."""
    element: Element
    repeated: bool
    convert: Callable[[str], object]
    """Text to what the proto JSON decoder takes.

    Raises:
        ValueError: the text cannot be a value of the field.
    """

    @property
    def name(self) -> str:
        """Its name in a query, `filter.severity`."""
        return ".".join(self.keys)


def element_of(field: DescField) -> Element:
    """The type of a field; of a list or a map that of its values."""
    match field.value:
        case DescFieldValueScalar(scalar=scalar):
            return scalar
        case DescFieldValueEnum(enum=enum):
            return enum
        case DescFieldValueMessage(message=message):
            return message
        case DescFieldValueList(element=element):
            return element
        case DescFieldValueMap(value=value):
            return value


def leaf(message: DescMessage, path: str) -> Param:
    """The field with a path as in the proto (`host.name`).

    Raises:
        ValueError: there is no such field, or it is no single value that fits into a text.
    """
    fields: list[DescField] = []
    current: Element = message
    for name in path.split("."):
        found = next((f for f in current.fields if f.name == name), None) if isinstance(current, DescMessage) else None
        if found is None or isinstance(found.value, DescFieldValueList | DescFieldValueMap):
            raise ValueError(f"{message.type_name} has no single field {path}")
        fields.append(found)
        current = element_of(found)
    convert = _converter(current)
    if convert is None:
        raise ValueError(f"{message.type_name}.{path} does not fit into a text")
    return Param(tuple(f.json_name for f in fields), tuple(f.name for f in fields), current, False, convert)


def leaves(message: DescMessage, above: tuple[DescField, ...] = ()) -> Iterator[Param]:
    """All fields that query parameters can set; messages in lists and maps are none of them."""
    for field in message.fields:
        fields = (*above, field)
        element = element_of(field)
        convert = _converter(element)
        if isinstance(field.value, DescFieldValueMap):
            continue
        repeated = isinstance(field.value, DescFieldValueList)
        if convert is not None:
            yield Param(tuple(f.json_name for f in fields), tuple(f.name for f in fields), element, repeated, convert)
        elif isinstance(element, DescMessage) and not repeated and len(fields) < _MAX_DEPTH and not _special(element):
            yield from leaves(element, fields)


def spellings(param: Param) -> set[str]:
    """Every name that a query may call it: each part as in JSON or as in the proto."""
    return {".".join(parts) for parts in itertools.product(*zip(param.keys, param.names, strict=True))}


def describe(element: Element) -> str:
    """What a value of this type looks like in JSON, for people."""
    if isinstance(element, DescEnum):
        return "one of " + ", ".join(value.name for value in element.values)
    if isinstance(element, DescMessage):
        if element.type_name in WRAPPERS:
            return describe(element_of(element.fields[0]))
        return _TEXTS.get(element.type_name, "an object")
    return _SCALARS.get(element, f"a whole number ({element.name.lower()})")


def _special(message: DescMessage) -> bool:
    return message.type_name.startswith("google.protobuf.")


def _converter(element: Element) -> Callable[[str], object] | None:
    if isinstance(element, DescEnum):
        return _enum
    if isinstance(element, ScalarType):
        if element is ScalarType.BOOL:
            return _boolean
        return _text if element in _PLAIN else _integer
    if element.type_name == FIELD_MASK:
        return _mask
    if element.type_name in WRAPPERS:
        return _converter(element_of(element.fields[0]))
    return _text if element.type_name in _TEXTS else None


def _text(text: str) -> object:
    return text


def _enum(text: str) -> object:
    return int(text) if _INTEGER.fullmatch(text) else text


def _boolean(text: str) -> object:
    if text not in _BOOLEANS:
        raise ValueError(text)
    return _BOOLEANS[text]


def _integer(text: str) -> object:
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    return text


def _mask(text: str) -> object:
    return _SNAKE.sub(lambda found: found[1].upper(), text)
