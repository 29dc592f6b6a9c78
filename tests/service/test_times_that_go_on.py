"""What watchers are told of times that go on is right when it is told, however long ago it last changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from protobuf.wkt import Duration, FieldMask
from tests.service.statemgr_house import whole_house
from tests.service.test_thermalmgr import World, world

from ubmc.v1alpha1 import thermal_pb as t
from ubmc.v1alpha1.host_pb import (
    FeedHostWatchdogRequest,
    Host,
    HostPowerAction,
    HostState,
    HostWatchdog,
    UpdateHostRequest,
    WatchdogAction,
    WatchHostsRequest,
)
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.thermal_rpc import ThermalService

LATE_SECONDS = 2.0
"""So much later somebody looks."""


async def _drive(w: World, seconds: float) -> None:
    request = t.SetManualDutyRequest(name="cpu", duty_percent=70.0, duration_seconds=seconds)
    await w.door.forward(ThermalService.SetManualDuty, request, w.made.call())


async def test_what_is_left_of_driving_by_hand(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.quiet()
        await _drive(w, 120.0)
        await asyncio.sleep(LATE_SECONDS)
        watching = w.door.watch(ThermalService.WatchThermalZones, t.WatchThermalZonesRequest(), w.made.call(seconds=60))
        first = (await anext(watching)).thermal_zone
        assert first is not None
        assert 60.0 < first.manual_remaining_seconds <= 120.0 - LATE_SECONDS + 0.1
        await _drive(w, 600.0)  # the same duty, for longer
        async with asyncio.timeout(30):
            async for update in watching:
                assert update.thermal_zone is not None
                if update.thermal_zone.manual_remaining_seconds > 500.0:
                    break
        await watching.aclose()


async def test_what_is_left_of_a_watchdog_and_the_time_with_power(tmp_path: Path) -> None:
    async with whole_house(tmp_path) as house:
        await house.change(HostPowerAction.ON)
        before = (await house.host_is(HostState.ON)).power_on_time
        assert before is not None
        settings = HostWatchdog(running=True, timeout=Duration.from_seconds(60), action=WatchdogAction.NONE)
        paths = FieldMask(paths=["watchdog.running", "watchdog.timeout", "watchdog.action"])
        update = UpdateHostRequest(host=Host(name="host.0", watchdog=settings), update_mask=paths)
        await house.ask(HostService.UpdateHost, update)
        await asyncio.sleep(LATE_SECONDS)
        watching = house.door.watch(HostService.WatchHosts, WatchHostsRequest(), house.world.call(seconds=60))
        host = (await anext(watching)).host
        assert host is not None
        assert host.watchdog is not None
        assert host.watchdog.remaining is not None
        assert 30.0 < host.watchdog.remaining.to_seconds() <= 60.0 - LATE_SECONDS + 0.1
        assert host.power_on_time is not None
        assert host.power_on_time.to_seconds() >= before.to_seconds() + LATE_SECONDS - 0.1
        await house.ask(HostService.FeedHostWatchdog, FeedHostWatchdogRequest(name="host.0"))
        async with asyncio.timeout(30):
            async for news in watching:
                assert news.host is not None
                assert news.host.watchdog is not None
                assert news.host.watchdog.remaining is not None
                if news.host.watchdog.remaining.to_seconds() > 60.0 - LATE_SECONDS + 0.5:
                    break
        await watching.aclose()
