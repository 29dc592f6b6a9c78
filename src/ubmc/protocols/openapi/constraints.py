"""The rules of buf.validate as keywords of JSON Schema.

Only what JSON Schema can say is said; the gateway checks everything all the same.
"""

from __future__ import annotations

from typing import Any

from protobuf import DescEnum, DescField, Message

from ubmc.v1alpha1.deps.buf.validate.validate_pb import EnumRules, FieldRules, Ignore, ext_field

_LENGTHS = {
    "min_len": "minLength",
    "max_len": "maxLength",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_pairs": "minProperties",
    "max_pairs": "maxProperties",
}
_BOUNDS = {"gte": "minimum", "gt": "exclusiveMinimum", "lte": "maximum", "lt": "exclusiveMaximum"}
_FORMATS = {
    "email": "email",
    "hostname": "hostname",
    "ipv4": "ipv4",
    "ipv6": "ipv6",
    "uri": "uri",
    "uri_ref": "uri-reference",
    "uuid": "uuid",
}
_NUMBERS = frozenset({"float", "double", "int32", "uint32", "sint32", "fixed32", "sfixed32"})
_LARGE = frozenset({"int64", "uint64", "sint64", "fixed64", "sfixed64"})


def rules_of(field: DescField) -> FieldRules | None:
    """The rules of a field, if there are any that hold."""
    options = field.proto.options
    if options is None or ext_field not in options:
        return None
    rules: FieldRules = options[ext_field]
    return None if rules.ignore is Ignore.ALWAYS else rules


def must_be_given(rules: FieldRules | None) -> bool:
    """Whether a request without the field is always refused: a field left out is empty, zero or not set."""
    if rules is None:
        return False
    if rules.required or rules.type is None:
        return rules.required
    content = rules.type.value
    if isinstance(content, EnumRules):
        return 0 in content.not_in
    return bool(getattr(content, "min_len", 0) or getattr(content, "min_items", 0))


def keywords(rules: FieldRules | None, enum: DescEnum | None = None, *, as_number: bool = False) -> dict[str, Any]:
    """The keywords that say what the rules say.

    Args:
        rules: those of a field, or of the items of one.
        enum: the type of the field, if it is an enum.
        as_number: 64-bit integers are numbers here, as in parameters; in JSON they are strings.
    """
    if rules is None or rules.type is None:
        return {}
    kind, content = rules.type.field, rules.type.value
    if isinstance(content, EnumRules):
        return _enum(content, enum)
    found = {word: getattr(content, name) for name, word in _LENGTHS.items() if _is_set(content, name)}
    if _is_set(content, "pattern"):
        found["pattern"] = content.pattern  # type: ignore[union-attr]
    well_known = getattr(content, "well_known", None)
    if well_known is not None and well_known.field in _FORMATS:
        found["format"] = _FORMATS[well_known.field]
    if kind == "repeated" and content.unique:  # type: ignore[union-attr]
        found["uniqueItems"] = True
    if kind in _NUMBERS or (kind in _LARGE and as_number):
        found |= {_BOUNDS[name]: value for name, value in _bounds(content)}
    elif kind == "duration":
        found |= {f"x-ubmc-{_BOUNDS[name]}": value.to_json().strip('"') for name, value in _bounds(content)}
    return found


def _is_set(rules: Message[Any], name: str) -> bool:
    return any(field.name == name for field in rules)


def _bounds(rules: Any) -> list[tuple[str, Any]]:
    bounds = (rules.greater_than, rules.less_than)
    return [(bound.field, bound.value) for bound in bounds if bound is not None and bound.field in _BOUNDS]


def _enum(rules: EnumRules, enum: DescEnum | None) -> dict[str, Any]:
    if enum is None:
        return {}
    names = {value.number: value.name for value in enum.values}
    found: dict[str, Any] = {}
    if rules.not_in:
        found["not"] = {"enum": [names[number] for number in rules.not_in if number in names]}
    if rules.in_:
        found["enum"] = [names[number] for number in rules.in_ if number in names]
    return found
