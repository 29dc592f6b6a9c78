"""What every request passes before any part of the door sees it, and every answer on its way out.

In: the address as the owner's proxies tell it, the rate of that address, the origin of a browser's page. Out: a request
id, CORS headers for allowed origins, a strong ETag and 304 for what was read, compression, one line in the access log.
"""

from __future__ import annotations

import hashlib
import logging
import time
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from ubmc.kit.addresses import address_key
from ubmc.kit.errors import Denied, UbmcError
from ubmc.kit.tracing import Trace
from ubmc.services.websrv.http.asgi import App, Receive, Scope, Send
from ubmc.services.websrv.peer import Network, Peer, forwarded_for, peer_of
from ubmc.services.websrv.rates import REMEMBERED, Rates
from ubmc.services.websrv.responses import Header, respond, respond_error
from ubmc.services.websrv.sockets import OPENED, Watched, refuse

log = logging.getLogger("ubmc.access")

SMALLEST_COMPRESSED = 1024
LARGEST_COMPRESSED = 512 * 1024  # more would hold up everybody else
PLAIN = "ubmc.plain"
"""A mark that a part of the door sets in `http.response.start`: send it as it is, it is not worth compressing."""
_LEVEL = 3
_GZIP = 31  # zlib's window bits for the gzip format
_COMPRESSIBLE = (
    b"application/json",
    b"text/",
    b"application/openmetrics-text",
    b"application/javascript",
    b"image/svg",
)
_CORS_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_CORS_HEADERS = (
    b"authorization, content-type, connect-protocol-version, connect-timeout-ms, grpc-timeout, idempotency-key, "
    b"if-match, if-none-match, last-event-id, traceparent, x-grpc-web, x-user-agent"
)
_CORS_EXPOSED = b"etag, trace-id, x-request-id, grpc-status, grpc-message, grpc-status-details-bin"
_CORS_SECONDS = b"600"


@dataclass(frozen=True, slots=True)
class FrontOptions:
    """What policy and owner want."""

    allowed_origins: frozenset[str] = frozenset()
    """Pages of these may call the API with a token; none by default. Cookies stay with our own pages."""
    proxies: Collection[Network] = ()
    """Whose `X-Forwarded-For` is believed; nobody's by default."""
    alt_svc: bytes = b""
    """Where HTTP/3 is offered, as the value of `Alt-Svc`; empty where it is not."""
    access_log: bool = True


class Front:
    """An ASGI application around the door."""

    def __init__(self, app: App, rates: Rates, options: FrontOptions) -> None:
        self._app = app
        self._rates = rates
        self.options = options
        """May be replaced at any time; holds for the next request."""
        self._bucket = lru_cache(REMEMBERED)(lambda source: f"address {address_key(source)}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = dict(scope["headers"])
        peer = peer_of(scope)
        if self.options.proxies:
            # each proxy may add a line of its own; together they are one list (RFC 9110, 5.3)
            hops = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
            forwarded = b",".join(hops).decode("latin-1")
            peer.source = forwarded_for(peer.source, forwarded, self.options.proxies)
        trace = Trace.parse(headers.get(b"traceparent", b"").decode("latin-1")) or Trace.new()
        scope["headers"] = [each for each in scope["headers"] if each[0] != b"traceparent"]
        scope["headers"].append((b"traceparent", str(trace).encode()))
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send, peer, trace)
            return
        answer = _Answer(send, scope["method"], headers, self._extra(headers, trace))
        began = time.perf_counter()
        try:
            if not await self._stopped(headers, peer, trace, answer):
                await self._app(scope, receive, answer.send)
        finally:
            if self.options.access_log:
                log.info(
                    "request",
                    extra={
                        "method": peer.method,
                        "path": peer.path[:200],
                        "status": answer.status,
                        "bytes": answer.size,
                        "milliseconds": round((time.perf_counter() - began) * 1000, 1),
                        "source": peer.source,
                        "user": peer.user,
                        "http": scope.get("http_version", ""),
                        "trace_id": trace.trace_id,
                    },
                )

    async def _socket(self, scope: Scope, receive: Receive, send: Send, peer: Peer, trace: Trace) -> None:
        """Let a WebSocket in, or not; the log has a line when it opens, and one when it is over."""

        def opened() -> None:
            if self.options.access_log:
                self._record("websocket opened", peer, trace, watched, 0.0)

        watched = Watched(receive, send, opened)
        began = time.perf_counter()
        try:
            try:
                self._rates.take(self._bucket(peer.source))
            except UbmcError as error:
                await watched.receive()  # websocket.connect
                await refuse(scope, watched.send, error, trace.trace_id)
                return
            await self._app(scope, watched.receive, watched.send)
        finally:
            if self.options.access_log:
                how = "websocket closed" if watched.status == OPENED else "websocket refused"
                self._record(how, peer, trace, watched, time.perf_counter() - began)

    async def _stopped(self, headers: dict[bytes, bytes], peer: Peer, trace: Trace, answer: _Answer) -> bool:
        """Whether the request was answered here and goes no further."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        try:
            self._rates.take(self._bucket(peer.source))
            if origin and not self._ours(origin, headers) and origin not in self.options.allowed_origins:
                raise Denied(f"pages of {origin[:100]} may not call this API")
        except UbmcError as error:
            await respond_error(answer.send, error, trace.trace_id)
            return True
        if origin and peer.method == "OPTIONS" and b"access-control-request-method" in headers:
            await respond(answer.send, 204, b"", b"text/plain", _PREFLIGHT)
            return True
        return False

    @staticmethod
    def _ours(origin: str, headers: dict[bytes, bytes]) -> bool:
        """Whether a page comes from this door: the host that it was got from is the one that the request names."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        host = headers.get(b"host", b"")
        return parts.scheme == "https" and parts.netloc.lower() == host.decode("latin-1").lower() != ""

    def _extra(self, headers: dict[bytes, bytes], trace: Trace) -> list[Header]:
        extra: list[Header] = [(b"x-request-id", trace.trace_id.encode())]
        if self.options.alt_svc:
            extra.append((b"alt-svc", self.options.alt_svc))
        origin = headers.get(b"origin", b"")
        if self.options.allowed_origins:
            extra.append((b"vary", b"origin"))
            if origin.decode("latin-1") in self.options.allowed_origins:
                extra += [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", _CORS_EXPOSED)]
        return extra

    @staticmethod
    def _record(what: str, peer: Peer, trace: Trace, watched: Watched, seconds: float) -> None:
        log.info(
            what,
            extra={
                "method": peer.method,
                "path": peer.path[:200],
                "status": watched.status,
                "code": watched.code,
                "bytes": watched.sent,
                "bytes_received": watched.received,
                "seconds": round(seconds, 1),
                "source": peer.source,
                "user": peer.user,
                "trace_id": trace.trace_id,
            },
        )


_PREFLIGHT: tuple[Header, ...] = (
    (b"access-control-allow-methods", _CORS_METHODS),
    (b"access-control-allow-headers", _CORS_HEADERS),
    (b"access-control-max-age", _CORS_SECONDS),
)


_BY_ENCODING = b"accept-encoding"


class _Answer:
    """One answer on its way out: whole ones get tag and compression, streams pass as they are."""

    def __init__(self, send: Send, method: str, headers: dict[bytes, bytes], extra: list[Header]) -> None:
        self._send = send
        self._headers = headers
        self._extra = extra
        self._reading = method in ("GET", "HEAD")
        self._held: dict[str, Any] | None = None
        self._plain = False
        self.status = 0
        self.size = 0

    async def send(self, message: Any) -> None:
        """Take one message of the application."""
        kind = message["type"]
        if kind == "http.response.start":
            self.status = message["status"]
            self._held = {**message, "headers": [*message["headers"], *self._extra]}
            self._plain = self._held.pop(PLAIN, False)
            if _value(self._held["headers"], b"content-length") is None:
                await self._release()  # a stream: its first bytes may be long in coming
            return
        if kind == "http.response.body":
            body = message.get("body", b"")
            if self._held is not None and not message.get("more_body", False):
                body = self._finish(self._held, body)
                message = {**message, "body": body}
            self.size += len(body)
        await self._release()
        await self._send(message)

    async def _release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            await self._send(held)

    def _finish(self, start: dict[str, Any], body: bytes) -> bytes:
        """The body as it is sent, with the headers that belong to it."""
        headers: list[Header] = start["headers"]
        squeezable = not self._plain and self._may_compress(headers, body)
        if squeezable and (b"vary", _BY_ENCODING) not in headers:
            headers.append((b"vary", _BY_ENCODING))  # also on the plain form, and on 304 (RFC 9110, 12.5.5 and 15.4.5)
        if start["status"] == 200 and self._reading and body:
            tag = _value(headers, b"etag")
            if tag is None:
                tag = b'"%s"' % hashlib.blake2b(body, digest_size=12).hexdigest().encode()
                headers.append((b"etag", tag))
            if _matches(self._headers.get(b"if-none-match", b""), tag):
                self.status = start["status"] = 304
                start["headers"] = [each for each in headers if each[0] not in (b"content-length", b"content-type")]
                return b""
        if squeezable and _accepts_gzip(self._headers.get(b"accept-encoding", b"")):
            squeezer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
            body = squeezer.compress(body) + squeezer.flush()
            headers = [each for each in headers if each[0] != b"content-length"]
            headers = [(name, _squeezed(value) if name == b"etag" else value) for name, value in headers]
            headers += [
                (b"content-length", b"%d" % len(body)),
                (b"content-encoding", b"gzip"),
            ]
            start["headers"] = headers
        return body

    @staticmethod
    def _may_compress(headers: list[Header], body: bytes) -> bool:
        """Whether it is sent compressed to those who take that."""
        if not SMALLEST_COMPRESSED <= len(body) <= LARGEST_COMPRESSED:
            return False
        # an answer with a cookie holds a secret, and its length must not tell of it
        if _value(headers, b"content-encoding") is not None or _value(headers, b"set-cookie") is not None:
            return False
        return (_value(headers, b"content-type") or b"").startswith(_COMPRESSIBLE)


def _value(headers: list[Header], name: bytes) -> bytes | None:
    return next((value for each, value in headers if each.lower() == name), None)


def _matches(asked: bytes, tag: bytes) -> bool:
    """Whether `If-None-Match` names this tag; weak ones compare too (RFC 9110, 13.1.2)."""
    if not asked:
        return False
    tags = {each.strip().removeprefix(b"W/") for each in asked.split(b",")}
    return b"*" in tags or tag in tags or _squeezed(tag) in tags


def _squeezed(tag: bytes) -> bytes:
    """The tag of the compressed form: other bytes, so another strong tag (RFC 9110, 8.8.3.3)."""
    return tag[:-1] + b'-gz"' if tag.startswith(b'"') else tag


def _accepts_gzip(accepted: bytes) -> bool:
    """Whether `Accept-Encoding` takes gzip (RFC 9110, 12.5.3)."""
    for part in accepted.lower().split(b","):
        name, _, weight = part.partition(b";")
        if name.strip() in (b"gzip", b"*"):
            return weight.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False
