"""Heat, air, fans and supplies of the simulated machines: plausible, repeatable, quick."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ubmc.hw.sim.catalogue import MACHINES, large_machine, machine_named, standard_machine
from ubmc.hw.sim.parts.chance import chance
from ubmc.hw.sim.parts.host import Timings
from ubmc.hw.sim.parts.load import Profile
from ubmc.hw.sim.plant import Plant, Settings
from ubmc.hw.sim.shape import Limits, Machine, Quantity
from ubmc.kit.errors import Invalid, NotFound, Unavailable

Make = Callable[[], Machine]
EXACT = Timings(jitter=0.0)
HOUR = 3600.0
both = pytest.mark.parametrize("make", MACHINES.values(), ids=MACHINES)


def plant_of(make: Make = standard_machine, *, seed: int = 0) -> Plant:
    return Plant(Settings(seed=seed, timings=EXACT, machine=make()))


def settle(plant: Plant, seconds: float = HOUR) -> None:
    plant.advance(plant.now_seconds + seconds)


def all_fans(plant: Plant, percent: float) -> None:
    for fan in plant.inside.machine.fans:
        plant.set_duty(fan.name, percent)


def running(make: Make = standard_machine, *, load: float, duty: float, ambient: float = 25.0) -> Plant:
    plant = plant_of(make)
    plant.drive("power-button-0", active=True)
    plant.advance(0.2)
    plant.drive("power-button-0", active=False)
    plant.advance(8.0)
    plant.set_ambient(ambient)
    plant.set_load(Profile.CONSTANT, load)
    all_fans(plant, duty)
    return plant


def limits(plant: Plant) -> dict[str, Limits]:
    machine = plant.inside.machine
    return {node.name: node.limits for node in machine.nodes} | {one.name: one.limits for one in machine.supplies}


def past(plant: Plant, limit: str) -> list[str]:
    """What is at or past a limit."""
    known = limits(plant)
    return [name for name, celsius in plant.temperatures().items() if celsius >= getattr(known[name], limit)]


def read(plant: Plant, name: str) -> float:
    value = plant.read_sensors([name])[name]
    assert isinstance(value, float)
    return value


@both
def test_idle_is_cool_half_speed_suffices_for_usual_load_and_full_speed_for_all(make: Make) -> None:
    for load, duty in ((5.0, 30.0), (60.0, 50.0), (100.0, 100.0)):
        plant = running(make, load=load, duty=duty)
        settle(plant)
        assert past(plant, "warning") == [], (load, duty)
        assert all(celsius > 25.0 for celsius in plant.temperatures().values())
    plant = running(make, load=100.0, duty=50.0)
    settle(plant)
    assert past(plant, "warning"), "half speed must not suffice for full load, or there is nothing to control"


@both
def test_without_fans_full_load_is_fatal_within_minutes_not_seconds(make: Make) -> None:
    plant = running(make, load=100.0, duty=100.0)
    settle(plant)
    all_fans(plant, 0.0)
    settle(plant, 30.0)
    assert past(plant, "fatal") == []
    settle(plant, 270.0)
    assert "cpu0" in past(plant, "fatal")


@both
def test_the_rest_at_full_speed_copes_with_any_seized_fan(make: Make) -> None:
    for fan in make().fans:
        plant = running(make, load=100.0, duty=100.0)
        plant.inject("fan-seized", fan.name)
        settle(plant)
        assert past(plant, "warning") == [], fan.name


@settings(max_examples=15, deadline=None)
@given(st.floats(10, 95), st.floats(1, 5), st.floats(5, 95), st.floats(1, 5))
def test_more_air_is_cooler_and_more_load_is_warmer(
    duty: float, more_duty: float, load: float, more_load: float
) -> None:
    def warmth(load: float, duty: float) -> dict[str, float]:
        plant = running(load=load, duty=duty)
        settle(plant, 1200.0)
        return {name: celsius for name, celsius in plant.temperatures().items() if not name.startswith("psu")}

    usual = warmth(load, duty)
    cooler, warmer = warmth(load, duty + more_duty), warmth(load + more_load, duty)
    for name, celsius in usual.items():
        assert cooler[name] < celsius < warmer[name]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.01, 40.0), min_size=1, max_size=40), st.integers(0, 3))
def test_how_time_is_split_does_not_show(steps: list[float], seed: int) -> None:
    whole, split = (Plant(Settings(seed=seed, timings=EXACT)) for _ in range(2))
    for plant in (whole, split):
        plant.drive("power-button-0", active=True)
        plant.set_load(Profile.DAY)
    until = sum(steps)
    whole.advance(until)
    now = 0.0
    for step in steps:
        now += step
        split.advance(min(now, until))
        split.read_sensors()
    split.advance(until)
    assert whole.read_sensors(["cpu0_temp"]).keys() == split.read_sensors(["cpu0_temp"]).keys()
    assert whole.temperatures() == split.temperatures()
    assert {k: str(v) for k, v in whole.read_sensors().items()} == {k: str(v) for k, v in split.read_sensors().items()}


def test_another_seed_is_another_noise_and_the_same_seed_the_same() -> None:
    one, same, other = plant_of(seed=1), plant_of(seed=1), plant_of(seed=2)
    for plant in (one, same, other):
        plant.advance(100.0)
    names = [sensor.name for sensor in standard_machine().sensors if not sensor.host]
    assert one.read_sensors(names) == same.read_sensors(names)
    assert one.read_sensors(names) != other.read_sensors(names)


@given(st.integers(), st.integers(-2, 1000), st.integers(0, 10**9))
def test_chance_stays_in_its_bounds(seed: int, place: int, step: int) -> None:
    assert -1.0 <= chance(seed, place, step) < 1.0


def test_chance_is_spread_evenly() -> None:
    drawn = [chance(7, place, step) for place in range(50) for step in range(100)]
    assert abs(sum(drawn) / len(drawn)) < 0.03
    assert sum(value < -0.5 for value in drawn) == pytest.approx(len(drawn) / 4, rel=0.1)


def test_a_day_takes_seconds() -> None:
    plant = running(load=50.0, duty=50.0)
    plant.set_load(Profile.DAY)
    began = time.process_time()
    plant.advance(plant.now_seconds + 24 * HOUR)
    joules = read(plant, "total_energy")
    assert time.process_time() - began < 10.0
    assert 100.0 < joules / (24 * HOUR) < 900.0


def test_profiles_do_what_they_say() -> None:
    def course(profile: Profile, step: float, count: int) -> list[float]:
        plant = running(load=37.0, duty=60.0)
        plant.set_load(profile)
        loads = []
        for _ in range(count):
            settle(plant, step)
            loads.append(read(plant, "cpu0_load"))
        return loads

    assert max(course(Profile.IDLE, 10.0, 20)) < 8.0
    assert course(Profile.CONSTANT, 10.0, 1)[0] == pytest.approx(37.0, abs=1.1)
    assert min(course(Profile.FULL, 10.0, 20)) > 98.0
    waves, day = course(Profile.WAVES, 17.0, 30), course(Profile.DAY, 1800.0, 48)
    assert min(waves) < 30.0 < 70.0 < max(waves)
    assert min(day) < 25.0 < 60.0 < max(day)
    with pytest.raises(Invalid):
        plant_of().set_load(Profile.CONSTANT, 101.0)


def test_a_fan_has_inertia_and_holds_its_duty() -> None:
    plant = plant_of()
    settle(plant, 30.0)
    assert plant.duty("fan.0") == 30.0
    slow = read(plant, "fan0_rpm")
    plant.set_duty("fan.0", 100.0)
    assert read(plant, "fan0_duty") == 100.0
    settle(plant, 1.0)
    assert slow < read(plant, "fan0_rpm") < 11500.0
    settle(plant, 15.0)
    assert read(plant, "fan0_rpm") == pytest.approx(12000.0, abs=30.0)
    assert read(plant, "fan0_rear_rpm") < read(plant, "fan0_rpm")
    plant.set_mains(on=False)
    settle(plant, 30.0)
    assert read(plant, "fan0_rpm") == 0.0
    plant.set_mains(on=True)
    assert plant.duty("fan.0") == 30.0
    for wrong in (-1.0, 101.0, math.nan):
        with pytest.raises(Invalid):
            plant.set_duty("fan.0", wrong)
    with pytest.raises(NotFound, match=r"fan\.0"):
        plant.set_duty("fan.77", 30.0)


def test_a_host_that_is_off_is_as_warm_as_its_room_and_its_sensors_are_silent() -> None:
    plant = running(load=100.0, duty=100.0)
    settle(plant)
    before = plant.temperatures()["cpu0"]
    plant.drive("power-button-0", active=True)
    settle(plant, 4.5)
    plant.drive("power-button-0", active=False)
    assert not plant.read("power-good-0")
    assert plant.temperatures()["cpu0"] > before - 6.0, "it does not cool at once"
    settle(plant)
    assert plant.temperatures()["cpu0"] == pytest.approx(25.0, abs=1.0)
    silent = plant.read_sensors(["cpu0_temp"])["cpu0_temp"]
    assert isinstance(silent, Unavailable)
    assert 24.0 < read(plant, "inlet_temp") < 26.0


def test_two_supplies_share_and_one_takes_over() -> None:
    plant = running(load=80.0, duty=60.0)
    settle(plant)
    assert read(plant, "psu0_iout") == pytest.approx(read(plant, "psu1_iout"), abs=0.3)
    both_watts, cool = read(plant, "psu1_pout"), read(plant, "psu1_temp")
    assert read(plant, "psu1_pin") > both_watts
    plant.inject("supply-unplugged", "psu.0")
    settle(plant)
    assert plant.read("power-good-0")
    assert read(plant, "psu0_vin") == read(plant, "psu0_vout") == read(plant, "psu0_pout") == 0.0
    assert read(plant, "psu1_pout") == pytest.approx(2 * both_watts, abs=4.0)
    assert read(plant, "psu1_temp") > cool
    assert past(plant, "critical") == []


def test_the_last_supply_that_goes_is_a_loss_of_mains() -> None:
    plant = running(load=50.0, duty=60.0)
    plant.inject("supply-lost", "psu.0")
    assert plant.snapshot()["mains"] is True
    plant.inject("supply-unplugged", "psu.1")
    assert plant.snapshot()["mains"] is False
    assert plant.snapshot()["socket"] is True
    assert not plant.read("psu-good")
    assert not plant.read("power-good-0")
    plant.clear("supply-lost")
    state = plant.snapshot()
    assert (state["mains"], state["mains_cycles"]) == (True, 1)
    assert plant.read("psu-good")
    assert not plant.read("power-good-0"), "it waits for its button"


def test_power_adds_up() -> None:
    plant = running(load=50.0, duty=60.0)
    settle(plant)
    parts = read(plant, "psu0_pin") + read(plant, "psu1_pin")
    assert read(plant, "total_power") == pytest.approx(parts, abs=6.0)
    before = read(plant, "total_energy")
    settle(plant, 1000.0)
    assert read(plant, "total_energy") - before == pytest.approx(1000.0 * parts, rel=0.02)


def test_the_machines_are_whole() -> None:
    assert len(standard_machine().sensors) >= 80
    assert len(large_machine().sensors) == 300
    for name in MACHINES:
        machine = machine_named(name)
        names = [sensor.name for sensor in machine.sensors]
        assert len(set(names)) == len(names)
        assert {sensor.shows.quantity for sensor in machine.sensors} == set(Quantity)
        for node in machine.nodes:
            assert sum(node.flow) == pytest.approx(1.0)
            assert len(node.flow) == len(machine.fans)
        assets = [asset.name for asset in machine.assets]
        assert len(set(assets)) == len(assets)
        assert {asset.parent for asset in machine.assets} <= {"", *assets}
    with pytest.raises(NotFound, match="standard"):
        machine_named("tiny")


@both
def test_a_healthy_machine_is_within_the_limits_of_its_sensors(make: Make) -> None:
    """Or every board file that takes them over begins with an alarm."""
    plant = running(make, load=50.0, duty=60.0)
    settle(plant)
    values = plant.read_sensors()
    for sensor in plant.inside.machine.sensors:
        value = values[sensor.name]
        assert isinstance(value, float), sensor.name
        for limit in (sensor.upper.warning, sensor.upper.critical, sensor.upper.fatal):
            assert limit is None or value < limit, sensor.name
        for limit in (sensor.lower.warning, sensor.lower.critical, sensor.lower.fatal):
            assert limit is None or value > limit, sensor.name
        assert sensor.span is None or sensor.span[0] <= value <= sensor.span[1], sensor.name
