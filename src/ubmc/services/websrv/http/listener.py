"""The listener: one TCP port, TLS, every HTTP version, one ASGI application.

It owns every connection and every application task, and `stop` ends them all in bounded time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl

from ubmc.kit.errors import Refused
from ubmc.services.websrv.http.asgi import App
from ubmc.services.websrv.http.gate import Connections, Facts, Gate, Handler, Shared
from ubmc.services.websrv.http.http1 import Http1
from ubmc.services.websrv.http.http2 import Http2
from ubmc.services.websrv.http.limits import Counts, Limits
from ubmc.services.websrv.http.outlet import Outlet

log = logging.getLogger("ubmc.websrv.http")

BACKLOG = 256
LAST_WORDS_SECONDS = 1.0


def _speak(shared: Shared, gate: Gate, outlet: Outlet, facts: Facts, protocol: str | None) -> Handler:
    if protocol == "h2":
        return Http2(shared, outlet, facts)
    return Http1(shared, gate, outlet, facts)


class Listener:
    """Serves one ASGI application on one address; started once, stopped once."""

    def __init__(self, app: App, *, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.counts = Counts()
        self._app = app
        self._server: asyncio.Server | None = None
        self._shared: Shared | None = None
        self._context: ssl.SSLContext = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    async def start(self, host: str, port: int, context: ssl.SSLContext) -> tuple[str, int]:
        """Listen; returns the bound address. Port 0 takes a free one.

        Raises:
            Refused: this listener was started before.
            OSError: the address cannot be bound.
        """
        if self._shared is not None:
            raise Refused("this listener was started before; make a new one")
        loop = asyncio.get_running_loop()
        shared = Shared(self._app, _speak, self.limits, self.counts, loop, Connections(self.limits, self.counts))
        self._context = context
        self._server = await loop.create_server(lambda: Gate(shared, self._context), host, port, backlog=BACKLOG)
        self._shared = shared
        bound = self._server.sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    def use(self, context: ssl.SSLContext) -> None:
        """Shake hands by this context from now on; open connections are not disturbed."""
        self._context = context

    def renew(self) -> None:
        """Have every open connection end when what runs on it is done: it was let in by rules that hold no more."""
        for gate in tuple(self._shared.gates) if self._shared is not None else ():
            gate.shutdown()

    async def stop(self, grace_seconds: float) -> None:
        """Take no new connections, let running requests finish for `grace_seconds`, then end what is left.

        An open stream does not end by itself: who owns it ends it first, or it lasts the whole grace. Returns at most
        about two seconds after the grace. Does nothing if not started or already stopped.
        """
        server, shared = self._server, self._shared
        if server is None or shared is None:
            return
        self._server = None
        shared.stopping = True
        server.close()
        for gate in tuple(shared.gates):
            gate.shutdown()
        await self._until_gone(shared, grace_seconds)
        for gate in tuple(shared.gates):
            gate.abort()
        await self._until_gone(shared, LAST_WORDS_SECONDS)
        for task in tuple(shared.tasks):
            task.cancel()
        await self._until_gone(shared, LAST_WORDS_SECONDS)
        if shared.timer is not None:
            shared.timer.cancel()
        if shared.tasks:
            log.error("requests did not end when cancelled", extra={"count": len(shared.tasks)})

    async def _until_gone(self, shared: Shared, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if shared.gates:
                    await shared.empty.wait()
                while shared.tasks:
                    await asyncio.wait(tuple(shared.tasks))
