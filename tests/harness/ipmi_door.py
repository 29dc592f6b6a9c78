"""The IPMI door without a network, without usermgr and without a bus: datagrams in, datagrams out.

All of it is the real one: handshake, sessions, serial lines, and the commands about a machine of which a few things are
known. Whatever it would ask others fails, because the bus is not connected.
"""

from __future__ import annotations

import asyncio
import struct
import time
from pathlib import Path
from typing import Any

from tests.harness.ipmi import Keys, open_request
from ubmc.kit.bus import Bus
from ubmc.kit.keys import BusKey
from ubmc.kit.metrics import Metrics
from ubmc.kit.schema import load
from ubmc.protocols.ipmi import cipher
from ubmc.protocols.ipmi.codes import Level
from ubmc.protocols.ipmi.rmcpplus import Payload
from ubmc.services.ipmisrv.commands.suite import Suite, SuiteOptions
from ubmc.services.ipmisrv.dispatch import Table
from ubmc.services.ipmisrv.endpoint import Ancillary, Peer
from ubmc.services.ipmisrv.handshake import Handshake
from ubmc.services.ipmisrv.inband import guest_may
from ubmc.services.ipmisrv.limits import Limits
from ubmc.services.ipmisrv.server import Server
from ubmc.services.ipmisrv.session_commands import SessionCommands
from ubmc.services.ipmisrv.sessions import Sessions
from ubmc.services.ipmisrv.settings import Settings
from ubmc.services.ipmisrv.sol import SolPayloads
from ubmc.services.ipmisrv.users import Known, Proof
from ubmc.v1alpha1.chassis_pb import Chassis
from ubmc.v1alpha1.host_pb import Host, HostState
from ubmc.v1alpha1.inventory_pb import Asset
from ubmc.v1alpha1.network_pb import AddressOrigin, InterfaceAddress, Ipv4, Ipv6, Network, NetworkInterface, Time
from ubmc.v1alpha1.sensor_pb import Sensor, SensorKind, SensorQuality, SensorThresholds

SECRET = b"0123456789abcdefghij"
ADDRESS = "192.0.2.7"
LONG_SECONDS = 1e9


class Ledger:
    """The accounts of these tests: one, which takes a moment to be found."""

    def __init__(self, find_seconds: float = 0.0) -> None:
        self.find_seconds = find_seconds
        self.opens = asyncio.Event()
        """Sessions are let in while it is set."""
        self.opens.set()
        self.asked: list[str] = []
        self.ended: list[str] = []
        self.failures: list[str] = []

    async def find(self, name: bytes, _address: str) -> Known | None:
        if name != b"olga":
            return None
        await asyncio.sleep(self.find_seconds)
        return Known("olga", SECRET, 2, Level.ADMINISTRATOR)

    async def exchange(self, name: str, level: Level, _address: str, session: str = "") -> Proof:
        if not session:
            session = f"session {len(self.asked)}"
            self.asked.append(name)
            await self.opens.wait()
        return Proof(b"", session, level, time.monotonic() + LONG_SECONDS)

    async def end(self, session: str) -> None:
        self.ended.append(session)

    async def failed(self, name: str, _address: str) -> None:
        self.failures.append(name)


class Wire:
    """What the door sends, instead of a socket."""

    port = 623

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, datagram: bytes, _where: Any, _source: Ancillary) -> None:
        self.sent.append(datagram)

    def taken(self) -> list[bytes]:
        sent, self.sent = self.sent, []
        return sent


def know(suite: Suite) -> None:
    """Let the commands know a small machine."""
    facts = suite._ground.facts
    facts.hosts.replace([("host.0", Host(name="host.0", state=HostState.ON))])
    facts.chassis.replace([("chassis.0", Chassis(name="chassis.0"))])
    temperature = Sensor(
        name="cpu0_temp",
        component="cpu.0",
        kind=SensorKind.TEMPERATURE,
        quality=SensorQuality.GOOD,
        value=50.0,
        thresholds=SensorThresholds(upper_critical=95.0),
    )
    power = Sensor(name="power", component="chassis.0", kind=SensorKind.POWER, quality=SensorQuality.GOOD, value=180.0)
    facts.sensors.replace((each.name, each) for each in (temperature, power))
    names = (Asset(name="host.0", model="ümläut"), Asset(name="chassis.0", asset_tag="日本", serial_number="x" * 80))
    facts.assets.replace((each.name, each) for each in names)
    ipv4 = Ipv4(addresses=[InterfaceAddress(address="192.0.2.10", prefix_length=24)])
    local = InterfaceAddress(address="fe80::1", prefix_length=64, origin=AddressOrigin.LINK_LOCAL)
    wired = NetworkInterface(
        name="eth0", mac_address="02:00:00:00:00:01", ipv4=ipv4, ipv6=Ipv6(enabled=True, addresses=[local])
    )
    facts.interfaces.replace([("eth0", wired)])
    facts.network, facts.clock = Network(host_name="b" * 60), Time()
    suite._sel._fresh = True


class Door:
    """The whole way of a datagram."""

    def __init__(self, limits: Limits, ledger: Ledger | None = None, settings: Path = Path("none")) -> None:
        self.bus = Bus("ipmisrv", load(), BusKey(), Metrics())
        self.ledger = ledger or Ledger()
        suites = cipher.strongest_first((3, 17))
        self.sessions = Sessions(self.ledger, limits)
        self.handshake = Handshake(self.ledger, self.sessions, limits, suites, lambda: bytes(16))
        kept = Settings(settings)
        consoles = SolPayloads(self.bus, self.sessions, kept, ("host.0",))
        own = SessionCommands(self.sessions, suites, (Payload.SOL,)).commands()
        options = SuiteOptions(sensors=("cpu0_temp", "power"), assets=("host.0", "chassis.0"))
        self.suite = Suite(self.bus, kept, options, self.sessions)
        know(self.suite)
        self.table = Table((*own, *consoles.commands(), *self.suite.commands()), guest_may=guest_may("full"))
        self.server = Server(self.bus, self.table, self.sessions, self.handshake, consoles, limits)
        self.wire = Wire()

    def feed(self, datagram: bytes, address: str = ADDRESS) -> list[bytes]:
        self.server.received(datagram, Peer(self.wire, (address, 50000), [], address, 50000, address))
        return self.wire.taken()

    async def answer(self, datagram: bytes) -> bytes:
        """The one answer, which may take a moment."""
        sent = self.feed(datagram)
        async with asyncio.timeout(30):
            while not sent:
                await asyncio.sleep(0.001)
                sent = self.wire.taken()
        (answer,) = sent
        return answer

    async def greet(self, keys: Keys, suite: int = 17) -> bytes:
        """As far as RAKP 2."""
        opened = await self.answer(open_request(keys.console_id, suite))
        (keys.system_id,) = struct.unpack_from("<I", opened, 16 + 8)
        second = await self.answer(keys.rakp1())
        keys.system_random, keys.guid = second[24:40], second[40:56]
        return second

    async def login(self, suite: int = 17) -> Keys:
        keys = Keys(suite, b"olga", SECRET)
        await self.greet(keys, suite)
        await self.answer(keys.rakp3())
        keys.finish()
        return keys

    async def close(self) -> None:
        await self.handshake.close()
        await self.server.close()
        await self.sessions.end_all(1.0)
        await self.suite.teardown()
