from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.harness.made_schema import made, rule

from ubmc.kit.schema import load
from ubmc.protocols.openapi import document
from ubmc.protocols.openapi.build import build, path_of
from ubmc.protocols.rest import Match, Router, decode
from ubmc.protocols.rest.router import Route

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT: dict[str, Any] = orjson.loads(document())
ROUTER = Router(load())
COMMENTS = frozenset({"description", "summary", "readOnly"})


def nodes(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def without_comments(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_comments(v) for k, v in value.items() if k not in COMMENTS or not isinstance(v, str | bool)}
    return [without_comments(inner) for inner in value] if isinstance(value, list) else value


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, verb, found) for path, item in DOCUMENT["paths"].items() for verb, found in item.items()]


def operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][path_of(route)][route.verb.lower()]
    return found


def test_the_document_is_that_of_the_schema() -> None:
    assert without_comments(DOCUMENT) == without_comments(build(load()))


def test_every_reference_has_a_target() -> None:
    references = [node["$ref"] for node in nodes(DOCUMENT) if isinstance(node.get("$ref"), str)]
    assert references
    for reference in references:
        target: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        assert isinstance(target, dict)


def test_every_route_is_described_once() -> None:
    ids = [found["operationId"] for _, _, found in operations()]
    assert len(set(ids)) == len(ids) == len(ROUTER.routes)
    for route in ROUTER.routes:
        assert operation(route)["operationId"] == route.method.name.replace(".", "_")


def test_paths_differ_and_their_variables_are_parameters() -> None:
    shapes = [re.sub(r"\{[^}]*\}", "{}", path) for path in DOCUMENT["paths"]]
    assert len(set(shapes)) == len(shapes)
    for path, _, found in operations():
        declared = {p["name"] for p in found.get("parameters", []) if p["in"] == "path"}
        assert declared == set(re.findall(r"\{([^}]*)\}", path))
        assert all(p["required"] for p in found.get("parameters", []) if p["in"] == "path")


def test_every_call_says_who_may_make_it() -> None:
    for route in ROUTER.routes:
        found = operation(route)
        assert found["x-ubmc-audited"] is route.method.audited
        if route.method.public:
            assert found["security"] == []
            assert "403" not in found["responses"]
        else:
            assert found["x-ubmc-privilege"] == route.method.privilege_name
            assert "security" not in found
    assert DOCUMENT["security"] == [{"bearer": []}]
    assert DOCUMENT["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_every_error_has_its_form() -> None:
    always = {"200", "400", "401", "404", "429", "500", "503", "504"}
    for route in ROUTER.routes:
        found = set(operation(route)["responses"])
        assert found - {"403", "409", "413"} == always
        assert ("413" in found) == bool(route.body)
        assert ("409" in found) == (not route.method.side_effect_free)


def test_streams_are_server_sent_events() -> None:
    found = DOCUMENT["paths"]["/api/v1alpha1/hosts:watch"]["get"]
    content = found["responses"]["200"]["content"]
    assert content["text/event-stream"]["x-ubmc-event"] == {"$ref": "#/components/schemas/WatchHostsResponse"}
    assert {"name": "Last-Event-ID", "in": "header"}.items() <= found["parameters"][-1].items()


def test_constraints_are_those_of_the_schema() -> None:
    size = next(p for p in DOCUMENT["paths"]["/api/v1alpha1/hosts"]["get"]["parameters"] if p["name"] == "pageSize")
    assert {"type": "integer", "minimum": 0, "maximum": 1000}.items() <= size["schema"].items()
    (name,) = DOCUMENT["paths"]["/api/v1alpha1/hosts/{name}"]["get"]["parameters"]
    assert name["schema"] == {"type": "string", "minLength": 1, "maxLength": 32}
    body = DOCUMENT["paths"]["/api/v1alpha1/hosts/{name}:changePower"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    assert schema["required"] == ["action"]
    assert list(schema["properties"]) == ["action"]
    assert schema["properties"]["action"]["not"] == {"enum": ["HOST_POWER_ACTION_UNSPECIFIED"]}
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["Host"]["properties"]["name"]["pattern"] == "^host[.][0-9]{1,3}$"
    assert schemas["Host"]["properties"]["stateTime"] == {
        "type": "string",
        "format": "date-time",
        "readOnly": True,
        "description": "When the state was entered. Output only.",
    }
    assert "HOST_STATE_ON" in schemas["HostState"]["enum"]
    assert schemas["Event"]["properties"]["id"]["type"] == "string"
    assert schemas["Event"]["properties"]["arguments"]["additionalProperties"] == {"type": "string"}


def test_comments_are_descriptions() -> None:
    assert all(found["description"] for _, _, found in operations())
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema["description"], name


def test_every_described_query_parameter_is_taken() -> None:
    samples = {"boolean": "true", "integer": "1", "number": "1.5", "date-time": "2024-01-31T12:00:00Z"}
    for route in ROUTER.routes:
        for parameter in operation(route).get("parameters", []):
            schema = parameter["schema"].get("items", parameter["schema"])
            if parameter["in"] != "query" or parameter["name"] == "updateMask":
                continue
            text = samples.get(schema.get("format", ""), samples.get(schema.get("type", "integer"), "x"))
            assert decode(Match(route, ["1"] * len(route.bound)), f"{parameter['name']}={text}".encode()) is not None


def test_the_same_path_needs_the_same_names() -> None:
    with pytest.raises(ValueError, match="same names"):
        build(made(rule("get", "/v1/{name}"), rule("delete", "/v1/{a_bool}")))
    paths = build(made(rule("get", "/v1/{name}"), rule("delete", "/v1/{inner.name}")))["paths"]
    assert set(paths["/v1/{name}"]) == {"get", "delete"}


def test_all_kinds_of_fields_can_be_described() -> None:
    found = build(made(rule("post", "/v1/x/{name=a/**}:do", body="*"), rule("get", "/v1/all")))
    assert "/v1/x/{name}:do" in found["paths"]
    properties = found["components"]["schemas"]["Everything"]["properties"]
    assert properties["anInt64"]["type"] == "string"
    assert properties["colors"] == {"type": "array", "items": {"$ref": "#/components/schemas/Color"}}
    assert properties["labels"]["additionalProperties"] == {"type": "integer", "format": "int32"}
    assert properties["maybe"]["type"] == "string"
    names = {p["name"]: p["schema"] for p in found["paths"]["/v1/all"]["get"]["parameters"]}
    assert names["anInt64"]["type"] == "integer"
    assert names["words"] == {"type": "array", "items": {"type": "string"}}


def test_the_reference_names_every_call() -> None:
    text = (ROOT / "docs/api-reference.md").read_text(encoding="utf-8")
    for method in load().methods:
        assert f"\n#### {method.token.method}\n" in text
    for route in ROUTER.routes:
        assert f"`{route.verb} {route.template.text}`" in text
