from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.harness.made_schema import INTERNAL, custom, made, rule

from ubmc.kit.errors import Invalid
from ubmc.kit.schema import load
from ubmc.protocols.rest import Match, Miss, Router
from ubmc.v1alpha1.deps.google.api.http_pb import HttpRule

REAL = Router(load())
MADE = Router(
    made(
        rule("get", "/v1/things/{name}"),
        rule("get", "/v1/things/special"),
        rule("delete", "/v1/things/{name}"),
        rule("post", "/v1/things/special:do", body="*"),
        rule("post", "/v1/things/{name}:do", body="*"),
        rule("get", "/v1/{name=deep/*/leaf}"),
        rule("get", "/v1/{name=files/**}"),
        rule("post", "/v1/{name=files/**}:do", body="*"),
        rule("get", "/v1/a/b/c"),
        rule("get", "/v1/a/*/{name}"),
        rule("get", "/v1/one", additional_bindings=[rule("get", "/v1/two/{name}"), rule("put", "/v1/one", body="*")]),
        custom("PURGE", "/v1/cache"),
    )
)


@pytest.mark.parametrize(
    ("verb", "path", "method", "values"),
    [
        ("GET", "/api/v1alpha1/hosts", "HostService.ListHosts", []),
        ("GET", "/api/v1alpha1/hosts/host.0", "HostService.GetHost", ["host.0"]),
        ("HEAD", "/api/v1alpha1/hosts/host.0", "HostService.GetHost", ["host.0"]),
        ("PATCH", "/api/v1alpha1/hosts/host.0", "HostService.UpdateHost", ["host.0"]),
        ("GET", "/api/v1alpha1/hosts:watch", "HostService.WatchHosts", []),
        ("POST", "/api/v1alpha1/hosts/host.0:changePower", "HostService.ChangeHostPower", ["host.0"]),
        ("POST", "/api/v1alpha1/sessions:login", "SessionService.Login", []),
        ("GET", "/api/v1alpha1/system/health", "SystemService.GetHealth", []),
        # A colon that begins no verb belongs to the name, and an encoded one never begins a verb.
        ("GET", "/api/v1alpha1/hosts/52:54:00", "HostService.GetHost", ["52:54:00"]),
        ("GET", "/api/v1alpha1/hosts/host.0%3AchangePower", "HostService.GetHost", ["host.0:changePower"]),
        # Percent-decoding happens behind the split.
        ("GET", "/api/v1alpha1/hosts/a%2Fb", "HostService.GetHost", ["a/b"]),
        ("GET", "/api/v1alpha1/hosts/%C3%A4%20%25", "HostService.GetHost", ["ä %"]),
        ("GET", "/api/v1alpha1/h%6Fsts/x", "HostService.GetHost", ["x"]),
        ("POST", "/api/v1alpha1/hosts/a%2Fb:changePower", "HostService.ChangeHostPower", ["a/b"]),
    ],
)
def test_a_request_finds_its_call(verb: str, path: str, method: str, values: list[str]) -> None:
    found = REAL.find(verb, path.encode())
    assert isinstance(found, Match)
    assert (found.route.method.name, list(found.values)) == (method, values)


@pytest.mark.parametrize(
    ("verb", "path", "template", "values"),
    [
        ("GET", "/v1/things/special", "/v1/things/special", []),
        ("DELETE", "/v1/things/special", "/v1/things/{name}", ["special"]),
        ("POST", "/v1/things/special:do", "/v1/things/special:do", []),
        ("POST", "/v1/things/other:do", "/v1/things/{name}:do", ["other"]),
        ("GET", "/v1/deep/x/leaf", "/v1/{name=deep/*/leaf}", ["deep/x/leaf"]),
        ("GET", "/v1/deep/a%2Fb%20c/leaf", "/v1/{name=deep/*/leaf}", ["deep/a%2Fb c/leaf"]),
        ("GET", "/v1/files", "/v1/{name=files/**}", ["files"]),
        ("GET", "/v1/files/a/b/c", "/v1/{name=files/**}", ["files/a/b/c"]),
        ("POST", "/v1/files/a/b:do", "/v1/{name=files/**}:do", ["files/a/b"]),
        ("GET", "/v1/files/a/b:other", "/v1/{name=files/**}", ["files/a/b:other"]),
        ("GET", "/v1/a/b/c", "/v1/a/b/c", []),
        ("GET", "/v1/a/b/d", "/v1/a/*/{name}", ["d"]),
        ("GET", "/v1/two/x", "/v1/two/{name}", ["x"]),
        ("PUT", "/v1/one", "/v1/one", []),
        ("PURGE", "/v1/cache", "/v1/cache", []),
    ],
)
def test_the_most_special_route_is_found(verb: str, path: str, template: str, values: list[str]) -> None:
    found = MADE.find(verb, path.encode())
    assert isinstance(found, Match)
    assert (found.route.template.text, list(found.values)) == (template, values)


@pytest.mark.parametrize(
    ("verb", "path", "allow"),
    [
        ("DELETE", "/api/v1alpha1/hosts/host.0", ("GET", "HEAD", "PATCH")),
        ("GET", "/api/v1alpha1/hosts/host.0:changePower", ("POST",)),
        ("POST", "/api/v1alpha1/hosts:watch", ("GET", "HEAD")),
        ("get", "/api/v1alpha1/hosts", ("GET", "HEAD")),
        ("HEAD", "/api/v1alpha1/sessions:login", ("POST",)),
    ],
)
def test_a_known_path_with_another_method_is_405(verb: str, path: str, allow: tuple[str, ...]) -> None:
    found = REAL.find(verb, path.encode())
    assert found == Miss(allow)
    assert isinstance(found, Miss)
    assert found.status == 405


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "api/v1alpha1/hosts",
        "/api/v1alpha1",
        "/api/v1alpha1/hosts/",
        "/api/v1alpha1/hosts/host.0/",
        "//api/v1alpha1/hosts",
        "/api//v1alpha1/hosts",
        "/api/v1alpha1/hosts//",
        "/api/v1alpha1/hosts/..",
        "/api/v1alpha1/hosts/%2E%2e",
        "/api/v1alpha1/hosts/.",
        "/api/v1alpha1/hosts/host.0/more",
        "/api/v1alpha1/hosts:unknown",
        "/api/v1alpha1/hosts%3Awatch",
        "/api/v1alpha1/Hosts",
        "/ubmc.v1alpha1.HostService/GetHost",
    ],
)
def test_everything_else_is_404(path: str) -> None:
    found = REAL.find("GET", path.encode())
    assert found == Miss()
    assert isinstance(found, Miss)
    assert found.status == 404


@pytest.mark.parametrize("name", [b"%", b"%4", b"%zz", b"%ff", b"%C3", b"\xff", b"%ED%A0%80"])
def test_what_cannot_be_decoded_is_invalid(name: bytes) -> None:
    with pytest.raises(Invalid):
        REAL.find("GET", b"/api/v1alpha1/hosts/" + name)


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=60))
def test_any_path_is_found_or_not_or_invalid(path: bytes) -> None:
    for router in (REAL, MADE):
        try:
            assert isinstance(router.find("GET", b"/v1/" + path), Match | Miss)
            assert isinstance(router.find("GET", b"/api/v1alpha1/hosts/" + path), Match | Miss)
        except Invalid:
            pass


def test_every_call_with_a_rule_has_a_route_and_internal_ones_have_none() -> None:
    schema = load()
    assert {r.method.name for r in REAL.routes} == {m.name for m in schema.methods if not m.internal}


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ([rule("get", "/v1/{name}"), rule("get", "/v1/{a_bool}")], "both GET"),
        ([rule("get", "/v1/x:do"), rule("get", "/v1/x:do")], "both GET"),
        ([rule("get", "/v1/{nothing}")], "no single field nothing"),
        ([rule("get", "/v1/{words}")], "no single field words"),
        ([rule("get", "/v1/{name.deeper}")], "no single field name.deeper"),
        ([rule("get", "/v1/{inner}")], "does not fit into a text"),
        ([rule("get", "/v1/{name")], "cannot be read"),
        ([rule("get", "/v1/x", body="*")], "GET has no body"),
        ([rule("post", "/v1/x", body="nothing")], "no field nothing"),
        ([rule("get", "/v1/x", response_body="name")], "response_body"),
        ([HttpRule()], "no pattern"),
        ([custom("*", "/v1/x")], "cannot be an HTTP method"),
        (
            [rule("get", "/v1/x", additional_bindings=[rule("get", "/v1/y", additional_bindings=[rule("get", "/z")])])],
            "additional bindings",
        ),
    ],
)
def test_a_wrong_rule_stops_the_build(rules: list[HttpRule], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Router(made(*rules))


def test_an_internal_call_must_not_have_a_rule() -> None:
    with pytest.raises(ValueError, match="internal"):
        Router(made(rule("get", "/v1/x"), access=INTERNAL))
