"""securitymgr with its event log on a real bus, and a door that listens to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from protobuf import Message
from tests.harness.bus import BusWorld

from ubmc.kit.bus import Bus
from ubmc.kit.database import Database
from ubmc.kit.schema import load
from ubmc.kit.secrets import FILE_NAME, DeviceKey
from ubmc.kit.service import Service
from ubmc.rpc import Unary
from ubmc.services.eventlog.service import EventLog
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.securitymgr.service import SecurityManager
from ubmc.v1alpha1.security_pb import WatchDoorRequest, WatchDoorResponse
from ubmc.v1alpha1.security_rpc import SecurityService

R = TypeVar("R", bound=Message[Any])


class Listening(Service):
    """A door that only listens to securitymgr."""

    name = "websrv"
    calls = (SecurityService.WatchDoor,)

    def __init__(self) -> None:
        self.seen: list[WatchDoorResponse] = []

    async def work(self) -> None:
        async for update in self.bus.watch(SecurityService.WatchDoor, WatchDoorRequest()):
            self.seen.append(update)


@dataclass(slots=True)
class House:
    """What a test holds."""

    world: BusWorld
    managers: Bus
    door: Bus
    listening: Listening
    shown: list[str] = field(default_factory=list)

    async def ask(self, token: Unary[Any, R], request: Message[Any], user: str = "admin") -> R:
        """Call as an administrator."""
        answer: R = await self.door.forward(token, request, self.world.call(user, seconds=30.0))
        return answer


@contextlib.asynccontextmanager
async def house(state: Path, *, dns_hook: tuple[str, ...] = ()) -> AsyncIterator[House]:
    """Bring all of it up on a state directory; a second time is a restart."""
    precious, expendable = Database(state / "precious.db"), Database(state / "expendable.db")
    precious.open()
    expendable.open()
    shown: list[str] = []
    specs = (
        ProcessSpec("managers", (EventLog, SecurityManager)),
        ProcessSpec("websrv", (Listening,), door=True),
    )
    try:
        async with BusWorld(*specs) as world:
            manager = SecurityManager(
                precious, DeviceKey.load(state / FILE_NAME), dns_hook=dns_hook, shown=shown.append
            )
            managers = await world.place("managers", EventLog(expendable, load()), manager)
            listening = Listening()
            door = await world.place("websrv", listening)
            yield House(world, managers, door, listening, shown)
    finally:
        precious.close()
        expendable.close()


async def until(what: Callable[[], Any], seconds: float = 45.0) -> Any:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not (found := what()):
            await asyncio.sleep(0.02)
    return found
