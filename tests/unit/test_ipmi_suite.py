"""Commands about the machine over what is known of it, without a bus: what they take, and what they keep of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ubmc.kit.bus import Bus
from ubmc.kit.keys import BusKey
from ubmc.kit.metrics import Metrics
from ubmc.kit.schema import load
from ubmc.protocols.ipmi.codes import SYSTEM_INTERFACE, Level, NetFn
from ubmc.services.ipmisrv.commands.dcmi import DcmiCommands
from ubmc.services.ipmisrv.commands.device import DeviceCommands
from ubmc.services.ipmisrv.commands.ground import Ground, SuiteOptions
from ubmc.services.ipmisrv.commands.lan import LanCommands
from ubmc.services.ipmisrv.dispatch import Context, Table
from ubmc.services.ipmisrv.limits import Limits
from ubmc.services.ipmisrv.sessions import Sessions
from ubmc.services.ipmisrv.settings import Settings
from ubmc.services.ipmisrv.users import Users
from ubmc.v1alpha1.network_pb import AddressOrigin, InterfaceAddress, Ipv6, NetworkInterface
from ubmc.v1alpha1.sensor_pb import Sensor, SensorKind, SensorQuality

POWER = b"\xdc\1\0\0"
LAST_30_S = b"\xdc\2\x1e\0"


class Machine:
    """What is known, and a guest that may everything."""

    def __init__(self) -> None:
        self.bus = Bus("ipmisrv", load(), BusKey(), Metrics())
        self.ground = Ground(self.bus, Settings(Path("none")), SuiteOptions(), Sessions(Users(self.bus), Limits()))
        self.dcmi = DcmiCommands(self.ground)
        commands = (self.dcmi, DeviceCommands(self.ground), LanCommands(self.ground))
        self.table = Table([each for group in commands for each in group.commands()], guest_may=lambda _: True)
        self.now = 1000.0

    def watts(self, value: float) -> None:
        good = SensorQuality.GOOD
        sensor = Sensor(name="power", component="chassis.0", kind=SensorKind.POWER, quality=good, value=value)
        self.ground.facts.sensors.replace([("power", sensor)])

    async def ask(self, netfn: int, number: int, data: bytes = b"") -> bytes:
        context = Context(self.bus, SYSTEM_INTERFACE, level=Level.ADMINISTRATOR, clock=lambda: self.now)
        return await self.table.answer(context, netfn, number, data)


def figures(answer: bytes) -> list[int]:
    """Now, least, most and average."""
    assert answer[:2] == b"\0\xdc"
    return [int.from_bytes(answer[at : at + 2], "little") for at in (2, 4, 6, 8)]


async def test_reading_the_power_is_no_sample_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else whoever reads it often would decide what the average is, and fill the memory."""
    machine = Machine()
    monkeypatch.setattr("time.monotonic", lambda: machine.now)
    machine.watts(100.0)
    assert figures(await machine.ask(NetFn.GROUP, 0x02, POWER)) == [100] * 4
    machine.dcmi.sample()
    machine.watts(200.0)
    for _ in range(500):
        machine.now += 0.001
        assert figures(await machine.ask(NetFn.GROUP, 0x02, POWER)) == [200, 100, 100, 100]
    machine.now += 0.5
    machine.dcmi.sample()
    assert figures(await machine.ask(NetFn.GROUP, 0x02, POWER)) == [200, 100, 200, 150]
    assert figures(await machine.ask(NetFn.GROUP, 0x02, LAST_30_S)) == [200, 100, 200, 150]
    assert len(machine.dcmi._history._recent) == 2


async def test_the_event_log_cannot_be_told_not_to_log() -> None:
    machine = Machine()
    for enables, code in ((0x0F, 0), (0x09, 0), (0x00, 0xCC), (0x07, 0xCC), (0x18, 0xCC), (0x88, 0xCC)):
        assert (await machine.ask(NetFn.APP, 0x2E, bytes((enables,))))[0] == code
    assert await machine.ask(NetFn.APP, 0x2F) == b"\0\x09"


async def test_statistics_that_cannot_be_cleared_are_not_said_to_be() -> None:
    machine = Machine()
    assert await machine.ask(NetFn.TRANSPORT, 0x04, b"\1\1") == b"\xcc"


async def test_dynamic_addresses_say_where_they_come_from() -> None:
    machine = Machine()
    addresses = [
        InterfaceAddress(address=address, prefix_length=64, origin=origin)
        for address, origin in (
            ("2001:db8::1", AddressOrigin.STATIC),
            ("fe80::2", AddressOrigin.LINK_LOCAL),
            ("2001:db8::3", AddressOrigin.DHCP),
            ("2001:db8::4", AddressOrigin.AUTOCONF),
        )
    ]
    interface = NetworkInterface(name="eth0", ipv6=Ipv6(enabled=True, addresses=addresses))
    machine.ground.facts.interfaces.replace([("eth0", interface)])
    answers = [await machine.ask(NetFn.TRANSPORT, 0x02, bytes((1, 59, place, 0))) for place in range(4)]
    assert [(each[3], each[19], each[21]) for each in answers] == [(1, 2, 0), (2, 3, 0), (1, 4, 0), (0, 0, 1)]
    static = await machine.ask(NetFn.TRANSPORT, 0x02, b"\1\x38\0\0")
    assert (static[3], static[19], static[21]) == (0x80, 1, 0)
    assert await machine.ask(NetFn.TRANSPORT, 0x02, b"\1\x38\x08\0") == b"\xc9"
