"""Golden bytes of the network function Chassis (IPMI 2.0, chapter 28)."""

from __future__ import annotations

import pytest

from ubmc.protocols.ipmi import chassis
from ubmc.protocols.ipmi.chassis import BootDevice, BootFlags, BootOption, Identify, Restore, Status
from ubmc.protocols.ipmi.codes import Completion


def test_capabilities_have_five_bytes() -> None:
    assert chassis.capabilities(intrusion=True, diagnostic_interrupt=True) == bytes.fromhex("05 20 20 20 20")
    assert chassis.capabilities(intrusion=False, diagnostic_interrupt=False) == bytes.fromhex("00 20 20 20 20")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (Status(on=True, policy=Restore.PREVIOUS, on_by_command=True), "21 10 40"),
        (Status(on=False, policy=Restore.ALWAYS_ON, power_fault=True, mains_failed=True), "48 01 40"),
        (Status(on=False), "60 00 40"),
        (Status(on=True, policy=Restore.ALWAYS_OFF, intrusion=True, drive_fault=True, fan_fault=True), "01 00 4d"),
        (Status(on=True, policy=Restore.ALWAYS_OFF, identify=Identify.TIMED), "01 00 50"),
        (Status(on=True, policy=Restore.ALWAYS_OFF, identify=Identify.ON), "01 00 60"),
    ],
)
def test_status(status: Status, told: str) -> None:
    assert status.pack() == bytes.fromhex(told)


def test_identify() -> None:
    assert chassis.identify(b"") == 15.0
    assert chassis.identify(b"\x00") == 0.0
    assert chassis.identify(b"\x3c\x00") == 60.0
    assert chassis.identify(b"\x00\x01") is None


def test_power_on_hours() -> None:
    assert chassis.power_on_hours(3600 * 300.9) == bytes.fromhex("3c 2c010000")


@pytest.mark.parametrize(
    ("data", "flags"),
    [
        ("80 04 00 00 00", BootFlags(valid=True, device=BootDevice.PXE)),
        ("e0 04 00 00 00", BootFlags(valid=True, persistent=True, efi=True, device=BootDevice.PXE)),
        ("a0 08 00 00 00", BootFlags(valid=True, efi=True, device=BootDevice.DISK)),
        ("80 18 00 00 00", BootFlags(valid=True, device=BootDevice.SETUP)),
        ("00 00 00 00 00", BootFlags()),
    ],
)
def test_boot_flags_both_ways(data: str, flags: BootFlags) -> None:
    assert BootFlags.parse(bytes.fromhex(data)) == flags
    assert flags.pack() == bytes.fromhex(data)


def test_a_boot_device_that_is_none_is_refused() -> None:
    with pytest.raises(Completion):
        BootFlags.parse(bytes.fromhex("80 28 00 00 00"))


def test_boot_option() -> None:
    flags = bytes.fromhex("e004000000")
    assert chassis.boot_option(BootOption.FLAGS, flags) == bytes.fromhex("01 05 e004000000")
    assert chassis.boot_option(BootOption.FLAGS, flags, valid=False)[:2] == bytes.fromhex("01 85")
