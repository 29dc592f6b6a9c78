"""Which part of the door answers which path. What is not listed here does not exist."""

from __future__ import annotations

import hashlib
from importlib import resources

from ubmc.kit.errors import NotFound, UbmcError
from ubmc.kit.schema import Schema
from ubmc.kit.tracing import Trace
from ubmc.protocols.rest.encode import JSON
from ubmc.services.websrv.connect import Connect
from ubmc.services.websrv.forward import Forwarder
from ubmc.services.websrv.http.asgi import App, Receive, Scope, Send
from ubmc.services.websrv.peer import peer_of
from ubmc.services.websrv.responses import headers_of, respond, respond_error, respond_miss
from ubmc.services.websrv.rest import Rest
from ubmc.services.websrv.static import Pages
from ubmc.v1alpha1.system_pb import GetMetricsRequest, GetMetricsResponse
from ubmc.v1alpha1.system_rpc import SystemService, TelemetryService

OPENAPI = "/api/v1alpha1/openapi.json"
METRICS = "/metrics"
_OPENMETRICS = b"application/openmetrics-text; version=1.0.0; charset=utf-8"
_UNBUILT = (
    b"u-bmc. The web UI is not in this installation: build it with `make webui`, and start again.\n"
    b"The API is described at /api/v1alpha1/openapi.json.\n"
)
_NORMAL_CLOSURE = 1000
_READING = ("GET", "HEAD")

PUBLIC_PATHS = frozenset({"/", OPENAPI})
"""What can be read without logging in, beside the public RPCs of the schema and the files of the web UI."""
KNOWN_ONLY = frozenset({"/licences.json"})
"""Files of the web UI that tell versions: only for those who are logged in."""


_READ_ONLY = PUBLIC_PATHS | {METRICS}


class Door:
    """The ASGI application of the whole door."""

    def __init__(
        self,
        schema: Schema,
        forwarder: Forwarder,
        pages: Pages | None = None,
        redfish: App | None = None,
        sockets: App | None = None,
    ) -> None:
        self._forwarder = forwarder
        self._pages = pages or Pages()
        self._redfish = redfish
        self._sockets = sockets
        self._rest = Rest(schema, forwarder)
        self._connect = Connect(schema, forwarder)
        self._metrics = schema.method(TelemetryService.GetMetrics)
        self._versions = schema.method(SystemService.GetSystem)  # who may ask for ours may know those of our parts
        self._openapi = resources.files("ubmc.v1alpha1").joinpath("openapi.json").read_bytes()
        self._openapi_tag = b'"%s"' % hashlib.sha256(self._openapi).hexdigest()[:32].encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket" and self._sockets is not None:
            await self._sockets(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": _NORMAL_CLOSURE})
            return
        path = scope["path"]
        if path in _READ_ONLY and scope["method"] not in _READING:
            await respond_miss(send, _READING, Trace.new().trace_id)
        elif path.startswith("/ubmc.v1alpha1."):
            await self._connect(scope, receive, send)
        elif path == OPENAPI:
            await self._describe(scope, send)
        elif path.startswith("/api/"):
            await self._rest(scope, receive, send)
        elif self._redfish is not None and (path == "/redfish" or path.startswith("/redfish/")):
            await self._redfish(scope, receive, send)
        elif path == METRICS:
            await self._measure(scope, send)
        elif scope["method"] in _READING and await self._show(scope, send):
            return
        elif path == "/":
            await respond(send, 200, _UNBUILT, b"text/plain; charset=utf-8")
        else:
            error = NotFound(f"there is nothing at this path; see {OPENAPI}")
            await respond_error(send, error, Trace.new().trace_id)

    async def _describe(self, scope: Scope, send: Send) -> None:
        if headers_of(scope).get("if-none-match", "").encode() == self._openapi_tag:
            await respond(send, 304, b"", JSON, ((b"etag", self._openapi_tag),))
            return
        await respond(send, 200, self._openapi, JSON, ((b"etag", self._openapi_tag),))

    async def _show(self, scope: Scope, send: Send) -> bool:
        """Answer with a file of the web UI, or why somebody does not get it. Gives whether it was answered."""
        if scope["path"] in KNOWN_ONLY:
            try:
                await self._forwarder.admit(self._versions, headers_of(scope), peer_of(scope))
            except UbmcError as error:
                await respond_error(send, error, Trace.new().trace_id)
                return True
        return await self._pages.answer(scope, send)

    async def _measure(self, scope: Scope, send: Send) -> None:
        trace = Trace.new()
        headers = {**headers_of(scope), "traceparent": str(trace)}
        try:
            admitted = await self._forwarder.admit(self._metrics, headers, peer_of(scope))
            answer = await self._forwarder.call(admitted, GetMetricsRequest())
        except UbmcError as error:
            await respond_error(send, error, trace.trace_id)
            return
        assert isinstance(answer, GetMetricsResponse)
        await respond(send, 200, answer.text.encode(), _OPENMETRICS)
