"""The watchdog that a guest feeds through the IPMI door: it waits while that door is not there, and acts after it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from protobuf.wkt import Duration
from tests.service.statemgr_house import House, whole_house

from ubmc.kit.service import Service, rpc
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.v1alpha1.host_pb import (
    FeedHostWatchdogRequest,
    Host,
    HostNews,
    HostNewsKind,
    HostState,
    HostWatchdog,
    UpdateHostRequest,
    WatchdogAction,
)
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.internal_pb import GetGuestInterfaceRequest, GetGuestInterfaceResponse
from ubmc.v1alpha1.internal_rpc import GuestService

SECONDS = 0.6


class GuestDoor(Service):
    """The IPMI door as statemgr sees it, with a guest behind it since it was made."""

    name = "ipmisrv"
    calls = (HostService.UpdateHost, HostService.FeedHostWatchdog)

    def __init__(self) -> None:
        self.since = time.monotonic()

    @rpc(GuestService.GetGuestInterface)
    async def get_guest_interface(self, request: GetGuestInterfaceRequest) -> GetGuestInterfaceResponse:
        assert request.name == "host.0"
        return GetGuestInterfaceResponse(able_seconds=time.monotonic() - self.since)


DOOR = ProcessSpec("ipmisrv", (GuestDoor,), door=True)


def expired(house: House) -> list[HostNews]:
    news = [each for each in house.listener.heard if isinstance(each, HostNews)]
    return [each for each in news if each.kind is HostNewsKind.WATCHDOG_EXPIRED]


async def test_a_guest_is_not_reset_for_the_silence_of_its_door(tmp_path: Path) -> None:
    async with whole_house(tmp_path, DOOR) as house:
        door = await house.world.place("ipmisrv", GuestDoor())
        await house.switched_on()
        watchdog = HostWatchdog(running=True, timeout=Duration.from_seconds(SECONDS), action=WatchdogAction.FORCE_OFF)
        await door.ask(HostService.UpdateHost, UpdateHostRequest(host=Host(name="host.0", watchdog=watchdog)))
        for _ in range(4):
            await asyncio.sleep(SECONDS / 2)
            await door.ask(HostService.FeedHostWatchdog, FeedHostWatchdogRequest(name="host.0"))
        await door.close()  # as if it were killed
        await asyncio.sleep(3 * SECONDS)
        assert expired(house) == []
        shown = await house.host()
        assert shown.state is HostState.ON
        assert shown.watchdog is not None
        assert shown.watchdog.running
        back = time.monotonic()
        await house.world.place("ipmisrv", GuestDoor())  # and its guest has died meanwhile
        await house.hear(HostNews, kind=HostNewsKind.WATCHDOG_EXPIRED)
        assert time.monotonic() - back >= SECONDS
        await house.host_is(HostState.OFF)
