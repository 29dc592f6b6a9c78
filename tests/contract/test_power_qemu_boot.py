"""Where a virtual machine boots from, beyond the contract: the network, a driver that dies early, a machine that lacks
what it is to boot from, and what is known without QEMU.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contract.power_qemu import BINARY, PATIENCE, QemuBench, boot_sector, machine, needs_qemu, until

from ubmc.hw.power.port import Action, Boot, BootFirmware, BootTarget
from ubmc.hw.qemu import process
from ubmc.hw.qemu.boot import ECHO_SECONDS, BootOrder
from ubmc.hw.qemu.machine import Accelerator, Drive, Layout, MachineSpec, boot_devices, command, own_order
from ubmc.hw.qemu.power import QemuPower
from ubmc.kit.errors import Invalid, Refused

pytestmark = [pytest.mark.qemu, needs_qemu]

DISK, CD, PXE = BootTarget.DISK, BootTarget.CD, BootTarget.PXE
needs_rom = pytest.mark.skipif(
    not process.has_network_rom(BINARY),
    reason="the ROM of QEMU's network card is not installed (apt install ipxe-qemu)",
)


async def boots_are(bench: QemuBench, *targets: BootTarget) -> None:
    await until(lambda: len(bench.booted_from()) >= len(targets), f"boots {targets}, seen {bench.printed()!r}")
    assert bench.booted_from() == list(targets)


async def index(bench: QemuBench, device: str) -> object:
    return await bench.qmp("qom-get", {"path": f"/machine/peripheral/{device}", "property": "bootindex"})


async def own_again(bench: QemuBench, device: str, own: int) -> None:
    async with asyncio.timeout(30):
        while await index(bench, device) != own:
            await asyncio.sleep(0.05)


async def opened(power: QemuPower) -> QemuPower:
    await power.open()
    return power


@needs_rom
async def test_the_network_is_booted_from_once() -> None:
    with machine(PATIENCE) as bench:
        offered = bench.layout.directory.parent / "tftp, offered"
        offered.mkdir()
        (offered / "guest.0").write_bytes(boot_sector("pxe"))
        spec = replace(bench.spec, network=True, network_rom=True, netboot=offered / "guest.0")
        power = await opened(bench.driver(spec))
        try:
            assert power.boot_targets == {DISK, CD, PXE}
            await power.do(Action.ON)
            await boots_are(bench, DISK)
            await power.do(Action.RESET, boot=Boot(PXE))
            await boots_are(bench, DISK, PXE)
            assert await index(bench, "nic0") == 3
            await bench.guest_reset()
            await boots_are(bench, DISK, PXE, DISK)
            await power.do(Action.FORCE_OFF)
            await power.do(Action.ON, boot=Boot(PXE))
            await boots_are(bench, PXE)
            await power.do(Action.RESET)
            await boots_are(bench, PXE, DISK)
        finally:
            await power.close()


async def test_without_a_bootable_disk_the_own_order_goes_on_to_the_cd() -> None:
    with machine(PATIENCE) as bench:
        bench.spec.drives[0].path.write_bytes(bytes(1 << 20))
        power = await opened(bench.driver())
        try:
            await power.do(Action.ON, boot=Boot(DISK))
            await boots_are(bench, CD)
        finally:
            await power.close()


async def test_a_paused_machine_boots_from_a_target_too() -> None:
    with machine(PATIENCE) as bench:
        power = await opened(bench.driver())
        try:
            await power.do(Action.ON)
            await boots_are(bench, DISK)
            await bench.qmp("stop")
            await power.do(Action.RESET, boot=Boot(CD))
            await boots_are(bench, DISK, CD)
            await own_again(bench, "drive1", 2)
        finally:
            await power.close()


async def test_an_override_outlives_its_driver_by_one_boot_at_most() -> None:
    """The driver goes before the boot has begun; its heir finds the indices of the override and puts them back."""
    with machine(PATIENCE) as bench:
        power = await opened(bench.driver())
        await power.do(Action.ON)
        await boots_are(bench, DISK)
        await power.do(Action.RESET, boot=Boot(CD))
        await power.close()
        path = {"path": "/machine/peripheral/drive1", "property": "bootindex"}
        await boots_are(bench, DISK, CD)
        if await index(bench, "drive1") != 0:  # it was quick enough to put it back itself
            await bench.qmp("qom-set", {**path, "value": 0})
        heir = await opened(bench.driver())
        try:
            await asyncio.wait_for(own_again(bench, "drive1", 2), 3 * ECHO_SECONDS)
            await bench.guest_reset()
            await boots_are(bench, DISK, CD, DISK)
        finally:
            await heir.close()


async def test_a_machine_that_lacks_the_device_says_so_and_boots_its_own_way() -> None:
    with machine(PATIENCE) as bench:
        poor = replace(bench.spec, drives=bench.spec.drives[:1])
        power = await opened(bench.driver(poor))
        await power.do(Action.ON)
        await boots_are(bench, DISK)
        await power.close()
        heir = await opened(bench.driver())  # the board file has a CD by now
        try:
            with pytest.raises(Refused, match="runs without what it would boot from"):
                await heir.do(Action.RESET, boot=Boot(CD))
            assert bench.booted_from() == [DISK]
            await heir.do(Action.RESET)
            await boots_are(bench, DISK, DISK)
        finally:
            await heir.close()


SPEC = MachineSpec(
    name="host.0",
    uuid=uuid.UUID(int=7),
    serial="S1",
    drives=(Drive(Path("/d/a.iso"), kind="cdrom"), Drive(Path("/d/b.img")), Drive(Path("/d/c.img"))),
    network=True,
)


def test_targets_are_the_first_devices_of_their_sort() -> None:
    assert boot_devices(SPEC) == {CD: "drive0", DISK: "drive1"}
    assert boot_devices(replace(SPEC, network_rom=True)) == {PXE: "nic0", CD: "drive0", DISK: "drive1"}
    assert boot_devices(replace(SPEC, network_rom=True, network=False, drives=())) == {}
    assert boot_devices(replace(SPEC, kernel=Path("/k/vmlinuz"))) == {}
    assert own_order(replace(SPEC, network_rom=True)) == {"drive0": 1, "drive1": 2, "drive2": 3, "nic0": 4}


def test_what_is_offered_is_what_the_machine_has() -> None:
    legacy = BootOrder(replace(SPEC, network_rom=True))
    assert legacy.firmwares == {BootFirmware.LEGACY}
    assert legacy.order == (CD, DISK, PXE)
    assert BootOrder(replace(SPEC, firmware=Path("/f/OVMF.fd"))).firmwares == {BootFirmware.UEFI}
    assert legacy.indices(Boot(firmware=BootFirmware.LEGACY)) == legacy.indices(None)
    assert legacy.indices(Boot(DISK))["drive1"] == 0


def test_the_network_card_has_a_rom_only_where_there_is_one() -> None:
    layout = Layout(Path("/run/m"))
    bare = " ".join(command(SPEC, layout, "q", Accelerator.TCG))
    assert "netdev=net0,romfile= " in bare
    full = replace(SPEC, network_rom=True, netboot=Path("/srv/t,1/boot.pxe"))
    line = " ".join(command(full, layout, "q", Accelerator.TCG))
    assert "user,id=net0,tftp=/srv/t,,1,bootfile=boot.pxe " in line
    assert "netdev=net0,bootindex=4" in line
    with pytest.raises(Invalid, match="goes with a network card"):
        command(replace(full, network=False), layout, "q", Accelerator.TCG)
