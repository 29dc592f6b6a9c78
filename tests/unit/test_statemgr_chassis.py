"""A chassis in the hands of statemgr, on virtual time: with a supply of its own, and as its hosts are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from protobuf import Message

from ubmc.kit.errors import Busy, Refused
from ubmc.kit.testing import run_virtual
from ubmc.services.statemgr.chassis import ChassisPhase, ChassisRequest
from ubmc.services.statemgr.host import HostPhase, HostRequest
from ubmc.services.statemgr.managed_chassis import ChassisPorts, ManagedChassis
from ubmc.services.statemgr.managed_host import ManagedHost
from ubmc.services.statemgr.options import ChassisPlan, HostPlan, Options
from ubmc.services.statemgr.ports import HostPorts
from ubmc.services.statemgr.settings import BootChoice
from ubmc.services.statemgr.store import HostMemory
from ubmc.v1alpha1.chassis_pb import ChassisIdentifyChange, ChassisState, ChassisStateChange
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.host_pb import Cause
from ubmc.v1alpha1.internal_pb import PowerLevel, WatchPowerResponse, WireAction
from ubmc.v1alpha1.task_pb import Task, TaskState

OLGA = Cause(kind="user", user="olga")
ON, OFF, UNKNOWN = PowerLevel.ON, PowerLevel.OFF, PowerLevel.UNKNOWN
HOSTS = ("host.0", "host.1")
ALL_WIRES = [WireAction.ON, WireAction.SOFT_OFF, WireAction.FORCE_OFF, WireAction.RESET]


class World:
    """A chassis with two hosts."""

    def __init__(self, *, wired: bool) -> None:
        self.driven: list[tuple[str, object]] = []
        self.told: list[Message[Any]] = []
        self.identified: list[bool] = []
        ports = HostPorts(
            drive=self.drive_host,
            keep=self.keep,
            tell=self.tell,
            changed=lambda _name: self.follow(),
            interlock=lambda _name: "",
            check_uri=self.check_uri,
            booted=lambda _name: None,
            guest_able=self.guest_able,
        )
        self.hosts = {name: ManagedHost(HostPlan(name), HostMemory(), Options(), ports) for name in HOSTS}
        self.chassis = ManagedChassis(
            ChassisPlan("chassis.0", HOSTS, wired),
            list(self.hosts.values()),
            Options(),
            ChassisPorts(self.drive_supply, self.keep_identify, self.tell, lambda _name: None),
            identify=False,
        )

    async def guest_able(self, _name: str) -> float:
        return 0.0

    def follow(self) -> None:
        self.chassis.follow_hosts()

    async def drive_host(self, name: str, action: WireAction, _boot: BootChoice, _seconds: float, _asked: bool) -> None:
        self.driven.append((name, action))

    async def check_uri(self, _uri: str) -> None:
        """Nothing here boots from anywhere."""

    async def drive_supply(self, name: str, on: bool, _seconds: float) -> None:
        self.driven.append((name, on))

    async def keep(self, _name: str, _memory: HostMemory) -> None:
        """Nothing here asks what was kept."""

    async def keep_identify(self, _name: str, identify: bool) -> None:
        self.identified.append(identify)

    def tell(
        self,
        _name: str,
        news: Message[Any],
        /,
        *,
        severity: Severity = Severity.UNSPECIFIED,
        cause: Cause | None = None,
    ) -> None:
        del severity, cause
        self.told.append(news)

    async def see(self, level: PowerLevel, *names: str) -> None:
        for name in names or HOSTS:
            seen = WatchPowerResponse(name=name, level=level, actions=ALL_WIRES)
            if name in self.hosts:
                await self.hosts[name].see(seen)
            else:
                self.chassis.see(seen)
        await asyncio.sleep(0.001)

    async def request(self, request: ChassisRequest) -> Task:
        task = self.chassis.request(request, OLGA)
        assert task is not None
        await asyncio.sleep(0.001)
        return task

    def states(self) -> list[ChassisState]:
        return [news.current for news in self.told if isinstance(news, ChassisStateChange)]

    def phase(self) -> ChassisPhase:
        return self.chassis.phase


def state_of(task: Task) -> TaskState:
    return task.state


def play(body: Callable[[World], Awaitable[None]], *, wired: bool) -> None:
    async def main() -> None:
        world = World(wired=wired)
        try:
            await body(world)
        finally:
            await world.chassis.close()
            for host in world.hosts.values():
                await host.close()

    run_virtual(main())


def test_supply_is_switched_when_all_hosts_are_off() -> None:
    async def body(world: World) -> None:
        await world.see(OFF)
        await world.see(ON, "chassis.0")
        task = await world.request(ChassisRequest.CYCLE)
        with pytest.raises(Busy, match=r"chassis\.0 is powering off to cycle"):
            world.chassis.request(ChassisRequest.FORCE_CYCLE, OLGA)
        assert "wait until it is on" in world.chassis.why_no_power()
        await world.see(OFF, "chassis.0")
        await world.see(ON, "chassis.0")
        assert task.state is TaskState.COMPLETED
        assert world.driven == [("chassis.0", False), ("chassis.0", True)]
        assert world.states() == [ChassisState.ON, ChassisState.CYCLING, ChassisState.ON]
        assert world.chassis.why_no_power() == ""

    play(body, wired=True)


@pytest.mark.parametrize("level", [ON, UNKNOWN])
def test_running_hosts_need_the_forced_form(level: PowerLevel) -> None:
    async def body(world: World) -> None:
        await world.see(OFF, "host.0")
        await world.see(level, "host.1")
        await world.see(ON, "chassis.0")
        with pytest.raises(Refused, match=r"^host\.1 is (on|unknown): shut down first, or use force-off"):
            world.chassis.request(ChassisRequest.OFF, OLGA)
        await world.request(ChassisRequest.FORCE_OFF)
        assert world.driven == [("chassis.0", False)]

    play(body, wired=True)


def test_supply_that_does_not_obey_is_shown_as_it_is() -> None:
    async def body(world: World) -> None:
        await world.see(OFF)
        await world.see(ON, "chassis.0")
        task = await world.request(ChassisRequest.OFF)
        await asyncio.sleep(16)
        assert world.chassis.state is ChassisState.ON
        assert (task.state, task.message) == (
            TaskState.FAILED,
            "chassis.0 is on after 15 s. The power does not go; take mains off",
        )

    play(body, wired=True)


def test_without_a_supply_it_is_as_its_hosts_are() -> None:
    async def body(world: World) -> None:
        assert world.chassis.state is ChassisState.UNKNOWN
        await world.see(OFF, "host.0")
        assert world.phase() is ChassisPhase.UNKNOWN
        await world.see(OFF, "host.1")
        assert world.phase() is ChassisPhase.OFF
        await world.see(ON, "host.1")
        assert world.phase() is ChassisPhase.ON
        await world.see(UNKNOWN, "host.0")
        assert world.phase() is ChassisPhase.ON
        assert world.chassis.why_no_power() == ""

    play(body, wired=False)


def test_without_a_supply_its_hosts_are_driven_through_their_table() -> None:
    async def body(world: World) -> None:
        await world.see(OFF)
        task = await world.request(ChassisRequest.ON)
        assert [host.phase for host in world.hosts.values()] == [HostPhase.POWERING_ON] * 2
        await world.see(ON)
        assert state_of(task) is TaskState.COMPLETED
        task = await world.request(ChassisRequest.FORCE_CYCLE)
        await world.see(OFF, "host.0")
        assert world.phase() is ChassisPhase.CYCLING_DOWN
        await world.see(OFF, "host.1")
        assert world.phase() is ChassisPhase.CYCLING_UP
        await world.see(ON)
        assert state_of(task) is TaskState.COMPLETED
        await world.request(ChassisRequest.FORCE_OFF)
        await world.see(OFF)
        assert world.phase() is ChassisPhase.OFF
        cut = [(name, WireAction.FORCE_OFF) for name in HOSTS]
        on = [(name, WireAction.ON) for name in HOSTS]
        assert world.driven == [*on, *cut, *on, *cut]

    play(body, wired=False)


def test_cycle_powers_on_only_the_hosts_that_were_on() -> None:
    async def body(world: World) -> None:
        await world.see(OFF, "host.0")
        await world.see(ON, "host.1")
        task = await world.request(ChassisRequest.FORCE_CYCLE)
        await world.see(OFF, "host.1")
        await world.see(ON, "host.1")
        assert state_of(task) is TaskState.COMPLETED
        assert world.driven == [("host.1", WireAction.FORCE_OFF), ("host.1", WireAction.ON)]
        await world.request(ChassisRequest.FORCE_OFF)
        await world.see(OFF, "host.1")
        await world.request(ChassisRequest.ON)
        assert world.driven[-2:] == [(name, WireAction.ON) for name in HOSTS]

    play(body, wired=False)


def test_host_that_is_coming_up_already_is_left_alone() -> None:
    async def body(world: World) -> None:
        await world.see(OFF)
        world.hosts["host.0"].request(HostRequest.ON, OLGA)
        task = await world.request(ChassisRequest.ON)
        await world.see(ON)
        assert state_of(task) is TaskState.COMPLETED
        assert world.driven == [(name, WireAction.ON) for name in HOSTS]

    play(body, wired=False)


def test_host_that_cannot_be_driven_does_not_stop_the_others_and_is_told() -> None:
    async def body(world: World) -> None:
        await world.see(OFF, "host.1")
        task = await world.request(ChassisRequest.ON)
        assert state_of(task) is TaskState.FAILED
        assert "the power of host.0 cannot be read" in task.message
        assert world.driven == [("host.1", WireAction.ON)]
        await world.see(ON, "host.1")
        assert world.phase() is ChassisPhase.ON

    play(body, wired=False)


def test_forced_off_while_the_hosts_come_up_ends_at_once() -> None:
    async def body(world: World) -> None:
        await world.see(OFF)
        first = await world.request(ChassisRequest.ON)
        second = await world.request(ChassisRequest.FORCE_OFF)
        assert first.state is TaskState.CANCELLED
        assert second.state is TaskState.COMPLETED
        assert [host.phase for host in world.hosts.values()] == [HostPhase.OFF] * 2

    play(body, wired=False)


def test_identify_is_kept_and_told_once() -> None:
    async def body(world: World) -> None:
        for _ in range(2):
            await world.chassis.set_identify(True, OLGA)
        assert world.identified == [True]
        assert world.told == [ChassisIdentifyChange(name="chassis.0", identify=True)]
        assert world.chassis.message().identify

    play(body, wired=True)
