"""WebSockets as the door sees them before and after a console does: how one is refused, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from ubmc.kit.errors import FACES, UbmcError
from ubmc.services.websrv.http.asgi import Receive, Scope, Send
from ubmc.services.websrv.responses import respond_error

OPENED = 101
_OWN_CODES = 4000  # + the HTTP status
_LONGEST_REASON = 120  # of 123 bytes, RFC 6455 section 5.5


def fit(reason: str) -> str:
    """A reason for closing, as long as it may be."""
    return reason.encode()[:_LONGEST_REASON].decode("utf-8", "ignore")


async def refuse(scope: Scope, send: Send, error: UbmcError, trace_id: str, *, to_pages: bool = True) -> None:
    """Say no: to programs by the HTTP status, to pages, which never see that, by a closing code.

    Args:
        scope: of the request.
        send: where the answer goes.
        error: why.
        trace_id: of the request.
        to_pages: pages may know why.
    """
    if to_pages and any(name == b"origin" for name, _ in scope["headers"]):
        asked = scope.get("subprotocols") or (None,)
        await send({"type": "websocket.accept", "subprotocol": asked[0]})
        code = _OWN_CODES + FACES[error.name].http
        await send({"type": "websocket.close", "code": code, "reason": fit(error.message)})
        return

    async def instead(message: MutableMapping[str, Any]) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    await respond_error(instead, error, trace_id)


class Watched:
    """One WebSocket whose messages are counted on their way.

    Args:
        receive: of the listener.
        send: of the listener.
        opened: called once, when it is open.
    """

    def __init__(self, receive: Receive, send: Send, opened: Callable[[], None]) -> None:
        self._receive = receive
        self._send = send
        self._opened = opened
        self.status = 0
        """Of the answer to its request: 101, or that of the refusal; 0 before there is one."""
        self.code = 0
        """With which it was closed, by whomever (RFC 6455, section 7.4); 0 if it was not."""
        self.sent = 0
        """Bytes of messages."""
        self.received = 0

    async def receive(self) -> Any:
        """The next message of the client."""
        message: Mapping[str, Any] = await self._receive()
        if message["type"] == "websocket.receive":
            self.received += _size(message)
        elif message["type"] == "websocket.disconnect":
            self.code = self.code or int(message.get("code") or 0)
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Take one message of the application."""
        match message["type"]:
            case "websocket.accept":
                self.status = OPENED
                self._opened()
            case "websocket.http.response.start":
                self.status = message["status"]
            case "websocket.http.response.body":
                self.sent += len(message.get("body", b""))
            case "websocket.send":
                self.sent += _size(message)
            case "websocket.close":
                self.code = message.get("code", 1000)
        await self._send(message)


def _size(message: Mapping[str, Any]) -> int:
    return len(message.get("bytes") or b"") + len((message.get("text") or "").encode())
