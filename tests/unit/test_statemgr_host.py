"""Power actions of a host, on virtual time."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.statemgr_world import OFF, OLGA, ON, UNKNOWN, World, play, state_of

from ubmc.kit.errors import Busy, Refused
from ubmc.services.statemgr.host import HostPhase, HostRequest
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.host_pb import (
    Cause,
    HostNews,
    HostNewsKind,
    HostPowerAction,
    HostState,
)
from ubmc.v1alpha1.internal_pb import PowerLevel, WireAction
from ubmc.v1alpha1.task_pb import TaskState


def test_on_is_accepted_at_once_and_completed_when_power_is_seen() -> None:
    async def body(world: World) -> None:
        await world.see(OFF)
        world.hold.clear()
        task = await world.request(HostRequest.ON)
        assert world.state() is HostState.POWERING_ON
        assert (task.state, task.user, task.title) == (TaskState.RUNNING, "olga", "host.0: on")
        await world.see(ON)
        world.hold.set()
        await asyncio.sleep(0.1)
        assert world.state() is HostState.ON
        assert (task.state, task.message) == (TaskState.COMPLETED, "host.0 is on")
        assert world.actions == [WireAction.ON]
        assert world.changes() == [
            (HostState.UNKNOWN, HostState.OFF, "hardware"),
            (HostState.OFF, HostState.POWERING_ON, "user"),
            (HostState.POWERING_ON, HostState.ON, "user"),
        ]
        assert world.desired() is True

    play(body)


def test_a_host_that_ignores_a_shutdown_is_still_on_after_its_patience() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        task = await world.request(HostRequest.GRACEFUL_OFF)
        assert world.desired() is False
        await asyncio.sleep(299)
        assert world.state() is HostState.POWERING_OFF
        assert not world.failures()
        await asyncio.sleep(2)
        assert world.state() is HostState.ON
        (failure,) = world.failures()
        assert (failure.action, failure.patience_seconds) == (HostPowerAction.GRACEFUL_OFF, 300.0)
        assert failure.current is HostState.ON
        assert "force-off" in failure.advice
        assert task.state is TaskState.FAILED
        assert "host.0 is on after 300 s" in task.message
        assert world.desired() is True
        await world.request(HostRequest.FORCE_OFF)
        await world.see(OFF)
        assert world.host.phase is HostPhase.OFF

    play(body)


def test_second_action_is_busy_and_a_forced_off_takes_over() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        first = await world.request(HostRequest.REBOOT)
        with pytest.raises(Busy, match=r"host\.0 is shutting down to reboot: wait .* or use force-off"):
            world.host.request(HostRequest.FORCE_RESTART, OLGA)
        second = await world.request(HostRequest.FORCE_OFF)
        assert (first.state, first.message) == (TaskState.CANCELLED, "force off took its place")
        assert world.host.request(HostRequest.FORCE_OFF, OLGA) is second
        await world.see(OFF)
        assert second.state is TaskState.COMPLETED
        await asyncio.sleep(400)
        assert world.host.phase is HostPhase.OFF
        assert world.actions == [WireAction.SOFT_OFF, WireAction.FORCE_OFF]
        assert not world.failures()

    play(body)


def test_reboot_goes_down_and_up_in_one_task() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        task = await world.request(HostRequest.REBOOT)
        await asyncio.sleep(200)
        await world.see(OFF)
        assert world.state() is HostState.RESTARTING
        began = world.host.message().state_time
        await asyncio.sleep(50)
        await world.see(OFF)  # told again: no news
        assert world.host.message().state_time == began
        assert state_of(task) is TaskState.RUNNING
        await world.see(ON)
        assert state_of(task) is TaskState.COMPLETED
        assert world.actions == [WireAction.SOFT_OFF, WireAction.ON]
        assert [current for _, current, _ in world.changes()][1:] == [HostState.RESTARTING, HostState.ON]

    play(body)


def test_reset_is_done_when_the_wires_are_driven() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        task = await world.request(HostRequest.FORCE_RESTART)
        assert (task.state, world.host.phase) == (TaskState.COMPLETED, HostPhase.ON)
        world.broken = "no answer"
        task = await world.request(HostRequest.FORCE_RESTART)
        assert task.state is TaskState.FAILED
        assert "The wires could not be driven: no answer" in task.message
        assert world.failures()[0].current is HostState.ON

    play(body)


def test_drivers_that_fail_late_do_not_disturb_the_next_action() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        first, second = asyncio.Event(), asyncio.Event()
        world.hold = first
        await world.request(HostRequest.REBOOT)
        world.hold = second
        task = await world.request(HostRequest.FORCE_OFF)
        world.broken = "the first press failed"
        first.set()
        await asyncio.sleep(0.01)
        assert (world.host.phase, task.state) == (HostPhase.CUTTING, TaskState.RUNNING)
        world.broken = ""
        second.set()
        await world.see(OFF)
        assert (world.host.phase, task.state) == (HostPhase.OFF, TaskState.COMPLETED)
        assert not world.failures()

    play(body)


def test_forced_off_of_a_host_that_is_coming_up_ends_when_driven() -> None:
    async def body(world: World) -> None:
        await world.see(OFF)
        await world.request(HostRequest.ON)
        task = await world.request(HostRequest.FORCE_OFF)
        assert (world.host.phase, task.state) == (HostPhase.OFF, TaskState.COMPLETED)
        assert world.actions == [WireAction.ON, WireAction.FORCE_OFF]

    play(body)


def test_no_button_is_pressed_on_a_host_that_is_off() -> None:
    async def body(world: World) -> None:
        await world.see(OFF)
        task = await world.request(HostRequest.FORCE_OFF)
        assert (task.state, task.message) == (TaskState.COMPLETED, "host.0 was off already")
        for request in HostRequest:
            if request not in {HostRequest.ON, HostRequest.FORCE_OFF}:
                with pytest.raises(Refused, match=r"host\.0 is off"):
                    world.host.request(request, OLGA)
        assert world.driven == []

    play(body)


def test_power_that_cannot_be_read_allows_a_forced_off_only() -> None:
    async def body(world: World) -> None:
        for request in HostRequest:
            if request is not HostRequest.FORCE_OFF:
                with pytest.raises(Refused, match=r"the power of host\.0 cannot be read"):
                    world.host.request(request, OLGA)
        task = await world.request(HostRequest.FORCE_OFF)
        assert world.actions == [WireAction.FORCE_OFF]
        await asyncio.sleep(16)
        assert (world.host.phase, task.state) == (HostPhase.UNKNOWN, TaskState.FAILED)

    play(body)


def test_what_the_wires_cannot_do_is_refused() -> None:
    async def body(world: World) -> None:
        world.wires = [WireAction.ON, WireAction.SOFT_OFF, WireAction.FORCE_OFF]
        await world.see(ON)
        with pytest.raises(Refused, match="cannot do NMI; they can do on, graceful off, force off, reboot"):
            world.host.request(HostRequest.NMI, OLGA)
        assert world.host.message().power_actions == [
            HostPowerAction.ON,
            HostPowerAction.GRACEFUL_OFF,
            HostPowerAction.FORCE_OFF,
            HostPowerAction.REBOOT,
            HostPowerAction.POWER_CYCLE,
            HostPowerAction.PUSH_POWER_BUTTON,
        ]

    play(body)


def test_interrupt_has_no_task_and_is_told() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        assert world.host.request(HostRequest.NMI, OLGA) is None
        await asyncio.sleep(0.01)
        assert world.news() == [HostNewsKind.NMI_SENT]
        world.broken = "no answer"
        world.host.request(HostRequest.NMI, OLGA)
        await asyncio.sleep(0.01)
        assert [failure.action for failure in world.failures()] == [HostPowerAction.NMI]
        assert world.host.phase is HostPhase.ON

    play(body)


def test_chassis_that_is_off_holds_back_a_power_on() -> None:
    async def body(world: World) -> None:
        await world.see(OFF)
        world.no_power = "chassis.0 is off: power it on first"
        with pytest.raises(Refused, match=r"chassis\.0 is off: power it on first"):
            world.host.request(HostRequest.ON, OLGA)
        assert world.desired() is not True

    play(body)


def test_lost_power_in_a_reset_is_believed() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        world.hold.clear()
        task = await world.request(HostRequest.FORCE_RESTART)
        await world.see(OFF)
        world.hold.set()
        await asyncio.sleep(1)
        assert (world.host.phase, task.state) == (HostPhase.OFF, TaskState.FAILED)
        assert "lost its power" in task.message

    play(body)


@pytest.mark.parametrize(
    ("level", "driven"),
    [(OFF, [WireAction.ON]), (ON, [WireAction.SOFT_OFF]), (UNKNOWN, [])],
)
def test_front_button_goes_through_the_table(level: PowerLevel, driven: list[WireAction]) -> None:
    async def body(world: World) -> None:
        await world.see(level)
        await world.see(level, HostNewsKind.BUTTON_PRESSED)
        await asyncio.sleep(0.01)
        assert world.actions == driven
        assert world.news() == [HostNewsKind.BUTTON_PRESSED]
        if driven:
            assert world.host.message().state_cause == Cause(kind="front-panel")
        await world.see(level, HostNewsKind.BUTTON_PRESSED)  # under way: news, and no error
        assert world.actions == driven

    play(body)


def test_front_button_that_the_host_sees_is_news_only() -> None:
    async def body(world: World) -> None:
        await world.see(OFF, HostNewsKind.BUTTON_PRESSED)
        await asyncio.sleep(0.01)
        assert world.driven == []
        assert world.news() == [HostNewsKind.BUTTON_PRESSED]

    play(body, front_wired=True)


def test_news_of_the_guest_have_their_severity_and_cause() -> None:
    async def body(world: World) -> None:
        await world.see(ON, HostNewsKind.PANICKED)
        await world.see(OFF, HostNewsKind.GUEST_SHUTDOWN)
        told = [(news.kind, severity) for news, severity, _ in world.told if isinstance(news, HostNews)]
        assert told == [
            (HostNewsKind.PANICKED, Severity.CRITICAL),
            (HostNewsKind.GUEST_SHUTDOWN, Severity.OK),
        ]
        assert world.changes()[-1] == (HostState.ON, HostState.OFF, "guest")

    play(body)
