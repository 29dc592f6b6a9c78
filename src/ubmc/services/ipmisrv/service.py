"""The service ipmisrv: IPMI 2.0 over UDP, serial over LAN, and the guest's own IPMI. Off unless the owner wants it."""

from __future__ import annotations

from collections.abc import Callable

from ubmc.kit.bus import Bus
from ubmc.kit.service import Service, on, rpc
from ubmc.services.ipmisrv import sol, users
from ubmc.services.ipmisrv.commands.suite import Suite, SuiteOptions
from ubmc.services.ipmisrv.door import Door, IpmiOptions
from ubmc.services.ipmisrv.sessions import SessionsView
from ubmc.services.ipmisrv.settings import Settings
from ubmc.v1alpha1.internal_pb import GetGuestInterfaceRequest, GetGuestInterfaceResponse
from ubmc.v1alpha1.internal_rpc import GuestService
from ubmc.v1alpha1.session_pb import SessionEnd

__all__ = ["IpmiOptions", "IpmiServer"]


class IpmiServer(Service):
    """The IPMI door."""

    name = "ipmisrv"
    after = ("usermgr",)
    calls = (*users.CALLS, *sol.CALLS, *Suite.calls)
    tells = Suite.tells

    def __init__(
        self,
        options: IpmiOptions,
        suite_options: SuiteOptions,
        listening: Callable[[str, int], None] = lambda _host, _port: None,
    ) -> None:
        """Make the door.

        Args:
            options: how the owner wants it.
            suite_options: what the commands have to know of the board.
            listening: is told where it listens, host and port.
        """
        self._options = options
        self._suite_options = suite_options
        self._listening = listening
        self._door: Door | None = None

    async def setup(self) -> None:
        """Listen."""
        self._door = Door(self.bus, self._options, self._suite, self._listening)
        await self._door.open()

    def _suite(self, bus: Bus, settings: Settings, sessions: SessionsView) -> Suite:
        return Suite(bus, settings, self._suite_options, sessions)

    async def work(self) -> None:
        """Answer, and end what has been silent too long."""
        assert self._door is not None
        await self._door.work()

    async def teardown(self) -> None:
        """End all sessions and stop listening."""
        if self._door is not None:
            await self._door.close()
            self._door = None

    @rpc(GuestService.GetGuestInterface)
    async def get_guest_interface(self, request: GetGuestInterfaceRequest) -> GetGuestInterfaceResponse:
        """For how long a guest has been able to reach us."""
        seconds = self._door.guest_able_seconds(request.name) if self._door is not None else 0.0
        return GetGuestInterfaceResponse(able_seconds=seconds)

    @on(SessionEnd)
    async def forget_session(self, ended: SessionEnd) -> None:
        """Close the session of IPMI that was ended at usermgr."""
        if self._door is not None:
            self._door.session_ended(ended.id)
