"""Connect, gRPC and gRPC-Web for every RPC, through the kept library, from the schema's tokens alone.

Admission is an interceptor that runs before the body is read; the library then says a refusal in the words of
whichever protocol the client speaks.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from typing import Any

import orjson
from connectrpc.code import Code
from connectrpc.codec import proto_binary_codec, proto_json_codec
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.request import RequestContext
from connectrpc.server import ConnectASGIApplication, Endpoint
from protobuf import Message

from ubmc.kit.errors import FACES, Internal, Invalid, UbmcError
from ubmc.kit.schema import Method, Schema
from ubmc.kit.tracing import Trace
from ubmc.services.websrv import browser
from ubmc.services.websrv.forward import CALL_SECONDS, Admitted, Forwarder
from ubmc.services.websrv.http.asgi import Disconnected, Receive, Scope, Send, TooLarge, read_body
from ubmc.services.websrv.peer import peer_of
from ubmc.services.websrv.responses import COMMON, declared_length, headers_of, respond_error
from ubmc.services.websrv.rest import BODY, PUBLIC_BODY
from ubmc.v1alpha1.deps.buf.validate.validate_pb import FieldPath, FieldPathElement, Violation, Violations

log = logging.getLogger("ubmc.websrv.connect")

_CODES = {code.value: code for code in Code}
_admitted: ContextVar[dict[str, Any]] = ContextVar("ubmc_connect")


def to_connect(error: UbmcError) -> ConnectError:
    """The error in the words of Connect; violations become a `buf.validate.Violations` detail."""
    details = []
    if error.violations:
        violations = [
            Violation(
                field=FieldPath(elements=[FieldPathElement(field_name=part) for part in each.field.split(".")]),
                rule_id=each.rule,
                message=each.message,
            )
            for each in error.violations
        ]
        details.append(Violations(violations=violations))
    return ConnectError(_CODES[FACES[error.name].connect], error.message, details)


class _Admission:
    """Runs before the body is read."""

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder

    async def on_start(self, _ctx: RequestContext[Any, Any]) -> None:
        """Admit or refuse."""
        state = _admitted.get()
        try:
            state["admitted"] = await self._forwarder.admit(state["method"], state["headers"], state["peer"])
        except UbmcError as error:
            raise to_connect(error) from None

    async def on_end(self, _token: None, _ctx: RequestContext[Any, Any], _error: Exception | None, /) -> None:
        """Nothing to do."""


class _Json:
    """The JSON form, read with care.

    The library's reader recurses in C without a bound, so that 20 KB of brackets end the process; and it drops fields
    that it does not know, where a typing error should be told.
    """

    def __init__(self) -> None:
        self._codec = proto_json_codec(ignore_unknown_fields=False)

    def name(self) -> str:
        """Of the format, as in content types."""
        return self._codec.name()

    def encode(self, message: Message[Any]) -> bytes:
        """Write a message."""
        return self._codec.encode(message)

    def decode(self, data: bytes | bytearray, message_class: type[Any]) -> Any:
        """Read a message. Raises `ValueError` when it cannot be one, also because it is nested more than 1024 deep."""
        orjson.loads(data)
        try:
            return self._codec.decode(data, message_class)
        except (TypeError, OverflowError, RecursionError) as error:
            raise ValueError(str(error)) from error


class _Application(ConnectASGIApplication[None]):
    """All services in one application."""

    @property
    def path(self) -> str:
        """Requests are dispatched by their whole path."""
        return "/"


class Connect:
    """The ASGI application for `/ubmc.v1alpha1.*`."""

    def __init__(self, schema: Schema, forwarder: Forwarder) -> None:
        self._schema = schema
        self._forwarder = forwarder
        endpoints = {method.token.path: self._endpoint(method) for method in schema.methods if not method.internal}
        self._application = _Application(
            service=None,
            endpoints=lambda _service: endpoints,
            interceptors=(_Admission(forwarder),),
            read_max_bytes=BODY,
            codecs=(proto_binary_codec(), _Json()),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an unknown or internal path is left to the library, which answers 404."""
        method = self._schema.at(scope["path"])
        headers = headers_of(scope)
        try:
            if _needs_trailers(headers) and "http.response.trailers" not in (scope.get("extensions") or {}):
                raise Invalid("gRPC needs HTTP/2; over other versions speak gRPC-Web or Connect")
            if method is not None:
                receive = await _limited(receive, headers, PUBLIC_BODY if method.public else BODY, whole=method.public)
        except Disconnected:
            return
        except (TooLarge, Invalid) as error:
            await respond_error(send, error, Trace.new().trace_id)
            return
        token = _admitted.set({"method": method, "headers": headers, "peer": peer_of(scope)})
        try:
            await self._application(_readable(scope), receive, _with_common_headers(send))
        finally:
            _admitted.reset(token)

    def _endpoint(self, method: Method) -> Any:
        token = method.token
        kind = StreamType.SERVER_STREAM if method.streams else StreamType.UNARY
        level = IdempotencyLevel.NO_SIDE_EFFECTS if method.side_effect_free else IdempotencyLevel.UNKNOWN
        info: MethodInfo[Any, Any] = MethodInfo(
            name=token.method,
            service_name=token.service,
            input=token.request,
            output=token.response,
            idempotency_level=level,
            stream_type=kind,
        )
        if method.streams:
            return Endpoint.server_stream(method=info, function=self._stream)
        return Endpoint.unary(method=info, function=self._unary)

    async def _unary(self, request: Message[Any], ctx: RequestContext[Any, Any]) -> Message[Any]:
        admitted: Admitted = _admitted.get()["admitted"]
        ctx.response_headers["trace-id"] = admitted.trace.trace_id
        seconds = CALL_SECONDS if ctx.timeout_ms is None else ctx.timeout_ms / 1000.0
        try:
            answer = await self._forwarder.call(admitted, request, seconds)
            for name, value in browser.cookies_for(admitted.method, _admitted.get()["headers"], answer):
                ctx.response_headers.add(name.decode(), value.decode())
            return answer
        except UbmcError as error:
            raise to_connect(error) from None
        except Exception as error:
            log.exception("a bug: a request failed", extra={"trace_id": admitted.trace.trace_id})
            raise to_connect(Internal("something went wrong; the log has it under the trace id")) from error

    async def _stream(self, request: Message[Any], ctx: RequestContext[Any, Any]) -> AsyncIterator[Message[Any]]:
        admitted: Admitted = _admitted.get()["admitted"]
        ctx.response_headers["trace-id"] = admitted.trace.trace_id
        items = self._forwarder.watch(admitted, request)
        try:
            async for item in items:
                yield item
        except UbmcError as error:
            raise to_connect(error) from None
        except Exception as error:
            log.exception("a bug: a stream failed", extra={"trace_id": admitted.trace.trace_id})
            raise to_connect(Internal("something went wrong; the log has it under the trace id")) from error
        finally:
            await items.aclose()


async def _limited(receive: Receive, headers: Mapping[str, str], limit: int, *, whole: bool) -> Receive:
    """`receive` for a body within the limit.

    Args:
        receive: where the body comes from.
        headers: of the request.
        limit: bytes.
        whole: read it all now. A body without a declared length is otherwise counted only by the library, whose limit
            is the one for people who are logged in.

    Raises:
        TooLarge: it is larger.
    """
    if declared_length(headers) > limit:
        raise TooLarge(f"the request body is larger than {limit} bytes; send less")
    if not whole:
        return receive
    body: list[bytes] = [await read_body(receive, limit)]

    async def receiving() -> Any:
        if body:
            return {"type": "http.request", "body": body.pop(), "more_body": False}
        return await receive()

    return receiving


def _needs_trailers(headers: Mapping[str, str]) -> bool:
    kind = headers.get("content-type", "").lower()
    return kind.startswith("application/grpc") and not kind.startswith("application/grpc-web")


def _readable(scope: Scope) -> Scope:
    """The request with all its text in UTF-8: the library fails where it is not, and HTTP allows any bytes."""
    if all(value.isascii() for _, value in scope["headers"]) and scope["query_string"].isascii():
        return scope
    readable = [(name, value.decode("latin-1").encode()) for name, value in scope["headers"]]
    return {**scope, "headers": readable, "query_string": scope["query_string"].decode("latin-1").encode()}


def _with_common_headers(send: Send) -> Send:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *COMMON]}
        await send(message)

    return sending
