"""What a virtual machine is made of: what its SMBIOS tables and its devices tell its guest too.

Nothing is asked of the running machine: QEMU makes these tables of its command line, and that is `MachineSpec`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ubmc.hw.inventory.port import AssetFacts, Kind, Source
from ubmc.hw.qemu.machine import Drive, MachineSpec

_MIB = 1 << 20
MANUFACTURER = "u-bmc"  # as in the SMBIOS tables, see machine.py


class QemuAssets:
    """The parts of one virtual machine.

    Args:
        machine: what it is.
        model: as SMBIOS names the product.
        parent: what the host is in, such as `chassis.0`; empty for nothing.
        first: the number of the first processor, memory module, drive and card; hosts must not share numbers.
    """

    def __init__(
        self, machine: MachineSpec, *, model: str = "Virtual Machine", parent: str = "", first: int = 0
    ) -> None:
        self._facts = tuple(facts(machine, model=model, parent=parent, first=first))

    @property
    def source(self) -> Source:
        """SMBIOS."""
        return Source.SMBIOS

    async def read(self) -> Sequence[AssetFacts]:
        """All parts."""
        return self._facts

    async def close(self) -> None:
        """Nothing is open."""


def facts(machine: MachineSpec, *, model: str, parent: str = "", first: int = 0) -> list[AssetFacts]:
    """The parts of a virtual machine: the host, its processor, memory, drives and network card."""
    host = machine.name
    memory = str(machine.memory_mb * _MIB)
    parts = [
        AssetFacts(
            host,
            Kind.HOST,
            parent=parent,
            manufacturer=MANUFACTURER,
            model=model,
            serial_number=machine.serial,
            details={"uuid": str(machine.uuid), "memory_bytes": memory, "processors": str(machine.cpus)},
        ),
        AssetFacts(
            f"cpu.{first}",
            Kind.PROCESSOR,
            parent=host,
            manufacturer=MANUFACTURER,
            model=machine.cpu or "virtual processor",
            location="CPU 0",
            details={"cores": str(machine.cpus)},
        ),
        AssetFacts(
            f"dimm.{first}",
            Kind.MEMORY,
            parent=host,
            manufacturer=MANUFACTURER,
            location="DIMM 0",
            details={"capacity_bytes": memory},
        ),
    ]
    parts += [_drive(f"drive.{number}", drive, host) for number, drive in enumerate(machine.drives, first)]
    if machine.network:
        parts.append(
            AssetFacts(
                f"nic.{first}",
                Kind.NETWORK_CARD,
                parent=host,
                manufacturer=MANUFACTURER,
                model="virtio-net",
                details={"mac_address": machine.mac_address},
            )
        )
    return parts


def _drive(name: str, drive: Drive, host: str) -> AssetFacts:
    details = {
        "type": drive.kind,
        "protocol": drive.bus,
        "format": drive.resolved_format(),
        "image": drive.path.name,
        "read_only": str(drive.read_only or drive.kind == "cdrom").lower(),
    }
    return AssetFacts(
        name, Kind.DRIVE, parent=host, manufacturer=MANUFACTURER, location=drive.path.name, details=details
    )
