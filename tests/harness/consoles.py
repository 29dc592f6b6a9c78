"""A simulated host with its serial line, consolesrv on a real bus, and a door that attaches to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from protobuf import Message, Oneof

from tests.harness.bus import BusWorld
from ubmc.hw.console.port import Line
from ubmc.hw.sim.inprocess import InProcessMachine
from ubmc.hw.sim.parts.host import Timings
from ubmc.hw.sim.parts.shell import Mode
from ubmc.hw.sim.plant import Plant, Settings
from ubmc.hw.sim.serial import SimSerial
from ubmc.kit import bytelink
from ubmc.kit import call as calls
from ubmc.kit.bus import Bus
from ubmc.kit.bytelink import ByteLink
from ubmc.kit.database import Database
from ubmc.kit.service import Service
from ubmc.protocols import console as frames
from ubmc.services.consolesrv.plan import ConsolePlan
from ubmc.services.consolesrv.plan import Settings as ConsoleSettings
from ubmc.services.consolesrv.service import ConsoleServer
from ubmc.services.consolesrv.sights import SightPlan
from ubmc.services.eventlog.service import EventLog
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.v1alpha1.console_pb import Console, ConsoleSight, ConsoleWriting, GetConsoleRequest, OpenConsoleRequest
from ubmc.v1alpha1.console_rpc import ConsoleService
from ubmc.v1alpha1.host_pb import BootProgress
from ubmc.v1alpha1.session_pb import SessionEnd

QUICK = Timings(
    debounce_seconds=0.01, rails_seconds=0.02, post_seconds=0.05, boot_seconds=0.05, shutdown_seconds=0.05, jitter=0.0
)
SIGHTS = (
    SightPlan(ConsoleSight.BOOT_PROGRESS, r"booting from", BootProgress.OS_BOOT_STARTED),
    SightPlan(ConsoleSight.LOGIN_PROMPT, r"login: $"),
    SightPlan(ConsoleSight.PANIC, r"Kernel panic"),
)
F = TypeVar("F", bound=frames.Frame)
DEADLINE_SECONDS = 10.0


class Door(Service):
    """Calls what doors call."""

    name = "sshsrv"
    calls = (ConsoleService.OpenConsole,)


class Sessions(Service):
    """Tells when sessions end."""

    name = "usermgr"
    tells = (SessionEnd,)


async def until(true: Callable[[], bool]) -> None:
    """Wait for it, but not for ever."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not true():
            await asyncio.sleep(0.005)


@dataclass
class Client:
    """One attachment, seen from its door."""

    link: ByteLink
    stream: AsyncIterator[frames.Frame]
    text: bytes = b""
    position: int = 0
    """Behind the last byte."""
    epoch: str = ""
    written: frames.Written = field(default_factory=lambda: frames.Written(0))

    async def next(self, kind: type[F]) -> F:
        """The next frame of that kind; output on the way is kept in `text`."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                frame = await anext(self.stream)
                if isinstance(frame, frames.Hello):
                    self.position, self.epoch = frame.start, frame.epoch
                if isinstance(frame, frames.Written):
                    self.written = frame
                if isinstance(frame, frames.Missed):
                    self.position = frame.end
                if isinstance(frame, frames.Output):
                    assert frame.offset == self.position
                    self.position += len(frame.data)
                    self.text += frame.data
                if isinstance(frame, kind):
                    return frame

    async def see(self, text: bytes) -> bytes:
        """Read until this was seen; what came before it. The rest stays."""
        while text not in self.text:
            await self.next(frames.Output)
        before, _, self.text = self.text.partition(text)
        return before

    async def send(self, *these: frames.ToOwner) -> None:
        """Send frames."""
        for frame in these:
            await self.link.write(frames.encode(frame))

    async def type(self, text: bytes) -> None:
        """Send bytes."""
        await self.send(*frames.inputs(text))

    async def log_in(self) -> None:
        """Get to the shell of the simulated host."""
        await self.type(b"\r")
        await self.see(b"login: ")
        await self.type(b"root\r")
        await self.see(b"Password: ")
        await self.type(b"x\r")
        await self.see(b"# ")


@dataclass
class ConsoleHouse:
    """Everything of one test."""

    world: BusWorld
    machine: InProcessMachine
    server: ConsoleServer
    owner: Bus
    door: Bus
    folder: Path
    news: list[Message[Any]]
    task: asyncio.Task[None]
    stack: contextlib.AsyncExitStack
    sessions: Bus

    @contextlib.asynccontextmanager
    async def attach(
        self,
        user: str = "admin",
        role: str = "Administrator",
        writing: ConsoleWriting = ConsoleWriting.UNSPECIFIED,
        offset: int | None = None,
        epoch: str = "",
        replay: int = 0,
    ) -> AsyncIterator[Client]:
        """Attach somebody."""
        request = OpenConsoleRequest(name="host.0", door="ssh", writing=writing, epoch=epoch)
        if offset is not None:
            place: Oneof[Literal["offset"], int] = Oneof("offset", offset)
            request.from_ = place
        elif replay:
            before: Oneof[Literal["replay_bytes"], int] = Oneof("replay_bytes", replay)
            request.from_ = before
        token = calls.current.set(self.world.call(user, role))
        try:
            opened = await self.door.ask(ConsoleService.OpenConsole, request)
        finally:
            calls.current.reset(token)
        async with await bytelink.connect(opened.socket, opened.ticket) as link:
            stream = link.frames(frames.Decoder())
            async with contextlib.aclosing(stream):
                yield Client(link, stream)

    async def shown(self, name: str = "host.0") -> Console:
        """The console as the API shows it."""
        request = GetConsoleRequest(name=name)
        console = (await self.door.forward(ConsoleService.GetConsole, request, self.world.call())).console
        assert console is not None
        return console

    async def restart(self) -> None:
        """Consolesrv ends and begins anew."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.server = make_server(self.machine, self.folder)
        self.task = await self.world.run(self.owner, self.server)

    def power_on(self) -> None:
        """Press the power button of the simulated host for a moment."""
        self.machine.act(lambda plant: plant.drive("power-button-0", active=True))
        loop = asyncio.get_running_loop()
        loop.call_later(0.1, self.machine.act, lambda plant: plant.drive("power-button-0", active=False))

    async def boot(self) -> None:
        """Power on, and wait for the login."""
        self.power_on()
        await until(lambda: self.machine.plant.shell.mode is Mode.LOGIN)

    def told(self, kind: type[Message[Any]]) -> list[Any]:
        """The news of that kind, so far."""
        return [each for each in self.news if isinstance(each, kind)]


MakeLine = Callable[[InProcessMachine], Line]


def sim_line(machine: InProcessMachine) -> Line:
    """The line of the simulated host."""
    return SimSerial(machine.dial)


def make_server(
    machine: InProcessMachine, folder: Path, replay_bytes: int = 1 << 20, make_line: MakeLine = sim_line
) -> ConsoleServer:
    """Consolesrv for the simulated host."""
    settings = ConsoleSettings(replay_bytes=replay_bytes)
    plan = ConsolePlan("host.0", partial(make_line, machine), settings, SIGHTS)
    return ConsoleServer((plan,), folder)


@contextlib.asynccontextmanager
async def console_house(replay_bytes: int = 1 << 20, make_line: MakeLine = sim_line) -> AsyncIterator[ConsoleHouse]:
    """Everything, ready."""
    specs = (
        ProcessSpec("consolesrv", (ConsoleServer,)),
        ProcessSpec("sshsrv", (Door,), door=True),
        ProcessSpec("managers", (EventLog, Sessions)),
    )
    machine = InProcessMachine(Plant(Settings(timings=QUICK)))
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(machine.close)
        world = await stack.enter_async_context(BusWorld(*specs))
        folder = world.state / "console"
        server = make_server(machine, folder, replay_bytes, make_line)
        owner = await world.place("consolesrv")
        news: list[Message[Any]] = []
        tell = owner.tell

        def note(component: str, message: Message[Any], **more: Any) -> Any:
            news.append(message)
            return tell(component, message, **more)

        owner.tell = note  # type: ignore[method-assign, assignment]
        task = await world.run(owner, server)
        database = Database(world.state / "expendable.db")
        database.open()
        stack.callback(database.close)
        sessions = await world.place("managers", EventLog(database, world.schema), Sessions())
        door = await world.place("sshsrv", Door())
        house = ConsoleHouse(world, machine, server, owner, door, folder, news, task, stack, sessions)
        console = server._consoles["host.0"]
        await until(lambda: console.connected is True)
        yield house
        house.task.cancel()
        await asyncio.gather(house.task, return_exceptions=True)
