"""A watchdog that the guest itself feeds does nothing to a guest that could not be heard, on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from protobuf.wkt import Duration, FieldMask
from tests.unit.statemgr_world import OFF, ON, World, play

from ubmc.kit import call as calls
from ubmc.kit.call import Call
from ubmc.kit.tracing import Trace
from ubmc.services.statemgr.settings import Settings, WatchdogSettings
from ubmc.services.statemgr.store import HostMemory
from ubmc.v1alpha1.host_pb import Host, HostNewsKind, HostWatchdog, WatchdogAction, WatchdogPretimeoutAction
from ubmc.v1alpha1.internal_pb import WireAction

EXPIRED = [HostNewsKind.WATCHDOG_EXPIRED]


@contextlib.contextmanager
def the_guest() -> Iterator[None]:
    """Ask as the IPMI door does for a guest: as itself, with nobody behind it."""
    token = calls.current.set(Call(1e9, Trace.new()))
    try:
        yield
    finally:
        calls.current.reset(token)


async def armed(world: World, **more: object) -> None:
    """The guest has started a watchdog of ten seconds."""
    watchdog = HostWatchdog(running=True, timeout=Duration.from_seconds(10.0), action=WatchdogAction.RESET)
    for name, value in more.items():
        setattr(watchdog, name, value)
    await world.see(ON)
    with the_guest():
        await world.host.update(Host(name="host.0", watchdog=watchdog), None)


def test_a_guest_that_could_feed_it_and_did_not_is_reset() -> None:
    async def body(world: World) -> None:
        world.reachable_since = asyncio.get_running_loop().time()
        await armed(world)
        await asyncio.sleep(9.9)
        assert world.actions == []
        await asyncio.sleep(0.2)
        assert (world.actions, world.news()) == ([WireAction.RESET], EXPIRED)
        assert not world.host.watchdog().running

    play(body)


def test_while_nobody_can_feed_it_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    async def body(world: World) -> None:
        await armed(world)  # and then the IPMI door goes away
        await asyncio.sleep(95)
        assert (world.actions, world.news()) == ([], [])
        assert world.host.watchdog().running
        world.reachable_since = asyncio.get_running_loop().time()
        await asyncio.sleep(9.9)  # it has the whole time to feed it
        assert world.actions == []
        await asyncio.sleep(10.5)
        assert (world.actions, world.news()) == ([WireAction.RESET], EXPIRED)

    play(body)
    assert sum("its watchdog waits" in each.message for each in caplog.records) == 1


def test_a_door_that_was_away_for_a_moment_costs_the_guest_nothing() -> None:
    async def body(world: World) -> None:
        world.reachable_since = asyncio.get_running_loop().time()
        await armed(world)
        await asyncio.sleep(8)
        world.reachable_since = asyncio.get_running_loop().time()  # it was restarted, and a feeding got lost
        await asyncio.sleep(5)
        assert world.actions == []
        world.host.feed_watchdog()
        await asyncio.sleep(9.9)
        assert world.actions == []
        await asyncio.sleep(0.2)
        assert world.actions == [WireAction.RESET]

    play(body)


def test_no_interrupt_is_sent_before_expiry_either() -> None:
    async def body(world: World) -> None:
        more = {"pretimeout": Duration.from_seconds(4.0), "pretimeout_action": WatchdogPretimeoutAction.NMI}
        await armed(world, **more)
        await asyncio.sleep(50)
        assert world.actions == []
        world.reachable_since = asyncio.get_running_loop().time() - 100.0
        world.host.feed_watchdog()
        await asyncio.sleep(6.1)
        assert world.actions == [WireAction.NMI]
        await asyncio.sleep(4.1)
        assert world.actions == [WireAction.NMI, WireAction.RESET]

    play(body)


def test_a_feeding_that_comes_while_it_is_judged_counts() -> None:
    async def body(world: World) -> None:
        world.reachable_since = asyncio.get_running_loop().time()
        await armed(world)
        await asyncio.sleep(10.005)  # the door is being asked
        shown = world.host.watchdog()
        assert shown.running
        assert shown.remaining is not None
        assert shown.remaining.to_seconds() == 0.0
        world.host.feed_watchdog()
        await asyncio.sleep(5)
        assert world.actions == []

    play(body)


def test_a_watchdog_that_is_stopped_while_it_is_judged_does_nothing() -> None:
    async def body(world: World) -> None:
        world.reachable_since = asyncio.get_running_loop().time()
        await armed(world)
        await asyncio.sleep(10.005)
        await world.see(OFF)
        await asyncio.sleep(1)
        assert (world.actions, world.news()) == ([], [])

    play(body)


@pytest.mark.parametrize(("guest_feeds", "driven"), [(True, []), (False, [WireAction.RESET])])
def test_whoever_feeds_it_decides_whose_it_is(guest_feeds: bool, driven: list[WireAction]) -> None:
    """An operator starts it; where the guest feeds it from then on, its silence is judged as that of a guest."""

    async def body(world: World) -> None:
        await world.see(ON)
        with the_guest() if guest_feeds else contextlib.nullcontext():
            world.host.feed_watchdog()
        await asyncio.sleep(10.5)
        assert world.actions == driven
        await world.host.keep()
        assert world.kept[-1].settings.watchdog.guest is guest_feeds

    watchdog = WatchdogSettings(running=True, seconds=10.0, action=WatchdogAction.RESET)
    play(body, HostMemory(settings=Settings(watchdog=watchdog)))


def test_setting_it_anew_by_somebody_else_makes_it_theirs() -> None:
    async def body(world: World) -> None:
        await armed(world)
        await world.host.update(
            Host(name="host.0", watchdog=HostWatchdog(running=True)), FieldMask(paths=["watchdog.running"])
        )
        assert not world.host.memory.settings.watchdog.guest

    play(body)
