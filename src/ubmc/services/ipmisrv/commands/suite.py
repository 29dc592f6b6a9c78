"""All commands that are about the machine, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ubmc.kit.bus import Bus
from ubmc.kit.service import lasting
from ubmc.protocols.ipmi import app
from ubmc.services.ipmisrv.commands import (
    boot,
    chassis,
    dcmi,
    device,
    facts,
    lan,
    own,
    sel,
    sensors,
    storage,
    users,
    watchdog,
)
from ubmc.services.ipmisrv.commands.boot import BootCommands
from ubmc.services.ipmisrv.commands.chassis import ChassisCommands
from ubmc.services.ipmisrv.commands.dcmi import DcmiCommands
from ubmc.services.ipmisrv.commands.device import DeviceCommands
from ubmc.services.ipmisrv.commands.ground import Ground, SuiteOptions
from ubmc.services.ipmisrv.commands.lan import LanCommands
from ubmc.services.ipmisrv.commands.sel import SelCommands
from ubmc.services.ipmisrv.commands.sensors import SensorCommands
from ubmc.services.ipmisrv.commands.storage import StorageCommands
from ubmc.services.ipmisrv.commands.users import UserCommands
from ubmc.services.ipmisrv.commands.watchdog import WatchdogCommands
from ubmc.services.ipmisrv.dispatch import Command
from ubmc.services.ipmisrv.sessions import SessionsView
from ubmc.services.ipmisrv.settings import Settings

__all__ = ["Suite", "SuiteOptions"]

_SAMPLE_SECONDS = 1.0
_PARTS = (boot, chassis, dcmi, device, lan, sel, sensors, storage, users, watchdog)


class Suite:
    """The commands, and what they know.

    Args:
        bus: for calls of the door itself.
        settings: what is set over IPMI.
        options: facts of the board.
        sessions: those that are open.
    """

    calls = tuple(dict.fromkeys((*facts.CALLS, *(token for part in _PARTS for token in part.CALLS))))
    """What the door calls as itself: to follow the machine, for its guests, and for what outlasts a session."""
    tells = (*sel.TELLS, *own.TELLS)

    def __init__(self, bus: Bus, settings: Settings, options: SuiteOptions, sessions: SessionsView) -> None:
        self._ground = Ground(bus, settings, options, sessions)
        self._sel = SelCommands(self._ground)
        self._chassis = ChassisCommands(self._ground)
        self._dcmi = DcmiCommands(self._ground)
        self._groups = (
            DeviceCommands(self._ground),
            WatchdogCommands(),
            UserCommands(self._ground),
            self._chassis,
            BootCommands(self._ground, self._chassis.controlled),
            SensorCommands(self._ground, self._sel.add, self._sel.newest),
            StorageCommands(self._ground),
            self._sel,
            LanCommands(self._ground),
            self._dcmi,
        )

    def commands(self) -> Iterable[Command]:
        """The table of them."""
        return tuple(command for group in self._groups for command in group.commands())

    def system_guid(self) -> bytes:
        """The 16 bytes of Get System GUID."""
        return app.guid(self._ground.system_guid())

    async def setup(self) -> None:
        """Go on with what was begun before a restart."""
        await self._chassis.resume()

    async def work(self) -> None:
        """Follow the machine, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(lasting(self._ground.facts.work()))
            group.create_task(lasting(self._sel.work()))
            group.create_task(lasting(self._sample()))

    async def _sample(self) -> None:
        while True:
            self._dcmi.sample()
            await asyncio.sleep(_SAMPLE_SECONDS)

    async def teardown(self) -> None:
        """Give everything back."""
        await self._ground.close()
