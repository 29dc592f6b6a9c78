"""Builds the OpenAPI 3.1 document of the REST form from the schema.

With descriptors that were compiled with source information the comments of the proto become descriptions; those in the
generated modules have none, and everything but the descriptions is the same.
"""

from __future__ import annotations

from typing import Any

from protobuf import DescField, DescMessage

from ubmc.kit.errors import FACES
from ubmc.kit.schema import PACKAGE, Method, Schema
from ubmc.protocols.openapi.schemas import Components, Json, comment
from ubmc.protocols.rest.fields import Param, element_of
from ubmc.protocols.rest.router import Route, Router

_JSON = "application/json"
_STREAM = "text/event-stream"
_STATUSES = {
    400: "The request cannot be read, or a field is wrong; the details name the field.",
    401: "Nobody is logged in, or the credentials are wrong or expired.",
    403: "The caller is known, but lacks the privilege.",
    404: "There is no such thing.",
    409: "The state does not allow it, somebody else is at it, or it is there already; the code says which.",
    413: "The body is too large.",
    429: "A limit is reached: too many, too large, too often.",
    500: "A bug of ours; the trace id leads to the log.",
    503: "The part that would answer is not there now.",
    504: "No answer before the deadline; whether it was done is unknown.",
}


def build(schema: Schema) -> Json:
    """The document.

    Raises:
        ValueError: the schema has a REST form that cannot be routed, or that OpenAPI cannot express.
    """
    components = Components()
    paths: dict[str, Json] = {}
    seen: dict[str, int] = {}
    shapes: dict[tuple[tuple[str, ...], str], str] = {}
    for route in Router(schema).routes:
        name = route.method.name.replace(".", "_")
        seen[name] = seen.get(name, 0) + 1
        operation_id = name if seen[name] == 1 else f"{name}_{seen[name]}"
        path = path_of(route)
        if shapes.setdefault((route.template.segments, route.template.verb), path) != path:
            raise ValueError(f"{route.method.name}: OpenAPI needs the same names of variables in all forms of {path}")
        paths.setdefault(path, {})[route.verb.lower()] = _operation(route, operation_id, components)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "u-bmc",
            "version": PACKAGE.rpartition(".")[2],
            "description": "The REST form of the API of u-bmc.",
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": _tags(schema),
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token that SessionService.Login answers.",
                }
            },
            "responses": {str(status): _error(text) for status, text in _STATUSES.items()},
            "schemas": components.schemas() | {"Error": _ERROR},
        },
    }


def path_of(route: Route) -> str:
    """The path with its variables as OpenAPI writes them.

    A variable has the last part of the name of its field (`name` of `host.name`): two templates for the same paths with
    different names of variables are not allowed, and the name never crosses the wire.
    """
    template, parts, at = route.template, [], 0
    variables = {v.start: (v, param) for v, param in zip(template.variables, route.bound, strict=True)}
    while at < len(template.segments):
        if at in variables:
            variable, param = variables[at]
            parts.append(f"{{{param.keys[-1]}}}")
            at = variable.stop or len(template.segments)
        else:
            parts.append(template.segments[at])
            at += 1
    return "/" + "/".join(parts) + (f":{template.verb}" if template.verb else "")


def _tags(schema: Schema) -> list[Json]:
    services = {m.token.short: m.desc.parent for m in schema.methods if m.http is not None}
    return [{"name": name} | _text(comment(service)) for name, service in sorted(services.items())]


def _text(text: str) -> Json:
    return {"description": text} if text else {}


def _operation(route: Route, operation_id: str, components: Components) -> Json:
    method = route.method
    text = comment(method.desc)
    operation: Json = {"operationId": operation_id, "tags": [method.token.short]}
    if text:
        operation |= {"summary": text.partition(". ")[0].rstrip("."), "description": text}
    parameters = _parameters(route, components)
    if parameters:
        operation["parameters"] = parameters
    if route.body:
        operation["requestBody"] = _body(route, components)
    operation["responses"] = _responses(route, components)
    if method.public:
        operation["security"] = []
    else:
        operation["x-ubmc-privilege"] = method.privilege_name
    operation["x-ubmc-audited"] = method.audited
    if method.desc.deprecated:
        operation["deprecated"] = True
    return operation


def _parameters(route: Route, components: Components) -> list[Json]:
    request = route.method.desc.input
    found = [_parameter(request, param, "path", components) for param in route.bound]
    query = {param.name: param for param in route.query.values()}
    found += [_parameter(request, query[name], "query", components) for name in query]
    if route.resumes:
        found.append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "schema": {"type": "string"},
                "description": "The id of the last event received; sets the cursor.",
            }
        )
    return found


def _parameter(request: DescMessage, param: Param, place: str, components: Components) -> Json:
    schema = components.field(_field(request, param), parameter=True)
    text = schema.pop("description", "")
    if place == "path":
        return {"name": param.keys[-1], "in": place, "required": True, "schema": schema} | _text(text)
    return {"name": param.name, "in": place, "schema": schema} | _text(text)


def _field(message: DescMessage, param: Param) -> DescField:
    """The field at the end of the path of a parameter."""
    name, *below = param.names
    field = next(f for f in message.fields if f.name == name)
    for name in below:
        inner = element_of(field)
        if not isinstance(inner, DescMessage):
            raise ValueError(f"{message.type_name} has no field {param.name}")
        field = next(f for f in inner.fields if f.name == name)
    return field


def _body(route: Route, components: Components) -> Json:
    request = route.method.desc.input
    if route.body == "*":
        taken = {param.names[0] for param in route.bound if len(param.names) == 1}
        schema = components.message(request, without=taken, request=True)
        schema.pop("description", None)
        return {"required": bool(schema.get("required")), "content": {_JSON: {"schema": schema}}}
    field = next(f for f in request.fields if f.name == route.body)
    return {"required": True, "content": {_JSON: {"schema": components.field(field)}}}


def _responses(route: Route, components: Components) -> Json:
    method = route.method
    reference = components.refer(method.desc.output)
    content: Json = {_JSON: {"schema": reference}}
    if method.streams:
        text = "Server-sent events. The data of each is JSON; one named `error` is the last and has an Error."
        content = {_STREAM: {"schema": {"type": "string", "description": text}, "x-ubmc-event": reference}}
    answers: Json = {"200": {"description": comment(method.desc.output) or "The answer.", "content": content}}
    for status in _STATUSES:
        if _can_be(status, route, method):
            answers[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return answers


def _can_be(status: int, route: Route, method: Method) -> bool:
    if status == 403:
        return not method.public
    if status == 409:
        return not method.side_effect_free
    return status != 413 or bool(route.body)


def _error(text: str) -> Json:
    return {"description": text, "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}


_ERROR: dict[str, Any] = {
    "type": "object",
    "description": "Why a request was not done.",
    "required": ["code", "message", "details", "traceId"],
    "properties": {
        "code": {
            "type": "string",
            "enum": sorted(face.connect for face in FACES.values()),
            "description": "For programs; the codes of the Connect protocol.",
        },
        "message": {"type": "string", "description": "For people: what is wrong, and what they can do."},
        "details": {
            "type": "array",
            "description": "The fields that are wrong.",
            "items": {
                "type": "object",
                "required": ["field", "rule", "message"],
                "properties": {
                    "field": {"type": "string", "description": "Its path in the request."},
                    "rule": {"type": "string", "description": "The rule that it breaks, for programs."},
                    "message": {"type": "string", "description": "What is wrong with it, for people."},
                },
            },
        },
        "traceId": {"type": "string", "description": "What to look for in the log."},
    },
}
