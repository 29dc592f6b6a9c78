"""The service sshsrv. It is started only where the owner says that SSH listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ubmc.kit.errors import Unavailable
from ubmc.kit.service import Service
from ubmc.services.sshsrv.options import SshOptions
from ubmc.v1alpha1.console_rpc import ConsoleService
from ubmc.v1alpha1.session_rpc import SessionService

if TYPE_CHECKING:
    from ubmc.services.sshsrv.server import Server

__all__ = ["SshOptions", "SshServer"]

Listening = Callable[[str, int, str], None]


class SshServer(Service):
    """The SSH door to the consoles.

    Args:
        options: how the owner wants it.
        listening: told each address and port, and the fingerprint of the host key, once somebody can connect.
    """

    name = "sshsrv"
    after = ("usermgr",)
    calls = (
        SessionService.ExchangeToken,
        SessionService.CheckSshKey,
        SessionService.LoginSshKey,
        ConsoleService.OpenConsole,
    )

    def __init__(self, options: SshOptions, listening: Listening) -> None:
        self._options = options
        self._listening = listening
        self._server: Server | None = None

    async def setup(self) -> None:
        """Listen."""
        from ubmc.services.sshsrv import server as ssh

        key = await asyncio.to_thread(ssh.load_host_key, self._options.host_key)
        self._server = ssh.Server(self.bus, self._options)
        for host, port in self._options.addresses:
            try:
                bound = await self._server.start(host, port, key)
            except OSError as error:
                raise Unavailable(f"SSH cannot listen on {host}:{port}: {error.strerror or error}") from error
            self._listening(*bound, key.get_fingerprint())

    async def teardown(self) -> None:
        """Hang up."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()
