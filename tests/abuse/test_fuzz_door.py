"""Whatever comes to the door is answered, or refused in words: fuzzing of every parser that it has.

There is no multipart parser. HTTP itself is fuzzed at real listeners: test_http_one, test_http_two, test_http_three.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Iterator
from functools import cache, partial

import pytest
from tests.abuse.fuzzing import INPUTS, TURNS, fuzz
from tests.abuse.requests import body_of, path_of, query_of

from ubmc.kit.bus import Bus
from ubmc.kit.call import Call, check_key
from ubmc.kit.errors import UbmcError
from ubmc.kit.keys import BusKey
from ubmc.kit.metrics import Metrics
from ubmc.kit.schema import load
from ubmc.kit.tracing import Trace
from ubmc.protocols.rest.decode import decode, resume
from ubmc.protocols.rest.encode import problem
from ubmc.protocols.rest.router import Match, Miss, Route, Router
from ubmc.services.websrv import front, peer
from ubmc.services.websrv.connect import _Json, to_connect
from ubmc.services.websrv.http import redirect
from ubmc.services.websrv.identities import Identities
from ubmc.services.websrv.peer import Peer
from ubmc.services.websrv.responses import declared_length, headers_of
from ubmc.services.websrv.validation import validate
from ubmc.v1alpha1.session_pb import ExchangeTokenRequest

TRACE = Trace.new()
PROXIES = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "fe80::/10")))
COOKIES = (
    f"{peer.SESSION_COOKIE}=q0Xk3_abc-DEF; {peer.CSRF_COOKIE}=0123456789abcdef".encode(),
    f'a=b; c="d e"; {peer.SESSION_COOKIE}="quoted\\"\\134"; $Version=1'.encode(),
)
MOST_REFUSED = 0.95
"""More would mean that nothing behind the first check was tried."""
turns = pytest.mark.parametrize("turns", TURNS)


@cache
def router() -> Router:
    return Router(load())


def answered(match: Match, query: bytes = b"", body: bytes = b"") -> None:
    """Read a request as the door does; a refusal must have a form that can be sent."""
    try:
        request = decode(match, query, body)
        validate(request)
    except UbmcError as error:
        told(error)
        raise
    data = request.to_binary()
    assert type(request).from_binary(data).to_binary() == data


def told(error: UbmcError) -> None:
    """Say a refusal in the words of both protocols."""
    status, text = problem(error, TRACE.trace_id)
    assert 400 <= status < 500
    assert text
    assert to_connect(error).message


def match_of(route: Route) -> Match:
    return Match(route, ["1"] * len(route.bound))


def each_of(routes: list[Route], turns: int) -> Iterator[tuple[int, Route, int]]:
    return ((seed, route, INPUTS * turns // len(routes)) for seed, route in enumerate(routes))


def _body(match: Match, data: bytes) -> None:
    answered(match, body=data)


def _query(match: Match, body: bytes, data: bytes) -> None:
    answered(match, data, body)


@turns
def test_bodies(turns: int) -> None:
    routes = [each for each in router().routes if each.body]
    refused = 0
    for seed, route, count in each_of(routes, turns):
        match = match_of(route)
        refused += fuzz(partial(_body, match), [body_of(route)], count, seed=seed)
    assert refused < INPUTS * turns * MOST_REFUSED


@turns
def test_queries(turns: int) -> None:
    routes = [each for each in router().routes if each.query]
    refused = 0
    for seed, route, count in each_of(routes, turns):
        read = partial(_query, match_of(route), body_of(route))
        refused += fuzz(read, [query_of(route)], count, seed=seed)
    assert refused < INPUTS * turns * MOST_REFUSED


@turns
def test_paths(turns: int) -> None:
    verbs = itertools.cycle(sorted({route.verb for route in router().routes} | {"HEAD", "TRACE", ""}))

    def find(data: bytes) -> None:
        found = router().find(next(verbs), data)
        if isinstance(found, Miss):
            assert found.status in (404, 405)
        elif not found.route.body:
            answered(found)

    fuzz(find, [path_of(route) for route in router().routes], INPUTS * turns)


@turns
def test_connect_json(turns: int) -> None:
    codec = _Json()
    routes = [each for each in router().routes if each.body == "*"]
    for seed, route, count in each_of(routes, turns):
        kind = route.method.token.request

        def read(data: bytes, kind: type = kind) -> None:
            try:
                codec.decode(data, kind).to_binary()
            except ValueError:  # what the library turns into `invalid_argument`
                return

        fuzz_answers(read, [body_of(route)], count, seed)


def fuzz_answers(feed: Callable[[bytes], object], good: list[bytes], count: int, seed: int = 1) -> None:
    """As `fuzz`, for what may not even refuse."""
    assert fuzz(feed, good, count, seed=seed) == 0


# --- headers ---------------------------------------------------------------------------------------------------------


@turns
@pytest.mark.parametrize("name", ["cookie", "authorization"])
def test_credentials(name: str, turns: int) -> None:
    good = {
        "cookie": list(COOKIES),
        "authorization": [b"Bearer ubmc_pat_0123456789abcdef", b"Basic YWRtaW46c2VjcmV0OndpdGg=", b"bearer  x"],
    }[name]
    csrf = peer.csrf_token("q0Xk3_abc-DEF")
    identities = Identities(Bus("websrv", load(), BusKey(), Metrics()))

    def show(data: bytes) -> None:
        headers = headers_of({"headers": [(name.encode(), data), (b"x-csrf-token", csrf.encode())]})
        for path in ("/api/v1alpha1/hosts", "/redfish/v1/"):
            shown = peer.credential(headers, Peer("192.0.2.1", "POST", path), basic_allowed=True)
            assert len(identities._key(shown, "192.0.2.1")) == 32
            if isinstance(shown, peer.Token):
                validate(ExchangeTokenRequest(token=shown.token, source="192.0.2.1"))

    fuzz(show, good, INPUTS * turns)


@turns
def test_forwarded_addresses(turns: int) -> None:
    good = [
        b"198.51.100.9, 203.0.113.4",
        b"10.1.2.3,10.0.0.1, fe80::1%eth0",
        b"2001:db8::7, [2001:db8::8]:80",
        b"unknown",
    ]

    def read(data: bytes) -> None:
        found = peer.forwarded_for("10.9.9.9", data.decode("latin-1"), PROXIES)
        assert str(ipaddress.ip_address(found)) == found
        assert Call.parse(Call(1.0, TRACE, source=found).header()).source == found

    fuzz_answers(read, good, INPUTS * turns)


HEADERS: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
    "accept-encoding": (front._accepts_gzip, [b"br, gzip;q=0.5, *;q=0", b"identity", b"gzip"]),
    "if-none-match": (lambda data: front._matches(data, b'"abc"'), [b'"x", W/"abc"', b'"abc-gz"', b"*"]),
    "origin": (
        lambda data: front.Front._ours(data.decode("latin-1"), {b"host": b"[::1]:8443"}),
        [b"https://[::1]:8443", b"null", b"https://bmc.example", b"https://a@b:99999"],
    ),
    "host": (
        lambda data: front.Front._ours("https://bmc.example", {b"host": data, b":authority": b"x"}),
        [b"bmc.example", b"[::1]:8443"],
    ),
    "content-length": (lambda data: declared_length({"content-length": data.decode("latin-1")}), [b"4096", b"0"]),
}


@turns
@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_are_only_looked_at(name: str, turns: int) -> None:
    feed, good = HEADERS[name]
    fuzz_answers(feed, good, INPUTS * turns)


@turns
def test_traces(turns: int) -> None:
    def read(data: bytes) -> None:
        found = Trace.parse(data.decode("latin-1"))
        assert found is None or Trace.parse(str(found)) == found

    fuzz_answers(read, [str(TRACE).encode(), str(TRACE.child()).encode()], INPUTS * turns)


@turns
def test_cursors_and_keys(turns: int) -> None:
    found = router().find("GET", b"/api/v1alpha1/hosts:watch")
    assert isinstance(found, Match)

    def read(data: bytes) -> None:
        check_key(data[:64].decode("latin-1"))
        request = decode(found)
        resume(found.route, request, data)
        validate(request)
        request.to_binary()

    fuzz(read, [b"01M82QXWKJQTZKGDRMB6T4S021:17", b"e:1", b"install-7"], INPUTS * turns)


@turns
def test_where_plain_http_sends(turns: int) -> None:
    def read(data: bytes) -> None:
        host = redirect._host(data.decode("ascii", "replace"))
        assert not set(host) & set("/\\@?#<>\"' \r\n\0"), host
        assert host.isascii()

    fuzz_answers(read, [b"bmc.example:80", b"[2001:db8::1]:80", b"192.0.2.1"], INPUTS * turns)


# --- what grows too fast ----------------------------------------------------------------------------------------------

LARGE = {
    "backslashes": f'{peer.SESSION_COOKIE}="'.encode() + b"\\" * 8000 + b'"',
    "octals": f'{peer.SESSION_COOKIE}="'.encode() + b"\\101" * 2000 + b'"',
    "many": f"{peer.SESSION_COOKIE}=; ".encode() * 300,
    "separators": b";" * 8000,
}


@pytest.mark.parametrize("name", LARGE)
def test_the_largest_cookies_cost_nothing_to_speak_of(name: str) -> None:
    """8 KiB of backslashes took `http.cookies` an eighth of a second, before any login."""
    data = LARGE[name].decode("latin-1")
    fuzz_answers(lambda _: [peer.cookie_of({"cookie": data}) for _ in range(20)], [b"x"], 1)


def test_cookies_that_come_in_crumbs_are_one() -> None:
    """Browsers split the header in HTTP/2 (RFC 9113, 8.2.3)."""
    crumbs = [
        (b"cookie", b"theme=dark"),
        (b"cookie", f"{peer.SESSION_COOKIE}=abc".encode()),
        (b"x", b"1"),
        (b"x", b"2"),
    ]
    headers = headers_of({"headers": crumbs})
    assert peer.cookie_of(headers) == "abc"
    assert headers["x"] == "1"


def test_a_parser_that_fails_would_be_found() -> None:
    def bad(data: bytes) -> None:
        data.decode("ascii")

    with pytest.raises(UnicodeDecodeError, match="can't decode") as found:
        fuzz(bad, [b"hello"], 1000)
    assert "the input was" in found.value.__notes__[0]
