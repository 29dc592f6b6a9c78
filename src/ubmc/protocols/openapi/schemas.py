"""Messages and enums of the schema as JSON Schema (2020-12), with the comments of the proto as descriptions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from protobuf import (
    DescEnum,
    DescField,
    DescFieldValueList,
    DescFieldValueMap,
    DescMessage,
    DescMethod,
    DescService,
    ScalarType,
)
from protobuf.plugin import get_comments

from ubmc.protocols.openapi.constraints import keywords, must_be_given, rules_of
from ubmc.protocols.rest.fields import WRAPPERS, Element, element_of

Json = dict[str, Any]

_OUTPUT_ONLY = "Output only."
_SCALARS: dict[ScalarType, Json] = {
    ScalarType.BOOL: {"type": "boolean"},
    ScalarType.STRING: {"type": "string"},
    ScalarType.BYTES: {"type": "string", "contentEncoding": "base64"},
    ScalarType.FLOAT: {"type": "number", "format": "float"},
    ScalarType.DOUBLE: {"type": "number", "format": "double"},
}
_SIGNED = frozenset({ScalarType.INT32, ScalarType.SINT32, ScalarType.SFIXED32})
_UNSIGNED = frozenset({ScalarType.UINT32, ScalarType.FIXED32})
_UNSIGNED_LARGE = frozenset({ScalarType.UINT64, ScalarType.FIXED64})
_WELL_KNOWN: dict[str, Json] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": "^-?[0-9]+([.][0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Empty": {"type": "object"},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Value": {},
    "google.protobuf.Any": {"type": "object"},
}


def comment(desc: DescService | DescMethod | DescMessage | DescField | DescEnum) -> str:
    """The comment of the proto; empty if the descriptors were built without."""
    if desc_file(desc).proto.source_code_info is None:
        return ""
    return " ".join(line.strip() for line in get_comments(desc).lines()).strip()


def value_comments(enum: DescEnum) -> dict[str, str]:
    """The comments of the values of an enum, by name."""
    if enum.file.proto.source_code_info is None:
        return {value.name: "" for value in enum.values}
    return {v.name: " ".join(line.strip() for line in get_comments(v).lines()).strip() for v in enum.values}


def desc_file(desc: DescService | DescMethod | DescMessage | DescField | DescEnum) -> Any:
    """The file that something is described in."""
    return desc_file(desc.parent) if isinstance(desc, DescMethod | DescField) else desc.file


class Components:
    """The schemas that are referred to, in the order in which they were first needed."""

    def __init__(self) -> None:
        self._found: dict[str, DescMessage | DescEnum] = {}

    def refer(self, element: DescMessage | DescEnum) -> Json:
        """A reference to the schema of a type, which is then part of the document."""
        self._found.setdefault(element.name, element)
        return {"$ref": f"#/components/schemas/{element.name}"}

    def schemas(self) -> dict[str, Json]:
        """All schemas that were referred to, with those that they refer to themselves, in the order of their names."""
        done: dict[str, Json] = {}
        while waiting := [element for name, element in self._found.items() if name not in done]:
            for element in waiting:
                done[element.name] = _enum(element) if isinstance(element, DescEnum) else self.message(element)
        return dict(sorted(done.items()))

    def message(self, message: DescMessage, *, without: Collection[str] = (), request: bool = False) -> Json:
        """The schema of a message.

        Args:
            message: what is described.
            without: proto names of fields to leave out.
            request: it is a whole request, so a field that must not be empty has to be given, and others are refused.
        """
        fields = [field for field in message.fields if field.name not in without]
        schema: Json = {"type": "object", "properties": {f.json_name: self.field(f) for f in fields}}
        rules = {f.json_name: rules_of(f) for f in fields}
        needed = [name for name, r in rules.items() if r is not None and (r.required or (request and must_be_given(r)))]
        if needed:
            schema["required"] = needed
        if request:
            schema["additionalProperties"] = False
        return described(schema, comment(message))

    def field(self, field: DescField, *, parameter: bool = False) -> Json:
        """The schema of a field; in a parameter 64-bit integers are numbers, in JSON strings."""
        element, rules = element_of(field), rules_of(field)
        enum = element if isinstance(element, DescEnum) else None
        text = comment(field)
        schema = self._element(element, parameter=parameter)
        if isinstance(field.value, DescFieldValueList):
            items = rules.type.value.items if rules and rules.type and rules.type.field == "repeated" else None
            schema = {"type": "array", "items": schema | keywords(items, enum, as_number=parameter)}
            schema |= keywords(rules)
        elif isinstance(field.value, DescFieldValueMap):
            schema = {"type": "object", "additionalProperties": schema} | keywords(rules)
        else:
            schema |= keywords(rules, enum, as_number=parameter)
        if _OUTPUT_ONLY in text:
            schema["readOnly"] = True
        return described(schema, text)

    def _element(self, element: Element, *, parameter: bool) -> Json:
        if isinstance(element, ScalarType):
            return dict(_SCALARS[element]) if element in _SCALARS else _integer(element, parameter=parameter)
        if element.type_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[element.type_name])
        if isinstance(element, DescMessage) and element.type_name in WRAPPERS:
            return self._element(element_of(element.fields[0]), parameter=parameter)
        return self.refer(element)


def described(schema: Json, text: str) -> Json:
    """The schema with a description, if there is one."""
    return schema | {"description": text} if text else schema


def _integer(scalar: ScalarType, *, parameter: bool) -> Json:
    if scalar in _SIGNED:
        return {"type": "integer", "format": "int32"}
    if scalar in _UNSIGNED:
        return {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**32 - 1}
    if parameter:
        return {"type": "integer", "format": "int64"} | ({"minimum": 0} if scalar in _UNSIGNED_LARGE else {})
    return {"type": "string", "pattern": "^[0-9]+$" if scalar in _UNSIGNED_LARGE else "^-?[0-9]+$"}


def _enum(enum: DescEnum) -> Json:
    values = value_comments(enum)
    lines = [f"- `{name}`: {text}" for name, text in values.items() if text]
    text = "\n".join(filter(None, [comment(enum), "", *lines])) if lines else comment(enum)
    return described({"type": "string", "enum": list(values)}, text)
