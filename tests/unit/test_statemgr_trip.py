"""A host that the thermal trip has cut: shown as such, and powered on by a person alone."""

from __future__ import annotations

import pytest
from tests.unit.statemgr_world import OFF, OLGA, ON, World, play

from ubmc.kit.errors import Refused
from ubmc.services.statemgr.host import HostRequest
from ubmc.v1alpha1.host_pb import Cause, HostState


def test_a_tripped_host_is_powered_on_by_a_person_when_it_has_cooled() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        await world.see(OFF, tripped="zone cpu: too hot", too_hot=True)
        assert world.host.message().trip_reason == "zone cpu: too hot"
        assert world.changes()[-1] == (HostState.ON, HostState.OFF, "thermal-trip")
        for kind in ("restore-policy", "watchdog", "hardware"):
            with pytest.raises(Refused, match="only a person"):
                world.host.request(HostRequest.ON, Cause(kind=kind))
        with pytest.raises(Refused, match="too hot"):
            world.host.request(HostRequest.ON, OLGA)
        await world.see(OFF, tripped="zone cpu: too hot")
        with pytest.raises(Refused, match="only a person"):
            world.host.request(HostRequest.ON, Cause(kind="restore-policy"))
        await world.request(HostRequest.ON)
        assert world.asked == [True]
        await world.see(ON)
        assert world.host.message().trip_reason == ""

    play(body)


def test_the_second_half_of_a_reboot_is_not_asked_for() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        await world.request(HostRequest.REBOOT)
        await world.see(OFF)
        await world.see(OFF)
        assert world.asked == [False, False]

    play(body)


def test_the_front_panel_is_a_person() -> None:
    async def body(world: World) -> None:
        await world.see(OFF, tripped="too hot")
        world.host.request(HostRequest.ON, Cause(kind="front-panel"))
        await world.see(OFF, tripped="too hot")
        assert world.asked == [True]

    play(body)
