"""Consoles over WebSocket: `GET /api/v1alpha1/hosts/{name}/console:attach`, subprotocol `ubmc.console.v1`.

Each binary message is one frame of `ubmc.protocols.console`, passed on as it is: the service that owns the console
looks at it. Back-pressure is the socket's on both sides. A browser shows its cookie by itself on every connection that
any page opens, so a page must be one of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from protobuf import Oneof

from ubmc.kit import bytelink
from ubmc.kit import call as calls
from ubmc.kit.bus import Bus
from ubmc.kit.bytelink import ByteLink
from ubmc.kit.errors import Denied, Invalid, NotFound, UbmcError, Unauthenticated, Unavailable
from ubmc.kit.schema import Schema
from ubmc.kit.tracing import Trace
from ubmc.protocols import console as frames
from ubmc.protocols.terminal_reports import only_reports
from ubmc.services.websrv.forward import Admitted, Forwarder
from ubmc.services.websrv.http.asgi import Disconnected, Receive, Scope, Send
from ubmc.services.websrv.peer import peer_of
from ubmc.services.websrv.responses import headers_of
from ubmc.services.websrv.sockets import fit, refuse
from ubmc.v1alpha1.console_pb import ConsoleWriting, OpenConsoleRequest
from ubmc.v1alpha1.console_rpc import ConsoleService

log = logging.getLogger("ubmc.websrv.console")

RENEW_SECONDS = 30.0
OPEN_SECONDS = 5.0
LONGEST_REPLAY = 16 * 1024 * 1024
_PATH = re.compile(r"/api/v1alpha1/hosts/([A-Za-z0-9._-]{1,64})/console:attach")
_RESTART, _WRONG, _TOO_BIG, _BUG = 1012, 1002, 1009, 1011  # RFC 6455 section 7.4.1, and IANA's registry
_ENDS = {"session": 4401, "denied": 4403, "full": 4429, "stopping": _RESTART, "broken": _WRONG}
_KNOWN = frozenset({"from", "epoch", "replay", "write", "takeOver"})
_FLAGS = {"": False, "true": True, "1": True, "false": False, "0": False}


class _Closing(Exception):  # noqa: N818  an end, not an error
    """How the WebSocket is closed."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Foreign(Denied):
    """The page is not ours."""


class ConsoleSocket:
    """The ASGI application of WebSockets."""

    def __init__(self, schema: Schema, forwarder: Forwarder, bus: Bus) -> None:
        self._forwarder = forwarder
        self._bus = bus
        self._reads = schema.method(ConsoleService.ReadConsole)
        self._writes = schema.method(ConsoleService.WriteConsole)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, from its request to its end."""
        await receive()  # websocket.connect
        headers = headers_of(scope)
        try:
            request, admitted = await self._admit(scope, headers)
            opened = await self._open(request, admitted)
            link = await bytelink.connect(opened[0], opened[1])
        except UbmcError as error:
            trace = Trace.parse(headers.get("traceparent", "")) or Trace.new()
            await refuse(scope, send, error, trace.trace_id, to_pages=not isinstance(error, _Foreign))
            return
        async with link:
            await send({"type": "websocket.accept", "subprotocol": frames.SUBPROTOCOL})
            try:
                await self._carry(link, receive, send, admitted)
            except _Closing as end:
                with contextlib.suppress(Disconnected, OSError):
                    await send({"type": "websocket.close", "code": end.code, "reason": fit(end.reason)})
            except (Disconnected, Unavailable):
                return

    async def _admit(self, scope: Scope, headers: Mapping[str, str]) -> tuple[OpenConsoleRequest, Admitted]:
        match = _PATH.fullmatch(scope["path"])
        if match is None:
            raise NotFound("there is no WebSocket at this path; a console is /api/v1alpha1/hosts/{name}/console:attach")
        _check_origin(headers)
        if frames.SUBPROTOCOL not in scope.get("subprotocols", ()):
            raise Invalid(f"ask for the subprotocol {frames.SUBPROTOCOL}")
        request = opening(match[1], scope.get("query_string", b"").decode("latin-1"))
        writes = request.writing is not ConsoleWriting.UNSPECIFIED
        peer = peer_of(scope)
        admitted = await self._forwarder.admit(self._writes if writes else self._reads, headers, peer)
        return request, admitted

    async def _open(self, request: OpenConsoleRequest, admitted: Admitted) -> tuple[str, bytes]:
        token = calls.current.set(admitted.call(OPEN_SECONDS))
        try:
            opened = await self._bus.ask(ConsoleService.OpenConsole, request, timeout=OPEN_SECONDS)
        finally:
            calls.current.reset(token)
        return opened.socket, opened.ticket

    async def _carry(self, link: ByteLink, receive: Receive, send: Send, admitted: Admitted) -> None:
        typed = asyncio.Event()
        tasks = [
            asyncio.create_task(_to_client(link, send)),
            asyncio.create_task(_from_client(link, receive, typed)),
            asyncio.create_task(self._renew(admitted, typed)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _renew(self, admitted: Admitted, typed: asyncio.Event) -> None:
        """Look now and then whether the session still lives; only who types keeps it from idling."""
        assert admitted.identity is not None
        had = admitted.identity.principal.privileges
        needed = {each.privilege for each in (self._reads, self._writes) if each.privilege in had}
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            attended = typed.is_set()
            typed.clear()
            session = admitted.identity.principal.session
            try:
                now = await self._forwarder.identities.renew(session, admitted.source, attended=attended)
            except Unauthenticated as error:
                raise _Closing(_ENDS["session"], error.message) from error
            except UbmcError:
                continue  # usermgr is away; the next round decides
            if not needed.issubset(now.principal.privileges):
                raise _Closing(_ENDS["denied"], "you may do less than when you attached; attach again")


def opening(name: str, query: str) -> OpenConsoleRequest:
    """What the query of a request asks for.

    Raises:
        Invalid: it cannot be understood.
    """
    fields = {key: values[-1] for key, values in parse_qs(query, keep_blank_values=True, max_num_fields=16).items()}
    if unknown := set(fields) - _KNOWN:
        raise Invalid(f"there is no parameter {min(unknown)[:40]}; there are {', '.join(sorted(_KNOWN))}")
    request = OpenConsoleRequest(name=name, door="websocket", epoch=fields.get("epoch", "")[:64])
    if _flag(fields, "takeOver"):
        request.writing = ConsoleWriting.TAKE_OVER
    elif _flag(fields, "write"):
        request.writing = ConsoleWriting.IF_FREE
    if "from" in fields:
        place: Oneof[Literal["offset"], int] = Oneof("offset", _number(fields, "from", (1 << 63) - 1))
        request.from_ = place
    elif "replay" in fields:
        before: Oneof[Literal["replay_bytes"], int] = Oneof("replay_bytes", _number(fields, "replay", LONGEST_REPLAY))
        request.from_ = before
    return request


def _flag(fields: Mapping[str, str], name: str) -> bool:
    value = fields.get(name, "")
    if value not in _FLAGS:
        raise Invalid(f"{name} is true or false")
    return _FLAGS[value]


def _number(fields: Mapping[str, str], name: str, most: int) -> int:
    value = fields[name]
    if not (value.isascii() and value.isdigit() and len(value) <= 19 and int(value) <= most):
        raise Invalid(f"{name} is a number from 0 to {most}")
    return int(value)


def _check_origin(headers: Mapping[str, str]) -> None:
    """A page that opens this must have come from this door (RFC 6455 section 10.2)."""
    origin = headers.get("origin")
    if origin is None:
        return  # no browser
    try:
        parts = urlsplit(origin)
    except ValueError:
        raise _Foreign("the origin cannot be read") from None
    if parts.scheme != "https" or not parts.netloc or parts.netloc.lower() != headers.get("host", "").lower():
        raise _Foreign(f"pages of {origin[:100]} may not open a console here")


async def _to_client(link: ByteLink, send: Send) -> None:
    try:
        async with contextlib.aclosing(link.frames(frames.Splitter())) as bodies:
            async for body in bodies:
                await send({"type": "websocket.send", "bytes": body})
                if body[0] == frames.End.kind:
                    end = frames.parse(body)
                    assert isinstance(end, frames.End)
                    raise _Closing(_ENDS.get(end.reason, 1000), end.message)
    except Invalid as error:
        log.warning("consolesrv says what cannot be read", extra={"error": error.message})
        raise _Closing(_BUG, "something went wrong") from error
    raise _Closing(_RESTART, "the console service was restarted; attach again")


async def _from_client(link: ByteLink, receive: Receive, typed: asyncio.Event) -> None:
    while True:
        message: Mapping[str, Any] = await receive()
        if message["type"] != "websocket.receive":
            raise Disconnected
        body = message.get("bytes")
        if not body:
            raise _Closing(_WRONG, "a console takes binary messages")
        if len(body) > frames.LONGEST_FRAME:
            raise _Closing(_TOO_BIG, f"a message has at most {frames.LONGEST_FRAME} bytes")
        if body[0] != frames.Input.kind or not only_reports(body[1:]):
            typed.set()
        await link.write(frames.wrap(body))
