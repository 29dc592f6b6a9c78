"""A host in the hands of statemgr, on virtual time, with wires that do as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from protobuf import Message
from protobuf.wkt import Duration, FieldMask

from ubmc.kit.errors import Busy, Invalid, Refused, Unavailable
from ubmc.kit.testing import run_virtual
from ubmc.services.statemgr.host import HostPhase, HostRequest
from ubmc.services.statemgr.managed_host import HostPorts, ManagedHost
from ubmc.services.statemgr.options import HostPlan, Options
from ubmc.services.statemgr.settings import Settings
from ubmc.services.statemgr.store import HostMemory
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.host_pb import (
    BootOverride,
    BootOverrideMode,
    BootProgress,
    BootTarget,
    Cause,
    Host,
    HostNews,
    HostNewsKind,
    HostPowerAction,
    HostPowerActionFailure,
    HostState,
    HostStateChange,
    HostWatchdog,
    RestorePolicy,
    WatchdogAction,
)
from ubmc.v1alpha1.internal_pb import PowerLevel, WatchPowerResponse, WireAction
from ubmc.v1alpha1.task_pb import Task, TaskState

OLGA = Cause(kind="user", user="olga")
ALL_WIRES = [WireAction.ON, WireAction.SOFT_OFF, WireAction.FORCE_OFF, WireAction.RESET, WireAction.NMI]
ON, OFF, UNKNOWN = PowerLevel.ON, PowerLevel.OFF, PowerLevel.UNKNOWN


class World:
    """One host, its wires, and everything that it says."""

    def __init__(self, memory: HostMemory | None = None, *, front_wired: bool = False, **options: Any) -> None:
        self.driven: list[tuple[WireAction, BootTarget]] = []
        self.told: list[tuple[Message[Any], Severity, Cause | None]] = []
        self.kept: list[HostMemory] = []
        self.disk_is_full = False
        self.no_power = ""
        self.epoch = ""
        self.targets: list[BootTarget] = []
        self.wires = list(ALL_WIRES)
        self.hold = asyncio.Event()
        self.hold.set()
        self.broken = ""
        ports = HostPorts(self.drive, self.keep, self.tell, lambda _name: None, lambda _name: self.no_power)
        self.host = ManagedHost(HostPlan("host.0", front_wired), memory or HostMemory(), Options(**options), ports)

    async def drive(self, name: str, action: WireAction, target: BootTarget, seconds: float) -> None:
        assert name == "host.0"
        assert seconds > 0
        self.driven.append((action, target))
        hold = self.hold
        await hold.wait()
        if self.broken:
            raise Unavailable(self.broken)

    async def keep(self, name: str, memory: HostMemory) -> None:
        assert name == "host.0"
        if self.disk_is_full:
            raise Unavailable("the disk is full")
        self.kept.append(memory)

    def tell(
        self,
        component: str,
        news: Message[Any],
        /,
        *,
        severity: Severity = Severity.UNSPECIFIED,
        cause: Cause | None = None,
    ) -> None:
        assert component == "host.0"
        self.told.append((news, severity, cause))

    async def see(
        self, level: PowerLevel, news: HostNewsKind = HostNewsKind.UNSPECIFIED, *, epoch: str | None = None
    ) -> None:
        self.epoch = self.epoch if epoch is None else epoch
        seen = WatchPowerResponse(
            name="host.0",
            level=level,
            news=news,
            mains_epoch=self.epoch,
            actions=self.wires,
            boot_targets=self.targets,
        )
        await self.host.see(seen)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def request(self, request: HostRequest) -> Task:
        task = self.host.request(request, OLGA)
        assert task is not None
        await asyncio.sleep(0.001)
        return task

    def state(self) -> HostState:
        return self.host.state

    @property
    def actions(self) -> list[WireAction]:
        return [action for action, _ in self.driven]

    def changes(self) -> list[tuple[HostState, HostState, str]]:
        return [
            (news.previous, news.current, cause.kind if cause is not None else "")
            for news, _, cause in self.told
            if isinstance(news, HostStateChange)
        ]

    def news(self) -> list[HostNewsKind]:
        return [news.kind for news, _, _ in self.told if isinstance(news, HostNews)]

    def failures(self) -> list[HostPowerActionFailure]:
        return [news for news, _, _ in self.told if isinstance(news, HostPowerActionFailure)]


def state_of(task: Task) -> TaskState:
    return task.state


def play(body: Callable[[World], Awaitable[None]], memory: HostMemory | None = None, **options: Any) -> None:
    async def main() -> None:
        world = World(memory, **options)
        try:
            await body(world)
        finally:
            await world.host.close()

    run_virtual(main())


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
        assert world.host.memory.desired is True

    play(body)


def test_a_host_that_ignores_a_shutdown_is_still_on_after_its_patience() -> None:
    async def body(world: World) -> None:
        await world.see(ON)
        task = await world.request(HostRequest.GRACEFUL_OFF)
        assert world.host.memory.desired is False
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
        assert world.host.memory.desired is True
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
        await asyncio.sleep(50)
        await world.see(OFF)  # told again: no news
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
        assert world.host.memory.desired is not True

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
        assert world.host.memory.desired is False

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
        assert (world.host.phase, task.message) == (HostPhase.OFF, "host.0 is off after 0 s. mains was lost")
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
        assert world.kept[-1].settings.watchdog_running
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
            await asyncio.sleep(0.01)
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

    settings = Settings(watchdog_running=True, watchdog_seconds=10.0, watchdog_action=WatchdogAction.FORCE_OFF)
    play(body, HostMemory(settings=settings))


def test_watchdog_of_the_hardware_acts_as_it_is_set() -> None:
    async def body(world: World) -> None:
        await world.see(ON, HostNewsKind.WATCHDOG_EXPIRED)
        await asyncio.sleep(0.01)
        assert world.actions == [WireAction.RESET]

    play(body, HostMemory(settings=Settings(watchdog_action=WatchdogAction.RESET)))


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
