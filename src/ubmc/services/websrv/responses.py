"""Whole answers over ASGI: head and body one after the other, with the headers that every answer of ours has."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from ubmc.kit.errors import Exhausted, UbmcError
from ubmc.protocols.rest.encode import JSON, problem
from ubmc.services.websrv.http.asgi import Scope, Send, TooLarge

Header = tuple[bytes, bytes]

# No answer of the API is a page: nothing may be loaded, framed, sniffed or kept because of it.
COMMON: tuple[Header, ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


_LENGTH_DIGITS = 18


def headers_of(scope: Scope) -> Mapping[str, str]:
    """The headers of a request; of one that comes twice the first counts.

    But for cookies, which browsers send in crumbs over HTTP/2 and HTTP/3 (RFC 9113, 8.2.3).
    """
    headers: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
        if name == "cookie" and name in headers:
            headers[name] += f"; {text}"
        else:
            headers.setdefault(name, text)
    return headers


def declared_length(headers: Mapping[str, str]) -> int:
    """The length of the body as the client declares it; 0 if it does not."""
    text = headers.get("content-length", "")
    if not (text.isascii() and text.isdecimal()):
        return 0
    return int(text) if len(text) <= _LENGTH_DIGITS else sys.maxsize


async def respond(send: Send, status: int, body: bytes, content_type: bytes, extra: Iterable[Header] = ()) -> None:
    """Send a whole answer."""
    headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        *COMMON,
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def respond_error(send: Send, error: UbmcError, trace_id: str, extra: Iterable[Header] = ()) -> None:
    """Send an error in its REST form."""
    status, body = problem(error, trace_id)
    if isinstance(error, TooLarge):
        status = 413
    more = [*extra]
    if status == 401:
        more.append((b"www-authenticate", b'Bearer realm="u-bmc"'))
    if isinstance(error, Exhausted) and error.retry_seconds:
        more.append((b"retry-after", b"%d" % math.ceil(error.retry_seconds)))
    await respond(send, status, body, JSON, more)


async def respond_miss(send: Send, allow: Iterable[str], trace_id: str) -> None:
    """Say that the path is right and the method is not (RFC 9110, 15.5.6)."""
    methods = ", ".join(allow)
    content = {"code": "unimplemented", "message": f"this path takes {methods}", "details": [], "traceId": trace_id}
    await respond(send, 405, orjson.dumps(content), JSON, ((b"allow", methods.encode()),))


async def respond_json(send: Send, status: int, content: Any) -> None:
    """Send a JSON answer that is no message of the schema."""
    await respond(send, status, orjson.dumps(content), JSON)
