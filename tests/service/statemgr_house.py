"""statemgr on a real bus, with the real powermgr, guardian and event log, over the simulated machine in this process.

The machine is quick (a boot takes a third of a second), and its buttons are held for less than on a real board.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from protobuf import Message
from tests.harness.bus import BusWorld

from ubmc.hw.power.buttons import ButtonBoard, ButtonPower, Wire
from ubmc.hw.power.level import ChassisLine, LevelBoard
from ubmc.hw.power.port import BootTarget
from ubmc.hw.sim.control import Control
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.lines import SimLines
from ubmc.hw.sim.parts.host import Timings
from ubmc.hw.sim.plant import Plant, Settings
from ubmc.kit.bus import Bus
from ubmc.kit.channel import Channel
from ubmc.kit.database import Database
from ubmc.kit.guard import Guard
from ubmc.kit.service import Service, on, rpc
from ubmc.rpc import Req, Res, Unary
from ubmc.services.eventlog.service import EventLog
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.operator.guardian import Guardian
from ubmc.services.powermgr.service import MakePower, PowerManager
from ubmc.services.statemgr.options import PATIENCE, ChassisPlan, HostPlan, Options
from ubmc.services.statemgr.service import StateManager
from ubmc.v1alpha1.bios_pb import BiosAttribute, BiosChange
from ubmc.v1alpha1.chassis_pb import (
    ChangeChassisPowerRequest,
    Chassis,
    ChassisIdentifyChange,
    ChassisPowerAction,
    ChassisState,
    ChassisStateChange,
    GetChassisRequest,
)
from ubmc.v1alpha1.chassis_rpc import ChassisService
from ubmc.v1alpha1.host_pb import (
    ChangeHostPowerRequest,
    GetHostRequest,
    Host,
    HostNews,
    HostPowerAction,
    HostPowerActionFailure,
    HostState,
    HostStateChange,
)
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.internal_pb import RestartServicesRequest, RestartServicesResponse
from ubmc.v1alpha1.internal_rpc import OperatorService
from ubmc.v1alpha1.management_controller_pb import ManagementControllerRestart
from ubmc.v1alpha1.task_pb import Task, TaskChange, TaskState

TIMINGS = Timings(
    debounce_seconds=0.01,
    override_seconds=0.4,
    rails_seconds=0.05,
    post_seconds=0.1,
    boot_seconds=0.1,
    shutdown_seconds=0.1,
)
BOARD = ButtonBoard(
    button=Wire("power-button-0"),
    good=Wire("power-good-0"),
    reset=Wire("reset-button-0"),
    nmi=Wire("nmi-button-0"),
    front_button=Wire("front-power-button"),
    identify=Wire("front-identify-button"),
    press_seconds=0.05,
    hold_seconds=0.6,
    reset_seconds=0.05,
    nmi_seconds=0.05,
    debounce_seconds=0.0,
    settle_seconds=1.0,
)
QUICK = MappingProxyType({**PATIENCE, "power_on": 1.0, "soft_off": 0.6, "cut": 3.0, "reset": 2.0})
WAIT_SECONDS = 20.0


class OperatorStub(Service):
    """Answers in the operator's place, which is a process tree."""

    name = "operator"

    def __init__(self) -> None:
        self.restarts = 0

    @rpc(OperatorService.RestartServices)
    async def restart(self, _request: RestartServicesRequest) -> RestartServicesResponse:
        self.restarts += 1
        return RestartServicesResponse()


class Listener(Service):
    """Hears everything that statemgr tells."""

    name = "listener"

    def __init__(self) -> None:
        self.heard: list[Message[Any]] = []

    @on(HostStateChange)
    async def host_change(self, news: HostStateChange) -> None:
        self.heard.append(news)

    @on(HostNews)
    async def host_news(self, news: HostNews) -> None:
        self.heard.append(news)

    @on(HostPowerActionFailure)
    async def failure(self, news: HostPowerActionFailure) -> None:
        self.heard.append(news)

    @on(ChassisStateChange)
    async def chassis_change(self, news: ChassisStateChange) -> None:
        self.heard.append(news)

    @on(ChassisIdentifyChange)
    async def identify_change(self, news: ChassisIdentifyChange) -> None:
        self.heard.append(news)

    @on(BiosChange)
    async def bios_change(self, news: BiosChange) -> None:
        self.heard.append(news)

    @on(ManagementControllerRestart)
    async def restart(self, news: ManagementControllerRestart) -> None:
        self.heard.append(news)

    @on(TaskChange)
    async def task_change(self, news: TaskChange) -> None:
        self.heard.append(news)


MANAGERS = ProcessSpec("managers", (EventLog, StateManager, Listener, OperatorStub))
SAFETY = ProcessSpec("safety", (PowerManager,))
DOOR = ProcessSpec("websrv", (), door=True)


class House:
    """Everything, and how to ask for it."""

    def __init__(self, world: BusWorld, machine: InProcessMachine, database: Database, options: Options) -> None:
        self.world = world
        self.machine = machine
        self.control = Control(machine.dial)
        self.listener = Listener()
        self.operator = OperatorStub()
        self._database = database
        self._options = options
        self._guardian = Channel.pair()
        self._guard = Guard()
        self._state: asyncio.Task[None] | None = None
        self._power: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=Guardian(self._guardian[1]).run, name="guardian")
        self.managers: Bus
        self.safety: Bus
        self.door: Bus

    async def begin(self, events: Database) -> None:
        """Everything but powermgr and statemgr."""
        self._thread.start()
        ours, theirs = Channel.pair()
        self._guardian[0].send("owner", theirs.fileno(), name="safety")
        theirs.close()
        self._guard.connect(ours)
        self.managers = await self.world.place("managers", self.listener, self.operator)
        await self.world.run(self.managers, EventLog(events, self.world.schema))
        self.door = await self.world.place("websrv")

    async def end(self) -> None:
        await self.stop_state()
        if self._power is not None:
            await self.stop_power()
        self._guardian[0].send("quit")
        await asyncio.to_thread(self._thread.join)
        self._guard.close()
        for end in self._guardian:
            end.close()

    # --- services

    async def start_power(self, *, supply: bool = True, stages: bool = True) -> None:
        chassis: dict[str, MakePower] = {"chassis.0": self._supply} if supply else {}
        service = PowerManager({"host.0": partial(self._host, stages)}, chassis, self._guard, lambda: None)
        self.safety = await self.world.place("safety")
        self._power = await self.world.run(self.safety, service)

    def _host(self, stages: bool, _keep: Any) -> ButtonPower:
        control = self.control
        return ButtonPower(
            SimLines(self.machine.dial),
            BOARD,
            mains_epoch=control.mains_epoch,
            set_boot=control.set_boot,
            boot_order=(BootTarget.DISK,),
            stages=partial(control.stages, "host.0") if stages else None,
        )

    def _supply(self, _keep: Any) -> ChassisLine:
        board = LevelBoard(Wire("psu-enable"), Wire("psu-good"), 0.0)
        return ChassisLine(SimLines(self.machine.dial), board, mains_epoch=self.control.mains_epoch)

    async def start_state(
        self,
        *,
        wired: bool = True,
        fingerprint: str = "board-1",
        front_wired: bool = False,
        bios: tuple[BiosAttribute, ...] = (),
    ) -> None:
        service = StateManager(
            [HostPlan("host.0", front_wired, rest_seconds=0.1, bios=bios)],
            [ChassisPlan("chassis.0", ("host.0",), wired)],
            self._database,
            fingerprint=fingerprint,
            options=self._options,
        )
        self._state = await self.world.run(self.managers, service)

    def running(self) -> asyncio.Task[None]:
        """The run of statemgr."""
        assert self._state is not None
        return self._state

    async def stop_state(self) -> None:
        await _stop(self._state)
        self._state = None

    async def stop_power(self) -> None:
        """End powermgr and its process's place on the bus, without a word."""
        await _stop(self._power)
        self._power = None
        await self.safety.close()

    # --- asking

    async def ask(self, token: Unary[Req, Res], request: Req, user: str = "olga") -> Res:
        return await self.door.forward(token, request, self.world.call(user))

    async def host(self) -> Host:
        host = (await self.ask(HostService.GetHost, GetHostRequest(name="host.0"))).host
        assert host is not None
        return host

    async def chassis(self) -> Chassis:
        chassis = (await self.ask(ChassisService.GetChassis, GetChassisRequest(name="chassis.0"))).chassis
        assert chassis is not None
        return chassis

    async def change(self, action: HostPowerAction) -> tuple[Host, Task | None]:
        request = ChangeHostPowerRequest(name="host.0", action=action)
        response = await self.ask(HostService.ChangeHostPower, request)
        assert response.host is not None
        return response.host, response.task

    async def change_chassis(self, action: ChassisPowerAction) -> tuple[Chassis, Task]:
        request = ChangeChassisPowerRequest(name="chassis.0", action=action)
        response = await self.ask(ChassisService.ChangeChassisPower, request)
        assert response.chassis is not None
        assert response.task is not None
        return response.chassis, response.task

    # --- waiting

    async def until(self, done: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait until something is so."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not await done():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"it never was so: {what}") from None

    async def host_is(self, state: HostState) -> Host:
        """Wait until the host is shown so."""

        async def so() -> bool:
            return (await self.host()).state is state

        await self.until(so, f"host.0 {state.name}")
        return await self.host()

    async def chassis_is(self, state: ChassisState) -> None:
        """Wait until the chassis is shown so."""

        async def so() -> bool:
            return (await self.chassis()).state is state

        await self.until(so, f"chassis.0 {state.name}")

    async def os_up(self) -> None:
        """Wait until the operating system hears a soft shutdown."""

        async def so() -> bool:
            return str((await self.control.state())["hosts"]["host.0"]["stage"]) == "up"

        await self.until(so, "the operating system runs")

    async def switched_on(self) -> None:
        """Power the host on, and wait for its operating system."""
        await self.host_is(HostState.OFF)
        await self.change(HostPowerAction.ON)
        await self.host_is(HostState.ON)
        await self.os_up()

    async def has_power(self) -> bool:
        """Whether power-good is active, not asked through a driver."""
        return bool((await self.control.state())["lines"]["power-good-0"])

    async def has_no_power(self) -> bool:
        """Whether it is not."""
        return not await self.has_power()

    async def hear(self, kind: type[Message[Any]], /, **fields: Any) -> Message[Any]:
        """Wait for news of a kind, with these fields."""
        found: list[Message[Any]] = []

        async def so() -> bool:
            found[:] = [
                news
                for news in self.listener.heard
                if isinstance(news, kind) and all(getattr(news, name) == value for name, value in fields.items())
            ]
            return bool(found)

        await self.until(so, f"{kind.__name__} {fields} in {self.listener.heard}")
        return found[-1]

    async def task_ends(self, task: Task | None) -> Task:
        """Wait until a task has ended."""
        assert task is not None
        ended: list[Task] = []

        async def so() -> bool:
            told = [news.task for news in self.listener.heard if isinstance(news, TaskChange)]
            ended[:] = [each for each in told if each and each.id == task.id and each.state is not TaskState.RUNNING]
            return bool(ended)

        await self.until(so, f"{task.title} ended")
        return ended[0]


async def _stop(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def bare_house(folder: Path, *more: ProcessSpec, **options: Any) -> AsyncIterator[House]:
    """A house in which statemgr and powermgr do not run yet."""
    machine = InProcessMachine(Plant(Settings(timings=TIMINGS)))
    databases = [Database(folder / "precious.db"), Database(folder / "expendable.db")]
    for database in databases:
        database.open()
    try:
        async with BusWorld(MANAGERS, SAFETY, DOOR, *more) as world:
            house = House(world, machine, databases[0], Options(**{"patience": QUICK, "grace_seconds": 1.0, **options}))
            await house.begin(databases[1])
            try:
                yield house
            finally:
                await house.end()
    finally:
        machine.close()
        for database in databases:
            await asyncio.to_thread(database.close)


@contextlib.asynccontextmanager
async def whole_house(folder: Path, *more: ProcessSpec, wired: bool = True, **options: Any) -> AsyncIterator[House]:
    """A house in which everything runs, with the host off."""
    async with bare_house(folder, *more, **options) as house:
        await house.start_power(supply=wired)
        await house.start_state(wired=wired)
        await house.host_is(HostState.OFF)
        yield house
