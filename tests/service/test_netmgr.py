"""netmgr on a real bus: a model that survives restarts, facts of a real board, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from protobuf import Message
from protobuf.wkt import FieldMask, Timestamp
from tests.harness.bus import BusWorld

from ubmc.hw.network import port
from ubmc.kit.bus import Bus
from ubmc.kit.database import Database
from ubmc.kit.errors import Denied, Invalid, NotFound, Refused, Unavailable
from ubmc.kit.service import Service, on
from ubmc.rpc import Req, Res, Unary
from ubmc.services.eventlog.service import EventLog
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.netmgr.plan import NetworkPlan, ProtocolPlan
from ubmc.services.netmgr.service import NetworkManager
from ubmc.v1alpha1 import network_pb as n
from ubmc.v1alpha1.network_rpc import NetworkService, TimeService

FIXED = "what listens where is decided by the owner's file"
PLAN = NetworkPlan(
    "ubmc-test", protocols=(ProtocolPlan("https", True, 8443, FIXED), ProtocolPlan("ssh", False, 0, FIXED))
)


class Listener(Service):
    """Hears what netmgr tells."""

    name = "listener"

    def __init__(self) -> None:
        self.heard: list[Message[Any]] = []
        self.more = asyncio.Event()

    def hear(self, news: Message[Any]) -> None:
        self.heard.append(news)
        self.more.set()

    @on(n.AddressChange)
    async def address(self, news: n.AddressChange) -> None:
        self.hear(news)

    @on(n.HostNameChange)
    async def host_name(self, news: n.HostNameChange) -> None:
        self.hear(news)

    @on(n.TimeSet)
    async def time_set(self, news: n.TimeSet) -> None:
        self.hear(news)

    async def until(self, wanted: Message[Any]) -> None:
        async with asyncio.timeout(30):
            while wanted not in self.heard:
                self.more.clear()
                await self.more.wait()


@dataclass
class House:
    """netmgr, a listener and a door."""

    bus: BusWorld
    managers: Bus
    door: Bus
    database: Database
    listener: Listener
    running: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self, network: port.Network | None = None) -> None:
        manager = NetworkManager(PLAN, self.database, network, poll_seconds=0.02)
        self.running.append(await self.bus.run(self.managers, manager))

    async def stop(self) -> None:
        task = self.running.pop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def ask(self, token: Unary[Req, Res], request: Req, role: str = "Administrator") -> Res:
        return await self.door.forward(token, request, self.bus.call("olga", role))

    async def interface(self) -> n.NetworkInterface:
        answer = await self.ask(NetworkService.GetNetworkInterface, n.GetNetworkInterfaceRequest(name="eth0"))
        assert answer.network_interface is not None
        return answer.network_interface

    async def change(self, interface: n.NetworkInterface, *paths: str) -> n.NetworkInterface:
        request = n.UpdateNetworkInterfaceRequest(network_interface=interface, update_mask=FieldMask(paths=list(paths)))
        answer = await self.ask(NetworkService.UpdateNetworkInterface, request)
        assert answer.network_interface is not None
        return answer.network_interface

    async def time(self, time: n.Time | None = None, *paths: str) -> n.Time:
        if time is None:
            shown = (await self.ask(TimeService.GetTime, n.GetTimeRequest())).time
        else:
            request = n.UpdateTimeRequest(time=time, update_mask=FieldMask(paths=list(paths)))
            shown = (await self.ask(TimeService.UpdateTime, request)).time
        assert shown is not None
        return shown


@contextlib.asynccontextmanager
async def house(path: Path) -> AsyncIterator[House]:
    database = Database(path / "precious.db")
    database.open()
    listener = Listener()
    specs = (
        ProcessSpec("managers", (NetworkManager, EventLog)),
        ProcessSpec("ears", (Listener,)),
        ProcessSpec("websrv", (), door=True),
    )
    try:
        async with BusWorld(*specs) as bus:
            managers = await bus.place("managers", EventLog(database, bus.schema))
            door = await bus.place("websrv")
            await bus.place("ears", listener)
            yield House(bus, managers, door, database, listener)
    finally:
        await asyncio.to_thread(database.close)


def seconds_off(shown: n.Time, wanted: datetime) -> float:
    assert shown.time is not None
    return abs((shown.time.to_datetime() - wanted).total_seconds())


async def test_a_static_address_is_kept_and_told(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.start()
        fresh = await made.interface()
        assert fresh.ipv4 is not None
        assert [each.origin for each in fresh.ipv4.addresses] == [n.AddressOrigin.DHCP]
        address = n.InterfaceAddress(address="198.51.100.7", prefix_length=24)
        ipv4 = n.Ipv4(static_addresses=[address], static_gateway="198.51.100.1")
        await made.change(n.NetworkInterface(name="eth0", ipv4=ipv4), "ipv4")
        shown = await made.interface()
        assert shown.ipv4 is not None
        assert [each.address for each in shown.ipv4.addresses] == ["198.51.100.7"]
        network = (await made.ask(NetworkService.GetNetwork, n.GetNetworkRequest())).network
        assert network is not None
        assert (network.ipv4_gateway, network.dns_servers) == ("198.51.100.1", [])
        v6 = [f"{each.address}/64" for each in (shown.ipv6 or n.Ipv6()).addresses]
        await made.listener.until(n.AddressChange(name="eth0", addresses=", ".join(["198.51.100.7/24", *v6])))
        await made.stop()
        await made.start()
        assert await made.interface() == shown


async def test_what_no_interface_can_have_changes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.start()
        before = await made.interface()
        with pytest.raises(Invalid, match="mtu"):
            await made.change(n.NetworkInterface(name="eth0", mtu=100), "mtu")
        with pytest.raises(Invalid, match="link cannot be changed"):
            await made.change(n.NetworkInterface(name="eth0"), "link")
        with pytest.raises(NotFound, match=r"no eth7; there is eth0"):
            await made.change(n.NetworkInterface(name="eth7", mtu=1500), "mtu")
        with pytest.raises(Denied):
            request = n.UpdateNetworkRequest(network=n.Network(host_name="x"))
            await made.ask(NetworkService.UpdateNetwork, request, "Operator")
        assert await made.interface() == before


async def test_the_name_is_kept_and_told(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.start()
        wanted = n.Network(host_name="rack7-bmc", domain="example.org", static_dns_servers=["192.0.2.99"])
        answer = await made.ask(NetworkService.UpdateNetwork, n.UpdateNetworkRequest(network=wanted))
        assert answer.network is not None
        assert answer.network.dns_servers == ["192.0.2.99", "192.0.2.53"]
        await made.listener.until(n.HostNameChange(previous="ubmc-test", current="rack7-bmc"))
        with pytest.raises(Invalid, match="host_name"):
            request = n.UpdateNetworkRequest(network=n.Network(), update_mask=FieldMask(paths=["host_name"]))
            await made.ask(NetworkService.UpdateNetwork, request)
        await made.stop()
        await made.start()
        shown = (await made.ask(NetworkService.GetNetwork, n.GetNetworkRequest())).network
        assert shown == answer.network


async def test_the_clock_of_the_model_is_set_and_goes_on_over_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.start()
        assert seconds_off(await made.time(), datetime.now(UTC)) < 5
        wanted = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
        with pytest.raises(Refused, match="disable NTP first"):
            await made.time(n.Time(time=Timestamp.from_datetime(wanted)), "time")
        shown = await made.time(
            n.Time(time=Timestamp.from_datetime(wanted), utc_offset_minutes=60),
            "time", "utc_offset_minutes", "ntp_enabled",
        )  # fmt: skip
        assert (shown.ntp_enabled, shown.synchronized, shown.utc_offset_minutes) == (False, False, 60)
        assert seconds_off(shown, wanted) < 5
        async with asyncio.timeout(30):
            while not any(isinstance(news, n.TimeSet) for news in made.listener.heard):
                made.listener.more.clear()
                await made.listener.more.wait()
        await made.stop()
        await made.start()
        shown = await made.time()
        assert seconds_off(shown, wanted) < 30
        expected = (wanted - datetime.now(UTC)) / timedelta(seconds=1)
        assert shown.offset_seconds == pytest.approx(expected, abs=30)
        shown = await made.time(n.Time(ntp_enabled=True), "ntp_enabled")
        assert shown.synchronized
        assert seconds_off(shown, datetime.now(UTC)) < 5


async def test_protocols_show_what_runs_and_only_ntp_can_be_changed(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.start()
        answer = await made.ask(NetworkService.ListNetworkProtocols, n.ListNetworkProtocolsRequest())
        assert [(each.name, each.enabled, each.port) for each in answer.network_protocols] == [
            ("https", True, 8443),
            ("ntp", True, 123),
            ("ssh", False, 0),
        ]

        async def change(protocol: n.NetworkProtocol) -> None:
            request = n.UpdateNetworkProtocolRequest(network_protocol=protocol)
            await made.ask(NetworkService.UpdateNetworkProtocol, request)

        await change(n.NetworkProtocol(name="https", enabled=True, port=8443))  # as it is: nothing to refuse
        with pytest.raises(Refused, match="owner's file"):
            await change(n.NetworkProtocol(name="https", enabled=False, port=8443))
        with pytest.raises(NotFound, match="telnet"):
            await change(n.NetworkProtocol(name="telnet", enabled=False))
        await change(n.NetworkProtocol(name="ntp", enabled=False, port=123))
        assert not (await made.time()).ntp_enabled


async def test_watchers_see_everything_and_then_what_changes(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.start()
        call = made.bus.call("olga", "ReadOnly", seconds=60)
        watch = made.door.watch(NetworkService.WatchNetwork, n.WatchNetworkRequest(), call)
        try:
            first = [await anext(watch) for _ in range(6)]
            assert all(update.snapshot for update in first)
            assert [update.network_interface.name for update in first if update.network_interface] == ["eth0"]
            assert len([update for update in first if update.network_protocol]) == 3
            assert [update.time.time is not None for update in first if update.time is not None] == [True]
            await made.change(n.NetworkInterface(name="eth0", mtu=9000), "mtu")
            update = await anext(watch)
            assert update.network_interface is not None
            assert (update.network_interface.mtu, update.snapshot) == (9000, False)
        finally:
            await watch.aclose()


class RealNetwork:
    """A network of an operating system, which the test changes."""

    def __init__(self) -> None:
        eth0 = port.Interface(
            "eth0", "02:00:00:00:00:01", "02:00:00:00:00:01", True, True, 1000, True, 1500,
            ipv4=(port.Address("192.0.2.7", 24),), ipv4_gateway="192.0.2.1",
            counters=port.Counters(received_bytes=5),
        )  # fmt: skip
        self.facts = port.Facts("machine", "example.org", ("192.0.2.53",), (eth0,))
        self.broken = False

    async def read(self) -> port.Facts:
        if self.broken:
            raise Unavailable("nobody knows")
        return self.facts


async def test_a_real_board_shows_facts_and_refuses_changes(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        real = RealNetwork()
        await made.start(real)
        shown = await made.interface()
        assert shown.statistics is not None
        assert shown.statistics.received_bytes == 5
        with pytest.raises(Refused, match="operating system"):
            await made.change(n.NetworkInterface(name="eth0", mtu=9000), "mtu")
        with pytest.raises(Refused, match="operating system"):
            await made.time(n.Time(time=Timestamp.now()), "time")
        with pytest.raises(Refused, match="operating system"):
            await made.ask(NetworkService.UpdateNetwork, n.UpdateNetworkRequest(network=n.Network(host_name="x")))
        real.broken = True
        eth0 = replace(real.facts.interfaces[0], ipv4=(port.Address("192.0.2.8", 24),))
        real.facts = replace(real.facts, interfaces=(eth0,), host_name="other")
        assert (await made.interface()).ipv4 == shown.ipv4  # the last that was seen
        real.broken = False
        await made.listener.until(n.AddressChange(name="eth0", addresses="192.0.2.8/24"))
        await made.listener.until(n.HostNameChange(previous="machine", current="other"))
        real.facts = replace(real.facts, interfaces=())
        async with asyncio.timeout(30):
            while (
                await made.ask(NetworkService.ListNetworkInterfaces, n.ListNetworkInterfacesRequest())
            ).network_interfaces:
                await asyncio.sleep(0.01)
