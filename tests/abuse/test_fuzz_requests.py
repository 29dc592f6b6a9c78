"""Whole requests, mangled, through everything that the door does between HTTP and the bus.

The bus is a stand-in that answers each call with an empty message, so that nothing but the door is tried.
"""

from __future__ import annotations

import json
import logging
import random
import re
import struct
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any, cast

import pytest
from protobuf import Message
from tests.abuse.fuzzing import TURNS, Mangler
from tests.abuse.requests import body_of, path_of, query_of, sample

from ubmc.kit.bus import Bus
from ubmc.kit.call import Call
from ubmc.kit.errors import Unauthenticated
from ubmc.kit.keys import PrincipalSigner, PrincipalVerifier
from ubmc.kit.metrics import Metrics
from ubmc.kit.schema import Schema, load
from ubmc.protocols.rest.router import Router
from ubmc.services.websrv.app import Door
from ubmc.services.websrv.forward import Forwarder
from ubmc.services.websrv.front import Front, FrontOptions
from ubmc.services.websrv.rates import Rates
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.session_pb import ExchangeTokenRequest, ExchangeTokenResponse, Principal

REQUESTS = 20_000
"""As many as fit into eight seconds; ten times as many in `make soak`."""
ANSWERS = {200, 204, 304, 400, 401, 403, 404, 405, 409, 413, 415, 429, 431, 501, 505}
CODES = {"invalid_argument", "unauthenticated", "permission_denied", "not_found", "unimplemented", "resource_exhausted"}
ENVELOPED = (
    b"application/connect+json",
    b"application/connect+proto",
    b"application/grpc-web+proto",
    b"application/grpc",
)
VERBS = ("GET", "PUT", "HEAD", "OPTIONS", "X")
PLAIN = (b"application/json", b"application/proto", b"application/json; charset=utf-8", b"text/plain", b"")
HEADERS = (
    (b"accept-encoding", b"gzip, br;q=0.5"),
    (b"connect-protocol-version", b"1"),
    (b"connect-timeout-ms", b"2000"),
    (b"grpc-timeout", b"5S"),
    (b"content-encoding", b"gzip"),
    (b"connect-content-encoding", b"gzip"),
    (b"grpc-encoding", b"identity"),
    (b"cookie", b"__Host-ubmc-session=good; __Host-ubmc-csrf=x"),
    (b"x-csrf-token", b"0123456789abcdef"),
    (b"x-session-cookie", b"1"),
    (b"idempotency-key", b"install-7"),
    (b"if-none-match", b'"abc", *'),
    (b"last-event-id", b"e:1"),
    (b"origin", b"https://bmc.example"),
    (b"access-control-request-method", b"POST"),
    (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    (b"content-length", b"17"),
    (b"x-forwarded-for", b"127.0.0.1"),
    (b"te", b"trailers"),
    (b"x-grpc-web", b"1"),
)


class Answering:
    """What the forwarder needs of a bus."""

    def __init__(self) -> None:
        self.signer = PrincipalSigner()
        self.verifier = PrincipalVerifier(time.monotonic)
        self.verifier.trust([self.signer.public])
        self.metrics = Metrics()
        self.forwarded = 0

    async def ask(self, _token: Any, request: Message[Any]) -> ExchangeTokenResponse:
        if not isinstance(request, ExchangeTokenRequest) or request.token != "good":
            raise Unauthenticated("log in again")
        rights: list[Privilege] = [each for each in Privilege if each is not Privilege.UNSPECIFIED]
        principal = Principal(user="olga", privileges=rights, session="s", expires=time.monotonic() + 600)
        return ExchangeTokenResponse(principal=self.signer.sign(principal), keep_seconds=300)

    async def forward(self, token: Any, request: Message[Any], call: Call) -> Message[Any]:
        request.to_binary()
        assert Call.parse(call.header()).key == call.key
        self.forwarded += 1
        return cast("Message[Any]", token.response())

    async def watch(self, token: Any, request: Message[Any], _call: Call) -> AsyncGenerator[Message[Any], None]:
        request.to_binary()
        self.forwarded += 1
        yield token.response()
        raise Unauthenticated("the session has ended")  # else one that is made of several would go on


def requests(schema: Schema, seed: int) -> Iterator[dict[str, Any]]:
    """Endless: a scope with the body under `body`."""
    dice, mangler = random.Random(seed), Mangler(seed)
    routes = Router(schema).routes
    methods = [each for each in schema.methods if not each.internal]

    def perhaps(data: bytes, chance: float) -> bytes:
        return mangler.mangle(data) if dice.random() < chance else data

    while True:
        headers = [(name, perhaps(value, 0.5)) for name, value in dice.sample(HEADERS, dice.randrange(5))]
        if dice.random() < 0.8:
            headers.append((b"authorization", perhaps(b"Bearer good", 0.05)))
        if dice.random() < 0.5:
            route = dice.choice(routes)
            verb, path, query, body = route.verb, path_of(route), query_of(route), body_of(route)
            headers.append((b"content-type", b"application/json"))
        else:
            method = dice.choice(methods)
            enveloped = method.streams or dice.random() < 0.2
            kind = dice.choice(ENVELOPED if enveloped else PLAIN)
            verb, path, query = "POST", method.token.path.encode(), b""
            if method.side_effect_free and not enveloped and dice.random() < 0.3:
                verb, query = (
                    "GET",
                    b"message=eyJuYW1lIjoiaG9zdC4wIn0&encoding=json&base64=1&connect=v1&compression=gzip",
                )
            filled = method.token.request.from_json(json.dumps(sample(method.token.request.desc())))
            body = filled.to_binary() if b"proto" in kind or kind.endswith(b"grpc") else filled.to_json().encode()
            if enveloped:
                body = struct.pack(">BI", dice.choice((0, 0, 0, 1, 2, 0x80)), len(body)) + body
            headers.append((b"content-type", perhaps(kind, 0.1)))
        target = perhaps(path, 0.2)
        scope: dict[str, Any] = {
            "type": "http", "http_version": "2", "method": verb if dice.random() < 0.95 else dice.choice(VERBS),
            "path": target.decode("latin-1"), "raw_path": target, "query_string": perhaps(query, 0.5) if query else b"",
            "headers": [(b"host", b"bmc.example"), *headers], "client": ("192.0.2.1", 1), "scheme": "https",
            "asgi": {"version": "3.0", "spec_version": "2.3"}, "root_path": "", "server": None,
            "extensions": {"http.response.trailers": {}} if dice.random() < 0.5 else {}, "body": perhaps(body, 0.6),
        }  # fmt: skip
        yield scope


async def ask(app: Front, scope: dict[str, Any]) -> tuple[int, bytes]:
    """Status and body of the answer."""
    parts = [scope.pop("body"), None]
    status: list[int] = []
    body = bytearray()
    over = False

    async def receive() -> dict[str, Any]:
        part = parts.pop(0) if parts else None
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal over
        assert not over or message["type"] == "http.response.trailers"
        if message["type"] == "http.response.start":
            status.append(message["status"])
            for name, value in message["headers"]:
                assert not {10, 13, 0} & {*name, *value}, (name, value)
        elif message["type"] == "http.response.body":
            body.extend(message.get("body", b""))
            over = not message.get("more_body", False)

    await app(scope, receive, send)
    assert len(status) <= 1
    return (status[0] if status else 0), bytes(body)


@pytest.mark.parametrize("turns", TURNS)
async def test_every_request_is_answered_in_words(turns: int, caplog: pytest.LogCaptureFixture) -> None:
    schema, bus = load(), Answering()
    forwarder = Forwarder(schema, cast("Bus", bus), Rates(1e9))
    options = FrontOptions(allowed_origins=frozenset({"https://bmc.example"}), access_log=False)
    app = Front(Door(schema, forwarder), Rates(1e9), options)
    seen: dict[int, int] = {}
    caplog.set_level(logging.ERROR)
    stream = requests(schema, 1)
    for _ in range(REQUESTS * turns):
        scope = next(stream)
        shown = dict(scope)
        try:
            status, body = await ask(app, scope)
        except Exception as error:
            error.add_note(f"the request was {shown}")
            raise
        seen[status] = seen.get(status, 0) + 1
        # a client that goes away before its request is whole gets no answer
        assert status in ANSWERS | {0}, (shown, status, body)
        if found := re.search(rb'^\{(?:"error":\{)?"code":"(\w+)"', body):
            assert found[1].decode() in CODES, (shown, body)
        assert not caplog.records, shown
    assert set(seen) >= {200, 400, 401, 403, 404, 405}
    assert bus.forwarded > REQUESTS // 20
