"""The rules of sensormon: limits, quality, power, virtual sensors, history, changed thresholds."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protobuf.wkt import FieldMask

from ubmc.kit.errors import Invalid, NotFound, Unavailable
from ubmc.kit.readings import Quality, Reading
from ubmc.services.sensormon import thresholds
from ubmc.services.sensormon.changes import Changes
from ubmc.services.sensormon.history import History, Tally
from ubmc.services.sensormon.judge import judge
from ubmc.services.sensormon.plan import Function, Limits, Options, SensorPlan, StatePlan, Virtual
from ubmc.services.sensormon.sensor import News, Power, Sensor
from ubmc.services.sensormon.store import ThresholdFile
from ubmc.services.sensormon.trigger import Trigger
from ubmc.services.sensormon.virtual import combine, ordered, users
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.sensor_pb import (
    SensorKind,
    SensorLevel,
    SensorQualityChange,
    SensorSide,
    SensorStateChange,
    SensorThresholdCrossing,
    SensorThresholds,
)

N, W, C, F = SensorLevel.NORMAL, SensorLevel.WARNING, SensorLevel.CRITICAL, SensorLevel.FATAL
TEMPERATURE = SensorKind.TEMPERATURE
LIMITS = Limits(upper_warning=75, upper_critical=85, upper_fatal=95, lower_warning=5, lower_critical=0)
ON, OFF, UNKNOWN = Power(), Power(False, "host.0 has no power"), Power(None)
OPTIONS = Options(Path("/nowhere"))


def plan(name: str = "cpu0_temp", **changes: object) -> SensorPlan:
    values: dict[str, object] = {"kind": TEMPERATURE, "component": "host.0", "bus": "i2c-1", "limits": LIMITS}
    return SensorPlan(name=name, **(values | changes))  # type: ignore[arg-type]


def quality_of(sensor: Sensor) -> Quality | None:
    return None if sensor.reading is None else sensor.reading.quality


def steps(trigger: Trigger, *values: float) -> list[tuple[SensorLevel, SensorLevel, SensorSide, float]]:
    return [
        (each.previous, each.current, each.side, each.threshold)
        for now, value in enumerate(values)
        for each in trigger.step(value, float(now))
    ]


# --- limits ---


def test_a_limit_is_passed_at_it_and_left_only_behind_the_hysteresis() -> None:
    trigger = Trigger(LIMITS, TEMPERATURE)
    up, low = SensorSide.UPPER, SensorSide.LOWER
    assert steps(trigger, 74.9) == []
    assert steps(trigger, 75) == [(N, W, up, 75)]
    assert steps(trigger, 73, 74, 73) == []  # 2 degrees of hysteresis: 73 is not behind it
    assert steps(trigger, 72.9) == [(W, N, up, 75)]
    assert steps(trigger, 96) == [(N, F, up, 95)]
    assert steps(trigger, 90) == [(F, C, up, 95)]
    assert steps(trigger, 40) == [(C, N, up, 75)]
    assert steps(trigger, 4) == [(N, W, low, 5)]
    assert steps(trigger, -1, 2, 2.1) == [(W, C, low, 0), (C, W, low, 0)]
    assert steps(trigger, 90) == [(W, N, low, 5), (N, C, up, 85)]


def test_debounce_holds_an_alarm_back_and_not_its_end() -> None:
    trigger = Trigger(Limits(upper_warning=75, debounce_seconds=2), TEMPERATURE)
    assert steps(trigger, 80, 80, 60, 80, 80) == []
    assert [each.current for each in (*trigger.step(80, 5), *trigger.step(70, 5.1))] == [W, N]


def test_what_a_host_powers_may_be_low_for_a_second() -> None:
    trigger = Trigger(Limits(lower_warning=11, upper_warning=13), SensorKind.VOLTAGE, powered=True)
    assert trigger.step(0, 0) == trigger.step(0, 0.9) == []
    assert [each.current for each in trigger.step(0, 1)] == [W]
    trigger = Trigger(Limits(lower_warning=11, upper_warning=13), SensorKind.VOLTAGE, powered=True)
    assert [each.current for each in trigger.step(14, 0)] == [W]


def test_a_limit_that_goes_takes_its_alarm_along() -> None:
    trigger = Trigger(LIMITS, TEMPERATURE)
    trigger.step(90, 0)
    trigger.change(Limits(upper_warning=75))
    assert steps(trigger, 90) == [(C, W, SensorSide.UPPER, 85)]
    trigger.change(Limits())
    assert steps(trigger, 90) == [(W, N, SensorSide.UPPER, 75)]


@given(st.lists(st.floats(-20, 120), max_size=40), st.floats(0, 5), st.floats(0, 3))
def test_crossings_always_chain_and_end_at_what_the_trigger_says(
    values: list[float], hysteresis: float, debounce: float
) -> None:
    limits = Limits(95, 85, 75, 5, 0, -5, hysteresis, debounce)
    trigger = Trigger(limits, TEMPERATURE)
    level = N
    for now, value in enumerate(values):
        for crossing in trigger.step(value, float(now)):
            assert crossing.previous is level is not crossing.current
            level = crossing.current
        assert trigger.level is level
        assert (trigger.side is SensorSide.UNSPECIFIED) == (level is N)
        if value >= 95 and debounce == 0:
            assert level is F
        if 5 + hysteresis <= value <= 75 - hysteresis and debounce == 0 and value < 75 and value > 5:
            assert level in (N, W)


# --- quality ---


@pytest.mark.parametrize(
    ("outcome", "quality", "value"),
    [
        (50.0, Quality.GOOD, 50.0),
        (math.nan, Quality.IMPLAUSIBLE, None),
        (math.inf, Quality.IMPLAUSIBLE, None),
        (126.0, Quality.IMPLAUSIBLE, None),
        (-41.0, Quality.IMPLAUSIBLE, None),
        (Unavailable("no answer"), Quality.FAILED, None),
        (NotFound("no chip"), Quality.FAILED, None),
    ],
)
def test_what_is_made_of_an_outcome(outcome: float, quality: Quality, value: float | None) -> None:
    judged = judge(plan(range_minimum=-40.0, range_maximum=125.0), outcome)
    assert judged.quality is quality
    assert judged.value == value if value is not None else math.isnan(judged.value)
    assert bool(judged.reason) == (quality is not Quality.GOOD)


def test_scale_offset_and_states() -> None:
    assert judge(plan(scale=2.0, offset=1.0), 3.0).value == 7.0
    states = plan(kind=SensorKind.STATE, states=(StatePlan("absent"), StatePlan("present")))
    assert judge(states, 1.0).quality is Quality.GOOD
    assert {judge(states, each).quality for each in (2.0, -1.0, 0.5)} == {Quality.IMPLAUSIBLE}


def kinds(news: list[News]) -> list[tuple[type, str, Severity]]:
    return [(type(each.message), getattr(each.message.current, "name", ""), each.severity) for each in news]  # type: ignore[attr-defined]


def test_a_hiccup_is_seen_at_once_and_told_only_when_it_lasts() -> None:
    sensor = Sensor(plan(), LIMITS, OPTIONS, 0)
    assert sensor.take(50, ON, 0) == []
    assert sensor.take(Unavailable("x"), ON, 1) == []
    assert quality_of(sensor) is Quality.FAILED
    assert sensor.reading is not None
    assert sensor.reading.at == 0
    assert sensor.take(50, ON, 2) == sensor.tick(ON, 4) == []
    assert sensor.take(Unavailable("x"), ON, 5) == sensor.tick(ON, 6.5) == []
    assert kinds(sensor.tick(ON, 7)) == [(SensorQualityChange, "FAILED", Severity.WARNING)]
    assert sensor.take(math.nan, ON, 8) == sensor.tick(ON, 11) == []  # the same trouble
    assert sensor.take(50, ON, 12) == []
    assert kinds(sensor.take(50, ON, 14)) == [(SensorQualityChange, "GOOD", Severity.OK)]


def test_without_anything_new_a_reading_is_stale() -> None:
    sensor = Sensor(plan(stale_after_seconds=3.0), LIMITS, OPTIONS, 0)
    sensor.tick(ON, 3)
    assert quality_of(sensor) is None
    sensor.tick(ON, 3.1)
    assert quality_of(sensor) is Quality.STALE
    sensor.take(50, ON, 10)
    sensor.tick(ON, 13)
    assert quality_of(sensor) is Quality.GOOD
    sensor.tick(ON, 13.1)
    assert quality_of(sensor) is Quality.STALE
    assert sensor.reading is not None
    assert math.isnan(sensor.reading.value)


def test_an_alarm_stands_while_the_sensor_is_broken() -> None:
    sensor = Sensor(plan(), LIMITS, OPTIONS, 0)
    assert kinds(sensor.take(90, ON, 0)) == [(SensorThresholdCrossing, "CRITICAL", Severity.CRITICAL)]
    sensor.take(Unavailable("x"), ON, 1)
    assert sensor.level is C
    assert kinds(sensor.take(60, ON, 2)) == [(SensorThresholdCrossing, "NORMAL", Severity.OK)]
    sensor.take(Unavailable("x"), ON, 3)
    assert sensor.level is SensorLevel.UNSPECIFIED


# --- power ---


def test_without_power_there_is_no_reading_and_no_alarm() -> None:
    sensor = Sensor(plan(powered_by="host.0"), LIMITS, OPTIONS, 0)
    assert sensor.tick(OFF, 0) == sensor.take(Unavailable("x"), OFF, 1) == sensor.tick(OFF, 100) == []
    assert quality_of(sensor) is Quality.UNAVAILABLE
    assert not sensor.can_be_read(OFF, 100)
    assert sensor.can_be_read(ON, 100)
    assert sensor.take(99, ON, 101) == sensor.take(99, ON, 104.9) == []  # it settles
    assert quality_of(sensor) is Quality.GOOD
    assert sensor.tally.count == 0
    assert kinds(sensor.take(99, ON, 105)) == [(SensorThresholdCrossing, "FATAL", Severity.CRITICAL)]
    assert kinds(sensor.tick(OFF, 106)) == [(SensorThresholdCrossing, "UNSPECIFIED", Severity.OK)]
    assert sensor.level is SensorLevel.UNSPECIFIED
    assert sensor.tick(OFF, 107) == []


def test_trouble_ends_with_the_power_and_power_that_cannot_be_read_counts_as_on() -> None:
    sensor = Sensor(plan(powered_by="host.0", settle_seconds=0.0), LIMITS, OPTIONS, 0)
    sensor.take(Unavailable("x"), UNKNOWN, 0)
    assert kinds(sensor.tick(UNKNOWN, 2)) == [(SensorQualityChange, "FAILED", Severity.WARNING)]
    assert kinds(sensor.tick(OFF, 3)) == [(SensorQualityChange, "UNAVAILABLE", Severity.OK)]
    assert sensor.take(50, ON, 4) == sensor.tick(ON, 6) == []


def test_a_hung_wire_after_power_on_is_stale_in_its_time() -> None:
    sensor = Sensor(plan(powered_by="host.0"), LIMITS, OPTIONS, 0)
    sensor.tick(OFF, 50)
    sensor.tick(ON, 51)
    sensor.tick(ON, 53.5)
    assert quality_of(sensor) is Quality.UNAVAILABLE
    sensor.tick(ON, 53.6)
    assert quality_of(sensor) is Quality.STALE


def test_states_are_told_as_they_change() -> None:
    states = (StatePlan("closed"), StatePlan("open", W))
    sensor = Sensor(plan(kind=SensorKind.STATE, states=states, limits=Limits()), Limits(), OPTIONS, 0)
    assert sensor.take(0, ON, 0) == []
    news = sensor.take(1, ON, 1)
    assert [(type(each.message), each.severity) for each in news] == [(SensorStateChange, Severity.WARNING)]
    assert (sensor.state, sensor.level) == ("open", W)
    back = sensor.take(0, ON, 2)[0]
    assert isinstance(back.message, SensorStateChange)
    assert (back.message.previous, back.message.current, back.severity) == ("open", "closed", Severity.OK)
    first = Sensor(plan(kind=SensorKind.STATE, states=states), Limits(), OPTIONS, 0)
    assert len(first.take(1, ON, 0)) == 1  # an alarm is told even if it was there before us


# --- virtual sensors ---


def good(value: float, at: float = 1.0) -> Reading:
    return Reading(value, Quality.GOOD, at)


def bad_reading(quality: Quality) -> Reading:
    return Reading(math.nan, quality, 0.5)


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (Function.MAXIMUM, 5),
        (Function.MINIMUM, 1),
        (Function.SUM, 9),
        (Function.DIFFERENCE, 5 - 3 - 1),
        (Function.AVERAGE, 3),
    ],
)
def test_values_of_virtual_sensors(function: Function, value: float) -> None:
    virtual = Virtual(function, ("a", "b", "c"))
    found = combine(virtual, [good(5, 3), good(3, 2), good(1, 4)])
    assert found is not None
    assert found[0] == Reading(value, Quality.GOOD, 2)
    assert combine(virtual, [good(5), None, good(1)]) is None


def test_the_quality_of_a_virtual_sensor_is_the_worst_of_its_sources() -> None:
    virtual = Virtual(Function.SUM, ("a", "b", "c"))
    off, failed, stale = (bad_reading(each) for each in (Quality.UNAVAILABLE, Quality.FAILED, Quality.STALE))

    def of(how: Virtual, *readings: Reading) -> tuple[Quality, str]:
        found = combine(how, readings)
        assert found is not None
        return found[0].quality, found[1]

    assert of(virtual, stale, failed, good(1)) == (Quality.FAILED, "b is failed")
    assert of(virtual, stale, off, good(1)) == (Quality.STALE, "a is stale")
    assert of(virtual, off, off, good(1)) == (Quality.GOOD, "")
    assert of(virtual, off, off, off) == (Quality.UNAVAILABLE, "a is unavailable")
    assert of(Virtual(Function.DIFFERENCE, ("a", "b")), good(1), off) == (Quality.UNAVAILABLE, "b is unavailable")


def test_virtual_sensors_of_virtual_sensors() -> None:
    def virtual(name: str, *sources: str) -> SensorPlan:
        return plan(name, bus="", virtual=Virtual(Function.SUM, sources))

    top, middle, a = virtual("top", "middle", "a"), virtual("middle", "a"), plan("a")
    order = ordered([top, middle, a])
    assert [each.name for each in order] == ["middle", "top"]
    assert users(order) == {"a": ("middle", "top"), "middle": ("top",)}
    with pytest.raises(Invalid, match="made of each other: x of y of x"):
        ordered([virtual("x", "y"), virtual("y", "x")])
    with pytest.raises(Invalid, match="does not exist"):
        ordered([virtual("x", "gone")])


# --- history and statistics ---


def test_history_is_bounded_and_keeps_the_ends_of_what_stays_the_same() -> None:
    history = History(4, 100.0)
    for now, value in enumerate((1.5, 1.5, 1.5, 1.5, 2.25, math.nan, math.nan, math.nan, 3)):
        history.add(100.0 + now, value)
    times, values = zip(*history.points(), strict=True)
    assert times == pytest.approx((104, 105, 107, 108))
    assert values[0] == 2.25
    assert values[3] == 3
    assert math.isnan(values[1])
    assert math.isnan(values[2])
    assert len(history) == 4
    assert [value for _, value in history.points(107.5)] == [3]


def test_points_come_no_closer_than_a_second_unless_a_reading_is_lost() -> None:
    history = History(100, 0.0)
    for tenth in range(20):
        history.add(tenth / 10, tenth)
    history.add(2.05, math.nan)
    assert [round(time, 1) for time, _ in history.points()] == [0.0, 1.0, 2.0]
    assert len(history) == 3


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from([1.0, 2.0, math.nan])), max_size=200))
def test_history_is_in_order_and_ends_with_the_latest(moves: list[tuple[int, float]]) -> None:
    history, now = History(16, 0.0), 0.0
    for gap, value in moves:
        now += gap
        history.add(now, value)
    points = list(history.points())
    assert len(points) <= 16
    assert [time for time, _ in points] == sorted(time for time, _ in points)
    if moves:
        assert points[-1][0] == pytest.approx(now, abs=0.11)
        assert points[-1][1] == moves[-1][1] or math.isnan(moves[-1][1])


def test_a_full_history_takes_eight_bytes_a_point() -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        history = History(3600, 0.0)
        for now in range(8000):
            history.add(float(now), now % 7)
        size = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(history) == 3600
    assert size < 3600 * 8 * 1.08 + 1024  # 300 of them: less than 10 MiB


def test_energy_keeps_its_digits() -> None:
    history = History(4, 0.0, precise=True)
    history.add(1.0, 123_456_789.125)
    assert [value for _, value in history.points()] == [123_456_789.125]


def test_statistics() -> None:
    tally = Tally(0)
    for value in (1.0, 2.0, 6.0):
        tally.add(value)
    assert (tally.minimum, tally.maximum, tally.average, tally.count) == (1, 6, 3, 3)


# --- changed thresholds ---


def test_a_mask_says_which_fields_are_taken() -> None:
    wanted = SensorThresholds(upper_warning=70)
    assert thresholds.changed(LIMITS, wanted, None, TEMPERATURE).upper_warning == 70
    after = thresholds.changed(LIMITS, wanted, FieldMask(paths=["upper_warning", "lower_warning"]), TEMPERATURE)
    assert (after.upper_warning, after.lower_warning, after.lower_critical) == (70, None, 0)
    with pytest.raises(Invalid, match="cannot be changed"):
        thresholds.changed(LIMITS, wanted, FieldMask(paths=["colour"]), TEMPERATURE)
    with pytest.raises(Invalid, match="set what is to change"):
        thresholds.changed(LIMITS, SensorThresholds(), None, TEMPERATURE)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (SensorThresholds(upper_warning=85), "thresholds.upperCritical"),
        (SensorThresholds(lower_warning=-1), "thresholds.lowerWarning"),
        (SensorThresholds(lower_warning=80), "thresholds.upperWarning"),
        (SensorThresholds(hysteresis=70), "thresholds.hysteresis"),
        (SensorThresholds(hysteresis=-1), "thresholds.hysteresis"),
        (SensorThresholds(upper_fatal=math.nan), "thresholds.upperFatal"),
        (SensorThresholds(debounce_seconds=3601), "thresholds.debounceSeconds"),
    ],
)
def test_limits_that_make_no_sense_are_refused(wanted: SensorThresholds, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        thresholds.changed(LIMITS, wanted, None, TEMPERATURE)
    assert field in [each.field for each in caught.value.violations]


def test_stored_limits_come_back_and_damaged_ones_do_not() -> None:
    assert thresholds.from_stored(thresholds.to_stored(LIMITS), TEMPERATURE) == LIMITS
    every: tuple[object, ...] = (
        None,
        [],
        {"colour": 1},
        {"upper_warning": "x"},
        {"upper_warning": 9, "upper_fatal": 8},
    )
    for damaged in every:
        assert thresholds.from_stored(damaged, TEMPERATURE) is None


def test_the_file_is_replaced_whole_and_set_aside_when_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "made" / "sensors.json"
    file = ThresholdFile(path)
    assert file.load() == {}
    file.save({"a": {"upper_warning": 1.0}})
    assert ThresholdFile(path).load() == {"a": {"upper_warning": 1.0}}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["sensors.json"]
    for damage in (b"{", b"[]", b'{"version": 2, "sensors": {}}', b'{"version": 1, "sensors": 5}'):
        path.write_bytes(damage)
        assert file.load() == {}
        assert path.with_name("sensors.json.damaged").read_bytes() == damage
        assert "set aside" in caplog.messages[-1]
    with pytest.raises(Unavailable, match="stay as they are"):
        ThresholdFile(path.parent / "sensors.json.damaged" / "x").save({})


# --- changes ---


def test_whoever_was_away_learns_exactly_what_changed() -> None:
    changes = Changes()
    changes.mark(["a", "b", "c"])
    cursor = changes.cursor(changes.sequence)
    changes.mark(["b"])
    changes.mark(["a", "b"])
    assert changes.since(changes.position(cursor) or 0) == [("a", 5), ("b", 6)]
    assert changes.since(0) == [("c", 3), ("a", 5), ("b", 6)]
    for unknown in ("", "x", Changes().cursor(1), changes.cursor(7), changes.cursor(1) + "x", changes.cursor(-1)):
        assert changes.position(unknown) is None
