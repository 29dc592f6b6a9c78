"""What a host does about mains, its watchdog and its boot override, on virtual time."""

from __future__ import annotations

import asyncio

import pytest
from protobuf.wkt import Duration, FieldMask
from tests.unit.statemgr_world import OFF, ON, UNKNOWN, World, play

from ubmc.kit.errors import Invalid, Refused, Unavailable
from ubmc.services.statemgr.host import HostPhase, HostRequest
from ubmc.services.statemgr.settings import Settings, WatchdogSettings
from ubmc.services.statemgr.store import HostMemory
from ubmc.v1alpha1.host_pb import (
    BootOverride,
    BootOverrideMode,
    BootProgress,
    BootTarget,
    Cause,
    Host,
    HostNews,
    HostNewsKind,
    HostWatchdog,
    RestorePolicy,
    WatchdogAction,
)
from ubmc.v1alpha1.internal_pb import PowerLevel, WireAction
from ubmc.v1alpha1.task_pb import TaskState

# --- mains ------------------------------------------------------------------------------------------------------


async def lose_mains(world: World, level: PowerLevel) -> None:
    await world.see(level, epoch="a:0")
    await world.see(OFF, epoch="a:0!")
    await world.see(OFF, epoch="a:1")
    await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("policy", "level", "driven"),
    [
        (RestorePolicy.ALWAYS_ON, OFF, [WireAction.ON]),
        (RestorePolicy.ALWAYS_ON, ON, [WireAction.ON]),
        (RestorePolicy.ALWAYS_OFF, ON, []),
        (RestorePolicy.LAST_STATE, ON, [WireAction.ON]),
        (RestorePolicy.LAST_STATE, OFF, []),
    ],
)
def test_policy_is_carried_out_once_when_mains_is_back(
    policy: RestorePolicy, level: PowerLevel, driven: list[WireAction]
) -> None:
    async def body(world: World) -> None:
        await lose_mains(world, level)
        assert world.actions == driven
        assert world.news() == [HostNewsKind.POWER_RESTORED]
        if driven:
            assert world.kept[0].mains_epoch == "a:1"
            assert world.host.message().state_cause == Cause(kind="restore-policy")
            await world.see(ON)
            await world.see(OFF)
        await world.see(OFF)
        await asyncio.sleep(100)
        assert world.actions == driven
        assert world.desired() is False

    play(body, restore_policy=policy)


def test_policy_of_the_host_goes_before_that_of_the_owner() -> None:
    async def body(world: World) -> None:
        await lose_mains(world, OFF)
        assert world.actions == [WireAction.ON]

    memory = HostMemory(settings=Settings(restore_policy=RestorePolicy.ALWAYS_ON))
    play(body, memory, restore_policy=RestorePolicy.ALWAYS_OFF)


@pytest.mark.parametrize("epoch", ["a:0", "b:7", "", "a:0!"])
def test_nothing_is_done_without_proof(epoch: str) -> None:
    async def body(world: World) -> None:
        await world.see(UNKNOWN, epoch="")
        await world.see(OFF, epoch=epoch)
        await asyncio.sleep(100)
        assert world.driven == []
        assert world.news() == []

    play(body, HostMemory(desired=True, mains_epoch="a:0"), restore_policy=RestorePolicy.ALWAYS_ON)


def test_loss_while_nobody_watched_is_acted_upon() -> None:
    async def body(world: World) -> None:
        await world.see(UNKNOWN, epoch="")
        await world.see(UNKNOWN, epoch="boot-2")
        await asyncio.sleep(1)
        assert world.driven == []
        await world.see(OFF, epoch="boot-2")
        await asyncio.sleep(0.01)
        assert world.actions == [WireAction.ON]

    play(body, HostMemory(desired=True, mains_epoch="boot-1"))


def test_restoring_waits_for_the_chassis_and_gives_up() -> None:
    async def body(world: World) -> None:
        world.no_power = "chassis.0 is off: power it on first"
        await lose_mains(world, ON)
        await asyncio.sleep(30)
        assert world.driven == []
        world.no_power = ""
        world.host.restore_if_due()
        await asyncio.sleep(0.01)
        assert world.actions == [WireAction.ON]

    async def in_vain(world: World) -> None:
        world.no_power = "chassis.0 is off: power it on first"
        await lose_mains(world, ON)
        await asyncio.sleep(61)
        world.no_power = ""
        world.host.restore_if_due()
        assert world.driven == []
        (news,) = [news for news, _, _ in world.told if isinstance(news, HostNews)]
        assert news.what.endswith("it could not be powered on: chassis.0 is off: power it on first")

    play(body)
    play(in_vain)


def test_restoring_does_not_act_against_an_operator() -> None:
    async def body(world: World) -> None:
        world.no_power = "chassis.0 is off"
        await lose_mains(world, ON)
        await world.request(HostRequest.FORCE_OFF)
        world.no_power = ""
        await world.see(OFF)
        assert world.driven == []

    play(body)


def test_a_loss_that_cannot_be_stored_is_not_acted_upon() -> None:
    async def body(world: World) -> None:
        world.disk_is_full = True
        await lose_mains(world, ON)
        assert world.driven == []

    play(body)


def test_loss_of_mains_in_a_reboot_ends_it_and_the_policy_follows() -> None:
    async def body(world: World) -> None:
        await world.see(ON, epoch="a:0")
        task = await world.request(HostRequest.REBOOT)
        await world.see(OFF, epoch="a:0!")
        assert (world.host.phase, task.message) == (HostPhase.OFF, "host.0 is off after 0 s. Mains was lost")
        await world.see(OFF, epoch="a:1")
        await asyncio.sleep(0.01)
        assert world.actions == [WireAction.SOFT_OFF, WireAction.ON]

    play(body)


def test_guest_that_shut_down_stays_off_after_a_loss_of_mains() -> None:
    async def body(world: World) -> None:
        await world.see(ON, epoch="a:0")
        await world.see(OFF)
        await world.see(OFF, epoch="a:0!")
        await world.see(OFF, epoch="a:1")
        await asyncio.sleep(0.01)
        assert world.driven == []

    play(body)


# --- settings ---------------------------------------------------------------------------------------------------


def watchdog_of(action: WatchdogAction, seconds: float = 10.0) -> Host:
    timeout = Duration.from_seconds(seconds)
    return Host(name="host.0", watchdog=HostWatchdog(running=True, timeout=timeout, action=action))


@pytest.mark.parametrize(
    ("action", "driven"),
    [
        (WatchdogAction.NONE, []),
        (WatchdogAction.RESET, [WireAction.RESET]),
        (WatchdogAction.FORCE_OFF, [WireAction.FORCE_OFF]),
        (WatchdogAction.POWER_CYCLE, [WireAction.FORCE_OFF, WireAction.ON]),
    ],
)
def test_watchdog_that_is_not_fed_acts(action: WatchdogAction, driven: list[WireAction]) -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        await world.host.update(watchdog_of(action), None)
        assert world.kept[-1].settings.watchdog.running
        await asyncio.sleep(9)
        world.host.feed_watchdog()
        await asyncio.sleep(9)
        assert world.news() == []
        remaining = world.host.watchdog().remaining
        assert remaining is not None
        assert remaining.to_seconds() == pytest.approx(1.0, abs=0.01)
        await asyncio.sleep(2)
        assert world.news() == [HostNewsKind.WATCHDOG_EXPIRED]
        assert not world.host.watchdog().running
        if action in {WatchdogAction.FORCE_OFF, WatchdogAction.POWER_CYCLE}:
            await world.see(OFF)
            await asyncio.sleep(1.01)  # the power stays off for a moment
        assert world.actions == driven
        with pytest.raises(Refused, match="not running"):
            world.host.feed_watchdog()

    play(body)


def test_watchdog_stops_with_the_host_and_starts_with_a_host_that_is_on() -> None:
    async def body(world: World) -> None:
        await world.see(OFF)
        with pytest.raises(Refused, match=r"host\.0 is off: its watchdog can be started once it is on"):
            await world.host.update(watchdog_of(WatchdogAction.RESET), None)
        await world.see(ON)
        await world.host.update(watchdog_of(WatchdogAction.RESET), None)
        await world.see(OFF)
        await asyncio.sleep(20)
        assert world.news() == []
        assert not world.host.watchdog().running

    play(body)


def test_watchdog_starts_anew_after_a_restart_and_does_nothing_to_a_host_that_cannot_be_seen() -> None:
    async def body(world: World) -> None:
        await asyncio.sleep(11)
        assert world.news() == [HostNewsKind.WATCHDOG_EXPIRED]
        assert world.driven == []

    settings = Settings(watchdog=WatchdogSettings(running=True, seconds=10.0, action=WatchdogAction.FORCE_OFF))
    play(body, HostMemory(settings=settings))


def test_watchdog_of_the_hardware_acts_as_it_is_set() -> None:
    async def body(world: World) -> None:
        await world.see(ON, HostNewsKind.WATCHDOG_EXPIRED)
        await asyncio.sleep(0.01)
        assert world.actions == [WireAction.RESET]

    play(body, HostMemory(settings=Settings(watchdog=WatchdogSettings(action=WatchdogAction.RESET))))


def test_boot_override_for_once_is_consumed_by_the_boot_that_is_seen() -> None:
    async def body(world: World) -> None:
        world.targets = [BootTarget.PXE]
        await world.see(OFF)
        once = BootOverride(mode=BootOverrideMode.ONCE, target=BootTarget.PXE)
        await world.host.update(Host(name="host.0", boot_override=once), None)
        await world.request(HostRequest.ON)
        assert world.driven == [(WireAction.ON, BootTarget.PXE)]
        assert world.host.message().boot_override == once
        await world.see(ON)
        assert world.host.message().boot_override == BootOverride(mode=BootOverrideMode.DISABLED)
        await world.request(HostRequest.FORCE_RESTART)
        assert world.driven[-1] == (WireAction.RESET, BootTarget.UNSPECIFIED)

    play(body)


def test_settings_that_cannot_be_stored_are_not_taken() -> None:
    async def body(world: World) -> None:
        world.disk_is_full = True
        with pytest.raises(Unavailable, match="disk is full"):
            await world.host.update(Host(name="host.0", restore_policy=RestorePolicy.ALWAYS_ON), None)
        assert world.host.message().restore_policy is RestorePolicy.UNSPECIFIED
        with pytest.raises(Invalid, match="state cannot be updated"):
            await world.host.update(Host(name="host.0"), FieldMask(paths=["state"]))

    play(body)


def test_time_with_power_on_is_counted() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        await asyncio.sleep(100)
        await world.see(OFF)
        await asyncio.sleep(100)
        message = world.host.message()
        assert message.power_on_time is not None
        assert message.power_on_time.to_seconds() == pytest.approx(1100.0, abs=0.1)
        assert message.boot_progress is BootProgress.NONE
        await world.host.keep()
        assert world.kept[-1].power_on_seconds == pytest.approx(1100.0, abs=0.1)
        writes = len(world.kept)
        await world.host.keep()
        assert len(world.kept) == writes

    play(body, HostMemory(power_on_seconds=1000.0))


def test_task_of_a_service_that_stops_is_cancelled() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        task = await world.request(HostRequest.GRACEFUL_OFF)
        await world.host.close()
        assert task.state is TaskState.CANCELLED

    play(body)
