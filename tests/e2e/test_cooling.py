"""Cooling from the outside: the whole program on the simulated board, and its fans as the machine itself has them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from tests.harness.parts import API, Parts, Stream, seconds_until
from tests.harness.program import KILLS_PEERS, Program, until

pytestmark = [pytest.mark.e2e, KILLS_PEERS]

FAIL_SAFE = 80.0
FANS = tuple(f"fan.{n}" for n in range(6))
SENSOR_LOSS_SECONDS = 1.0
DEATH_SECONDS = 3.0
AIR_SECONDS = 0.5
"""What asking costs on a busy machine."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with Program(tmp_path_factory.mktemp("cooling") / "state") as program:
        program.login()
        yield Parts(program)


@pytest.fixture
def parts(house: Parts) -> Iterator[Parts]:
    house.mend()
    house.on()
    yield house
    house.mend()
    load(house, "IDLE")
    for zone in ("cpu", "memory", "system"):
        house.post(f"thermal-zones/{zone}:clearManualDuty", {})


def load(parts: Parts, profile: str) -> None:
    parts.post("simulation:setConditions", {"loadProfile": f"LOAD_PROFILE_{profile}"})


def duties(parts: Parts) -> dict[str, float]:
    """What the fans of the machine are driven with, whatever our program believes."""
    return {name: fan["duty"] for name, fan in parts.plant.snapshot()["fans"].items()}


def at_least(parts: Parts, percent: float) -> bool:
    return min(duties(parts).values()) >= percent


def state_of(parts: Parts, fan: str) -> str:
    return str(parts.fan(fan)["state"]).removeprefix("COOLING_DEVICE_STATE_")


def test_a_seized_fan_raises_its_neighbours(parts: Parts) -> None:
    assert max(duties(parts).values()) < FAIL_SAFE
    begun = parts.newest()
    parts.inject("fan-seized", "fan.1")
    until(lambda: state_of(parts, "fan.1") == "SEIZED", 10)
    until(lambda: all(duty == 100 for duty in duties(parts).values()), 3)
    assert [state_of(parts, fan) for fan in FANS if fan != "fan.1"] == ["OK"] * 5
    zone = parts.zone("cpu")
    assert zone["state"] == "THERMAL_ZONE_STATE_FAIL_SAFE"
    assert any("fan.1" in reason for reason in zone["reasons"])
    [told] = until(lambda: parts.events(begun, "Thermal.CoolingDeviceStateChanged"), 5)
    assert (told["component"], told["severity"]) == ("fan.1", "SEVERITY_WARNING")
    parts.mend()
    until(lambda: state_of(parts, "fan.1") == "OK", 10)
    parts.calm()
    until(lambda: max(duties(parts).values()) < FAIL_SAFE, 30)


def test_a_fan_that_takes_no_duty_is_seen(parts: Parts) -> None:
    load(parts, "FULL")
    parts.inject("fan-unwritable", "fan.2")
    parts.post("thermal-zones/cpu:setManualDuty", {"dutyPercent": 65, "durationSeconds": 60})
    until(lambda: state_of(parts, "fan.2") == "UNWRITABLE", 10)
    until(lambda: all(duty == 100 for name, duty in duties(parts).items() if name != "fan.2"), 5)


def test_a_lost_sensor_means_fail_safe_and_back(parts: Parts) -> None:
    begun = parts.newest()
    parts.inject("sensor-stale", "cpu0_temp")
    assert seconds_until(lambda: at_least(parts, FAIL_SAFE), 10) < SENSOR_LOSS_SECONDS + AIR_SECONDS
    assert parts.zone_state("cpu") == "FAIL_SAFE"
    assert parts.zone_state("system") == "NORMAL"
    parts.mend()
    until(lambda: parts.zone_state("cpu") == "NORMAL", 15)
    until(lambda: max(duties(parts).values()) < FAIL_SAFE, 30)
    told = until(lambda: parts.events(begun, "Thermal.ZoneStateChanged", "cpu")[1:], 5)
    assert told[-1]["arguments"]["current"] == "THERMAL_ZONE_STATE_NORMAL"


def test_driving_by_hand_ends_by_itself(parts: Parts) -> None:
    zone = parts.post("thermal-zones/cpu:setManualDuty", {"dutyPercent": 66, "durationSeconds": 3})["thermalZone"]
    assert (zone["state"], zone["manualPercent"]) == ("THERMAL_ZONE_STATE_MANUAL", 66)
    assert 0 < zone["manualRemainingSeconds"] <= 3
    until(lambda: set(duties(parts).values()) == {66.0}, 3)
    until(lambda: parts.zone_state("cpu") == "NORMAL", 6)
    until(lambda: max(duties(parts).values()) < 66, 30)
    assert "manualPercent" not in parts.zone("cpu")


def test_fail_safe_outranks_the_hand(parts: Parts) -> None:
    parts.post("thermal-zones/memory:setManualDuty", {"dutyPercent": 26, "durationSeconds": 60})
    assert parts.zone_state("memory") == "MANUAL"
    parts.inject("sensor-nan", "dimm0_temp")
    until(lambda: at_least(parts, FAIL_SAFE), 3)
    assert parts.zone_state("memory") == "FAIL_SAFE"
    too_long = {"dutyPercent": 26, "durationSeconds": 7200}
    assert parts.program.request("POST", f"{API}/thermal-zones/cpu:setManualDuty", too_long).status_code == 400


def test_zones_are_watched_and_resumed(parts: Parts) -> None:
    with Stream(parts.program, "thermal-zones:watch?name=cpu") as stream:
        first = stream.wait(lambda update: update.get("snapshot"))
        assert [each["name"] for each in first["coolingDevices"]] == list(FANS)
    parts.inject("sensor-nan", "cpu1_temp")
    until(lambda: parts.zone_state("cpu") == "FAIL_SAFE", 5)
    with Stream(parts.program, "thermal-zones:watch?name=cpu", stream.cursor) as again:
        again.wait(lambda update: update["thermalZone"]["state"] == "THERMAL_ZONE_STATE_FAIL_SAFE")
        assert not any(update.get("snapshot") for update in again.updates)


def test_one_supply_carries_the_host(parts: Parts) -> None:
    begun = parts.newest()
    ons = parts.plant.snapshot()["hosts"]["host.0"]["power_ons"]
    parts.inject("supply-lost", "psu.0")
    until(lambda: parts.level("psu0_vout") == "CRITICAL", 10)
    until(lambda: parts.events(begun, "Sensor.ThresholdCrossed", "psu.0"), 5)
    until(lambda: parts.sensor("psu1_iout")["value"] > 10, 5)
    assert parts.sensor("psu0_iout")["value"] == 0
    parts.mend()
    until(lambda: parts.level("psu0_vout") == "NORMAL", 10)
    assert parts.program.host()["state"] == "HOST_STATE_ON"
    assert parts.plant.snapshot()["hosts"]["host.0"]["power_ons"] == ons


def test_a_profile_is_kept_over_a_restart(parts: Parts) -> None:
    custom = {"profile": "THERMAL_PROFILE_CUSTOM", "custom": {"setPointOffsetCelsius": -4, "minimumPercent": 40}}
    assert parts.post("thermal-zones/system:setProfile", custom)["thermalZone"]["profile"] == custom["profile"]
    until(lambda: at_least(parts, 40), 10)
    parts.restart()
    parts.calm()
    zone = parts.zone("system")
    assert (zone["profile"], zone["custom"]["minimumPercent"]) == ("THERMAL_PROFILE_CUSTOM", 40)
    parts.post("thermal-zones/system:setProfile", {"profile": "THERMAL_PROFILE_BALANCED"})


def test_the_log_of_the_controllers_is_csv(parts: Parts) -> None:
    def read() -> list[str]:
        return str(parts.program.get(f"{API}/thermal-zones/cpu:controllerLog")["csv"]).splitlines()

    lines = until(lambda: read() if len(read()) > 5 else None, 10, "some cycles")
    assert lines[0].startswith("time,state,duty,")
    assert {line.count(",") for line in lines} == {lines[0].count(",")}


def test_the_death_of_the_safety_process_under_full_load(parts: Parts) -> None:
    load(parts, "FULL")
    until(lambda: parts.sensor("cpu0_load").get("value", 0) > 90, 10)
    ons = parts.plant.snapshot()["hosts"]["host.0"]["power_ons"]
    until(lambda: max(duties(parts).values()) < FAIL_SAFE, 20, "nobody but the guardian makes them faster now")
    begun = time.monotonic()
    os.kill(parts.program.processes()["safety"], signal.SIGKILL)
    until(lambda: at_least(parts, FAIL_SAFE), DEATH_SECONDS, "the guardian makes the fans safe")
    assert time.monotonic() - begun < DEATH_SECONDS

    def back() -> bool:
        answer = parts.program.request("GET", f"{API}/thermal-zones/cpu")
        return answer.status_code == 200 and answer.json()["thermalZone"]["state"] == "THERMAL_ZONE_STATE_NORMAL"

    until(back, 20, "thermalmgr drives again")
    load(parts, "IDLE")
    until(lambda: max(duties(parts).values()) < FAIL_SAFE, 60, "the fans are under control")
    assert parts.program.host()["state"] == "HOST_STATE_ON"
    assert parts.plant.on()
    assert parts.plant.snapshot()["hosts"]["host.0"]["power_ons"] == ons
