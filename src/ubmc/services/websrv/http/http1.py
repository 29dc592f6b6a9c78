"""HTTP/1.1 on uvicorn's httptools protocol, with the limits it lacks.

uvicorn parses, frames and runs the application. Added here: bounds and deadlines of head and body, refusal of requests
that two parsers could read differently (RFC 9112 section 6.3), head and body in one write, and an end to every wait of
an application whose client has gone.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import math
import re
from functools import partial
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from ubmc.services.websrv.http.answers import ANSWERS, RequestError
from ubmc.services.websrv.http.asgi import Disconnected, Message, Receive, Scope, Send
from ubmc.services.websrv.http.gate import Facts, Gate, Shared
from ubmc.services.websrv.http.outlet import Outlet
from ubmc.services.websrv.http.websocket import WebSocket

log = logging.getLogger("ubmc.websrv.http")

FIELD_OVERHEAD_BYTES = 4  # ": " and CRLF
_METHOD = re.compile(rb"[A-Z]{3,64} /")
"""What begins like a request; with a method that nobody knows it is answered with 501 (RFC 9110, 9.1)."""


class Phase(enum.Enum):
    """Where in a request the client is."""

    IDLE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    SENT = enum.auto()


def uvicorn_config(shared: Shared) -> Config:
    """Uvicorn's settings: no headers of its own, no trust in forwarding headers, no logging set-up."""
    config = Config(
        shared.app, http=HttpToolsProtocol, ws=WebSocket, interface="asgi3", lifespan="off",
        log_config=None, log_level="warning", access_log=False,
        proxy_headers=False, server_header=False, date_header=False,
        ws_per_message_deflate=False, ws_max_size=shared.limits.websocket_message_bytes,
    )  # fmt: skip
    config.load()
    return config


class Http1(HttpToolsProtocol):
    """One HTTP/1.1 connection, until it becomes a WebSocket."""

    def __init__(self, shared: Shared, gate: Gate, outlet: Outlet, facts: Facts) -> None:
        if shared.http1 is None:
            shared.http1 = (uvicorn_config(shared), ServerState())
        config, state = shared.http1
        super().__init__(config, state, {}, shared.loop)
        self.tasks = shared.tasks
        self.transport: Outlet = outlet
        self.flow = FlowControl(outlet)
        self.client, self.server, self.scheme = facts.client, facts.server, "https"
        self._shared = shared
        self._limits = shared.limits
        self._gate = gate
        self._facts = facts
        self._active: RequestResponseCycle | None = None  # whose application runs
        self._current: RequestResponseCycle | None = None  # whose request is being read
        self._error: RequestError | None = None
        self._phase = Phase.IDLE
        # a new connection must say something within the header deadline; a used one may idle
        self._since = self.loop.time()
        self._patience = self._limits.header_seconds
        self._fed = 0
        self._head_bytes = 0
        self._body_bytes = 0
        self._deaf = False

    # bytes in

    def data_received(self, data: bytes) -> None:
        """Feed the parser; refuse what breaks a rule."""
        if self._deaf:
            return
        if self._phase is Phase.IDLE:
            self._enter(Phase.HEAD, self._limits.header_seconds)
            self._fed = 0
        self._fed += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserInvalidMethodError:
            # the end of the body before may have come in the same piece
            self._refuse(RequestError(501, "method") if _METHOD.search(data) else RequestError(400, "malformed"))
        except httptools.HttpParserError:
            self._refuse(self._error or RequestError(400, "malformed"))
        else:
            # an unfinished field is kept inside the parser, where only the bytes fed tell its size
            if self._phase is Phase.HEAD and self._fed > self._limits.header_bytes:
                self._refuse(RequestError(431, "header_bytes"))

    def _enter(self, phase: Phase, patience: float) -> None:
        self._phase = phase
        self._since = self.loop.time()
        self._patience = patience

    def _upgrade(self, rest: bytes) -> None:
        if not self._should_upgrade():
            self._deaf = True  # answered as a plain request, after which the connection ends
            return
        socket = WebSocket(self.config, self.server_state, self.app_state, self.loop)
        socket.adopt(self.transport, self._facts, self.tasks)
        self._gate.handler = socket
        lines = [b"%s %s HTTP/1.1\r\n" % (self.parser.get_method(), self.url)]
        lines += [b"%s: %s\r\n" % pair for pair in self.headers]
        self._shared.counts.requests["websocket"] += 1
        socket.data_received(b"".join(lines) + b"\r\n")
        if rest:
            socket.data_received(rest)

    # parser callbacks

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = {"tls": self._facts.tls}
        scope: Any = self.scope  # a key of our own
        scope["ubmc.standing"] = self._facts.standing
        if self._phase is not Phase.HEAD:
            self._enter(Phase.HEAD, self._limits.header_seconds)
            self._fed = 0
        self._current = None
        self._head_bytes = 0
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of the head; fields after the body are counted and dropped, they would pose as headers."""
        self._count_head(len(name) + len(value) + FIELD_OVERHEAD_BYTES)
        if self._phase is Phase.BODY:
            return
        if len(self.headers) >= self._limits.header_count:
            self._fail(431, "header_count")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete: judge it, and let the application begin."""
        length = self._judge_head()
        self._enter(Phase.BODY, self._limits.body_seconds)
        if length is not None and length > self._limits.body_bytes:
            self._fail(413, "body_bytes")
        if len(self.pipeline) >= self._limits.pipeline_requests:
            self._fail(400, "pipeline_requests")
        super().on_headers_complete()
        upgrade = self.parser.should_upgrade()
        if not (upgrade and self._should_upgrade()):
            self._shared.counts.requests[self.parser.get_http_version()] += 1
            self._current = self.cycle
            self.cycle.keep_alive = self.cycle.keep_alive and not upgrade

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._fail(413, "body_bytes")
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._enter(Phase.SENT, math.inf)
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:
            self._rest()

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._limits.header_bytes:
            self._fail(431, "header_bytes")

    def _judge_head(self) -> int | None:
        """Refuse what is ambiguous; returns the Content-Length, if there is one."""
        names = [name for name, _ in self.headers]
        hosts, lengths, codings = (names.count(n) for n in (b"host", b"content-length", b"transfer-encoding"))
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() != "1.0"):
            self._fail(400, "host")
        if lengths > 1 or codings > 1 or (lengths and codings):
            self._fail(400, "framing")
        fields = dict(self.headers) if lengths or codings else {}
        if codings and fields[b"transfer-encoding"].lower() != b"chunked":
            self._fail(400, "framing")
        if not lengths:
            return None
        length = fields[b"content-length"]
        if not length.isdigit():
            self._fail(400, "framing")
        return int(length)

    def _fail(self, status: int, limit: str) -> None:
        # httptools turns what a callback raises into its own error, so the reason is kept here
        self._error = RequestError(status, limit)
        raise self._error

    # the application

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._active = cycle
        super()._start_asgi_task(cycle, partial(self._serve, cycle, app))

    async def _serve(self, cycle: RequestResponseCycle, app: Any, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_stop(message: Message) -> None:
            if cycle.disconnected:
                raise Disconnected("the client went away before the answer was complete")
            if message["type"] == "http.response.start":
                self.transport.cork()
                if cycle.waiting_for_100_continue:
                    cycle.keep_alive = False  # the client may send its body now, or never
            await send(message)

        try:
            await app(scope, receive, send_or_stop)
        except (Exception, asyncio.CancelledError):
            if not cycle.disconnected:
                raise
            log.debug("request ended after its client had gone", exc_info=True)

    def on_response_complete(self) -> None:
        """The answer is complete: the next request, or rest."""
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._phase is Phase.SENT:
            self._rest()

    def _rest(self) -> None:
        self._enter(Phase.IDLE, self._limits.idle_seconds)

    # the end

    def _refuse(self, error: RequestError) -> None:
        self._shared.counts.limited[error.limit] += 1
        if self._current is not None and self._current.response_complete:
            self.transport.linger()  # answered already, only its body was to come
            return
        begun = self._disconnect()
        if begun:
            self._gate.abort()  # an answer has begun: there is no way left to say anything
            return
        self.transport.write(ANSWERS[error.status].http1())
        self.transport.linger()

    def _disconnect(self) -> bool:
        """Tell all running requests that nobody listens; returns whether one had begun to answer."""
        self.pipeline.clear()
        begun = False
        for cycle in (self._active, self.cycle):
            if cycle is not None and not cycle.response_complete:
                begun = begun or cycle.response_started
                cycle.disconnected = True
                cycle.message_event.set()
        self.flow.resume_writing()
        return begun

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._disconnect()
        self.parser = None  # type: ignore[assignment] # breaks the cycle between parser and protocol

    def expire(self, now: float) -> None:
        """Enforce the deadlines of silence, head and body."""
        if self._phase is Phase.BODY:
            # a body that waits for the application is not the client's fault
            late = not self.flow.read_paused and now > self._limits.body_deadline(self._since, self._body_bytes)
        else:
            late = now - self._since > self._patience
        if not late:
            return
        if self._phase is Phase.IDLE:
            self._shared.counts.limited["idle_seconds"] += 1
            self.transport.close()
        else:
            self._refuse(RequestError(408, "header_seconds" if self._phase is Phase.HEAD else "body_seconds"))

    def shutdown(self) -> None:
        """Close when the running answer is complete, at once if there is none."""
        if self._active is None or self._active.response_complete:
            self.transport.close()
        else:
            self._active.keep_alive = False
            self.pipeline.clear()
