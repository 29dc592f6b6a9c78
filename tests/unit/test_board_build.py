"""From a board file to drivers, with the simulated machine in a process of its own as `ubmc run` has it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from ubmc.boards import build
from ubmc.boards.build_assets import build_asset_sources
from ubmc.boards.build_sensors import build_fans, build_sensors
from ubmc.boards.load import board_names, load_board, targets_folder
from ubmc.boards.spec import BoardSpec
from ubmc.hw.fans.recipes import apply
from ubmc.hw.leds.port import Steady
from ubmc.hw.power.port import Action, BootTarget, Level, News
from ubmc.hw.qemu.process import has_network_rom
from ubmc.hw.sim.control import Control
from ubmc.hw.sim.dial import unix_dial
from ubmc.hw.sim.process import is_running
from ubmc.kit.errors import Invalid, NotFound, Unavailable
from ubmc.plans.assets import asset_plans
from ubmc.plans.safety import sensor_plans, thermal_plan

WHOLE = (targets_folder() / "sim" / "board.toml").read_text()
SIM = WHOLE.partition("# --- sensors")[0]  # power and lights alone
QEMU = (targets_folder() / "qemu" / "board.toml").read_text()


def board(tmp_path: Path, text: str) -> BoardSpec:
    file = tmp_path / "board.toml"
    file.write_text(text)
    return load_board(str(file)).spec


class Closes(Protocol):
    async def close(self) -> None: ...


async def close(*each: Closes) -> None:
    for one in each:
        await one.close()


@pytest.fixture
def spec(tmp_path: Path) -> BoardSpec:
    """The simulated board, twenty times as fast."""
    return board(tmp_path, WHOLE.replace('[lines]\nkind = "sim"', '[lines]\nkind = "sim"\nspeed = 20'))


@pytest.fixture
def machine_dir(spec: BoardSpec, tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "machine"
    build.ensure_machines(spec, directory)
    try:
        yield directory
    finally:
        assert build.end_machines(spec, directory) == 1
        assert build.end_machines(spec, directory) == 0
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
        assert set(lights.leds) == {"power-led", "identify-led", "status-led", "fault-led"}
        await lights.leds["power-led"].set(Steady.ON)
        lines = (await control.state())["lines"]
        assert (lines["power-led"], lines["identify-led"]) == (True, False)
    finally:
        await lights.close()


async def test_the_simulated_sensors_and_fans(spec: BoardSpec, machine_dir: Path) -> None:
    wires = build_sensors(spec, machine_dir)
    fans = build_fans(spec, machine_dir)
    try:
        planned = {plan.name: plan.bus for plan in sensor_plans(spec) if plan.bus}
        assert {name: wire.name for wire in wires for name in wire.sensors} == planned
        inside = next(wire for wire in wires if "inlet_temp" in wire.sensors)
        values = await inside.read(["inlet_temp", "psu0_presence"])
        assert isinstance(values["inlet_temp"], float)
        assert 15.0 < values["inlet_temp"] < 35.0
        assert values["psu0_presence"] == 1.0
        gated = await next(wire for wire in wires if "cpu0_temp" in wire.sensors).read(["cpu0_temp"])
        assert isinstance(gated["cpu0_temp"], Unavailable)  # its host is off
        assert [fan.name for fan in fans] == [fan.name for fan in spec.fans]
        await fans[0].set(64.0)
        assert await fans[0].get() == pytest.approx(64.0)
        assert await fans[1].get() != pytest.approx(64.0)
        recipe = fans[0].recipe()
        assert recipe.failsafe_percent == 80.0
        await asyncio.to_thread(apply, recipe, recipe.failsafe_percent)
        assert await fans[0].get() == pytest.approx(80.0)
    finally:
        await close(*wires, *fans)


async def test_the_simulated_parts(spec: BoardSpec, machine_dir: Path) -> None:
    sources = build_asset_sources(spec, machine_dir)
    try:
        assert {"chassis.0", "board.0", "psu.0", "psu.1", "nic.0"} == set(sources.frus)
        assert sources.frus["board.0"].writable
        assert not sources.frus["psu.0"].writable
        assert (await sources.frus["psu.0"].read())[0] == 1  # the version of the format
        told = {facts.name: facts for reader in sources.readers for facts in await reader.read()}
        assert told.keys() >= {asset.name for asset in spec.assets}
        planned = {plan.facts.name: plan for plan in asset_plans(spec)}
        for name, facts in told.items():
            assert planned[name].facts.kind is facts.kind
            assert planned[name].facts.parent == facts.parent
    finally:
        await sources.close()
    twin = build.build_twin(spec, machine_dir)
    assert twin is not None
    assert (await twin.conditions()).mains


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


async def test_a_virtual_host_tells_its_parts_once_it_has_an_identity(tmp_path: Path) -> None:
    spec = load_board("qemu").spec
    directory = tmp_path / "machine"
    sources = build_asset_sources(spec, directory)
    assert not sources.frus
    assert len(sources.readers) == 1
    with pytest.raises(Unavailable, match="no identity yet"):
        await sources.readers[0].read()
    await build.build_power(spec, "host.0", directory).close()
    told = {facts.name: facts for facts in await sources.readers[0].read()}
    identity = (directory / "host.0" / "identity.json").read_text()
    assert told["host.0"].serial_number in identity
    assert told["host.0"].parent == "chassis.0"
    assert told["cpu.0"].parent == "host.0"
    assert build.build_twin(spec, directory) is None
    assert thermal_plan(spec) is None
    assert [*build_sensors(spec, directory), *build_fans(spec, directory)] == []
    await sources.close()


@pytest.mark.parametrize("name", [name for name in board_names() if "sim" not in name])
async def test_drivers_of_every_real_board_are_made_without_touching_hardware(name: str, tmp_path: Path) -> None:
    spec = load_board(name).spec
    wires, fans, sources = (
        build_sensors(spec, tmp_path),
        build_fans(spec, tmp_path),
        build_asset_sources(spec, tmp_path),
    )
    assert {sensor for wire in wires for sensor in wire.sensors} == {plan.name for plan in sensor_plans(spec)}
    assert {wire.name for wire in wires} == {plan.bus for plan in sensor_plans(spec)}
    assert [fan.recipe().failsafe_percent for fan in fans] == [fan.fail_safe for fan in spec.fans]
    await close(*wires, *fans, sources)


OTHER_KINDS = """
[[sensors]]
name = "p3v3"
kind = "iio"
device = "adc"
input = "voltage3"
[[sensors]]
name = "docked"
kind = "sysfs"
path = "%s"
measures = "state"
states = ["no", "yes"]
[[sensors]]
name = "cpu_temp"
kind = "hwmon"
chip = "coretemp"
input = "temp1"
upper = { critical = 90 }
[[fans]]
name = "fan.0"
kind = "hwmon"
control = "rpm"
chip = "max31790"
output = "fan1_target"
zero_speed = 1000
full_speed = 9000
enable = 2
fail_safe = 80
[[fans]]
name = "pump.0"
kind = "sysfs"
control = "pump"
path = "%s"
full_value = 10
fail_safe = 70
[[zones]]
name = "cpu"
fans = ["fan.0", "pump.0"]
[[zones.controllers]]
name = "cpu"
kind = "margin"
sensors = ["cpu_temp"]
margin = 20
kp = 1.0
ki = 0.01
"""


async def test_files_and_speeds(tmp_path: Path) -> None:
    docked, level = tmp_path / "docked", tmp_path / "level"
    docked.write_text("1\n")
    level.write_text("0\n")
    bare = SIM.replace('console = { kind = "sim" }\n', "").replace('[lines]\nkind = "sim"', '[lines]\nkind = "gpio"')
    spec = board(tmp_path, bare + OTHER_KINDS % (docked, level))
    wires = {wire.name: wire for wire in build_sensors(spec, tmp_path)}
    assert wires.keys() == {"iio-adc", "sysfs", "hwmon-coretemp"}
    assert await wires["sysfs"].read(["docked"]) == {"docked": 1.0}
    fan, pump = build_fans(spec, tmp_path)
    await pump.set(65.0)
    assert level.read_text().strip() == "7"  # of ten steps the upper one
    place = fan.recipe().place
    assert (place["output"], place["minimum_rpm"], place["maximum_rpm"], place["enable"]) == (
        "fan1_target", 1000.0, 9000.0, 2,
    )  # fmt: skip
    plan = thermal_plan(spec)
    assert plan is not None
    assert [each.kind for each in plan.fans] == ["rpm", "pump"]
    assert plan.zones[0].fail_safe_percent == 80.0  # the highest of its fans
    await close(*wires.values(), fan, pump)


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
    second = second.replace('console = { kind = "sim" }\n', "")
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
