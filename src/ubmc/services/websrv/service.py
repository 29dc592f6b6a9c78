"""The service websrv."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from ubmc.kit.errors import Unavailable
from ubmc.kit.schema import Schema
from ubmc.kit.service import Service, on
from ubmc.services.websrv.app import Door
from ubmc.services.websrv.certificate import ensure_certificate, fingerprint
from ubmc.services.websrv.forward import Forwarder
from ubmc.services.websrv.http.limits import Limits
from ubmc.services.websrv.http.listener import Listener
from ubmc.services.websrv.http.tls import server_context
from ubmc.v1alpha1.session_pb import SessionEnd
from ubmc.v1alpha1.session_rpc import SessionService

STOP_SECONDS = 1.0
RECHECK_SECONDS = 30.0


class WebServer(Service):
    """The HTTPS door."""

    name = "websrv"
    after = ("usermgr",)
    calls = (SessionService.ExchangeToken,)

    def __init__(
        self, schema: Schema, tls: Path, addresses: tuple[tuple[str, int], ...], listening: Callable[[str, str], None]
    ) -> None:
        """Make the door.

        Args:
            schema: what is forwarded.
            tls: the folder of certificate and key; they are made there if they are missing.
            addresses: where to listen, host and port.
            listening: told each URL and the certificate's fingerprint, once somebody can connect.
        """
        self._schema = schema
        self._tls = tls
        self._addresses = addresses
        self._listening = listening
        self._listeners: list[Listener] = []
        self._forwarder: Forwarder | None = None

    async def setup(self) -> None:
        """Open the door."""
        self._forwarder = Forwarder(self.bus)
        door = Door(self._schema, self._forwarder)
        certificate, key = await asyncio.to_thread(ensure_certificate, self._tls)
        context = server_context(certificate, key)
        for host, port in self._addresses:
            listener = Listener(door, limits=Limits())
            try:
                bound = await listener.start(host, port, context)
            except OSError as error:
                raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
            self._listeners.append(listener)
            shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
            self._listening(f"https://{shown}:{bound[1]}", fingerprint(certificate))

    async def work(self) -> None:
        """Look now and then whether the sessions of open streams still live."""
        assert self._forwarder is not None
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            await self._forwarder.recheck_streams()

    async def teardown(self) -> None:
        """Close the door; what is being answered gets a second to end."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            await listener.stop(STOP_SECONDS)

    @on(SessionEnd)
    async def follow_session_end(self, end: SessionEnd) -> None:
        """Forget a session at once."""
        if self._forwarder is not None:
            self._forwarder.end_session(end.id)
