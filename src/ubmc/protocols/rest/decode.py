"""From path, query and body to the request message.

The three are put together to the JSON form of the request, which the proto JSON decoder then reads at once. Only when
it refuses is the culprit looked for, so that the answer can name the field; a good request pays nothing for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import orjson
from protobuf import (
    DescEnum,
    DescField,
    DescFieldValueList,
    DescFieldValueMap,
    DescMessage,
    Enum,
    Message,
    enum_is_unknown,
    message_from_json_value,
)
from protobuf.wkt import FieldMask

from ubmc.kit.errors import Invalid, Violation
from ubmc.protocols.rest.fields import FIELD_MASK, Param, describe, element_of
from ubmc.protocols.rest.router import Match, Route

_MAX_QUERY_FIELDS = 100
_MAX_NAME = 64
_MAX_DEPTH = 32
_NOT_DECODABLE = (ValueError, TypeError, OverflowError, RecursionError)
_UNSET: tuple[object, ...] = (None, "", 0, False)

Json = dict[str, Any]


def decode(match: Match, query: bytes = b"", body: bytes = b"") -> Message[Any]:
    """The request message.

    Args:
        match: what the router found.
        query: the query string as it came over the wire, without the question mark.
        body: JSON; what its encoding and size are was checked before.

    Raises:
        Invalid: something cannot be read, is not known, contradicts something else or has the wrong type; the
            violations name the field.
    """
    route = match.route
    value = _read_body(route, body)
    if query:
        _add_query(route, query, value)
    for param, text in zip(route.bound, match.values, strict=True):
        if value:
            _check_bound(param, text, value)
        _parent(param, value)[param.keys[-1]] = _convert(param, text)
    request = _build(route.method.token.request, value)
    if (query or body) and (unknown := next(_unknown_enums(request, ""), None)):
        path, enum = unknown
        raise _invalid(path, "enum", f"{path} must be {describe(enum)}")
    if route.resource is not None:
        _mask(route, route.resource, request, value)
    return request


def resume(route: Route, request: Any, last_event_id: bytes) -> None:
    """Sets the `cursor` of a request from the header Last-Event-ID, which is newer than a cursor in the URL.

    Does nothing if the request has no cursor or the header is empty.

    Raises:
        Invalid: the header is not UTF-8.
    """
    if not route.resumes or not last_event_id:
        return
    try:
        cursor = last_event_id.decode()
    except UnicodeDecodeError as error:
        raise _invalid("cursor", "type", "Last-Event-ID is not UTF-8; send the id of the last event back") from error
    request.cursor = cursor


def _invalid(path: str, rule: str, message: str) -> Invalid:
    return Invalid(message, violations=[Violation(path, rule, message)])


def _short(name: str) -> str:
    """A name out of a request, fit to be repeated to who sent it."""
    return name if len(name) <= _MAX_NAME else name[:_MAX_NAME] + "..."


def _read_body(route: Route, body: bytes) -> Json:
    if not route.body:
        if body:
            raise Invalid("this request takes no body; leave it out")
        return {}
    if not body:
        if route.body_key:
            raise Invalid(f"the body is empty; send the field {route.body_key} as JSON")
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the body is not JSON: {error}") from error
    if route.body_key:
        return {route.body_key: value}
    if not isinstance(value, dict):
        raise Invalid("the body must be a JSON object")
    return value


def _add_query(route: Route, query: bytes, value: Json) -> None:
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_QUERY_FIELDS)
    except UnicodeDecodeError as error:
        raise Invalid("the query is not percent-encoded UTF-8") from error
    except ValueError as error:
        raise Invalid(f"the query has more than {_MAX_QUERY_FIELDS} parameters") from error
    for name, text in pairs:
        param = route.query.get(name)
        if param is None:
            known = ", ".join(sorted({p.name for p in route.query.values()})) or "none"
            shown = _short(name)
            raise _invalid(shown, "unknown", f"there is no query parameter {shown!r}; known are: {known}")
        parent = _parent(param, value)
        key, converted = param.keys[-1], _convert(param, text)
        if param.repeated:
            parent.setdefault(key, []).append(converted)
        elif key in parent:
            raise _invalid(param.name, "repeated", f"{param.name} is given more than once")
        else:
            parent[key] = converted


def _check_bound(param: Param, text: str, value: Json) -> None:
    """Takes a field that the path binds out of the body, which may leave it empty or say the same."""
    parent = _parent(param, value)
    for spelling in {param.keys[-1], param.names[-1]} & parent.keys():
        other = parent.pop(spelling)
        if other not in _UNSET and str(other) != text:
            raise _invalid(param.name, "conflict", f"{param.name} in the path and in the body are not the same")


def _convert(param: Param, text: str) -> object:
    try:
        return param.convert(text)
    except ValueError as error:
        raise _invalid(param.name, "type", f"{param.name} must be {describe(param.element)}") from error


def _parent(param: Param, value: Json) -> Json:
    """The JSON object that holds a field; made if it is not there."""
    if len(param.keys) == 1:
        return value
    for depth, (key, name) in enumerate(zip(param.keys[:-1], param.names[:-1], strict=True), 1):
        below = value.get(key)
        if below is None:
            below = value.pop(name, None) if name != key else None
            below = {} if below is None else below
            value[key] = below
        if not isinstance(below, dict):
            path = ".".join(param.keys[:depth])
            raise _invalid(path, "type", f"{path} must be an object")
        value = below
    return value


def _build(request: type[Message[Any]], value: Json) -> Message[Any]:
    try:
        return message_from_json_value(request, value)
    except _NOT_DECODABLE as error:
        raise _culprit(request.desc(), value, "") from error


def _culprit(message: DescMessage, value: Json, above: str) -> Invalid:
    """Finds the first field that the decoder refuses, by giving it one field after the other."""
    if above.count(".") > _MAX_DEPTH:
        return Invalid(f"a field deeper than {_MAX_DEPTH} levels cannot be read, or it is nested too deeply")
    names = {name: f for f in message.fields for name in (f.name, f.json_name)}
    for key, content in value.items():
        path = f"{above}{_short(key)}"
        field = names.get(key)
        if field is None:
            known = ", ".join(f.json_name for f in message.fields) or "none"
            return _invalid(path, "unknown", f"there is no field {path!r}; known are: {known}")
        if not _decodable(message, {key: content}):
            return _culprit_in(message, field, content, path)
    return Invalid("the request cannot be read")


def _culprit_in(message: DescMessage, field: DescField, content: Any, path: str) -> Invalid:
    element = element_of(field)
    if isinstance(field.value, DescFieldValueList):
        if not isinstance(content, list):
            return _invalid(path, "type", f"{path} must be a list")
        index = next((i for i, item in enumerate(content) if not _decodable(message, {field.name: [item]})), 0)
        path, content = f"{path}[{index}]", content[index]
    elif isinstance(field.value, DescFieldValueMap):
        if not isinstance(content, dict):
            return _invalid(path, "type", f"{path} must be an object")
        bad = next((k for k, item in content.items() if not _decodable(message, {field.name: {k: item}})), "")
        path, content = f"{path}[{_short(bad)}]", content.get(bad)
    if isinstance(element, DescMessage) and isinstance(content, dict) and not _has_own_form(element):
        return _culprit(element, content, f"{path}.")
    return _invalid(path, "type", f"{path} must be {describe(element)}")


def _has_own_form(message: DescMessage) -> bool:
    """Whether its JSON form is not simply its fields."""
    return message.type_name.startswith("google.protobuf.")


def _decodable(message: DescMessage, value: Json) -> bool:
    try:
        message_from_json_value(message.type, value)
    except _NOT_DECODABLE:
        return False
    return True


def _unknown_enums(message: Message[Any], above: str) -> Iterator[tuple[str, DescEnum]]:
    """The fields with a number that the enum does not have; the decoder takes any, even those too large to send."""
    for field in message:
        element = element_of(field)
        if not isinstance(element, DescEnum | DescMessage):
            continue
        value, path = message[field], f"{above}{field.json_name}"
        if isinstance(field.value, DescFieldValueMap):
            items = [(f"{path}[{key}]", item) for key, item in value.items()]
        elif isinstance(field.value, DescFieldValueList):
            items = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
        else:
            items = [(path, value)]
        for where, item in items:
            if isinstance(item, Enum) and enum_is_unknown(item):
                yield where, item.desc()
            elif isinstance(item, Message) and not _has_own_form(item.desc()):
                yield from _unknown_enums(item, f"{where}.")


def _mask(route: Route, resource: DescMessage, request: Any, value: Json) -> None:
    """Fills the mask of an update with what the body has, and checks one that was given.

    A field in the body that is null is in the mask too: it is to be cleared.
    """
    if request.update_mask is None:
        from_path = {p.names[1] for p in route.bound if p.names[0] == route.body and len(p.names) == 2}
        given = value[route.body_key] or {}
        fields = [f.name for f in resource.fields if not given.keys().isdisjoint({f.name, f.json_name})]
        request.update_mask = FieldMask(paths=[name for name in fields if name not in from_path])
        return
    paths = []
    for path in request.update_mask.paths:
        found = path if path == "*" else _reached(resource, path)
        if not found:
            raise _invalid("updateMask", "unknown", f"{_short(path)!r} in updateMask is no field of {route.body_key}")
        paths.append(found)
    request.update_mask = FieldMask(paths=paths)


def _reached(message: DescMessage, path: str) -> str:
    """The field at which a path of a mask ends, as the schema spells it; only the last part may be a list or a map.

    Empty if there is none. A path in JSON has lost the underscores before digits (`tls12` for `tls_1_2`).
    """
    element: object = message
    names = []
    for name in path.split("."):
        if not isinstance(element, DescMessage) or element.type_name == FIELD_MASK:
            return ""
        plain = name.replace("_", "")
        field = next((f for f in element.fields if f.name.replace("_", "") == plain), None)
        if field is None:
            return ""
        names.append(field.name)
        element = None if isinstance(field.value, DescFieldValueList | DescFieldValueMap) else element_of(field)
    return ".".join(names)
