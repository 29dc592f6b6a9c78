"""Each fault of the simulated machine does what its description says, to its target alone, until it is cleared."""

from __future__ import annotations

import math

import pytest
from tests.unit.test_sim_climate import read, running, settle

from ubmc.hw.sim.catalogue import FRU_BUS
from ubmc.hw.sim.parts.faults import KINDS, Into
from ubmc.hw.sim.parts.host import Fault
from ubmc.hw.sim.parts.load import Profile
from ubmc.hw.sim.plant import Plant
from ubmc.hw.sim.wires import Change
from ubmc.kit.errors import Invalid, NotFound, Refused, Unavailable


@pytest.fixture
def plant() -> Plant:
    found = running(load=50.0, duty=50.0)
    settle(found)
    return found


def test_a_stuck_sensor_shows_the_value_of_its_fault_or_of_that_time(plant: Plant) -> None:
    plant.inject("sensor-stuck", "cpu0_temp")
    before = read(plant, "cpu0_temp")
    plant.set_load(Profile.FULL)
    settle(plant)
    assert read(plant, "cpu0_temp") == before < read(plant, "cpu1_temp") - 10
    plant.inject("sensor-stuck", "cpu0_temp", 12.5)
    assert read(plant, "cpu0_temp") == 12.5
    plant.clear("sensor-stuck", "cpu0_temp")
    assert read(plant, "cpu0_temp") > before + 10


def test_a_stale_sensor_is_silent_and_others_are_not(plant: Plant) -> None:
    plant.inject("sensor-stale", "cpu0_temp")
    values = plant.read_sensors(["cpu0_temp", "cpu1_temp"])
    assert isinstance(values["cpu0_temp"], Unavailable)
    assert isinstance(values["cpu1_temp"], float)


def test_a_sensor_may_show_what_is_no_number_or_out_of_range(plant: Plant) -> None:
    plant.inject("sensor-nan", "dimm3_temp")
    plant.inject("sensor-range", "inlet_temp")
    plant.inject("sensor-range", "p12v", -7.0)
    assert math.isnan(read(plant, "dimm3_temp"))
    assert read(plant, "inlet_temp") == 1_000_000.0
    assert read(plant, "p12v") == -7.0


def test_a_seized_fan_stands_and_the_machine_gets_warmer(plant: Plant) -> None:
    before = plant.temperatures()["cpu0"]
    plant.inject("fan-seized", "fan.1")
    settle(plant)
    assert read(plant, "fan1_rpm") == read(plant, "fan1_rear_rpm") == 0.0
    assert read(plant, "fan1_duty") == 50.0
    assert read(plant, "fan0_rpm") > 6000.0
    assert plant.temperatures()["cpu0"] > before + 3
    plant.clear("fan-seized", "fan.1")
    settle(plant)
    assert plant.temperatures()["cpu0"] == pytest.approx(before, abs=0.5)


def test_a_slow_fan_turns_at_a_share_of_its_speed(plant: Plant) -> None:
    before = read(plant, "fan2_rpm")
    plant.inject("fan-slow", "fan.2")
    settle(plant, 60.0)
    assert read(plant, "fan2_rpm") == pytest.approx(before / 2, abs=50.0)
    plant.inject("fan-slow", "fan.2", 80.0)
    settle(plant, 60.0)
    assert read(plant, "fan2_rpm") == pytest.approx(before * 0.8, abs=50.0)
    with pytest.raises(Invalid):
        plant.inject("fan-slow", "fan.2", 101.0)


def test_an_unwritable_fan_keeps_its_duty(plant: Plant) -> None:
    plant.inject("fan-unwritable", "fan.0")
    with pytest.raises(Unavailable, match=r"fan\.0"):
        plant.set_duty("fan.0", 100.0)
    assert plant.duty("fan.0") == 50.0
    plant.set_duty("fan.1", 100.0)
    plant.clear()
    plant.set_duty("fan.0", 100.0)
    assert plant.duty("fan.0") == 100.0


def test_a_stuck_bus_takes_its_own_sensors_only(plant: Plant) -> None:
    plant.inject("bus-stuck", "sim-memory")
    values = plant.read_sensors()
    silent = {name for name, value in values.items() if isinstance(value, Unavailable)}
    assert silent == {f"dimm{n}_temp" for n in range(16)}


def test_a_damaged_store_reads_wrong_and_keeps_its_bytes(plant: Plant) -> None:
    inside = plant.inside
    good = inside.read_fru("psu.0")
    plant.inject("fru-damaged", "psu.0")
    assert inside.read_fru("psu.0") != good
    assert len(inside.read_fru("psu.0")) == len(good)
    assert inside.read_fru("psu.1") != inside.read_fru("psu.0")
    plant.clear("fru-damaged")
    assert inside.read_fru("psu.0") == good
    plant.inject("bus-stuck", FRU_BUS)
    with pytest.raises(Unavailable):
        inside.read_fru("psu.0")


def test_storage_takes_what_is_written_unless_it_is_protected(plant: Plant) -> None:
    inside = plant.inside
    before = inside.read_fru("board.0")
    inside.write_fru("board.0", b"new")
    assert inside.read_fru("board.0") == b"new" + before[3:]
    with pytest.raises(Refused, match="protected"):
        inside.write_fru("psu.0", b"x")
    with pytest.raises(Refused, match="512"):
        inside.write_fru("board.0", bytes(513))
    with pytest.raises(NotFound, match="storage"):
        inside.read_fru("cpu.0")


def test_a_supply_that_is_pulled_out_is_gone_in_every_way(plant: Plant) -> None:
    plant.inject("asset-unplugged", "psu.1")
    assert read(plant, "psu1_presence") == 0.0
    assert read(plant, "psu0_presence") == 1.0
    assert isinstance(plant.read_sensors(["psu1_vin"])["psu1_vin"], Unavailable)
    assert read(plant, "psu0_iout") > 20.0
    assert {asset.name for asset, present in plant.inside.assets() if not present} == {"psu.1"}
    with pytest.raises(NotFound, match="plugged"):
        plant.inside.read_fru("psu.1")


def test_the_sensor_of_a_drive_goes_with_it(plant: Plant) -> None:
    plant.inject("asset-unplugged", "drive.3")
    values = plant.read_sensors(["drive2_temp", "drive3_temp"])
    assert isinstance(values["drive2_temp"], float)
    assert isinstance(values["drive3_temp"], Unavailable)


def test_the_lid(plant: Plant) -> None:
    assert read(plant, "intrusion") == 0.0
    plant.inject("intrusion")
    assert read(plant, "intrusion") == 1.0


def test_storage_that_takes_nothing_keeps_what_it_has(plant: Plant) -> None:
    before = plant.inside.read_fru("board.0")
    plant.inject("flash-write")
    with pytest.raises(Unavailable, match="does not take what is written"):
        plant.inside.write_fru("board.0", b"new")
    assert plant.inside.read_fru("board.0") == before
    plant.clear("flash-write")
    plant.inside.write_fru("board.0", b"new")
    assert plant.inside.read_fru("board.0")[:3] == b"new"


def test_faults_of_the_host_are_the_old_ones(plant: Plant) -> None:
    for fault in Fault:
        plant.set_fault(fault, on=True)
        assert fault in plant.host.faults
        assert (fault.value, "host.0") in plant.inside.faults.active
    plant.clear()
    assert plant.host.faults == set()
    plant.inject("hang-off", "host.0")
    assert plant.host.faults == {Fault.HANG_OFF}


def test_all_are_listed_told_and_mended_at_once(plant: Plant) -> None:
    told: list[Change] = []
    plant.listen(told.append)
    wanted = set()
    for kind in KINDS:
        targets = plant.inside.faults.targets(kind)
        assert bool(targets) == (kind.into is not Into.NOTHING)
        target = targets[0] if targets else ""
        plant.inject(kind.kind, target)
        wanted.add((kind.kind, target))
    listed = plant.snapshot()["faults"]
    assert isinstance(listed, list)
    assert {(one["kind"], one["target"]) for one in listed} == wanted
    assert sum(change.name.startswith("fault.") and change.value is True for change in told) == len(wanted)
    plant.clear()
    assert plant.snapshot()["faults"] == []
    assert sum(change.name.startswith("fault.") and change.value is False for change in told) == len(wanted)


def test_what_cannot_be_broken_is_said(plant: Plant) -> None:
    with pytest.raises(NotFound, match="sensor-stuck"):
        plant.inject("nonsense", "x")
    with pytest.raises(NotFound, match="cpu0_temp"):
        plant.inject("sensor-nan", "nonsense")
    with pytest.raises(Invalid, match="no value"):
        plant.inject("sensor-nan", "cpu0_temp", 1.0)
    with pytest.raises(Invalid, match="no target"):
        plant.inject("intrusion", "chassis.0")
    with pytest.raises(Invalid, match="finite"):
        plant.inject("sensor-stuck", "cpu0_temp", math.inf)
    with pytest.raises(NotFound):
        plant.clear("nonsense")
    plant.clear("sensor-nan", "cpu0_temp")  # nothing to mend is no error
