"""One HTTP/2 request and its answer as the application sees them: ASGI `receive` and `send`."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from ubmc.services.websrv.http.asgi import App, Disconnected, Message

if TYPE_CHECKING:
    from ubmc.services.websrv.http.http2 import Http2

log = logging.getLogger("ubmc.websrv.http")

# RFC 9113 section 8.2.2: they belong to one connection of HTTP/1.1
CONNECTION_FIELDS = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
BODILESS = frozenset({204, 304})


class Stream:
    """One request: what of its body waits for the application, and how far its answer is."""

    def __init__(self, connection: Http2, stream_id: int, scope: dict[str, Any], now: float) -> None:
        self.id = stream_id
        self._connection = connection
        self._scope = scope
        self._started = now
        self._chunks: list[bytes] = []
        self._told_end = False
        self._news = asyncio.Event()
        self._window = asyncio.Event()
        self._head: list[tuple[bytes, bytes]] = []
        self._status = 0
        self._trailers = False
        self._trailing: list[tuple[bytes, bytes]] = []
        self._body_sent = False
        self.unread = 0  # flow-controlled bytes the application has not taken
        self.received = 0
        self.whole = False  # the request is complete
        self.begun = False  # headers of the answer are out
        self.complete = False  # the answer is complete
        self.gone = False  # nobody will read the answer
        self.blocked_since: float | None = None

    async def run(self, app: App) -> None:
        """Run the application for this request."""
        try:
            await app(self._scope, self.receive, self.send)
            if not self.complete and not self.gone:
                log.error("request was left without a complete answer", extra={"path": self._scope["path"]})
                self._answer_500()
        except (Exception, asyncio.CancelledError) as error:
            # whatever an application raises ends its own request only
            if self.gone:
                log.debug("request ended after its client had gone", exc_info=True)
            else:
                self._failed(error)
        finally:
            self._connection.finished(self)

    def _failed(self, error: BaseException) -> None:
        log.error("request failed", exc_info=error, extra={"path": self._scope["path"]})
        self._answer_500()

    def _answer_500(self) -> None:
        if not self.begun and not self.gone:
            self._connection.answer(self.id, 500, whole=self.whole)
            self.begun = self.complete = self.whole = True

    # from the client

    def feed(self, data: bytes, flow_bytes: int) -> None:
        """A piece of the body has come; `flow_bytes` is what it took of the window, with padding."""
        self._chunks.append(data)
        self.received += len(data)
        self.unread += flow_bytes
        self._news.set()

    def ended(self) -> None:
        """The request is complete."""
        self.whole = True
        self._news.set()

    def lose(self) -> None:
        """Nobody will read the answer: wake whoever waits."""
        self.gone = True
        self._news.set()
        self._window.set()

    def window_opened(self) -> None:
        """The client is willing to take more."""
        self._window.set()

    async def window(self, now: float) -> None:
        """Wait until the client is willing to take more, or is gone; `expire` of the connection bounds it."""
        self.blocked_since = now
        self._window.clear()
        try:
            await self._window.wait()
        finally:
            self.blocked_since = None

    def body_late(self, now: float) -> bool:
        """Whether the client is too slow with its body; not while the application leaves it waiting."""
        waits_for_us = self.unread >= self._connection.limits.h2_window_bytes // 2
        deadline = self._connection.limits.body_deadline(self._started, self.received)
        return not self.whole and not waits_for_us and now > deadline

    # for the application

    async def receive(self) -> Message:
        """ASGI receive: the body in pieces, then a disconnect once the client is gone or the answer complete."""
        while not (self.gone or self.complete):
            if self._chunks or (self.whole and not self._told_end):
                return self._take()
            self._news.clear()
            await self._news.wait()
        return {"type": "http.disconnect"}

    def _take(self) -> Message:
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        unread, self.unread = self.unread, 0
        self._connection.taken(self.id, unread)
        self._told_end = self.whole
        return {"type": "http.request", "body": body, "more_body": not self.whole}

    async def send(self, message: Message) -> None:
        """ASGI send, with the `http.response.trailers` extension.

        Raises:
            Disconnected: the client is gone.
            RuntimeError: the message does not fit the state of the answer.
        """
        if self.gone:
            raise Disconnected("the client went away before the answer was complete")
        kind = message["type"]
        if kind == "http.response.start" and not self._head:
            self._start(message)
        elif kind == "http.response.body" and self._head and not self._body_sent:
            await self._body(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.trailers" and self._trailers and self._body_sent and not self.complete:
            self._finish_with(message)
        else:
            raise RuntimeError(f"ASGI message {kind!r} does not fit the state of the answer")

    def _start(self, message: Message) -> None:
        self._status = message["status"]
        self._trailers = bool(message.get("trailers", False))
        fields = [(name.lower(), value) for name, value in message.get("headers", ())]
        self._head = [(b":status", b"%d" % self._status)]
        self._head += [field for field in fields if field[0] not in CONNECTION_FIELDS]
        # held until the first piece of the body, or the next turn of the loop
        asyncio.get_running_loop().call_soon(self._begin_late)

    def _begin_late(self) -> None:
        if not self.begun and not self.gone:
            try:
                self._begin(end=False)
            except Disconnected:
                self.lose()

    def _begin(self, *, end: bool) -> None:
        self.begun = True
        self._connection.send_headers(self.id, self._head, end=end)

    async def _body(self, body: bytes, *, more: bool) -> None:
        if self._scope["method"] == "HEAD" or self._status in BODILESS:
            body = b""
        end = not more and not self._trailers
        self._body_sent = not more
        if not self.begun:
            self._begin(end=end and not body)
            if end and not body:
                self._done()
                return
        if body or end:
            await self._connection.send_data(self, body, end=end)
        if end:
            self._done()

    def _finish_with(self, message: Message) -> None:
        self._trailing += [(name.lower(), value) for name, value in message.get("headers", ())]
        if not message.get("more_trailers", False):
            self._connection.send_headers(self.id, self._trailing, end=True)
            self._done()

    def _done(self) -> None:
        self.complete = True
        self._news.set()
