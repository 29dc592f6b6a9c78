"""Fans on a fake tree: manual mode, rounding chips, chips that keep control, and writes that hang."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.harness.sysfs import Chip, FakeSysfs, hanging

from ubmc.hw.fans import recipes
from ubmc.hw.fans.linux import LinuxFan, file_fan, hwmon_pwm, hwmon_speed
from ubmc.hw.fans.port import Recipe
from ubmc.kit.errors import Invalid, Unavailable

APART = """
import json, sys, time
from ubmc.hw.fans import recipes
from ubmc.hw.fans.port import Recipe
recipe = Recipe(**json.loads(sys.argv[1]))
recipes.apply(recipe, recipe.failsafe_percent)
assert "asyncio" not in sys.modules, "the guardian has no event loop"
"""


@pytest.fixture
def tree(tmp_path: Path) -> FakeSysfs:
    return FakeSysfs(tmp_path / "sys")


@pytest.fixture
def chip(tree: FakeSysfs) -> Path:
    return tree.hwmon(2, "nct6775", "soc/chip", {"pwm1": 128, "pwm1_enable": 5})


@pytest.fixture
def fan(tree: FakeSysfs, chip: Path) -> Iterator[LinuxFan]:
    assert chip.exists()
    made = hwmon_pwm("fan.0", "nct6775", "pwm1", failsafe_percent=80, root=tree.root)
    yield made
    asyncio.run(made.close())


def text(path: Path) -> str:
    return path.read_text().strip()


async def test_manual_mode_is_taken_before_every_write_that_finds_another(fan: LinuxFan, chip: Path) -> None:
    for _ in range(2):
        await fan.set(40)
        assert (text(chip / "pwm1"), text(chip / "pwm1_enable")) == ("102", "1")
        (chip / "pwm1_enable").write_text("2\n")  # something took it away


async def test_a_chip_without_modes_needs_none(fan: LinuxFan, chip: Path) -> None:
    (chip / "pwm1_enable").unlink()
    await fan.set(100)
    assert text(chip / "pwm1") == "255"
    assert not (chip / "pwm1_enable").exists()


async def test_a_chip_that_keeps_control_is_not_obeying(fan: LinuxFan, chip: Path) -> None:
    stubborn = Chip(chip / "pwm1_enable", lambda _: b"5\n", "rwr")
    with pytest.raises(Unavailable, match="the chip keeps control"):
        await fan.set(90)
    stubborn.join()
    assert stubborn.heard == [b"1"]
    assert text(chip / "pwm1") == "128"


@pytest.mark.parametrize("percent", range(0, 101, 7))
async def test_a_chip_of_sixteen_steps_is_obeying(fan: LinuxFan, chip: Path, percent: int) -> None:
    (chip / "pwm1_enable").unlink()
    steps = Chip(chip / "pwm1", lambda written: b"%d\n" % (round(int(written) / 17) * 17))
    await fan.set(percent)
    steps.join()
    assert steps.heard == [b"%d" % round(percent * 2.55)]


async def test_a_duty_that_is_not_kept_is_not_obeying(fan: LinuxFan, chip: Path) -> None:
    (chip / "pwm1_enable").unlink()
    deaf = Chip(chip / "pwm1", lambda _: b"50\n")
    with pytest.raises(Unavailable, match="255 was written and it says 50"):
        await fan.set(100)
    deaf.join()


@pytest.mark.parametrize(("percent", "state"), [(0, 0), (1, 1), (33, 1), (34, 2), (80, 3), (100, 3)])
async def test_few_steps_give_at_least_what_is_asked_for(tmp_path: Path, percent: float, state: int) -> None:
    path = tmp_path / "cur_state"
    path.write_text("0\n")
    fan = file_fan("fan.0", path, full_value=3, failsafe_percent=100)
    await fan.set(percent)
    assert path.read_text() == str(state)
    await fan.close()


async def test_a_speed_is_read_back_between_its_ends(tree: FakeSysfs) -> None:
    chip = tree.hwmon(0, "max31790", "soc/chip", {"fan1_target": 30000})
    fan = hwmon_speed(
        "fan.0", "max31790", "fan1_target", minimum_rpm=2000, maximum_rpm=12000, failsafe_percent=80, root=tree.root
    )
    assert await fan.get() == 100.0
    await fan.set(25)
    assert text(chip / "fan1_target") == "4500"
    assert not (chip / "pwm1_enable").exists()
    await fan.close()


def test_what_is_no_output_is_refused_at_once() -> None:
    for output in ("pwm", "pwm1_enable", "fan1_input", "../pwm1"):
        with pytest.raises(Invalid, match="no output of hwmon"):
            hwmon_pwm("fan.0", "chip", output, failsafe_percent=80)
    with pytest.raises(Invalid, match="speeds"):
        hwmon_speed("fan.0", "chip", "fan1_target", minimum_rpm=9000, maximum_rpm=9000, failsafe_percent=80)


async def test_a_fan_that_hangs_is_unavailable_and_delays_no_other(tree: FakeSysfs, fan: LinuxFan, chip: Path) -> None:
    (chip / "pwm1_enable").unlink()
    other_chip = tree.hwmon(3, "other", "soc/other", {"pwm1": 0})
    other = hwmon_pwm("fan.1", "other", "pwm1", failsafe_percent=80, root=tree.root)
    with hanging(chip / "pwm1") as let_go:
        hangs = asyncio.create_task(fan.set(90))
        await other.set(60)
        assert text(other_chip / "pwm1") == "153"
        with pytest.raises(Unavailable, match="hangs in the kernel"):
            await hangs
        let_go()
    await fan.set(70)
    assert text(chip / "pwm1") == "178"
    await other.close()


def test_a_recipe_is_followed_by_a_process_that_has_nothing_else(fan: LinuxFan, chip: Path) -> None:
    recipe = json.dumps(asdict(fan.recipe()))
    subprocess.run([sys.executable, "-c", APART, recipe], check=True, timeout=60)
    assert (text(chip / "pwm1"), text(chip / "pwm1_enable")) == ("204", "1")


def test_a_recipe_that_hangs_is_left_in_time_and_not_tried_twice(fan: LinuxFan, chip: Path) -> None:
    recipe = fan.recipe()
    with hanging(chip / "pwm1_enable"):
        started = time.monotonic()
        with pytest.raises(TimeoutError, match="did not come back"):
            recipes.apply(recipe, 100)
        took = time.monotonic() - started
        threads = threading.active_count()
        for _ in range(20):
            with pytest.raises(TimeoutError, match="an earlier write hangs"):
                recipes.apply(recipe, 100)
        assert threading.active_count() == threads
    assert 0.19 <= took < 2.0  # 0.2 s, and what a busy computer adds
    for thread in threading.enumerate():
        if thread.name == "recipe-fan.0":
            thread.join(10)
    recipes.apply(recipe, 100)
    assert text(chip / "pwm1") == "255"


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("smoke", {}),
        ("hwmon", {}),
        ("hwmon", {"chip": "x", "output": "../pwm1"}),
        ("hwmon", {"chip": "x", "output": 5}),
        ("hwmon", {"chip": "x", "output": "fan1_target"}),
        ("hwmon", {"chip": "no-such-chip", "output": "pwm1", "root": "/nowhere"}),
        ("sysfs", {"path": None}),
        ("sysfs", {"path": "/nowhere/at/all"}),
        ("sysfs", {"path": "/dev/null", "full_value": "much"}),
    ],
)
def test_a_recipe_that_cannot_be_followed_says_so(kind: str, place: dict[str, object]) -> None:
    with pytest.raises(OSError, match=r"."):
        recipes.apply(Recipe("fan.0", kind, place, 80), 80)
