"""PMBus and SMBus sensors: what is said on the bus, and what comes out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.harness.i2c import I2cKernel
from tests.harness.sysfs import FakeSysfs

from ubmc.hw.i2c.linux import LinuxI2cBus
from ubmc.hw.i2c.topology import I2cPlace, Mux
from ubmc.hw.sensors.channels import PmbusChannel, PmbusFormat, SmbusChannel, SmbusType
from ubmc.hw.sensors.i2c import Channel, I2cSensors
from ubmc.hw.sensors.port import Outcome
from ubmc.kit.errors import Invalid, Refused, Unavailable
from ubmc.protocols.pmbus import Command, Direct, Vid, encode_linear11

BUS = I2cPlace("3")
PAGE, VOUT_MODE, READ_VOUT, READ_POUT = 0x00, 0x20, 0x8B, 0x96
Make = Callable[..., I2cSensors]


class World:
    """One adapter, and drivers for it."""

    def __init__(self, directory: Path) -> None:
        self.tree = FakeSysfs(directory / "sys")
        self.adapter = self.tree.adapter(3, "root")
        self.kernel = I2cKernel(directory / "i2c-3")
        self.devices = self.kernel.devices
        self._directory = directory

    def bus(self, *channels: Channel) -> I2cSensors:
        return I2cSensors("i2c-3", channels, root=self.tree.root, open_bus=self.open)

    def open(self, number: int) -> LinuxI2cBus:
        return LinuxI2cBus(number, devices=self._directory, ioctl=self.kernel.ioctl)

    async def read(self, *channels: Channel) -> list[Outcome]:
        bus = self.bus(*channels)
        try:
            found = await bus.read(bus.sensors)
        finally:
            await bus.close()
        return [found[channel.sensor] for channel in channels]

    @contextlib.contextmanager
    def fresh_log(self) -> Iterator[list[tuple[object, ...]]]:
        self.kernel.log.clear()
        yield self.kernel.log


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize(
    ("mode", "word", "more", "value"),
    [
        (0x17, 6144, {}, 12.0),
        (0x40, 0x8000 | 200, {"direct": Direct(m=1, b=0, r=2)}, -325.68),
        (0x20, 0x97, {"vid": Vid.VR12}, 1.0),
        (0x60, 0x4A00, {}, 12.0),
        (0x17, encode_linear11(1.5), {"format": PmbusFormat.LINEAR11}, 1.5),
        (0x18, 768, {"format": PmbusFormat.LINEAR16}, 3.0),
        (0x00, 250, {"format": PmbusFormat.DIRECT, "direct": Direct(m=100)}, 2.5),
        (0x00, 0x97, {"format": PmbusFormat.VID, "vid": Vid.VR12}, 1.0),
    ],
)
async def test_output_voltage_in_every_format(
    world: World, mode: int, word: int, more: dict[str, object], value: float
) -> None:
    world.devices[0x58] = {VOUT_MODE: mode, READ_VOUT: word}
    channel = PmbusChannel("v", BUS, 0x58, Command.READ_VOUT, **more)  # type: ignore[arg-type]
    assert await world.read(channel) == [pytest.approx(value)]


@pytest.mark.parametrize(
    ("mode", "format_", "words"),
    [
        (0x40, PmbusFormat.AUTO, "m, b and R"),
        (0x20, PmbusFormat.AUTO, "name the table"),
        (0x17, PmbusFormat.DIRECT, "m, b and R"),
        (0x17, PmbusFormat.VID, "table"),
    ],
)
async def test_a_format_without_its_numbers_is_told(world: World, mode: int, format_: PmbusFormat, words: str) -> None:
    world.devices[0x58] = {VOUT_MODE: mode, READ_VOUT: 1, READ_POUT: encode_linear11(20)}
    found = await world.read(
        PmbusChannel("v", BUS, 0x58, Command.READ_VOUT, format=format_),
        PmbusChannel("p", BUS, 0x58, Command.READ_POUT),
    )
    assert isinstance(found[0], Invalid)
    assert words in found[0].message
    assert found[1] == 20.0


async def test_pages_are_selected_before_each_read_and_only_where_there_are_pages(world: World) -> None:
    world.devices[0x58] = {VOUT_MODE: 0x17, READ_VOUT: 512, READ_POUT: encode_linear11(8)}
    bus = world.bus(
        PmbusChannel("p", BUS, 0x58, Command.READ_POUT),
        PmbusChannel("v0", BUS, 0x58, Command.READ_VOUT, page=0),
        PmbusChannel("v1", BUS, 0x58, Command.READ_VOUT, page=1, pec=True),
    )
    said = ("write", 0x58, PAGE), ("read", 0x58, VOUT_MODE), ("read", 0x58, READ_VOUT)
    with world.fresh_log() as log:
        assert await bus.read(bus.sensors) == {"p": 8.0, "v0": 1.0, "v1": 1.0}
        pages = [(*what, pec) for pec in (False, True) for what in said]
        assert log == [("read", 0x58, READ_POUT, False), *pages]
    with world.fresh_log() as log:  # how the voltage is written is known now, which page is selected never is
        await bus.read(("v0", "v1"))
        assert [entry[2] for entry in log] == [PAGE, READ_VOUT, PAGE, READ_VOUT]
    assert world.devices[0x58][PAGE] == 1
    await bus.close()


async def test_a_supply_that_is_exchanged_is_asked_again_how_it_writes(world: World) -> None:
    world.devices[0x58] = {VOUT_MODE: 0x17, READ_VOUT: 512}
    bus = world.bus(PmbusChannel("v", BUS, 0x58, Command.READ_VOUT))
    assert await bus.read(["v"]) == {"v": 1.0}
    world.kernel.silent.add(0x58)
    assert isinstance((await bus.read(["v"]))["v"], Unavailable)
    world.kernel.silent.clear()
    world.devices[0x58][VOUT_MODE] = 0x18
    assert await bus.read(["v"]) == {"v": 2.0}
    await bus.close()


async def test_a_device_that_does_not_answer_is_asked_once_a_round(world: World) -> None:
    world.devices[0x59] = {READ_POUT: encode_linear11(5)}
    commands = (Command.READ_VIN, Command.READ_IIN, Command.READ_POUT)
    silent = [PmbusChannel(f"a{code}", BUS, 0x58, code) for code in commands]
    with world.fresh_log() as log:
        found = await world.read(*silent, PmbusChannel("b", BUS, 0x59, Command.READ_POUT))
        assert [entry[1] for entry in log] == [0x58, 0x59]
    assert all(isinstance(outcome, Unavailable) for outcome in found[:3])
    assert found[3] == 5.0


async def test_a_device_with_a_driver_is_refused(world: World) -> None:
    world.kernel.drivers.add(0x58)
    [found] = await world.read(PmbusChannel("v", BUS, 0x58, Command.READ_VIN))
    assert isinstance(found, Refused)
    assert world.kernel.log == []


async def test_a_mux_that_comes_later_is_found_then(world: World) -> None:
    behind = I2cPlace("root", (Mux(0x70, 1),))
    bus = world.bus(SmbusChannel("t", behind, 0x48, SmbusType.LM75))
    world.devices[0x48] = {0x00: 0x0019}
    assert isinstance((await bus.read(["t"]))["t"], Unavailable)
    mux = world.tree.i2c_device(world.adapter, 0x70, "pca9548")
    world.tree.link(mux / "channel-1", world.adapter)
    assert await bus.read(["t"]) == {"t": 25.0}
    await bus.close()


@pytest.mark.parametrize(
    ("type_", "channel", "registers", "value"),
    [
        (SmbusType.LM75, 0, {0x00: 0x80F6}, -9.5),
        (SmbusType.JC42, 0, {0x05: 0x94C1}, 25.25),
        (SmbusType.TMP421, 0, {0x09: 0x00, 0x00: 0xE7, 0x10: 0x80}, -24.5),
        (SmbusType.TMP421, 1, {0x09: 0x04, 0x01: 0x59, 0x11: 0x40}, 25.25),
        (SmbusType.TMP421, 3, {0x09: 0x00, 0x03: 0x19, 0x13: 0x00}, 25.0),
    ],
)
async def test_temperature_sensors(
    world: World, type_: SmbusType, channel: int, registers: dict[int, int | bytes], value: float
) -> None:
    world.devices[0x4C] = registers
    assert await world.read(SmbusChannel("t", BUS, 0x4C, type_, channel)) == [value]


async def test_a_remote_diode_that_is_not_there_takes_no_other_channel_with_it(world: World) -> None:
    world.devices[0x4C] = {0x09: 0, 0x00: 20, 0x10: 0, 0x01: 0x80, 0x11: 0x01}
    remote, own = await world.read(
        SmbusChannel("remote", BUS, 0x4C, SmbusType.TMP421, 1), SmbusChannel("own", BUS, 0x4C, SmbusType.TMP421)
    )
    assert isinstance(remote, Unavailable)
    assert "nothing is connected" in remote.message
    assert own == 20.0
