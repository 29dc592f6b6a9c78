"""Sensors from the outside: the whole program on the simulated board, broken in every way it can be."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.harness.parts import API, Parts, Stream, seconds_until
from tests.harness.program import KILLS_PEERS, Program, until

pytestmark = [pytest.mark.e2e, KILLS_PEERS]

SHOWN_SECONDS = 3.0
"""Two rounds of a sensor that is read once a second, and some air."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with Program(tmp_path_factory.mktemp("sensors") / "state") as program:
        program.login()
        yield Parts(program)


@pytest.fixture
def parts(house: Parts) -> Iterator[Parts]:
    yield house
    house.mend()


@pytest.fixture
def running(parts: Parts) -> Parts:
    parts.on()
    return parts


def alarms(parts: Parts, after: int, component: str = "") -> list[dict[str, object]]:
    found = parts.events(after, "Sensor", component)
    return [event for event in found if event["severity"] != "SEVERITY_OK"]


def test_without_power_there_is_no_reading_and_no_alarm(parts: Parts) -> None:
    parts.off()
    begun = parts.newest()
    until(lambda: parts.quality("cpu0_temp") == "UNAVAILABLE", 5)
    dark = parts.sensor("cpu0_temp")
    assert "value" not in dark
    assert "host.0" in dark["qualityReason"]
    assert parts.quality("inlet_temp") == "GOOD"
    parts.on()
    lit = parts.sensor("cpu0_temp")
    assert 15 < lit["value"] < 80
    assert lit["unit"] == "Cel"
    until(lambda: {each["quality"] for each in parts.sensors().values()} == {"SENSOR_QUALITY_GOOD"}, 10)
    parts.off()
    until(lambda: parts.quality("cpu0_temp") == "UNAVAILABLE", 5)
    time.sleep(1.0)  # so long an alarm could still come
    assert alarms(parts, begun) == []


def test_a_threshold_is_crossed_once_each_way_and_kept_over_a_restart(running: Parts) -> None:
    parts, name = running, "dimm0_temp"
    parts.inject("sensor-stuck", name, 50.0)
    until(lambda: parts.sensor(name).get("value") == 50.0, 5)
    begun = parts.newest()

    def crossings() -> list[tuple[str, str]]:
        found = parts.events(begun, "Sensor.ThresholdCrossed", "dimm.0")
        return [(each["arguments"]["previous"], each["arguments"]["current"]) for each in found]

    up = ("SENSOR_LEVEL_NORMAL", "SENSOR_LEVEL_WARNING")
    assert parts.thresholds(name, upperWarning=45.0)["thresholdsChanged"] is True
    until(lambda: crossings() == [up], 5)
    [told] = parts.events(begun, "Sensor.ThresholdCrossed", "dimm.0")
    assert told["message"] == f"{name} went from normal to warning at 50 °C (limit 45 °C)"
    time.sleep(1.5)  # it is read again, and still past the limit
    assert crossings() == [up]
    parts.thresholds(name, upperWarning=51.0)  # within the hysteresis of 2 degrees: the alarm stands
    time.sleep(1.5)
    assert parts.level(name) == "WARNING"
    parts.thresholds(name, upperWarning=60.0)
    until(lambda: crossings() == [up, up[::-1]], 5)
    assert [event["cause"]["user"] for event in parts.events(begun, "Sensor.ThresholdsChanged")] == ["admin"] * 3
    parts.thresholds(name, upperWarning=45.0)
    until(lambda: parts.level(name) == "WARNING", 5)
    parts.restart()
    until(lambda: parts.level(name) == "WARNING", 10)
    kept = parts.sensor(name)
    assert (kept["thresholds"]["upperWarning"], kept["thresholdsChanged"]) == (45.0, True)
    reset = parts.post(f"sensors/{name}:resetThresholds", {})["sensor"]
    assert reset["thresholds"]["upperWarning"] == 75.0
    assert not reset.get("thresholdsChanged")


def test_thresholds_out_of_order_are_refused(parts: Parts) -> None:
    answer = parts.program.request("PATCH", f"{API}/sensors/cpu0_temp/thresholds", {"upperWarning": 95})
    assert answer.status_code == 400
    assert "upperWarning" in answer.text
    assert parts.program.request("PATCH", f"{API}/sensors/moon/thresholds", {"upperWarning": 1}).status_code == 404


@pytest.mark.parametrize(
    ("number", "kind", "value", "quality"),
    [
        (5, "sensor-nan", None, "IMPLAUSIBLE"),
        (6, "sensor-range", 9000.0, "IMPLAUSIBLE"),
        (7, "sensor-stale", None, "FAILED"),
        (8, "sensor-stuck", 44.5, "GOOD"),
    ],
)
def test_a_broken_sensor_is_shown_as_such_and_no_other(
    running: Parts, number: int, kind: str, value: float | None, quality: str
) -> None:
    parts, name = running, f"dimm{number}_temp"
    begun = parts.newest()
    parts.inject(kind, name, value)

    def seen() -> bool:
        sensor = parts.sensor(name)
        return sensor["quality"] == f"SENSOR_QUALITY_{quality}" and (quality != "GOOD" or sensor["value"] == value)

    assert seconds_until(seen, 10) < SHOWN_SECONDS
    sensor = parts.sensor(name)
    if quality != "GOOD":
        assert "value" not in sensor
        assert sensor["qualityReason"]
        about = f"dimm.{number}"
        told = until(lambda: parts.events(begun, "Sensor.QualityChanged", about), 5)
        assert told[0]["severity"] == "SEVERITY_WARNING"
        assert told[0]["arguments"]["current"] == f"SENSOR_QUALITY_{quality}"
    assert parts.quality("dimm9_temp") == parts.quality("dimm4_temp") == "GOOD"
    parts.mend(kind, name)
    until(lambda: parts.quality(name) == "GOOD" and parts.sensor(name)["value"] != value, 15)


def test_a_stuck_bus_takes_its_sensors_and_no_others(running: Parts) -> None:
    parts = running
    parts.inject("bus-stuck", "sim-drives")
    assert seconds_until(lambda: parts.quality("drive3_temp") == "FAILED", 10) < SHOWN_SECONDS
    deadline = time.monotonic() + 3.0
    oldest = 0.0
    while time.monotonic() < deadline:
        for sensor in parts.sensors().values():
            if sensor["bus"] != "sim-drives" and not sensor.get("sources"):
                assert sensor["quality"] == "SENSOR_QUALITY_GOOD", sensor
                oldest = max(oldest, sensor["ageSeconds"])
        time.sleep(0.2)
    assert oldest < 2.5, "every sensor of another wire is read as often as before"
    parts.mend("bus-stuck")
    until(lambda: parts.quality("drive3_temp") == "GOOD", 15)


def test_a_watch_resumes_and_misses_nothing(running: Parts) -> None:
    parts = running
    names = [f"dimm{n}_temp" for n in range(4)]
    path = "sensors:watch?minIntervalSeconds=0.1&" + "&".join(f"names={name}" for name in names)
    with Stream(parts.program, path) as first:
        first.wait(lambda update: update["snapshot"])
        first.wait(lambda update: not update.get("snapshot"), why="a change")
    told = {sensor["name"] for update in first.updates if update.get("snapshot") for sensor in update["sensors"]}
    assert told == set(names)
    for n, name in enumerate(names):  # while nobody watches
        parts.inject("sensor-stuck", name, 40.0 + n)
    until(lambda: all(parts.sensor(name).get("value") == 40.0 + n for n, name in enumerate(names)), 5)
    with Stream(parts.program, path, first.cursor) as again, Stream(parts.program, path) as other:
        wanted = {name: 40.0 + n for n, name in enumerate(names)}

        def heard(stream: Stream) -> dict[str, float]:
            return {each["name"]: each["value"] for update in list(stream.updates) for each in update["sensors"]}

        until(lambda: heard(again) == wanted == heard(other), 5, "two clients are told all that is")
        assert not any(update.get("snapshot") for update in again.updates), "it goes on, it does not begin anew"
        parts.inject("sensor-stuck", names[0], 33.0)
        until(lambda: heard(again)[names[0]] == heard(other)[names[0]] == 33.0, 5)


def test_a_watcher_is_told_no_more_often_than_it_asks(running: Parts) -> None:
    with Stream(running.program, "sensors:watch?names=cpu0_temp&minIntervalSeconds=2") as slow:
        slow.wait(lambda update: update["snapshot"])
        time.sleep(4.5)
    assert 1 <= len(slow.updates) <= 4


def test_history_and_statistics(running: Parts) -> None:
    parts, name = running, "inlet_temp"
    points = parts.program.get(f"{API}/sensors/{name}:history")["points"]
    assert len(points) > 5
    assert [each["time"] for each in points] == sorted(each["time"] for each in points)
    before = parts.sensor(name)["statistics"]
    assert before["minimum"] <= before["average"] <= before["maximum"]
    after = parts.post(f"sensors/{name}:resetStatistics", {})["sensor"].get("statistics", {})
    assert int(after.get("count", 0)) < int(before["count"])


def test_unplugging_a_supply_is_no_failure_of_its_sensors(running: Parts) -> None:
    parts = running
    begun = parts.newest()
    parts.inject("asset-unplugged", "psu.1")
    until(lambda: parts.sensor("psu1_presence")["state"] == "absent", 5)
    until(lambda: parts.quality("psu1_vin") == "UNAVAILABLE", 5)
    until(lambda: parts.events(begun, "Sensor.StateChanged", "psu.1"), 5)
    time.sleep(3.0)  # so long a failed sensor waits before it is told
    assert parts.events(begun, "Sensor.QualityChanged") == []
    assert parts.program.host()["state"] == "HOST_STATE_ON"
    parts.mend()
    until(lambda: parts.quality("psu1_vin") == "GOOD", 10)


def test_300_sensors(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Program(tmp_path_factory.mktemp("large") / "state", board="sim-large") as program:
        program.login()
        parts = Parts(program)
        assert program.power("ON").status_code == 200
        program.wait_state("ON")
        names: list[str] = []
        token = ""
        pages = 0
        while True:
            page = program.get(f"{API}/sensors?pageSize=70&pageToken={token}")
            assert len(page["sensors"]) <= 70
            names += [each["name"] for each in page["sensors"]]
            pages += 1
            token = page.get("nextPageToken", "")
            if not token:
                break
        assert (len(names), len(set(names)), pages) == (300, 300, 5)
        until(lambda: {each["quality"] for each in parts.sensors().values()} == {"SENSOR_QUALITY_GOOD"}, 20)
        with Stream(program, "sensors:watch") as stream:

            def told() -> set[str]:
                return {each["name"] for update in list(stream.updates) for each in update["sensors"]}

            until(lambda: told() == set(names), 5)
            stream.wait(lambda update: not update.get("snapshot"))
        assert max(each["ageSeconds"] for each in parts.sensors().values()) < 5.0
