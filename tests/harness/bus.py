"""A real nats-server with real keys and permissions, and processes on it, for service tests.

async with BusWorld(ProcessSpec("managers", (LedManager,)), ProcessSpec("websrv", (), door=True)) as world:
    bus = await world.place("managers", LedManager(...))     # serves the services on that process's connection
    door = await world.place("websrv")
    answer = await door.forward(LedService.SetLed, request, world.call("admin"))
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from ubmc.kit.bus import Bus
from ubmc.kit.call import Call
from ubmc.kit.keys import BusKey, PrincipalSigner
from ubmc.kit.link import Endpoint
from ubmc.kit.metrics import Metrics
from ubmc.kit.schema import load
from ubmc.kit.service import Service
from ubmc.kit.tracing import Trace
from ubmc.services.ipc.permissions import ProcessSpec, matrix
from ubmc.services.ipc.server import NatsServer
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.session_pb import Principal

PRIVILEGES = {
    "Administrator": [
        Privilege.LOGIN,
        Privilege.CONFIGURE_COMPONENTS,
        Privilege.CONFIGURE_MANAGER,
        Privilege.CONFIGURE_USERS,
        Privilege.CONFIGURE_SELF,
    ],
    "Operator": [Privilege.LOGIN, Privilege.CONFIGURE_COMPONENTS, Privilege.CONFIGURE_SELF],
    "ReadOnly": [Privilege.LOGIN, Privilege.CONFIGURE_SELF],
}


class BusWorld:
    """The bus of one test."""

    def __init__(self, *processes: ProcessSpec) -> None:
        self.schema = load()
        self.specs = processes
        self.signer = PrincipalSigner()
        self._directory = tempfile.TemporaryDirectory(prefix="ubmc-bus-")
        self.state = Path(self._directory.name)
        self.permissions = matrix(processes, self.schema)
        self.server = NatsServer(self.state, self.permissions)
        self._buses: list[Bus] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self.server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in reversed(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for bus in self._buses:
            await bus.close()
        await asyncio.to_thread(self.server.stop, 5)
        self.server.close()
        self._directory.cleanup()

    def endpoint(self) -> Endpoint:
        """Where the bus is."""
        return Endpoint(self.server.port, os.getuid())

    async def place(self, process: str, *services: Service) -> Bus:
        """Connect a process and run services in it; returns when all are ready."""
        key = BusKey()
        self.server.admit(process, key.public)
        async with asyncio.timeout(30):
            while not self.server.settle():
                await asyncio.sleep(0.005)
        bus = Bus(process, self.schema, key, Metrics())
        bus.verifier.trust([self.signer.public])
        self._buses.append(bus)
        bus.start(self.endpoint())
        async with asyncio.timeout(30):
            await bus.link.connected.wait()
            for service in services:
                await self.run(bus, service)
        return bus

    async def run(self, bus: Bus, service: Service) -> asyncio.Task[None]:
        """Run a service on a connection until the end of the test; returns when it is ready."""
        service.bus = bus
        ready = asyncio.Event()
        task = asyncio.create_task(service.run(ready.set))
        self._tasks.append(task)
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        return task

    def call(self, user: str = "admin", role: str = "Administrator", seconds: float = 15.0, key: str = "") -> Call:
        """A call as a door makes it for somebody who is logged in."""
        now = time.monotonic()
        principal = Principal(
            user=user,
            role=role,
            privileges=PRIVILEGES[role],
            session="session-of-" + user,
            source="192.0.2.1",
            expires=now + 60,
        )
        return Call(now + seconds, Trace.new(), key=key, source="192.0.2.1", signed=self.signer.sign(principal))
