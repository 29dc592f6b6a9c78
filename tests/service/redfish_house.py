"""A Redfish door before one service of the test that owns a host; everything else this board does not have."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import orjson
from tests.harness.bus import BusWorld
from tests.service.websrv_house import Users

from ubmc.kit import call as calls
from ubmc.kit.bus import Bus
from ubmc.kit.database import Database
from ubmc.kit.errors import Refused, UbmcError
from ubmc.kit.feed import Feed
from ubmc.kit.secrets import DeviceKey
from ubmc.kit.service import Service, on, rpc, stream
from ubmc.kit.tracing import Trace
from ubmc.services.ipc.permissions import EVENTS_STREAM, ProcessSpec
from ubmc.services.securitymgr.service import SecurityManager
from ubmc.services.websrv.redfish.feeds import FEEDS
from ubmc.services.websrv.service import DoorOptions, WebServer
from ubmc.v1alpha1.host_pb import (
    BootFirmware,
    BootOverride,
    BootOverrideMode,
    BootTarget,
    ChangeHostPowerRequest,
    ChangeHostPowerResponse,
    Host,
    HostPowerAction,
    HostState,
    ListHostsRequest,
    ListHostsResponse,
    RestorePolicy,
    UpdateHostRequest,
    UpdateHostResponse,
    WatchHostsRequest,
    WatchHostsResponse,
)
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.system_pb import AuditedCall
from ubmc.v1alpha1.task_pb import Task

SYSTEM = "/redfish/v1/Systems/host.0"


def host(state: HostState = HostState.OFF, **more: object) -> Host:
    """The host of the tests."""
    return Host(
        name="host.0",
        state=state,
        power_actions=[HostPowerAction.ON, HostPowerAction.FORCE_OFF],
        boot_targets=[BootTarget.PXE, BootTarget.CD],
        boot_firmwares=[BootFirmware.UEFI],
        boot_override=BootOverride(mode=BootOverrideMode.DISABLED),
        restore_policy=RestorePolicy.ALWAYS_OFF,
        **more,  # type: ignore[arg-type]  # fields of the message
    )


class Machines(Service):
    """Owns one host, counts how often it is asked, and tells changes."""

    name = "statemgr"

    def __init__(self) -> None:
        self.host = host()
        self.listed = 0
        self.watched = 0
        self.changed: list[tuple[str, str]] = []
        self.refuse_restore: UbmcError | None = None
        self.feed: Feed[Host] = Feed()
        self.feed.publish("host.0", self.host)

    def begin_anew(self) -> None:
        """As it was at first."""
        self.changed.clear()
        self.refuse_restore = None
        self.tell(host())

    def tell(self, told: Host) -> None:
        """The host is so from now on."""
        self.host = told
        self.feed.publish("host.0", told)

    @rpc(HostService.ListHosts)
    async def list(self, request: ListHostsRequest) -> ListHostsResponse:
        self.listed += 1
        return ListHostsResponse(hosts=[self.host])

    @stream(HostService.WatchHosts)
    async def watch(self, request: WatchHostsRequest) -> AsyncIterator[WatchHostsResponse]:
        self.watched += 1
        async for update in self.feed.watch(request.cursor):
            yield WatchHostsResponse(host=update.item, cursor=update.cursor, snapshot=update.snapshot)

    @rpc(HostService.UpdateHost)
    async def update(self, request: UpdateHostRequest) -> UpdateHostResponse:
        assert request.host is not None
        assert request.update_mask is not None
        paths = list(request.update_mask.paths)
        self._note("update " + ",".join(paths))
        await asyncio.sleep(0.02)
        if paths == ["restore_policy"]:
            if self.refuse_restore is not None:
                raise self.refuse_restore
            self.tell(host(self.host.state, state_time=None))
            self.host.restore_policy = request.host.restore_policy
        else:
            self.host.boot_override = request.host.boot_override
        self.tell(Host.from_binary(self.host.to_binary()))
        return UpdateHostResponse(host=self.host)

    @rpc(HostService.ChangeHostPower)
    async def power(self, request: ChangeHostPowerRequest) -> ChangeHostPowerResponse:
        self._note(request.action.name)
        if self.host.state is HostState.POWERING_OFF:
            raise Refused("host.0 is powering off; wait until it is off")
        self.tell(host(HostState.POWERING_ON))
        return ChangeHostPowerResponse(host=self.host, task=Task(id="7"))

    def _note(self, what: str) -> None:
        call = calls.current.get()
        assert call is not None
        assert call.principal is not None
        self.changed.append((call.principal.user, what))


class Log(Service):
    """Takes events as the event log does, and remembers the audited calls."""

    name = "eventlog"
    keeps_log = True

    def __init__(self) -> None:
        self.audited: list[AuditedCall] = []

    async def setup(self) -> None:
        config = {"name": EVENTS_STREAM, "subjects": ["event.>"], "storage": "memory", "max_bytes": 1 << 20}
        call = calls.Call(time.monotonic() + 5, Trace.new())
        subject = f"$JS.API.STREAM.CREATE.{EVENTS_STREAM}"
        answer = orjson.loads(await self.bus.request(subject, orjson.dumps(config), call, "the stream"))
        assert "error" not in answer, answer

    @on(AuditedCall)
    async def keep(self, call: AuditedCall) -> None:
        self.audited.append(call)


ABSENT = {feed.service: "not in this test" for feed in FEEDS if feed.service != "HostService"}
SPECS = (
    ProcessSpec("managers", (Users, SecurityManager, Log)),
    ProcessSpec("machines", (Machines,)),
    ProcessSpec("websrv", (WebServer,), door=True),
)


@dataclass
class House:
    """One door."""

    made: BusWorld
    machines: Machines
    users: Users
    log: Log
    url: str
    context: ssl.SSLContext
    server: WebServer
    running: asyncio.Task[None]
    bus: Bus
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    def client(self, token: str = "Administrator-of-admin", **headers: str) -> httpx.AsyncClient:
        """A client with a session; without one if the token is empty."""
        if token:
            headers["x-auth-token"] = token
        made = httpx.AsyncClient(base_url=self.url, verify=self.context, timeout=10, headers=headers)
        self.clients.append(made)
        return made

    async def stop_machines(self) -> None:
        """The owner of the host goes away."""
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    async def start_machines(self) -> None:
        """It comes back."""
        self.running = await self.made.run(self.bus, self.machines)


@contextlib.asynccontextmanager
async def house() -> AsyncIterator[House]:
    """A door that listens."""
    options = DoorOptions((("127.0.0.1", 0),), absent=ABSENT)
    async with contextlib.AsyncExitStack() as closing, BusWorld(*SPECS) as made:
        machines, users, log = Machines(), Users(made.signer), Log()
        database = Database(made.state / "precious.db")
        database.open()
        closing.callback(database.close)
        shown: list[str] = []
        security = SecurityManager(database, DeviceKey.load(made.state / "device.key"), shown=shown.append)
        await made.place("managers", users, security, log)
        bus = await made.place("machines")
        running = await made.run(bus, machines)
        heard: list[tuple[str, str]] = []
        server = WebServer(made.schema, options, lambda *what: heard.append(what))
        door = await made.run(await made.place("websrv"), server)
        context = ssl.create_default_context(cadata=shown[-1])
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        found = House(made, machines, users, log, heard[0][0], context, server, running, bus)
        try:
            yield found
        finally:
            for client in found.clients:
                await client.aclose()
            door.cancel()
            await asyncio.gather(door, return_exceptions=True)
