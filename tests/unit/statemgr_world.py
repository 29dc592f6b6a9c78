"""A host in the hands of statemgr on virtual time, with wires that do as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from protobuf import Message

from ubmc.kit.errors import Refused, Unavailable
from ubmc.kit.testing import run_virtual
from ubmc.services.statemgr.host import HostRequest
from ubmc.services.statemgr.managed_host import ManagedHost
from ubmc.services.statemgr.options import HostPlan, Options
from ubmc.services.statemgr.ports import HostPorts
from ubmc.services.statemgr.settings import BootChoice
from ubmc.services.statemgr.store import HostMemory
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.host_pb import (
    BootFirmware,
    BootTarget,
    Cause,
    HostNews,
    HostNewsKind,
    HostPowerActionFailure,
    HostState,
    HostStateChange,
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
        self.asked: list[bool] = []
        self.firmwares: list[BootFirmware] = []
        self.choices: list[BootChoice] = []
        self.boots = 0
        self.reachable_since: float | None = None
        ports = HostPorts(
            drive=self.drive,
            keep=self.keep,
            tell=self.tell,
            changed=lambda _name: None,
            interlock=lambda _name: self.no_power,
            check_uri=self.check_uri,
            booted=self.booted,
            guest_able=self.guest_able,
        )
        self.host = ManagedHost(HostPlan("host.0", front_wired), memory or HostMemory(), Options(**options), ports)

    def booted(self, name: str) -> None:
        assert name == "host.0"
        self.boots += 1

    async def guest_able(self, name: str) -> float:
        """As the IPMI door tells it, which is another process."""
        assert name == "host.0"
        await asyncio.sleep(0.01)
        since = self.reachable_since
        return 0.0 if since is None else asyncio.get_running_loop().time() - since

    async def check_uri(self, uri: str) -> None:
        if "127.0.0.1" in uri:
            raise Refused("loopback is not for others")

    async def drive(self, name: str, action: WireAction, boot: BootChoice, seconds: float, asked: bool) -> None:
        assert name == "host.0"
        assert seconds > 0
        self.asked.append(asked)
        self.driven.append((action, boot.target))
        self.choices.append(boot)
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
        self,
        level: PowerLevel,
        news: HostNewsKind = HostNewsKind.UNSPECIFIED,
        *,
        epoch: str | None = None,
        tripped: str = "",
        too_hot: bool = False,
    ) -> None:
        self.epoch = self.epoch if epoch is None else epoch
        seen = WatchPowerResponse(
            name="host.0",
            level=level,
            news=news,
            mains_epoch=self.epoch,
            actions=self.wires,
            boot_targets=self.targets,
            boot_firmwares=self.firmwares,
            tripped=tripped,
            too_hot=too_hot,
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

    def desired(self) -> bool | None:
        return self.host.memory.desired

    def pending(self) -> HostRequest | None:
        return self.host.memory.pending

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
