"""The ASGI 3 types that listener and application share, and reading a bounded request body.

`http.response.trailers` is offered in `scope["extensions"]` on HTTP/2 only; `tls` (the ASGI TLS extension) on every
connection. `send` raises `Disconnected` once the client is gone, so an endless stream cannot spin on a dead client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from ubmc.kit.errors import Exhausted

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class Disconnected(ConnectionResetError):  # noqa: N818 - errors of the house are the plain word
    """The client has gone away; nobody will read an answer."""


class TooLarge(Exhausted):
    """The request body is larger than this caller may send; HTTP 413 at the doors."""


async def read_body(receive: Receive, limit: int) -> bytes:
    """Read a whole request body of at most `limit` bytes.

    The listener enforces the absolute limit and the deadlines; this is the lower one an application sets for a
    caller, such as 4 KiB before authentication. The application answers `TooLarge` and returns; the listener discards
    what the client still sends.

    Raises:
        TooLarge: the body is longer than `limit`.
        Disconnected: the client went away before the body was complete.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected("the client went away before its request was complete")
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the request body is larger than {limit} bytes; send less")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
