"""A power action that failed stays known until another one is begun or the host is seen to change, on virtual time."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.statemgr_world import OFF, OLGA, ON, UNKNOWN, World, play

from ubmc.services.statemgr.host import HostRequest
from ubmc.services.statemgr.store import HostMemory
from ubmc.v1alpha1.host_pb import HostPowerAction, HostPowerFailure, HostState
from ubmc.v1alpha1.internal_pb import PowerLevel

FAILED = HostPowerFailure(action=HostPowerAction.ON, patience_seconds=60, current=HostState.OFF, advice="look")


def shown(world: World) -> HostPowerFailure | None:
    return world.host.message().power_failure


def test_a_host_that_does_not_come_up_says_so_until_it_is_tried_again() -> None:
    async def body(world: World) -> None:
        await world.see(OFF)
        await world.request(HostRequest.ON)
        assert shown(world) is None
        await asyncio.sleep(61)
        assert world.state() is HostState.OFF
        failed = shown(world)
        assert failed is not None
        [told] = world.failures()
        assert (failed.action, failed.current) == (HostPowerAction.ON, HostState.OFF)
        assert (failed.advice, failed.patience_seconds) == (told.advice, told.patience_seconds)
        assert failed.time is not None
        assert world.host.memory.power_failure == failed, "it is kept over restarts"
        await world.see(UNKNOWN)
        await world.see(OFF)
        assert shown(world) == failed, "nothing was seen to change"
        await world.request(HostRequest.ON)
        assert shown(world) is None
        await world.see(ON)
        assert (world.state(), shown(world)) == (HostState.ON, None)

    play(body)


def test_a_host_that_ignores_a_shutdown_has_failed_and_is_on() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        await world.request(HostRequest.GRACEFUL_OFF)
        await asyncio.sleep(301)
        failed = shown(world)
        assert failed is not None
        assert (failed.action, failed.current) == (HostPowerAction.GRACEFUL_OFF, HostState.ON)
        await world.see(OFF)  # by itself, late
        assert shown(world) is None

    play(body)


def test_an_interrupt_that_cannot_be_sent_is_a_failure_too() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        world.broken = "no wire"
        assert world.host.request(HostRequest.NMI, OLGA) is None
        await asyncio.sleep(0.01)
        failed = shown(world)
        assert failed is not None
        assert (failed.action, failed.advice) == (HostPowerAction.NMI, "no wire")

    play(body)


@pytest.mark.parametrize(("level", "stays"), [(OFF, True), (ON, False)])
def test_over_a_restart_it_stays_with_a_host_that_is_found_as_it_was(level: PowerLevel, stays: bool) -> None:
    async def body(world: World) -> None:
        assert shown(world) == FAILED
        await world.see(level)
        assert shown(world) == (FAILED if stays else None)

    play(body, HostMemory(state=HostState.OFF, state_time_us=1, power_failure=FAILED))
