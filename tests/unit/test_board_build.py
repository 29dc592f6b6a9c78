"""From a board file to drivers, with the simulated machine in a process of its own as `ubmc run` has it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ubmc.boards import build
from ubmc.boards.load import load_board, targets_folder
from ubmc.boards.spec import BoardSpec
from ubmc.hw.leds.port import Steady
from ubmc.hw.power.port import Action, BootTarget, Level, News
from ubmc.hw.qemu.process import has_network_rom
from ubmc.hw.sim.control import Control
from ubmc.hw.sim.dial import unix_dial
from ubmc.hw.sim.process import is_running
from ubmc.kit.errors import Invalid, NotFound

SIM = (targets_folder() / "sim" / "board.toml").read_text()
QEMU = (targets_folder() / "qemu" / "board.toml").read_text()


def board(tmp_path: Path, text: str) -> BoardSpec:
    file = tmp_path / "board.toml"
    file.write_text(text)
    return load_board(str(file)).spec


@pytest.fixture
def spec(tmp_path: Path) -> BoardSpec:
    """The simulated board, twenty times as fast."""
    return board(tmp_path, SIM.replace('[lines]\nkind = "sim"', '[lines]\nkind = "sim"\nspeed = 20'))


@pytest.fixture
def machine_dir(spec: BoardSpec, tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "machine"
    build.ensure_machines(spec, directory)
    try:
        yield directory
    finally:
        build.end_machines(spec, directory)
        assert not is_running(build.sim_directory(directory))


async def test_the_simulated_host_is_switched_on_and_tells_of_its_buttons(spec: BoardSpec, machine_dir: Path) -> None:
    power = build.build_power(spec, "host.0", machine_dir)
    control = Control(unix_dial(build.sim_directory(machine_dir)))
    try:
        releases = await power.open()
        try:
            assert {release.name for release in releases} == {"power-button-0", "reset-button-0", "nmi-button-0"}
        finally:
            for release in releases:
                os.close(release.fd)
        assert power.actions == frozenset(Action)
        assert power.boot_targets == frozenset(BootTarget)
        epoch = await power.mains_epoch()
        assert epoch is not None
        assert epoch == await control.mains_epoch()
        async with asyncio.timeout(20):
            sights = power.watch()
            assert (await anext(aiter(sights))).level is Level.OFF
            await power.do(Action.ON)
            while (await anext(aiter(sights))).level is not Level.ON:
                pass
            await control.press("front-identify-button", 1.0)
            while (await anext(aiter(sights))).news is not News.IDENTIFY_PRESSED:
                pass
    finally:
        await power.close()


async def test_the_simulated_supply(spec: BoardSpec, machine_dir: Path) -> None:
    power = build.build_chassis_power(spec, "chassis.0", machine_dir)
    assert power is not None
    control = Control(unix_dial(build.sim_directory(machine_dir)))
    try:
        assert await power.open() == ()
        before = (await control.state())["lines"]["psu-enable"]
        await power.do(Action.FORCE_OFF)
        assert before
        assert not (await control.state())["lines"]["psu-enable"]
    finally:
        await power.close()


async def test_the_simulated_lights(spec: BoardSpec, machine_dir: Path) -> None:
    lights = build.build_lights(spec, machine_dir)
    control = Control(unix_dial(build.sim_directory(machine_dir)))
    try:
        assert set(lights.leds) == {"power-led", "identify-led"}
        await lights.leds["power-led"].set(Steady.ON)
        lines = (await control.state())["lines"]
        assert (lines["power-led"], lines["identify-led"]) == (True, False)
    finally:
        await lights.close()


def test_a_machine_that_runs_is_found_again(spec: BoardSpec, machine_dir: Path) -> None:
    build.ensure_machines(spec, machine_dir)
    assert is_running(build.sim_directory(machine_dir))


async def test_a_virtual_host_keeps_its_identity_and_gets_all_of_its_file(tmp_path: Path) -> None:
    extra = 'disks = [{ path = "a.img", format = "raw", bus = "sata" }]\ncdrom = "b.iso"\nsecond_qmp = true\n'
    spec = board(tmp_path, QEMU.replace("memory_mb = 512\n", "memory_mb = 256\n" + extra))
    directory = tmp_path / "machine"
    first = build.build_power(spec, "host.0", directory)
    identity = (directory / "host.0" / "identity.json").read_text()
    second = build.build_power(spec, "host.0", directory)
    assert (directory / "host.0" / "identity.json").read_text() == identity
    assert (directory / "host.0").stat().st_mode & 0o777 == 0o700
    assert first.actions == second.actions == frozenset(Action)
    assert await first.mains_epoch() is not None
    assert build.build_chassis_power(spec, "chassis.0", directory) is None
    lights = build.build_lights(spec, directory)
    assert not lights.leds
    await lights.close()
    build.end_machines(spec, directory)


def test_a_virtual_host_boots_from_what_its_file_gives_it(tmp_path: Path) -> None:
    def targets(extra: str) -> frozenset[BootTarget]:
        spec = board(tmp_path, QEMU.replace("memory_mb = 512\n", extra + "\n"))
        return build.build_power(spec, "host.0", tmp_path / "machine").boot_targets

    disk, cd = 'disks = [{ path = "a.img", format = "raw" }]', 'cdrom = "b.iso"'
    assert targets("") == frozenset()
    assert targets(f"{disk}\n{cd}") == {BootTarget.DISK, BootTarget.CD}
    assert targets(f'{disk}\nkernel = "vmlinuz"') == frozenset()
    network = {BootTarget.PXE} if has_network_rom(build.QEMU_BINARY) else set()
    assert targets('network = true\nnetboot = "tftp/a.pxe"') == network
    with pytest.raises(Invalid, match="netboot belongs to a network card"):
        targets('netboot = "tftp/a.pxe"')


def test_a_real_board_needs_no_machine_and_gets_linux_lines(tmp_path: Path) -> None:
    text = SIM.replace('console = { kind = "sim" }\n', "").replace('[lines]\nkind = "sim"', '[lines]\nkind = "gpio"')
    spec = board(tmp_path, text + '\n[watchdog]\ndevice = "/dev/watchdog1"\n')
    build.ensure_machines(spec, tmp_path / "machine")
    assert not (tmp_path / "machine").exists()
    assert type(build.build_lines(spec, tmp_path)).__name__ == "LinuxLines"
    assert build.build_watchdog(spec) is not None
    assert build.build_watchdog(load_board("sim").spec) is None


def test_only_one_host_of_a_chassis_reads_its_identify_button(tmp_path: Path) -> None:
    second = SIM[SIM.index("[[hosts]]") : SIM.index("[[chassis]]")].replace('"host.0"', '"host.1"')
    for name in ("power-button-0", "reset-button-0", "nmi-button-0", "power-good-0", "front-power-button"):
        second = second.replace(name, name + "-b")
    text = SIM.replace("[[chassis]]", second + "[[chassis]]").replace('["host.0"]', '["host.0", "host.1"]')
    spec = board(tmp_path, text)
    buttons = [build._identify_button(spec, host.name) for host in spec.hosts]
    assert [button.line if button else None for button in buttons] == ["front-identify-button", None]


def test_no_such_part(tmp_path: Path) -> None:
    spec = load_board("sim").spec
    with pytest.raises(NotFound, match=r"there is host\.0"):
        build.build_power(spec, "host.9", tmp_path)
    with pytest.raises(NotFound, match=r"there is chassis\.0"):
        build.build_chassis_power(spec, "chassis.9", tmp_path)
    with pytest.raises(Invalid, match="does not say whose"):
        build.build_lines(load_board("qemu").spec, tmp_path)
