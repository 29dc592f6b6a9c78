"""The service netmgr: shows the network and the clock of the BMC, and changes those of a model.

On a simulated board and on virtual machines everything is a model (`model.py`) that lives in the database. On a real
board it is read from the operating system, and a change is refused with the reason.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from protobuf.wkt import Timestamp

from ubmc.hw.network.port import Facts
from ubmc.hw.network.port import Network as NetworkPort
from ubmc.kit import pages
from ubmc.kit.database import Database
from ubmc.kit.errors import NotFound, Refused, UbmcError
from ubmc.kit.feed import Feed
from ubmc.kit.masks import merged
from ubmc.kit.service import Service, lasting, rpc, stream
from ubmc.services.netmgr import addresses, model, seen
from ubmc.services.netmgr.plan import NetworkPlan
from ubmc.services.netmgr.store import Store
from ubmc.v1alpha1 import network_pb as n
from ubmc.v1alpha1.network_rpc import NetworkService, TimeService

log = logging.getLogger("ubmc.netmgr")

POLL_SECONDS = 5.0
"""Between looks at a real network."""
NTP_PORT = 123
NETWORK, TIME, SEED, INTERFACE, PROTOCOL = "network", "time", "seed", "interface:", "protocol:"


class NetworkManager(Service):
    """The BMC's own network, host name, NTP and time."""

    name = "netmgr"
    tells = (n.AddressChange, n.HostNameChange, n.NetworkSettingsChange, n.TimeSet)

    def __init__(
        self, plan: NetworkPlan, database: Database, port: NetworkPort | None, *, poll_seconds: float = POLL_SECONDS
    ) -> None:
        """Make the manager.

        Args:
            plan: what there is.
            database: the precious one, open.
            port: the network of the machine that we run on; None on boards whose network is a model.
            poll_seconds: between looks at it.
        """
        self._plan = plan
        self._store = Store(database)
        self._port = port
        self._poll_seconds = poll_seconds
        self._changing = asyncio.Lock()
        self._feed: Feed[n.WatchNetworkResponse] = Feed()
        self._network = n.Network()
        self._interfaces: dict[str, n.NetworkInterface] = {}
        self._time = n.Time()
        self._offset = timedelta()
        self._settings: dict[str, n.NetworkInterface] = {}
        self._facts = Facts()
        self._blind = False

    # --- life ---------------------------------------------------------------------------------------------------

    async def setup(self) -> None:
        """Remember the model, or look at the machine once."""
        self._feed = Feed()
        if self._port is None:
            await self._recall()
        else:
            await self._look(self._port, first=True)
        for plan in self._plan.protocols:
            self._publish(PROTOCOL + plan.name, n.WatchNetworkResponse(network_protocol=self._protocol(plan.name)))
        self._publish_time()

    async def _recall(self) -> None:
        things = await self._store.load()
        if SEED not in things:
            seed = n.Network(host_name=secrets.token_hex(8))
            await self._store.put({SEED: seed})
            things[SEED] = seed.to_binary()
        seed_text = n.Network.from_binary(things[SEED]).host_name
        name = self._plan.host_name
        self._network = n.Network.from_binary(things[NETWORK]) if NETWORK in things else model.fresh_network(name)
        self._time = n.Time.from_binary(things[TIME]) if TIME in things else model.fresh_time()
        self._offset = timedelta(seconds=self._time.offset_seconds)
        for each in self._plan.interfaces:
            known = things.get(INTERFACE + each)
            self._settings[each] = (
                n.NetworkInterface.from_binary(known) if known is not None else model.fresh_interface(each, seed_text)
            )
        self._show_model()

    async def work(self) -> None:
        """Look at a real network again and again; a model changes by requests only."""
        if self._port is None:
            await asyncio.Event().wait()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(lasting(self._poll(self._port)))

    async def _poll(self, port: NetworkPort) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            await self._look(port)

    # --- what is shown ------------------------------------------------------------------------------------------

    async def _look(self, port: NetworkPort, *, first: bool = False) -> None:
        """Look at the real network, and show what is new."""
        try:
            facts = await port.read()
        except UbmcError as error:
            if not self._blind:
                log.warning("the network cannot be seen: %s", error.message)
            self._blind = True
            return
        self._blind = False
        self._facts = facts
        shown = {each.name: seen.interface(each) for each in facts.interfaces}
        self._show(seen.network(facts), shown, told=not first)
        if (clock := seen.time(facts)) != self._time:
            self._time = clock
            self._publish_time()

    def _show_model(self, *, told: bool = False) -> None:
        shown = {
            name: model.interface(settings, number) for number, (name, settings) in enumerate(self._settings.items())
        }
        self._show(model.network(self._network, shown), shown, told=told)

    def _show(self, network: n.Network, interfaces: dict[str, n.NetworkInterface], *, told: bool) -> None:
        """Publish what is another than before, and tell addresses that changed."""
        for name in self._interfaces.keys() - interfaces.keys():
            gone = self._interfaces[name]
            self._publish(INTERFACE + name, n.WatchNetworkResponse(network_interface=gone, gone=True))
            self._feed.forget(INTERFACE + name)
        before, self._interfaces = self._interfaces, interfaces
        for name, interface in interfaces.items():
            if interface == before.get(name):
                continue
            self._publish(INTERFACE + name, n.WatchNetworkResponse(network_interface=interface))
            have = _addresses(interface)
            if told and (name not in before or have != _addresses(before[name])):
                self.bus.tell("bmc.0", n.AddressChange(name=name, addresses=addresses.text(have)))
        if self._feed.latest(NETWORK) is None or network != self._network:
            self._publish(NETWORK, n.WatchNetworkResponse(network=network))
        if told and network.host_name != self._network.host_name:
            self.bus.tell("bmc.0", n.HostNameChange(previous=self._network.host_name, current=network.host_name))
        self._network = network

    def _publish(self, key: str, update: n.WatchNetworkResponse) -> None:
        self._feed.publish(key, update)

    def _publish_time(self) -> None:
        self._publish(TIME, n.WatchNetworkResponse(time=self._clock()))
        self._publish(f"{PROTOCOL}ntp", n.WatchNetworkResponse(network_protocol=self._protocol("ntp")))

    def _clock(self) -> n.Time:
        """The clock as it is now."""
        clock = copy.deepcopy(self._time)
        offset = timedelta() if clock.ntp_enabled else self._offset
        clock.time = Timestamp.from_datetime(datetime.now(UTC) + offset)
        clock.offset_seconds = offset.total_seconds()
        if self._port is None:
            clock.synchronized = clock.ntp_enabled
        return clock

    def _protocol(self, name: str) -> n.NetworkProtocol:
        if name == "ntp":
            return n.NetworkProtocol(
                name=name, enabled=self._time.ntp_enabled, port=NTP_PORT, fixed_reason=self._time.fixed_reason
            )
        plan = next(each for each in self._plan.protocols if each.name == name)
        return n.NetworkProtocol(name=name, enabled=plan.enabled, port=plan.port, fixed_reason=plan.fixed_reason)

    # --- the network --------------------------------------------------------------------------------------------

    @rpc(NetworkService.GetNetwork)
    async def get_network(self, _request: n.GetNetworkRequest) -> n.GetNetworkResponse:
        """What holds for the whole BMC."""
        return n.GetNetworkResponse(network=self._network)

    @rpc(NetworkService.UpdateNetwork)
    async def update_network(self, request: n.UpdateNetworkRequest) -> n.UpdateNetworkResponse:
        """Change names and name servers."""
        async with self._changing:
            wanted, _ = merged(self._network, request.network or n.Network(), request.update_mask, model.NETWORK_FIELDS)
            if wanted != self._network:
                if self._network.fixed_reason:
                    raise Refused(self._network.fixed_reason)
                if not wanted.host_name:
                    raise addresses.wrong("host_name", "a BMC has a name")
                await self._store.put({NETWORK: wanted})
                other = (wanted.domain, wanted.static_dns_servers)
                if other != (self._network.domain, self._network.static_dns_servers):
                    self.bus.tell("bmc.0", n.NetworkSettingsChange(name=NETWORK, what="domain or name servers"))
                shown = model.network(wanted, self._interfaces)
                self._show(shown, self._interfaces, told=True)
        return n.UpdateNetworkResponse(network=self._network)

    @rpc(NetworkService.ListNetworkInterfaces)
    async def list_interfaces(self, request: n.ListNetworkInterfacesRequest) -> n.ListNetworkInterfacesResponse:
        """All interfaces."""
        if self._port is not None:
            await self._look(self._port)
        shown = [self._counted(each) for each in self._interfaces.values()]
        shown, token = pages.page(shown, request.page_size, request.page_token, key=lambda each: each.name)
        return n.ListNetworkInterfacesResponse(network_interfaces=shown, next_page_token=token)

    @rpc(NetworkService.GetNetworkInterface)
    async def get_interface(self, request: n.GetNetworkInterfaceRequest) -> n.GetNetworkInterfaceResponse:
        """One interface."""
        if self._port is not None:
            await self._look(self._port)
        found = pages.find(self._interfaces, request.name)
        return n.GetNetworkInterfaceResponse(network_interface=self._counted(found))

    def _counted(self, interface: n.NetworkInterface) -> n.NetworkInterface:
        """The interface with its statistics, where anything is counted."""
        for each in self._facts.interfaces:
            if each.name == interface.name:
                counted = copy.deepcopy(interface)
                counted.statistics = seen.statistics(each.counters)
                return counted
        return interface

    @rpc(NetworkService.UpdateNetworkInterface)
    async def update_interface(self, request: n.UpdateNetworkInterfaceRequest) -> n.UpdateNetworkInterfaceResponse:
        """Change the settings of an interface."""
        wanted = request.network_interface or n.NetworkInterface()
        async with self._changing:
            before = pages.find(self._settings if self._port is None else self._interfaces, wanted.name)
            after, taken = merged(before, wanted, request.update_mask, model.INTERFACE_FIELDS)
            if after != before:
                if before.fixed_reason:
                    raise Refused(before.fixed_reason)
                after = model.check_interface(after)
                await self._store.put({INTERFACE + wanted.name: after})
                self._settings[wanted.name] = after
                what = ", ".join(sorted({path.partition(".")[0] for path in taken}))
                self.bus.tell("bmc.0", n.NetworkSettingsChange(name=wanted.name, what=what))
                self._show_model(told=True)
        return n.UpdateNetworkInterfaceResponse(network_interface=self._interfaces[wanted.name])

    # --- protocols ----------------------------------------------------------------------------------------------

    @rpc(NetworkService.ListNetworkProtocols)
    async def list_protocols(self, request: n.ListNetworkProtocolsRequest) -> n.ListNetworkProtocolsResponse:
        """All protocols."""
        names = [*(plan.name for plan in self._plan.protocols), "ntp"]
        shown, token = pages.page(
            [self._protocol(name) for name in names], request.page_size, request.page_token, key=lambda each: each.name
        )
        return n.ListNetworkProtocolsResponse(network_protocols=shown, next_page_token=token)

    @rpc(NetworkService.UpdateNetworkProtocol)
    async def update_protocol(self, request: n.UpdateNetworkProtocolRequest) -> n.UpdateNetworkProtocolResponse:
        """Change a protocol: only whether NTP is used can be changed by a request."""
        wanted = request.network_protocol or n.NetworkProtocol()
        if wanted.name not in {"ntp", *(plan.name for plan in self._plan.protocols)}:
            raise NotFound(f"there is no network protocol {wanted.name} on this BMC")
        before = self._protocol(wanted.name)
        mask = request.update_mask if request.update_mask is not None and request.update_mask.paths else None
        paths = mask.paths if mask is not None else ["enabled", "port"]
        after = copy.deepcopy(before)
        for path in paths:
            if path not in {"enabled", "port"}:
                raise addresses.wrong("updateMask", f"{path} cannot be changed; name enabled or port")
            setattr(after, path, getattr(wanted, path))
        if after != before:
            if before.fixed_reason:
                raise Refused(before.fixed_reason)
            if after.port != before.port:
                raise Refused(f"the port of {wanted.name} is {before.port} and cannot be changed")
            await self._set_time(n.Time(ntp_enabled=after.enabled), frozenset({"ntp_enabled"}))
        return n.UpdateNetworkProtocolResponse(network_protocol=self._protocol(wanted.name))

    @stream(NetworkService.WatchNetwork)
    async def watch_network(self, request: n.WatchNetworkRequest) -> AsyncIterator[n.WatchNetworkResponse]:
        """Every change."""
        async for update in self._feed.watch(request.cursor):
            item = update.item
            yield n.WatchNetworkResponse(
                network=item.network,
                network_interface=item.network_interface,
                network_protocol=item.network_protocol,
                time=self._clock() if item.time is not None else None,
                cursor=update.cursor,
                snapshot=update.snapshot,
                complete=update.complete,
                gone=item.gone,
            )

    # --- the clock ----------------------------------------------------------------------------------------------

    @rpc(TimeService.GetTime)
    async def get_time(self, _request: n.GetTimeRequest) -> n.GetTimeResponse:
        """The clock."""
        return n.GetTimeResponse(time=self._clock())

    @rpc(TimeService.UpdateTime)
    async def update_time(self, request: n.UpdateTimeRequest) -> n.UpdateTimeResponse:
        """Set the clock, or where its time comes from."""
        wanted = request.time or n.Time()
        _, taken = merged(self._time, wanted, request.update_mask, model.TIME_FIELDS)
        if self._time.fixed_reason:
            raise Refused(self._time.fixed_reason)
        await self._set_time(wanted, taken)
        return n.UpdateTimeResponse(time=self._clock())

    async def _set_time(self, wanted: n.Time, taken: frozenset[str]) -> None:
        """Change the settings of the model's clock, on disk, then tell it."""
        async with self._changing:
            before = self._clock()
            after = copy.deepcopy(self._time)
            for path in taken - {"time"}:
                setattr(after, path, getattr(wanted, path))
            offset = self._offset
            if "time" in taken:
                offset = _offset_to(wanted.time, ntp=after.ntp_enabled)
            elif after.ntp_enabled:
                offset = timedelta()  # who follows time servers begins from their time when that ends
            after.offset_seconds = offset.total_seconds()
            await self._store.put({TIME: after})
            settings = sorted(path for path in taken - {"time"} if getattr(after, path) != getattr(self._time, path))
            self._time, self._offset = after, offset
            self._publish_time()
        if settings:
            self.bus.tell("bmc.0", n.NetworkSettingsChange(name=TIME, what=", ".join(settings)))
        if "time" in taken and before.time is not None and wanted.time is not None:
            self.bus.tell("bmc.0", n.TimeSet(previous=_iso(before.time), current=_iso(wanted.time)))


def _offset_to(time: Timestamp | None, *, ntp: bool) -> timedelta:
    """How far a clock that is set to this time is ahead of ours. Raises `Refused`, `Invalid`."""
    if ntp:
        raise Refused("the clock follows time servers: disable NTP first, then set it")
    if time is None:
        raise addresses.wrong("time", "say what time it is")
    try:
        return time.to_datetime() - datetime.now(UTC)
    except (ValueError, OverflowError) as error:
        raise addresses.wrong("time", "is out of range") from error


def _iso(time: Timestamp) -> str:
    return time.to_datetime().isoformat(timespec="seconds")


def _addresses(interface: n.NetworkInterface) -> list[n.InterfaceAddress]:
    ipv4 = interface.ipv4.addresses if interface.ipv4 is not None else []
    ipv6 = interface.ipv6.addresses if interface.ipv6 is not None else []
    return [*ipv4, *ipv6]
