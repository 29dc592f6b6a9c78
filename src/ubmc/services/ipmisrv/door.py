"""The IPMI door without its commands: sockets, sessions, serial lines and guests, put together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ubmc.kit.bus import Bus
from ubmc.kit.errors import Invalid
from ubmc.kit.service import lasting
from ubmc.protocols.ipmi import cipher
from ubmc.protocols.ipmi.rmcpplus import Payload
from ubmc.services.ipmisrv.dispatch import Command, Table
from ubmc.services.ipmisrv.endpoint import Endpoint
from ubmc.services.ipmisrv.handshake import Handshake
from ubmc.services.ipmisrv.inband import Guest, Policy, guest_may
from ubmc.services.ipmisrv.limits import Limits
from ubmc.services.ipmisrv.server import Server
from ubmc.services.ipmisrv.session_commands import SessionCommands
from ubmc.services.ipmisrv.sessions import Sessions, SessionsView
from ubmc.services.ipmisrv.settings import Settings
from ubmc.services.ipmisrv.sol import SolPayloads
from ubmc.services.ipmisrv.users import Users

SWEEP_SECONDS = 1.0
STOP_SECONDS = 1.0
DEFAULT_SUITES = (17,)


class CommandSuite(Protocol):
    """The commands that are about the machine."""

    def commands(self) -> Iterable[Command]:
        """The table of them."""
        ...

    def system_guid(self) -> bytes:
        """The 16 bytes of Get System GUID."""
        ...

    async def setup(self) -> None:
        """Get ready."""
        ...

    async def work(self) -> None:
        """Follow the machine, for ever."""
        ...

    async def teardown(self) -> None:
        """Give everything back."""
        ...


MakeSuite = Callable[[Bus, Settings, SessionsView], CommandSuite]


@dataclass(frozen=True, slots=True)
class IpmiOptions:
    """How the owner wants IPMI.

    Raises `Invalid` for a cipher suite that is not offered.
    """

    listen: tuple[tuple[str, int], ...]
    """Where UDP listens, host and port."""
    settings: Path
    """The file of what is set over IPMI."""
    cipher_suites: tuple[int, ...] = DEFAULT_SUITES
    """17, and 3 where old clients need it."""
    in_band: Policy = "restricted"
    """What guests may do."""
    guests: tuple[tuple[str, Path], ...] = ()
    """The virtual machines: host and unix socket."""
    consoles: tuple[str, ...] = ("host.0",)
    """The consoles that serial over LAN can open; the payload instance counts from 1."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Check the cipher suites."""
        if not self.cipher_suites or not set(self.cipher_suites) <= set(cipher.SUITES):
            offered = ", ".join(str(each) for each in sorted(cipher.SUITES))
            raise Invalid(f"cipher_suites: only {offered} can be had; all others are not safe")


class Door:
    """All of IPMI for one incarnation of the service.

    Args:
        bus: where everything is asked.
        options: how the owner wants it.
        make_suite: makes the commands.
        listening: is told where it listens, host and port.
    """

    def __init__(
        self, bus: Bus, options: IpmiOptions, make_suite: MakeSuite, listening: Callable[[str, int], None]
    ) -> None:
        suites = cipher.strongest_first(options.cipher_suites)
        asking = Users(bus)
        self._options = options
        self._listening = listening
        self._settings = Settings(options.settings)
        self._endpoints: list[Endpoint] = []
        self._sessions = sessions = Sessions(asking, options.limits)
        self._suite = make_suite(bus, self._settings, sessions)
        consoles = SolPayloads(bus, sessions, self._settings, options.consoles)
        own = SessionCommands(sessions, suites, (Payload.SOL,)).commands()
        self.table = Table((*own, *consoles.commands(), *self._suite.commands()), guest_may=guest_may(options.in_band))
        self._handshake = Handshake(asking, sessions, options.limits, suites, self._suite.system_guid)
        self._server = Server(bus, self.table, sessions, self._handshake, consoles, options.limits)
        guests = options.guests if options.in_band != "off" else ()
        self._guests = tuple(Guest(bus, self.table, name, path, options.limits) for name, path in guests)

    async def open(self) -> None:
        """Listen.

        Raises:
            Unavailable: an address is not ours, or taken.
        """
        await self._settings.load()
        await self._suite.setup()
        for host, port in self._options.listen:
            endpoint = Endpoint(host, port, self._server.received)
            self._listening(host, endpoint.open())
            self._endpoints.append(endpoint)

    async def work(self) -> None:
        """Answer, and end what has been silent too long."""
        async with asyncio.TaskGroup() as group:
            group.create_task(lasting(self._suite.work()))
            group.create_task(lasting(self._sweep()))
            for guest in self._guests:
                group.create_task(lasting(guest.run()))

    async def close(self) -> None:
        """End all sessions and stop listening."""
        await self._handshake.close()
        await self._server.close()
        await self._sessions.end_all(STOP_SECONDS)
        for endpoint in self._endpoints:
            endpoint.close()
        self._endpoints.clear()
        await self._suite.teardown()

    def guest_able_seconds(self, host: str) -> float:
        """For how long the guest of a host has been able to reach us; 0: it cannot now, or has no interface."""
        return next((guest.able_seconds for guest in self._guests if guest.name == host), 0.0)

    def session_ended(self, identifier: str) -> None:
        """Close the session of IPMI that was ended at usermgr."""
        self._sessions.close_at_usermgr(identifier)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            self._handshake.sweep(now)
            self._sessions.sweep(now)
