"""I2C and hwmon on a real kernel: the bus is i2c-stub, whose devices are registers; lm75 is a driver like any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ubmc.boards.probe import survey
from ubmc.hw.i2c.linux import LinuxI2cBus
from ubmc.hw.i2c.topology import I2cPlace, resolve
from ubmc.hw.sensors.channels import HwmonChannel, PmbusChannel, SmbusChannel, SmbusType
from ubmc.hw.sensors.hwmon import HwmonBus
from ubmc.hw.sensors.i2c import I2cSensors
from ubmc.kit.errors import Refused, Unavailable
from ubmc.protocols.pmbus import Command

PLACE = I2cPlace("SMBus stub driver")
LM75 = Path("/sys/bus/i2c/drivers/lm75")
FIRST, OTHER, LATER, SUPPLY = 0x48, 0x49, 0x4C, 0x58


class Stub:
    """The bus, and what people at a console can do to its devices."""

    def __init__(self) -> None:
        self.number = resolve(PLACE)
        self.folder = Path(f"/sys/bus/i2c/devices/i2c-{self.number}")

    def put(self, address: int, register: int, low: int) -> None:
        """Set the low byte of a register; of a chip that sends the high byte first it is the high one."""
        with LinuxI2cBus(self.number) as bus:
            bus.write_byte(address, register, low)

    def device(self, address: int) -> str:
        return f"{self.number}-{address:04x}"

    def add(self, address: int) -> None:
        (self.folder / "new_device").write_text(f"lm75 {address:#x}")

    def remove(self, address: int) -> None:
        if (self.folder / self.device(address)).exists():
            (self.folder / "delete_device").write_text(f"{address:#x}")


@pytest.fixture
def stub() -> Iterator[Stub]:
    made = Stub()
    yield made
    for address in (FIRST, OTHER, LATER):
        made.remove(address)


async def test_registers_and_sensors_without_a_driver(stub: Stub) -> None:
    stub.put(OTHER, 0x00, 31)
    stub.put(SUPPLY, Command.READ_TEMPERATURE_1, 40)
    channels = (
        SmbusChannel("inlet", PLACE, OTHER, SmbusType.LM75),
        PmbusChannel("psu0_temp", PLACE, SUPPLY, Command.READ_TEMPERATURE_1, page=0),
        SmbusChannel("nobody", I2cPlace(str(stub.number)), 0x20, SmbusType.LM75),
        PmbusChannel("codes", PLACE, SUPPLY, Command.READ_PIN, pec=True),
    )
    bus = I2cSensors("stub", channels)
    found = await bus.read(bus.sensors)
    await bus.close()
    assert (found["inlet"], found["psu0_temp"]) == (31.0, 40.0)
    assert isinstance(found["nobody"], Unavailable)
    assert "no device answers" in found["nobody"].message
    assert isinstance(found["codes"], Unavailable)
    assert "PEC" in found["codes"].message


def test_registers_of_all_sizes(stub: Stub) -> None:
    with LinuxI2cBus(stub.number) as bus:
        bus.write_byte(OTHER, 0x20, 0xA5)
        assert bus.read_byte(OTHER, 0x20) == 0xA5
        assert bus.read_word(OTHER, 0x20) & 0xFF == 0xA5
        with pytest.raises(Unavailable, match="SMBus only"):
            bus.transfer(OTHER, b"\x20", 1)


async def test_a_device_that_a_driver_has_is_read_through_the_driver_alone(stub: Stub) -> None:
    stub.put(FIRST, 0x00, 25)
    stub.add(FIRST)
    with LinuxI2cBus(stub.number) as bus:
        for call in (lambda: bus.read_word(FIRST, 0), lambda: bus.write_byte(FIRST, 0, 1)):
            with pytest.raises(Refused, match="driver"):
                call()
    hwmon = HwmonBus("lm75", [HwmonChannel("t", "lm75", "temp1", device=stub.device(FIRST))])
    assert await hwmon.read(["t"]) == {"t": 25.0}
    await hwmon.close()


async def test_a_driver_that_is_bound_again_is_survived(stub: Stub) -> None:
    stub.put(FIRST, 0x00, 25)
    stub.add(FIRST)
    device = stub.device(FIRST)
    hwmon = HwmonBus("lm75", [HwmonChannel("t", "lm75", "temp1", device=device)])
    assert await hwmon.read(["t"]) == {"t": 25.0}
    before = next((stub.folder / device / "hwmon").iterdir()).name
    (LM75 / "unbind").write_text(device)
    assert isinstance((await hwmon.read(["t"]))["t"], Unavailable)
    stub.put(LATER, 0x00, 99)
    stub.add(LATER)  # another chip takes the number
    stub.put(FIRST, 0x00, 30)
    (LM75 / "bind").write_text(device)
    assert next((stub.folder / device / "hwmon").iterdir()).name != before
    assert await hwmon.read(["t"]) == {"t": 30.0}
    await hwmon.close()


def test_probe_finds_it(stub: Stub) -> None:
    stub.put(FIRST, 0x00, 25)
    stub.add(FIRST)
    found = survey()
    [bus] = [bus for bus in found.i2c if bus.number == stub.number]
    assert (bus.name, bus.parent) == (PLACE.adapter, None)
    assert [(device.address, device.driver) for device in bus.devices] == [(FIRST, "lm75")]
    [chip] = [chip for chip in found.hwmon if chip.device == stub.device(FIRST)]
    assert (chip.name, chip.inputs[0].name, chip.inputs[0].value) == ("lm75", "temp1", 25.0)
    assert "watchdog0" in [watchdog.name for watchdog in found.watchdogs]
