"""A Redfish door before the real event log, audit trail and metric reports, and one small board of the test."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
from tests.harness.bus import BusWorld
from tests.service.websrv_house import Users

from ubmc.kit.bus import Bus
from ubmc.kit.database import Database
from ubmc.kit.feed import Feed
from ubmc.kit.secrets import DeviceKey
from ubmc.kit.service import Service, rpc, stream
from ubmc.rpc import Req, Res, Unary
from ubmc.services.eventlog.service import EventLog
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.securitymgr.service import SecurityManager
from ubmc.services.telemetry.reports import ReportManager
from ubmc.services.websrv.redfish.feeds import FEEDS
from ubmc.services.websrv.service import DoorOptions, WebServer
from ubmc.v1alpha1.chassis_pb import (
    Chassis,
    ChassisState,
    ListChassisRequest,
    ListChassisResponse,
    WatchChassisRequest,
    WatchChassisResponse,
)
from ubmc.v1alpha1.chassis_rpc import ChassisService
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.host_pb import (
    Host,
    HostNews,
    HostState,
    ListHostsRequest,
    ListHostsResponse,
    WatchHostsRequest,
    WatchHostsResponse,
)
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.management_controller_pb import (
    ListManagementControllersRequest,
    ListManagementControllersResponse,
    ManagementController,
    ManagementControllerState,
)
from ubmc.v1alpha1.management_controller_rpc import ManagementControllerService
from ubmc.v1alpha1.sensor_pb import (
    ListSensorsRequest,
    ListSensorsResponse,
    Sensor,
    SensorKind,
    SensorQuality,
    WatchSensorsRequest,
    WatchSensorsResponse,
)
from ubmc.v1alpha1.sensor_rpc import SensorService

OWN = {"HostService", "ChassisService", "ManagementControllerService", "SensorService", "SecurityService"}
ABSENT = {feed.service: "not in this test" for feed in FEEDS if feed.service not in OWN}
SENSORS = (
    Sensor(name="air_flow", kind=SensorKind.FLOW, component="chassis.0", unit="L/min", value=4281.0),
    Sensor(name="air_pressure", kind=SensorKind.PRESSURE, component="chassis.0", unit="Pa", value=101_313.0),
    Sensor(name="inlet_temp", kind=SensorKind.TEMPERATURE, component="chassis.0", unit="Cel", value=22.5),
)


class Board(Service):
    """One host in one chassis with one controller and a few sensors; it tells what a test wants told."""

    name = "statemgr"
    tells = (HostNews,)

    def __init__(self) -> None:
        self.hosts: Feed[Host] = Feed()
        self.hosts.publish("host.0", Host(name="host.0", state=HostState.OFF))
        self.chassis: Feed[Chassis] = Feed()
        self.chassis.publish("chassis.0", Chassis(name="chassis.0", state=ChassisState.OFF, hosts=["host.0"]))
        self.sensors: Feed[Sensor] = Feed()
        for sensor in SENSORS:
            sensor.quality = SensorQuality.GOOD
            self.sensors.publish(sensor.name, sensor)

    @rpc(HostService.ListHosts)
    async def list_hosts(self, request: ListHostsRequest) -> ListHostsResponse:
        return ListHostsResponse(hosts=[Host(name="host.0", state=HostState.OFF)])

    @stream(HostService.WatchHosts)
    async def watch_hosts(self, request: WatchHostsRequest) -> AsyncIterator[WatchHostsResponse]:
        async for update in self.hosts.watch(request.cursor):
            yield WatchHostsResponse(host=update.item, cursor=update.cursor, snapshot=update.snapshot)

    @rpc(ChassisService.ListChassis)
    async def list_chassis(self, request: ListChassisRequest) -> ListChassisResponse:
        return ListChassisResponse(chassis=[Chassis(name="chassis.0", state=ChassisState.OFF, hosts=["host.0"])])

    @stream(ChassisService.WatchChassis)
    async def watch_chassis(self, request: WatchChassisRequest) -> AsyncIterator[WatchChassisResponse]:
        async for update in self.chassis.watch(request.cursor):
            yield WatchChassisResponse(chassis=update.item, cursor=update.cursor, snapshot=update.snapshot)

    @rpc(SensorService.ListSensors)
    async def list_sensors(self, request: ListSensorsRequest) -> ListSensorsResponse:
        return ListSensorsResponse(sensors=list(SENSORS))

    @stream(SensorService.WatchSensors)
    async def watch_sensors(self, request: WatchSensorsRequest) -> AsyncIterator[WatchSensorsResponse]:
        async for update in self.sensors.watch(request.cursor):
            yield WatchSensorsResponse(sensors=[update.item], cursor=update.cursor, snapshot=update.snapshot)

    @rpc(ManagementControllerService.ListManagementControllers)
    async def list_controllers(self, request: ListManagementControllersRequest) -> ListManagementControllersResponse:
        ready = ManagementController(name="bmc.0", state=ManagementControllerState.READY)
        return ListManagementControllersResponse(management_controllers=[ready])

    async def tell(self, text: str, severity: Severity = Severity.OK) -> None:
        """Something happens; returns when the bus has stored it."""
        await self.bus.tell("host.0", HostNews(name="host.0", what=text), severity=severity)


SPECS = (
    ProcessSpec("managers", (Users, EventLog, SecurityManager, ReportManager)),
    ProcessSpec("board", (Board,)),
    ProcessSpec("websrv", (WebServer,), door=True),
)


@dataclass
class House:
    """One door."""

    made: BusWorld
    board: Board
    client: httpx.AsyncClient
    door: Bus

    async def get(self, path: str) -> dict[str, Any]:
        """What is at a path."""
        answer = await self.client.get(f"/redfish/v1{path}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def ask(self, token: Unary[Req, Res], request: Req) -> Res:
        """The call of a client of our own API."""
        return await self.door.forward(token, request, self.made.call("olga"))


@contextlib.asynccontextmanager
async def house() -> AsyncIterator[House]:
    """A door that listens."""
    async with contextlib.AsyncExitStack() as closing, BusWorld(*SPECS) as made:
        precious, expendable = Database(made.state / "precious.db"), Database(made.state / "expendable.db")
        for database in (precious, expendable):
            database.open()
            closing.callback(database.close)
        shown: list[str] = []
        board = Board()
        security = SecurityManager(precious, DeviceKey.load(made.state / "device.key"), shown=shown.append)
        await made.place("board", board)
        log, reports = EventLog(expendable, made.schema), ReportManager(precious)
        await made.place("managers", Users(made.signer), log, security, reports)
        heard: list[tuple[str, str]] = []
        server = WebServer(
            made.schema, DoorOptions((("127.0.0.1", 0),), absent=ABSENT), lambda *what: heard.append(what)
        )
        bus = await made.place("websrv")
        door = await made.run(bus, server)
        context = ssl.create_default_context(cadata=shown[-1])
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        who = {"x-auth-token": "Administrator-of-admin"}
        async with httpx.AsyncClient(base_url=heard[0][0], verify=context, timeout=20, headers=who) as client:
            try:
                yield House(made, board, client, bus)
            finally:
                door.cancel()
                await asyncio.gather(door, return_exceptions=True)
