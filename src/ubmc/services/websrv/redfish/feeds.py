"""Where the model's facts come from: for each kind, the call that lists them and the stream that tells changes.

Everything is read as websrv itself. A kind whose service this board does not have is known to be empty.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from protobuf import Message

from ubmc.kit.bus import Bus
from ubmc.kit.errors import NotFound
from ubmc.protocols.redfish.facts import Facts
from ubmc.rpc import ServerStream, Unary
from ubmc.v1alpha1 import bios_pb, network_pb
from ubmc.v1alpha1.account_pb import GetAccountPolicyRequest
from ubmc.v1alpha1.account_rpc import AccountService
from ubmc.v1alpha1.bios_rpc import BiosService
from ubmc.v1alpha1.chassis_pb import ListChassisRequest, WatchChassisRequest
from ubmc.v1alpha1.chassis_rpc import ChassisService
from ubmc.v1alpha1.console_pb import ListConsolesRequest, WatchConsolesRequest
from ubmc.v1alpha1.console_rpc import ConsoleService
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.host_pb import ListHostsRequest, WatchHostsRequest
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.inventory_pb import ListAssetsRequest, WatchAssetsRequest
from ubmc.v1alpha1.inventory_rpc import InventoryService
from ubmc.v1alpha1.led_pb import ListLedsRequest, WatchLedsRequest
from ubmc.v1alpha1.led_rpc import LedService
from ubmc.v1alpha1.management_controller_pb import ListManagementControllersRequest
from ubmc.v1alpha1.management_controller_rpc import ManagementControllerService
from ubmc.v1alpha1.network_rpc import NetworkService, TimeService
from ubmc.v1alpha1.security_pb import GetSecurityPolicyRequest, WatchDoorRequest
from ubmc.v1alpha1.security_rpc import SecurityService
from ubmc.v1alpha1.sensor_pb import ListSensorsRequest, WatchSensorsRequest
from ubmc.v1alpha1.sensor_rpc import SensorService
from ubmc.v1alpha1.system_pb import GetHealthRequest, GetHealthResponse, GetSystemRequest
from ubmc.v1alpha1.system_rpc import SystemService
from ubmc.v1alpha1.thermal_pb import ListCoolingDevicesRequest, ListThermalZonesRequest, WatchThermalZonesRequest
from ubmc.v1alpha1.thermal_rpc import ThermalService

PAGE = 1000
SENSOR_SECONDS = 0.25
"""Between news of sensors, at least: more would wake the door too often, and less be late."""
POLL_SECONDS = 10.0
SOON_SECONDS = 1.0
Row = tuple[str, str, Any]
"""Kind, name, message."""
Load = Callable[[Bus, Facts], AsyncIterator[Row]]
Anything = Message[Any]


@dataclass(frozen=True, slots=True)
class Feed:
    """Where some kinds of facts come from."""

    kinds: tuple[str, ...]
    service: str
    """Of the schema, `HostService`."""
    load: Load
    """Everything there is."""
    watch: tuple[ServerStream[Any, Any], Anything] | None = None
    """What tells changes; without one everything is loaded anew now and then, and when there is news."""
    rows: Callable[[Any], list[Row]] = lambda _update: []
    """What one update tells."""
    gone: Callable[[Any], list[tuple[str, str]]] = lambda _update: []
    """Which of it is gone."""
    poll_seconds: Callable[[Facts], float] = lambda _facts: POLL_SECONDS
    """Without a stream: when to load anew, though there is no news."""


def _listing(kind: str, token: Unary[Any, Any], request: Anything, attribute: str) -> Load:
    """All pages of a List RPC."""

    async def load(bus: Bus, _facts: Facts) -> AsyncIterator[Row]:
        wanted: Any = type(request).from_binary(request.to_binary())
        while True:
            answer = await bus.ask(token, wanted)
            for row in getattr(answer, attribute):
                yield kind, row.name, row
            if not answer.next_page_token:
                return
            wanted.page_token = answer.next_page_token

    return load


def _one(kind: str, token: Unary[Any, Any], request: Anything, attribute: str) -> Load:
    """The one answer of a Get RPC; without an attribute, all of it."""

    async def load(bus: Bus, _facts: Facts) -> AsyncIterator[Row]:
        answer = await bus.ask(token, request)
        yield kind, "", getattr(answer, attribute) if attribute else answer

    return load


def _together(*loads: Load) -> Load:
    async def load(bus: Bus, facts: Facts) -> AsyncIterator[Row]:
        for each in loads:
            async for row in each(bus, facts):
                yield row

    return load


def _health_poll(facts: Facts) -> float:
    """There is news of what fails and works again, but not of what starts for the first time."""
    told: GetHealthResponse | None = facts.rows("health").get("")
    return POLL_SECONDS if told is not None and told.health is Severity.OK else SOON_SECONDS


async def _bios(bus: Bus, _facts: Facts) -> AsyncGenerator[Row, None]:
    """The set-ups of all hosts that have one, and their attributes."""
    hosts = await bus.ask(HostService.ListHosts, ListHostsRequest(page_size=PAGE))
    for host in hosts.hosts:
        try:
            answer = await bus.ask(BiosService.GetBios, bios_pb.GetBiosRequest(host=host.name))
        except NotFound:
            continue
        yield "bios", host.name, answer.bios
        wanted = bios_pb.ListBiosAttributesRequest(host=host.name, page_size=PAGE)
        listed = await bus.ask(BiosService.ListBiosAttributes, wanted)
        yield "bios-attributes", host.name, tuple(listed.bios_attributes)


def _network_rows(update: network_pb.WatchNetworkResponse) -> list[Row]:
    if update.gone:
        return []
    found: list[Row] = []
    if update.network is not None:
        found.append(("network", "", update.network))
    if update.network_interface is not None:
        found.append(("interface", update.network_interface.name, update.network_interface))
    if update.network_protocol is not None:
        found.append(("protocol", update.network_protocol.name, update.network_protocol))
    if update.time is not None:
        found.append(("time", "", update.time))
    return found


def _network_gone(update: network_pb.WatchNetworkResponse) -> list[tuple[str, str]]:
    gone = update.gone and update.network_interface is not None
    return [("interface", update.network_interface.name)] if gone and update.network_interface is not None else []


FEEDS: tuple[Feed, ...] = (
    Feed(("system",), "SystemService", _one("system", SystemService.GetSystem, GetSystemRequest(), "system")),
    Feed(
        ("health",),
        "SystemService",
        _one("health", SystemService.GetHealth, GetHealthRequest(), ""),
        poll_seconds=_health_poll,
    ),
    Feed(
        ("policy",),
        "AccountService",
        _one("policy", AccountService.GetAccountPolicy, GetAccountPolicyRequest(), "policy"),
    ),
    Feed(
        ("security",),
        "SecurityService",
        _one("security", SecurityService.GetSecurityPolicy, GetSecurityPolicyRequest(), "policy"),
        (SecurityService.WatchDoor, WatchDoorRequest()),
        lambda update: [("security", "", update.policy)] if update.policy is not None else [],
    ),
    Feed(
        ("controller",),
        "ManagementControllerService",
        _listing(
            "controller",
            ManagementControllerService.ListManagementControllers,
            ListManagementControllersRequest(page_size=PAGE),
            "management_controllers",
        ),
    ),
    Feed(
        ("host",),
        "HostService",
        _listing("host", HostService.ListHosts, ListHostsRequest(page_size=PAGE), "hosts"),
        (HostService.WatchHosts, WatchHostsRequest()),
        lambda update: [("host", update.host.name, update.host)],
    ),
    Feed(
        ("chassis",),
        "ChassisService",
        _listing("chassis", ChassisService.ListChassis, ListChassisRequest(page_size=PAGE), "chassis"),
        (ChassisService.WatchChassis, WatchChassisRequest()),
        lambda update: [("chassis", update.chassis.name, update.chassis)],
    ),
    Feed(
        ("led",),
        "LedService",
        _listing("led", LedService.ListLeds, ListLedsRequest(page_size=PAGE), "leds"),
        (LedService.WatchLeds, WatchLedsRequest()),
        lambda update: [("led", update.led.name, update.led)],
    ),
    Feed(
        ("asset",),
        "InventoryService",
        _listing("asset", InventoryService.ListAssets, ListAssetsRequest(page_size=PAGE), "assets"),
        (InventoryService.WatchAssets, WatchAssetsRequest()),
        lambda update: [("asset", update.asset.name, update.asset)],
    ),
    Feed(
        ("sensor",),
        "SensorService",
        _listing("sensor", SensorService.ListSensors, ListSensorsRequest(page_size=PAGE), "sensors"),
        (SensorService.WatchSensors, WatchSensorsRequest(min_interval_seconds=SENSOR_SECONDS)),
        lambda update: [("sensor", sensor.name, sensor) for sensor in update.sensors],
    ),
    Feed(
        ("zone", "fan"),
        "ThermalService",
        _together(
            _listing("zone", ThermalService.ListThermalZones, ListThermalZonesRequest(page_size=PAGE), "thermal_zones"),
            _listing(
                "fan", ThermalService.ListCoolingDevices, ListCoolingDevicesRequest(page_size=PAGE), "cooling_devices"
            ),
        ),
        (ThermalService.WatchThermalZones, WatchThermalZonesRequest()),
        lambda update: [
            ("zone", update.thermal_zone.name, update.thermal_zone),
            *(("fan", device.name, device) for device in update.cooling_devices),
        ],
    ),
    Feed(
        ("network", "interface", "protocol", "time"),
        "NetworkService",
        _together(
            _one("network", NetworkService.GetNetwork, network_pb.GetNetworkRequest(), "network"),
            _listing(
                "interface",
                NetworkService.ListNetworkInterfaces,
                network_pb.ListNetworkInterfacesRequest(page_size=PAGE),
                "network_interfaces",
            ),
            _listing(
                "protocol",
                NetworkService.ListNetworkProtocols,
                network_pb.ListNetworkProtocolsRequest(page_size=PAGE),
                "network_protocols",
            ),
            _one("time", TimeService.GetTime, network_pb.GetTimeRequest(), "time"),
        ),
        (NetworkService.WatchNetwork, network_pb.WatchNetworkRequest()),
        _network_rows,
        _network_gone,
    ),
    Feed(
        ("bios", "bios-attributes"),
        "BiosService",
        _bios,
        (BiosService.WatchBios, bios_pb.WatchBiosRequest()),
        lambda update: [("bios", update.bios.host, update.bios)],
    ),
    Feed(
        ("console",),
        "ConsoleService",
        _listing("console", ConsoleService.ListConsoles, ListConsolesRequest(page_size=PAGE), "consoles"),
        (ConsoleService.WatchConsoles, WatchConsolesRequest()),
        lambda update: [("console", update.console.name, update.console)],
    ),
)

CALLS: tuple[Unary[Any, Any] | ServerStream[Any, Any], ...] = (
    SystemService.GetSystem,
    SystemService.GetHealth,
    AccountService.GetAccountPolicy,
    SecurityService.GetSecurityPolicy,
    ManagementControllerService.ListManagementControllers,
    HostService.ListHosts,
    ChassisService.ListChassis,
    LedService.ListLeds,
    InventoryService.ListAssets,
    SensorService.ListSensors,
    ThermalService.ListThermalZones,
    ThermalService.ListCoolingDevices,
    NetworkService.GetNetwork,
    NetworkService.ListNetworkInterfaces,
    NetworkService.ListNetworkProtocols,
    TimeService.GetTime,
    BiosService.GetBios,
    BiosService.ListBiosAttributes,
    ConsoleService.ListConsoles,
    *(feed.watch[0] for feed in FEEDS if feed.watch is not None),
)
"""What websrv calls of its own accord for all this."""
