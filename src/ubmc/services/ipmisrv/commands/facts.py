"""What is known of the machine, followed by streams: so a command needs no call to tell it, and waits for nobody.

A part that is not known (its service is away, or has not told all yet) is answered as busy, never as something that it
may not be any more; of a sensor it is "reading unavailable".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ubmc.kit.bus import Bus
from ubmc.kit.errors import NotFound, UbmcError
from ubmc.kit.service import lasting
from ubmc.kit.trouble import Trouble
from ubmc.protocols.ipmi.codes import Code, Completion
from ubmc.rpc import ServerStream, Unary
from ubmc.v1alpha1.chassis_pb import Chassis, ListChassisRequest, WatchChassisRequest
from ubmc.v1alpha1.chassis_rpc import ChassisService
from ubmc.v1alpha1.host_pb import Host, HostState, ListHostsRequest, WatchHostsRequest
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.inventory_pb import Asset, ListAssetsRequest, WatchAssetsRequest
from ubmc.v1alpha1.inventory_rpc import InventoryService
from ubmc.v1alpha1.network_pb import (
    ListNetworkInterfacesRequest,
    Network,
    NetworkInterface,
    Time,
    WatchNetworkRequest,
)
from ubmc.v1alpha1.network_rpc import NetworkService
from ubmc.v1alpha1.sensor_pb import ListSensorsRequest, Sensor, WatchSensorsRequest
from ubmc.v1alpha1.sensor_rpc import SensorService

log = logging.getLogger("ubmc.ipmisrv")

T = TypeVar("T")

RETRY_SECONDS = 0.5
ABSENT_SECONDS = 30.0
"""Until it is asked again for what this board has not."""
SENSOR_SECONDS = 0.5
PAGE = 500


@dataclass(slots=True)
class Part(Generic[T]):
    """One kind of thing, by name."""

    known: dict[str, T] = field(default_factory=dict)
    fresh: bool = False
    """All of them have been told, and the stream goes on."""
    changed: Callable[[T], None] | None = None
    """Told of each that is new or different."""

    def get(self, name: str) -> T:
        """One of them.

        Raises:
            Completion: C0h, it is not known now; CBh, there is none of this name.
        """
        found = self.all()
        if name not in found:
            raise Completion(Code.NOT_PRESENT)
        return found[name]

    def all(self) -> dict[str, T]:
        """All of them.

        Raises:
            Completion: C0h, they are not known now.
        """
        if not self.fresh:
            raise Completion(Code.NODE_BUSY)
        return self.known

    def put(self, name: str, thing: T) -> None:
        """Take one in."""
        self.known[name] = thing
        if self.changed is not None:
            self.changed(thing)

    def replace(self, things: Iterable[tuple[str, T]]) -> None:
        """Take all of them in; what is not among them is gone."""
        found = dict(things)
        for name in self.known.keys() - found.keys():
            del self.known[name]
        for name, thing in found.items():
            self.put(name, thing)
        self.fresh = True


@dataclass(frozen=True, slots=True)
class Source:
    """Where a part is told."""

    what: str
    list: Unary[Any, Any]
    watch: ServerStream[Any, Any]
    request: Callable[[str], Any]
    """The request of a page."""
    watching: Any
    """The request of the stream."""


SOURCES = (
    Source(
        "hosts",
        HostService.ListHosts,
        HostService.WatchHosts,
        lambda page: ListHostsRequest(page_size=PAGE, page_token=page),
        WatchHostsRequest(),
    ),
    Source(
        "chassis",
        ChassisService.ListChassis,
        ChassisService.WatchChassis,
        lambda page: ListChassisRequest(page_size=PAGE, page_token=page),
        WatchChassisRequest(),
    ),
    Source(
        "sensors",
        SensorService.ListSensors,
        SensorService.WatchSensors,
        lambda page: ListSensorsRequest(page_size=PAGE, page_token=page),
        WatchSensorsRequest(min_interval_seconds=SENSOR_SECONDS),
    ),
    Source(
        "assets",
        InventoryService.ListAssets,
        InventoryService.WatchAssets,
        lambda page: ListAssetsRequest(page_size=PAGE, page_token=page),
        WatchAssetsRequest(),
    ),
    Source(
        "network_interfaces",
        NetworkService.ListNetworkInterfaces,
        NetworkService.WatchNetwork,
        lambda page: ListNetworkInterfacesRequest(page_size=PAGE, page_token=page),
        WatchNetworkRequest(),
    ),
)
"""The name of each is the field of the lists; that of one thing in the updates has no `s`, or is the same."""
CALLS = tuple(token for source in SOURCES for token in (source.list, source.watch))


class Facts:
    """All that is known, and the streams that tell it.

    Args:
        bus: where they come from.
        absent: the services that this board has nothing for; what they would tell is known: nothing.
    """

    def __init__(self, bus: Bus, absent: Iterable[str] = ()) -> None:
        self._bus = bus
        self._absent = frozenset(absent)
        self.hosts: Part[Host] = Part(changed=self._host_changed)
        self.chassis: Part[Chassis] = Part()
        self.sensors: Part[Sensor] = Part()
        self.assets: Part[Asset] = Part()
        self.interfaces: Part[NetworkInterface] = Part()
        self.network: Network | None = None
        self.clock: Time | None = None
        self._seen: dict[str, float] = {}
        self._parts: dict[str, Part[Any]] = {
            "hosts": self.hosts,
            "chassis": self.chassis,
            "sensors": self.sensors,
            "assets": self.assets,
            "network_interfaces": self.interfaces,
        }

    def _host_changed(self, host: Host) -> None:
        self._seen[host.name] = time.monotonic()

    def power_on_seconds(self, name: str) -> float:
        """For how long a host has had power in all; it goes on counting between two updates. Raises as `Part.get`."""
        host = self.hosts.get(name)
        counted = host.power_on_time.to_seconds() if host.power_on_time is not None else 0.0
        running = host.state in (HostState.ON, HostState.POWERING_OFF, HostState.RESTARTING)
        return counted + (time.monotonic() - self._seen[name] if running else 0.0)

    def clock_offset(self) -> float:
        """How far the BMC's clock is ahead of the one by which events are dated, in seconds."""
        return self.clock.offset_seconds if self.clock is not None else 0.0

    def interface(self) -> NetworkInterface:
        """The first network interface. Raises `Completion` C0h when it is not known, CBh when there is none."""
        interfaces = self.interfaces.all()
        if not interfaces:
            raise Completion(Code.NOT_PRESENT)
        return interfaces[min(interfaces)]

    async def work(self) -> None:
        """Follow everything, for ever."""
        async with asyncio.TaskGroup() as group:
            for source in SOURCES:
                if source.list.short in self._absent:
                    self._parts[source.what].fresh = True
                else:
                    group.create_task(lasting(self._follow(source)))
            group.create_task(lasting(asyncio.Event().wait()))

    async def _follow(self, source: Source) -> None:
        part = self._parts[source.what]

        async def load() -> None:
            part.replace([(each.name, each) for each in await self._all(source)])

        def lost() -> None:
            part.fresh = False

        await follow(
            source.what,
            load,
            lambda: self._bus.watch(source.watch, source.watching),
            lambda update: self._take(source.what, update),
            lost,
        )

    async def _all(self, source: Source) -> list[Any]:
        found: list[Any] = []
        page = ""
        while True:
            answer = await self._bus.ask(source.list, source.request(page))
            found.extend(getattr(answer, source.what))
            page = answer.next_page_token
            if not page:
                return found

    def _take(self, what: str, update: Any) -> None:
        """Take an update in."""
        part = self._parts[what]
        if what == "network_interfaces":
            self.network = update.network or self.network
            self.clock = update.time or self.clock
            things = [update.network_interface] if update.network_interface is not None else []
        elif what == "sensors":
            things = update.sensors
        else:
            things = [getattr(update, what if what == "chassis" else what[:-1])]
        for thing in things:
            if getattr(update, "gone", False):
                part.known.pop(thing.name, None)
            else:
                part.put(thing.name, thing)


async def follow(
    what: str,
    load: Callable[[], Awaitable[None]],
    watch: Callable[[], AsyncGenerator[T, None]],
    take: Callable[[T], None],
    lost: Callable[[], None],
) -> None:
    """Read something whole and follow it, and begin again whenever the stream ends; for ever.

    Args:
        what: it is, for the log.
        load: reads it whole.
        watch: begins the stream, which tells at its beginning what is so.
        take: takes an update.
        lost: what was told holds no more.
    """
    trouble, clock = Trouble(), asyncio.get_running_loop().time
    while True:
        delay = RETRY_SECONDS
        try:
            await load()
            async with contextlib.aclosing(watch()) as updates:
                async for update in updates:
                    if trouble.ends():
                        log.info("a part of the machine is followed again", extra={"part": what})
                    take(update)
            why = "the stream ended"
        except NotFound as error:
            delay, why = ABSENT_SECONDS, error.message
        except UbmcError as error:
            why = error.message
        lost()
        if trouble.fails(clock()):
            log.info("a part of the machine is not followed", extra={"part": what, "why": why})
        await asyncio.sleep(delay)
