"""The event log in a world of its own, and in a process that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.harness.bus import BusWorld

from ubmc.kit.bus import Bus
from ubmc.kit.database import Database
from ubmc.kit.service import Service
from ubmc.services.eventlog.service import EventLog, Options
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.v1alpha1.event_pb import (
    ClearEventsRequest,
    ClearEventsResponse,
    Event,
    EventFilter,
    EventLogState,
    GetEventLogRequest,
    ListEventsRequest,
    ListEventsResponse,
    WatchEventsRequest,
    WatchEventsResponse,
)
from ubmc.v1alpha1.event_rpc import EventService
from ubmc.v1alpha1.host_pb import HostNews, HostStateChange

NEWS = "event.host.host-0.host_news"


class Teller(Service):
    """Tells news from a process of its own."""

    name = "statemgr"
    tells = (HostNews, HostStateChange)


PROCESSES = (
    ProcessSpec("managers", (EventLog,)),
    ProcessSpec("safety", (Teller,)),
    ProcessSpec("websrv", (), door=True),
)


@dataclass
class World:
    """An event log that can be dropped and started anew, a teller, and a door."""

    bus: BusWorld
    database: Database
    managers: Bus
    teller: Bus
    door: Bus
    options: Options
    running: asyncio.Task[None] | None = None

    async def start_log(self) -> None:
        log = EventLog(self.database, self.bus.schema, self.options)
        self.running = await self.bus.run(self.managers, log)

    async def drop_log(self) -> None:
        assert self.running is not None
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    def tell(self, text: str, component: str = "host.0") -> asyncio.Future[None]:
        return self.teller.tell(component, HostNews(name=component, what=text))

    def kill_server(self) -> None:
        os.kill(self.bus.server.pid or 0, signal.SIGKILL)
        self.bus.server.reap()

    async def page(self, request: ListEventsRequest | None = None) -> ListEventsResponse:
        return await self.door.forward(
            EventService.ListEvents, request or ListEventsRequest(), self.bus.call("olga", "ReadOnly")
        )

    async def clear(self, up_to_id: int = 0) -> ClearEventsResponse:
        request = ClearEventsRequest(up_to_id=up_to_id)
        return await self.door.forward(EventService.ClearEvents, request, self.bus.call("admin"))

    async def state(self) -> EventLogState:
        call = self.bus.call("olga", "ReadOnly")
        answer = await self.door.forward(EventService.GetEventLog, GetEventLogRequest(), call)
        assert answer.log is not None
        return answer.log

    async def everything(self) -> list[Event]:
        events: list[Event] = []
        token = ""
        while True:
            page = await self.page(ListEventsRequest(page_size=1000, page_token=token))
            events += page.events
            token = page.next_page_token
            if not token:
                return events

    async def until(self, enough: Callable[[list[Event]], bool], seconds: float = 45.0) -> list[Event]:
        async with asyncio.timeout(seconds):
            while not enough(events := await self.everything()):
                await asyncio.sleep(0.02)
        return events

    def watch(self, cursor: str = "", wanted: EventFilter | None = None) -> AsyncGenerator[WatchEventsResponse, None]:
        request = WatchEventsRequest(cursor=cursor, filter=wanted)
        return self.door.watch(EventService.WatchEvents, request, self.bus.call("olga", "ReadOnly"))


@contextlib.asynccontextmanager
async def world(path: Path, options: Options | None = None, *, log: bool = True) -> AsyncIterator[World]:
    database = Database(path / "expendable.db")
    database.open()
    try:
        async with BusWorld(*PROCESSES) as bus:
            managers, teller, door = [await bus.place(spec.name) for spec in PROCESSES]
            made = World(bus, database, managers, teller, door, options or Options())
            if log:
                await made.start_log()
            yield made
    finally:
        database.close()


def texts(events: list[Event]) -> list[str]:
    return [event.arguments["what"] for event in events]


async def read(watching: AsyncGenerator[WatchEventsResponse, None], count: int) -> list[WatchEventsResponse]:
    async with asyncio.timeout(30):
        return [await anext(watching) for _ in range(count)]


@contextlib.asynccontextmanager
async def process(bus: BusWorld, database: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The event log in a process of its own, ready; killed at the end."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.service.eventlog_child", str(database),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        async with asyncio.timeout(30):
            bus.server.admit("managers", (await child.stdout.readline()).decode().strip())
            while not bus.server.settle():
                await asyncio.sleep(0.005)
            child.stdin.write(f"{bus.server.port} {bus.signer.public.hex()}\n".encode())
            assert await child.stdout.readline() == b"ready\n"
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        child.stdin.close()
        await child.communicate()
