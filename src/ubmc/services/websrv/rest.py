"""The REST form of every RPC that has one, over ASGI. Routes, decoding and encoding are pure, in protocols/rest."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

from protobuf import Message

from ubmc.kit.errors import Internal, NotFound, UbmcError
from ubmc.kit.schema import Schema
from ubmc.kit.tracing import Trace
from ubmc.protocols.rest.decode import decode, resume
from ubmc.protocols.rest.encode import EVENT_STREAM, HEARTBEAT, JSON, cursor_of, encode, error_event, event
from ubmc.protocols.rest.router import Match, Router
from ubmc.services.websrv import browser
from ubmc.services.websrv.forward import Admitted, Forwarder
from ubmc.services.websrv.http.asgi import Disconnected, Receive, Scope, Send, TooLarge, read_body
from ubmc.services.websrv.peer import peer_of
from ubmc.services.websrv.responses import (
    COMMON,
    declared_length,
    headers_of,
    respond,
    respond_error,
    respond_miss,
)

log = logging.getLogger("ubmc.websrv.rest")

HEARTBEAT_SECONDS = 15.0
FIRST_HEARTBEAT_SECONDS = 1.0  # so that a client sees early that its watch was accepted
PUBLIC_BODY = 4 * 1024
BODY = 128 * 1024
_BUG = "something went wrong; the log has it under the trace id"


class Rest:
    """The ASGI application below `/api/v1alpha1/`."""

    def __init__(self, schema: Schema, forwarder: Forwarder) -> None:
        self._router = Router(schema)
        self._forwarder = forwarder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = headers_of(scope)
        trace = Trace.parse(headers.get("traceparent", "")) or Trace.new()
        try:
            await self._answer(scope, receive, send, {**headers, "traceparent": str(trace)})
        except Disconnected:
            return
        except UbmcError as error:
            await respond_error(send, error, trace.trace_id)
        except Exception:
            log.exception("a bug: a request failed", extra={"trace_id": trace.trace_id, "path": scope["path"]})
            await respond_error(send, Internal(_BUG), trace.trace_id)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]) -> None:
        found = self._router.find(scope["method"], scope.get("raw_path") or scope["path"].encode())
        if not isinstance(found, Match):
            await self._miss(send, found.allow, headers)
            return
        method = found.route.method
        admitted = await self._forwarder.admit(method, headers, peer_of(scope))
        limit = PUBLIC_BODY if method.public else BODY
        if declared_length(headers) > limit:
            raise TooLarge(f"the request body is larger than {limit} bytes; send less")
        request = decode(found, scope.get("query_string", b""), await read_body(receive, limit))
        if method.streams:
            resume(found.route, request, headers.get("last-event-id", "").encode("latin-1"))
            await _EventStream(send, admitted).run(self._forwarder.watch(admitted, request), receive)
            return
        answer = await self._forwarder.call(admitted, request)
        cookies = browser.cookies_for(method, headers, answer)
        trace_id = admitted.trace.trace_id.encode()
        await respond(send, 200, encode(answer), JSON, ((b"trace-id", trace_id), *cookies))

    @staticmethod
    async def _miss(send: Send, allow: tuple[str, ...], headers: dict[str, str]) -> None:
        if not allow:
            raise NotFound("there is nothing at this path; /api/v1alpha1/openapi.json lists what there is")
        await respond_miss(send, allow, headers["traceparent"].split("-")[1])


class _EventStream:
    """One answer as server-sent events."""

    def __init__(self, send: Send, admitted: Admitted) -> None:
        self._send = send
        self._trace_id = admitted.trace.trace_id
        self._started = False

    async def run(self, items: AsyncGenerator[Message[Any], None], receive: Receive) -> None:
        """Send until the stream ends or the client goes away; a refusal before the first item is an ordinary error."""
        gone = asyncio.ensure_future(_disconnect(receive))
        reading = asyncio.ensure_future(anext(items, None))
        try:
            while gone not in (await self._first(reading, gone)):
                if not reading.done():
                    await self._chunk(HEARTBEAT)
                    continue
                if not self._started and reading.exception() is not None:
                    reading.result()
                if not await self._item(reading):
                    return
                reading = asyncio.ensure_future(anext(items, None))
        finally:
            for task in (gone, reading):
                task.cancel()
            await asyncio.gather(gone, reading, return_exceptions=True)
            await items.aclose()

    async def _first(self, reading: asyncio.Future[Any], gone: asyncio.Future[Any]) -> set[asyncio.Future[Any]]:
        wait = HEARTBEAT_SECONDS if self._started else FIRST_HEARTBEAT_SECONDS
        done, _ = await asyncio.wait((reading, gone), timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        return done

    async def _item(self, reading: asyncio.Future[Message[Any] | None]) -> bool:
        """Send what was read; whether there may be more."""
        try:
            item = reading.result()
        except UbmcError as error:
            await self._chunk(error_event(error, self._trace_id), more=False)
            return False
        except Exception:
            log.exception("a bug: a stream failed", extra={"trace_id": self._trace_id})
            await self._chunk(error_event(Internal(_BUG), self._trace_id), more=False)
            return False
        if item is None:
            await self._chunk(b"", more=False)
            return False
        await self._chunk(event(item, cursor_of(item)))
        return True

    async def _chunk(self, data: bytes, *, more: bool = True) -> None:
        if not self._started:
            self._started = True
            headers = [(b"content-type", EVENT_STREAM), *COMMON, (b"trace-id", self._trace_id.encode())]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": data, "more_body": more})


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
