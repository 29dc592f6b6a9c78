"""From the header list of an HTTP/2 request to an ASGI scope; pure.

The h2 library has checked the grammar (RFC 9113 section 8.2 and 8.3); here are our limits and what ASGI wants.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from ubmc.services.websrv.http.answers import RequestError
from ubmc.services.websrv.http.gate import Facts
from ubmc.services.websrv.http.limits import Limits

FIELD_OVERHEAD_BYTES = 4  # as counted for HTTP/1.1, so that both have one limit


def scope_of(fields: Iterable[tuple[bytes, bytes]], limits: Limits, facts: Facts) -> tuple[dict[str, Any], int | None]:
    """The ASGI scope of a request, and its Content-Length if it has one.

    Raises:
        RequestError: too many or too large headers, two Hosts or Content-Lengths, or no usable path.
    """
    pseudo: dict[bytes, bytes] = {}
    headers: list[tuple[bytes, bytes]] = []
    size = 0
    for name, value in fields:
        size += len(name) + len(value) + FIELD_OVERHEAD_BYTES
        if name.startswith(b":"):
            pseudo[bytes(name)] = bytes(value)
        else:
            headers.append((bytes(name), bytes(value)))
    if size > limits.header_bytes:
        raise RequestError(431, "header_bytes")
    if len(headers) > limits.header_count:
        raise RequestError(431, "header_count")
    length = _judge(headers, pseudo)
    raw_path, _, query = pseudo.get(b":path", b"").partition(b"?")
    if not raw_path.startswith(b"/") and raw_path != b"*":
        raise RequestError(400, "path")
    try:
        path, method = raw_path.decode("ascii"), pseudo[b":method"].decode("ascii")
    except UnicodeDecodeError as error:
        raise RequestError(400, "path") from error
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "2",
        "method": method,
        "scheme": "https",
        "path": unquote(path) if "%" in path else path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": facts.client,
        "server": facts.server,
        "state": {},
        "ubmc.standing": facts.standing,
        "extensions": {"tls": facts.tls, "http.response.trailers": {}},
    }
    return scope, length


def _judge(headers: list[tuple[bytes, bytes]], pseudo: dict[bytes, bytes]) -> int | None:
    names = [name for name, _ in headers]
    hosts, lengths = names.count(b"host"), names.count(b"content-length")
    if hosts > 1:
        raise RequestError(400, "host")
    if not hosts:
        authority = pseudo.get(b":authority")
        if not authority:
            raise RequestError(400, "host")
        headers.insert(0, (b"host", authority))
    if not lengths:
        return None
    length = dict(headers)[b"content-length"]
    if lengths > 1 or not length.isdigit():
        raise RequestError(400, "framing")
    return int(length)
