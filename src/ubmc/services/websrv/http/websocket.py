"""WebSocket on uvicorn's protocol over the `websockets` library, inside our gate.

Only wiring: bytes and closing go through the gate's outlet, and the scope gets the TLS facts.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ubmc.services.websrv.http.gate import Facts
from ubmc.services.websrv.http.outlet import Outlet


class WebSocket(WebSocketsSansIOProtocol):
    """One WebSocket; pings of its own find a dead peer, so it has no idle deadline."""

    transport: Outlet

    def adopt(self, outlet: Outlet, facts: Facts, tasks: set[asyncio.Task[None]]) -> None:
        """Take over a connection that was HTTP/1.1."""
        self.connections.add(self)
        self.transport = outlet
        self.client, self.server, self.scheme = facts.client, facts.server, "wss"
        self.tasks = tasks
        self._facts = facts

    def pause_writing(self) -> None:
        """Stop reading too: every ping that is read is one more pong that the client does not read."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on, unless messages wait for the application."""
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    async def receive(self) -> Any:
        """The next message; reading goes on when none is left and what we wrote has been read."""
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            if self.writable.is_set():
                self.transport.resume_reading()
        return message

    async def run_asgi(self) -> None:
        """Run the application."""
        self.scope.setdefault("extensions", {})["tls"] = self._facts.tls
        scope: Any = self.scope  # a key of our own
        scope["ubmc.standing"] = self._facts.standing
        app = self.app

        async def answered(scope: Any, receive: Any, send: Any) -> None:
            await app(scope, receive, send)
            # A refusal with a status of its own is an answer too; uvicorn would report it as a fault.
            self.handshake_complete = self.handshake_complete or self.initial_response is not None

        self.app = answered
        await super().run_asgi()

    def expire(self, now: float) -> None:
        """Nothing to enforce: pings and the outlet's write deadline do."""
