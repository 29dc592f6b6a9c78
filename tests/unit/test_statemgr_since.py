"""Since when a host is on or off, also when the BMC was away meanwhile, on virtual time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.statemgr_world import OFF, ON, UNKNOWN, World, play

from ubmc.services.statemgr.host import HostRequest
from ubmc.services.statemgr.store import HostMemory
from ubmc.v1alpha1.host_pb import HostState
from ubmc.v1alpha1.internal_pb import PowerLevel

LONG_AGO_US = 1_700_000_000_000_001
KEPT = HostMemory(desired=True, mains_epoch="machine:3", state=HostState.ON, state_time_us=LONG_AGO_US)


def since_us(world: World) -> int:
    time = world.host.message().state_time
    assert time is not None
    return time.seconds * 1_000_000 + time.nanos // 1000


@pytest.mark.parametrize(
    ("other", "level", "epoch", "stays"),
    [
        ({}, ON, "machine:3", True),
        ({"state": HostState.OFF}, OFF, "machine:3", True),
        ({}, OFF, "machine:3", False),  # another level than before
        ({}, ON, "machine:4", False),  # mains was lost meanwhile
        ({}, ON, "another:3", False),  # another machine
        ({}, ON, "", False),  # nothing can be proven
        ({"pending": HostRequest.REBOOT}, ON, "machine:3", False),  # it may have restarted meanwhile
        ({"state": HostState.UNSPECIFIED, "state_time_us": 0}, ON, "machine:3", False),  # it was on its way
        ({"state_time_us": LONG_AGO_US * 10}, ON, "machine:3", False),  # the clock was wrong
    ],
)
def test_a_restart_of_ours_changes_it_only_if_the_host_may_have_changed(
    other: dict[str, Any], level: PowerLevel, epoch: str, stays: bool
) -> None:
    memory = replace(KEPT, **other)

    async def body(world: World) -> None:
        before = since_us(world)
        await world.see(level, epoch=epoch)
        assert world.state() is (HostState.ON if level is ON else HostState.OFF)
        if stays:
            assert since_us(world) == LONG_AGO_US
        else:
            assert before <= since_us(world) < LONG_AGO_US * 2
        assert (world.host.memory.state, world.host.memory.state_time_us) == (world.state(), since_us(world))

    play(body, memory)


def test_it_is_remembered_when_sight_is_lost_and_forgotten_when_the_host_changes() -> None:
    async def body(world: World) -> None:
        await world.see(ON, epoch="machine:3")
        await world.see(UNKNOWN)
        assert since_us(world) > LONG_AGO_US
        await world.see(ON)
        assert since_us(world) == LONG_AGO_US
        await world.request(HostRequest.REBOOT)
        assert world.host.memory.state is HostState.UNSPECIFIED
        await world.see(OFF)
        await world.see(ON)
        assert world.state() is HostState.ON
        assert since_us(world) > LONG_AGO_US
        await world.see(OFF)
        assert (world.host.memory.state, world.host.memory.state_time_us) == (HostState.OFF, since_us(world))

    play(body, KEPT)
