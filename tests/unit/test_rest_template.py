from __future__ import annotations

import pytest

from ubmc.protocols.rest.template import ONE, REST, Variable, parse


@pytest.mark.parametrize(
    ("text", "segments", "variables", "verb"),
    [
        ("/v1/hosts", ("v1", "hosts"), (), ""),
        ("/v1/hosts:watch", ("v1", "hosts"), (), "watch"),
        ("/v1/{name}", ("v1", ONE), (Variable("name", 1, 2, True),), ""),
        ("/v1/{name}:do", ("v1", ONE), (Variable("name", 1, 2, True),), "do"),
        ("/v1/{a.b_c}", ("v1", ONE), (Variable("a.b_c", 1, 2, True),), ""),
        ("/v1/{x=*}", ("v1", ONE), (Variable("x", 1, 2, True),), ""),
        ("/v1/{x=foo/*}", ("v1", "foo", ONE), (Variable("x", 1, 3, False),), ""),
        ("/v1/{x=foo/*/bar}/baz", ("v1", "foo", ONE, "bar", "baz"), (Variable("x", 1, 4, False),), ""),
        ("/v1/{x=**}", ("v1", REST), (Variable("x", 1, None, False),), ""),
        ("/v1/{x=**}:do", ("v1", REST), (Variable("x", 1, None, False),), "do"),
        ("/v1/{x=foo/**}", ("v1", "foo", REST), (Variable("x", 1, None, False),), ""),
        ("/v1/*/**", ("v1", ONE, REST), (), ""),
        ("/{a}/{b}", (ONE, ONE), (Variable("a", 0, 1, True), Variable("b", 1, 2, True)), ""),
    ],
)
def test_a_template_is_flattened(
    text: str, segments: tuple[str, ...], variables: tuple[Variable, ...], verb: str
) -> None:
    compiled = parse(text)
    assert (compiled.segments, compiled.variables, compiled.verb) == (segments, variables, verb)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "v1",
        "/v1/",
        "/v1//a",
        "/v1/{name",
        "/v1/name}",
        "/v1/{}",
        "/v1/{a.}",
        "/v1/{1a}",
        "/v1/{a=}",
        "/v1/{a={b}}",
        "/v1/{a=b//c}",
        "/v1/x{a}",
        "/v1/{a}x",
        "/v1/**/x",
        "/v1/{a=**}/x",
        "/v1/{a=**/x}",
        "/v1/{a}/{a}",
        "/v1/a b",
        "/v1/a:",
        "/v1/a:b:c",
        "/v1/ä",
        "/v1/a?b",
        "/v1/a%20b",
    ],
)
def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="path template"):
        parse(text)
