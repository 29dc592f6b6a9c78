"""The worked example of `docs/porting.md` is a good board and has what the text explains; its reference is whole."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.pages import ROOT, blocks

from ubmc.boards.build_assets import build_asset_sources
from ubmc.boards.build_sensors import build_fans, build_sensors
from ubmc.boards.load import load_board
from ubmc.boards.report import check_report
from ubmc.boards.shape import keys
from ubmc.boards.spec import BoardSpec
from ubmc.plans.assets import asset_plans, inventory_options
from ubmc.plans.safety import sensor_plans, thermal_plan

PAGE = ROOT / "docs" / "porting.md"
SECTIONS = ("i2c", "sensors", "fans", "zones", "assets", "inventory", "lines")


def example() -> str:
    return next(block.body for block in blocks(PAGE) if block.info == "toml board")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "otter1.toml"
    path.write_text(example())
    return path


def test_the_example_is_good_and_has_all_sorts_of_parts(file: Path) -> None:
    good, text, _ = check_report(str(file))
    assert good, text
    spec = load_board(str(file)).spec
    assert all((spec.leds, spec.i2c, spec.sensors, spec.fans, spec.zones, spec.assets, spec.watchdog))
    assert {each.kind for zone in spec.zones for each in zone.controllers} == {"pid", "stepwise"}
    assert {sensor.kind for sensor in spec.sensors} == {"hwmon", "smbus", "pmbus", "gpio", "virtual"}


async def test_the_example_becomes_drivers_and_plans(file: Path) -> None:
    spec = load_board(str(file)).spec
    wires, fans = build_sensors(spec, file.parent), build_fans(spec, file.parent)
    sources = build_asset_sources(spec, file.parent)
    assert {wire.name: set(wire.sensors) for wire in wires} == {
        "hwmon-nct7802": {"cpu_temp", "dimm_temp", "p12v", "fan0_speed", "fan1_speed"},
        "i2c-cold": {"inlet_temp", "psu0_vout", "psu0_pin"},  # one adapter, whatever muxes are behind it
        "gpio": {"psu0_presence"},
    }
    recipe = fans[1].recipe()
    assert (recipe.kind, recipe.place["chip"], recipe.place["output"]) == ("hwmon", "nct7802", "pwm2")
    assert recipe.failsafe_percent == 85.0
    assert set(sources.frus) == {"psu.0"}
    for wire in wires:
        await wire.close()
    for fan in fans:
        await fan.close()
    await sources.close()

    plans = {plan.name: plan for plan in sensor_plans(spec)}
    assert plans["p12v"].scale == 11.0
    assert plans["hottest"].virtual is not None
    assert plans["psu0_presence"].states[0].name == "absent"
    thermal = thermal_plan(spec)
    assert thermal is not None
    assert thermal.zones[0].fail_safe_percent == 85.0
    assert thermal.limits["cpu_temp"].fatal == 100.0
    assert thermal.limits["cpu_temp"].host == "host.0"
    assert thermal.limits["fan0_speed"].host == "host.0"  # a fan without power is not seized
    assets = {plan.facts.name: plan for plan in asset_plans(spec)}
    assert assets.keys() == {"chassis.0", "host.0", "bmc.0", "board.0", "psu.0"}
    assert assets["host.0"].facts.parent == "chassis.0"
    assert assets["psu.0"].presence == "psu0_presence"


def test_how_often_the_inventory_looks_is_the_board_files(file: Path) -> None:
    usual = inventory_options(load_board(str(file)).spec)
    assert (usual.poll_seconds, usual.fru_seconds) == (5.0, 30.0)
    file.write_text(example() + '\n[inventory]\ninterval = "2s"\nfru_interval = "1m"\n')
    said = inventory_options(load_board(str(file)).spec)
    assert (said.poll_seconds, said.fru_seconds) == (2.0, 60.0)
    file.write_text(example() + '\n[inventory]\nfru_interval = "10ms"\n')
    good, text, _ = check_report(str(file))
    assert not good
    assert "inventory.fru_interval" in text


def test_each_part_that_the_text_explains_is_in_the_example() -> None:
    whole = tomllib.loads(example())
    parts = [tomllib.loads(block.body) for block in blocks(PAGE) if block.info == "toml"]
    assert len(parts) >= 5
    for part in parts:
        assert_within(part, whole)


def assert_within(part: object, whole: object) -> None:
    """Every table of the part is in the whole, maybe with more keys; a list holds one that fits each."""
    if isinstance(part, dict):
        assert isinstance(whole, dict | list)
        if isinstance(whole, list):  # [hosts.power] of a part is that of one of the [[hosts]]
            assert any(fits(part, one) for one in whole)
            return
        for key, value in part.items():
            assert key in whole
            assert_within(value, whole[key])
    elif isinstance(part, list) and part and isinstance(part[0], dict):
        assert isinstance(whole, list)
        for item in part:
            assert any(fits(item, one) for one in whole), item
    else:
        assert part == whole


def fits(part: object, whole: object) -> bool:
    try:
        assert_within(part, whole)
    except AssertionError:
        return False
    return True


def wanted_keys() -> Iterator[str]:
    for parent, inner in keys(BoardSpec).items():
        path = [part for part in parent if not part.startswith("kind=")]
        if path and path[0] in SECTIONS:
            yield from inner


def test_every_key_is_explained() -> None:
    reference = PAGE.read_text(encoding="utf-8").split("## Reference", 1)[1].split("\n## ", 1)[0]
    explained = {part for code in re.findall(r"`([a-z0-9_.]+)`", reference) for part in code.split(".")}
    assert set(wanted_keys()) - explained == {"active_low"}
