"""The parts of a virtual machine, as its SMBIOS tables have them."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from pathlib import Path

from ubmc.hw.inventory.port import AssetReader, Kind, Source
from ubmc.hw.qemu.inventory import QemuAssets
from ubmc.hw.qemu.machine import Accelerator, Drive, Layout, MachineSpec, command

ID = uuid.UUID("6e0f5a0e-3a5c-4d1c-9d3e-0123456789ab")
MACHINE = MachineSpec(
    "host.0",
    ID,
    "UBMC123",
    memory_mb=2048,
    cpus=3,
    drives=(Drive(Path("/images/disk.qcow2")), Drive(Path("/images/boot.iso"), kind="cdrom", bus="sata")),
    network=True,
)


async def test_parts() -> None:
    reader: AssetReader = QemuAssets(MACHINE, parent="chassis.0", first=4)
    parts = {part.name: part for part in await reader.read()}
    assert list(parts) == ["host.0", "cpu.4", "dimm.4", "drive.4", "drive.5", "nic.4"]
    host = parts["host.0"]
    assert (host.kind, host.parent, host.serial_number) == (Kind.HOST, "chassis.0", "UBMC123")
    assert host.details == {"uuid": str(ID), "memory_bytes": "2147483648", "processors": "3"}
    assert parts["cpu.4"].details == {"cores": "3"}
    assert parts["dimm.4"].details == {"capacity_bytes": "2147483648"}
    assert {part.parent for name, part in parts.items() if name != "host.0"} == {"host.0"}
    assert dict(parts["drive.5"].details) == {
        "type": "cdrom",
        "protocol": "sata",
        "format": "raw",
        "image": "boot.iso",
        "read_only": "true",
    }
    assert (parts["drive.4"].details["format"], parts["drive.4"].details["read_only"]) == ("qcow2", "false")
    assert dict(parts["nic.4"].details) == {"mac_address": MACHINE.mac_address}
    assert reader.source is Source.SMBIOS
    await reader.close()


async def test_a_guest_reads_the_same_in_its_smbios_tables(tmp_path: Path) -> None:
    (host, *_) = await QemuAssets(MACHINE).read()
    arguments = command(MACHINE, Layout(tmp_path), "qemu-system-x86_64", Accelerator.TCG)
    smbios = next(each for each in arguments if each.startswith("type=1,"))
    assert f"manufacturer={host.manufacturer},product={host.model},serial={host.serial_number}" in smbios
    assert f"uuid={host.details['uuid']}" in smbios


def test_the_nic_has_an_address_of_its_own_that_stays(tmp_path: Path) -> None:
    address = MACHINE.mac_address
    assert address == "02:" + address[3:] == replace(MACHINE, memory_mb=512, name="host.7").mac_address
    assert re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", address)
    others = {replace(MACHINE, uuid=uuid.UUID(int=number)).mac_address for number in range(1000)}
    assert len(others | {address}) == 1001
    arguments = command(MACHINE, Layout(tmp_path), "qemu-system-x86_64", Accelerator.TCG)
    (nic,) = [each for each in arguments if each.startswith("virtio-net-pci,")]
    assert f",mac={address}," in f"{nic},"
