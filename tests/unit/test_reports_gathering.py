"""Reports and triggers over readings, on a clock of the test."""

from __future__ import annotations

import pytest
from protobuf.wkt import Duration

from ubmc.kit.errors import Invalid
from ubmc.services.telemetry import report_rules as rules
from ubmc.services.telemetry.gathering import Gathering
from ubmc.v1alpha1.report_pb import (
    Report,
    ReportAction,
    ReportDefinition,
    ReportKind,
    ReportUpdates,
    Trigger,
    TriggerAction,
    TriggerActivation,
    TriggerThreshold,
)
from ubmc.v1alpha1.sensor_pb import Sensor, SensorQuality


def sensor(name: str, value: float | None) -> Sensor:
    if value is None:
        return Sensor(name=name, unit="Cel", quality=SensorQuality.FAILED)
    return Sensor(name=name, unit="Cel", quality=SensorQuality.GOOD, value=value)


def definition(**fields: object) -> ReportDefinition:
    values = {"name": "r", "kind": ReportKind.ON_REQUEST, "sensors": ["*"], **fields}
    return rules.definition(ReportDefinition(**values))  # type: ignore[arg-type]


def values(report: Report | None) -> list[tuple[str, float | None]]:
    assert report is not None
    return [(each.sensor, each.value if each.has_field("value") else None) for each in report.values]


def test_a_report_has_the_sensors_that_are_meant_in_the_order_of_people() -> None:
    made = Gathering()
    made.learn(
        [sensor("cpu10_temp", 1.0), sensor("cpu9_temp", 2.0), sensor("inlet", 3.0), sensor("cpu0_temp", None)], 0
    )
    made.define(definition(sensors=["cpu*_temp", "cpu9_temp"]), 0.0)
    assert values(made.report("r")) == [("cpu0_temp", None), ("cpu9_temp", 2.0), ("cpu10_temp", 1.0)]
    assert made.report("other") is None


def test_a_periodic_report_comes_when_its_time_has_come_and_not_in_a_burst() -> None:
    made = Gathering()
    made.define(definition(kind=ReportKind.PERIODIC, interval=Duration.from_seconds(10)), 100.0)
    assert made.next_due() == 110.0
    assert made.due(109.9)[0] == []
    assert made.due(110.0)[0] == ["r"]
    assert made.due(135.0)[0] == ["r"]  # late: once, and then on from here
    assert made.next_due() == 135.0
    assert made.due(135.0)[0] == ["r"]
    assert made.next_due() == 145.0


@pytest.mark.parametrize(("interval", "first"), [(86400, 103.0), (1, 101.0)])
def test_the_first_periodic_report_after_a_start_does_not_wait_for_a_whole_interval(
    interval: int, first: float
) -> None:
    made = Gathering()
    wanted = definition(kind=ReportKind.PERIODIC, interval=Duration.from_seconds(interval))
    made.define(wanted, 100.0, soon=True)
    assert made.next_due() == first
    assert made.due(first)[0] == ["r"]
    assert made.next_due() == first + interval


def test_a_report_on_change_comes_when_one_of_its_readings_changed() -> None:
    made = Gathering()
    made.define(definition(kind=ReportKind.ON_CHANGE, sensors=["a"]), 0.0)
    assert made.learn([sensor("a", 1.0), sensor("b", 1.0)], 0)[0] == ["r"]
    assert made.learn([sensor("a", 1.0), sensor("b", 2.0)], 1)[0] == []
    assert made.learn([sensor("a", None)], 2)[0] == ["r"]
    made.define(definition(kind=ReportKind.ON_CHANGE, sensors=["a"], enabled=False), 0.0)
    assert made.learn([sensor("a", 5.0)], 3)[0] == []
    assert made.report("r") is None


@pytest.mark.parametrize(
    ("updates", "kept"),
    [
        (ReportUpdates.OVERWRITE, [3.0]),
        (ReportUpdates.APPEND_WRAPS, [2.0, 3.0]),
        (ReportUpdates.APPEND_STOPS, [1.0, 2.0]),
    ],
)
def test_what_a_new_report_does_to_the_one_before(updates: ReportUpdates, kept: list[float]) -> None:
    made = Gathering()
    made.define(definition(updates=updates, append_limit=2), 0.0)
    for number in (1.0, 2.0, 3.0):
        made.learn([sensor("a", number)], number)
        assert made.report("r") is not None
    report = made.reports["r"]
    assert [value for _, value in values(report)] == kept
    assert report.sequence == 3


def test_repeated_values_are_left_out_if_that_is_wanted() -> None:
    made = Gathering()
    made.define(definition(suppress_repeated=True), 0.0)
    made.learn([sensor("a", 1.0), sensor("b", 1.0)], 0)
    assert len(values(made.report("r"))) == 2
    made.learn([sensor("b", 2.0)], 1)
    assert values(made.report("r")) == [("b", 2.0)]


def test_a_report_that_is_not_to_be_read_is_not_kept() -> None:
    made = Gathering()
    made.define(definition(actions=[ReportAction.EVENT]), 0.0)
    assert made.report("r") is not None
    assert made.reports == {}


def test_a_definition_of_what_is_not_there_says_so() -> None:
    made = Gathering()
    stray = definition(sensors=["gpu*"])
    assert made.fault(stray) == ""  # nothing is known yet
    made.learn([sensor("a", 1.0)], 0)
    assert "no sensor" in made.fault(stray)
    assert made.fault(definition()) == ""


def trigger(threshold: TriggerThreshold, **fields: object) -> Trigger:
    values = {"name": "t", "sensors": ["a"], "upper_warning": threshold, **fields}
    return rules.trigger(Trigger(**values), ["r"])  # type: ignore[arg-type]


def run(made: Gathering, *readings: tuple[float, float | None]) -> list[float]:
    """The times at which it fires."""
    return [now for now, value in readings if made.learn([sensor("a", value)], now)[1]]


def test_it_fires_when_the_value_is_passed_upwards_and_again_after_it_came_back() -> None:
    made = Gathering()
    made.arm(trigger(TriggerThreshold(reading=80.0, activation=TriggerActivation.INCREASING)))
    passed = run(made, (0, 70), (1, 80), (2, 90), (3, 79.9), (4, 81), (5, 50))
    assert passed == [1, 4]


def test_both_ways_unless_one_is_said() -> None:
    made = Gathering()
    made.arm(trigger(TriggerThreshold(reading=80.0)))
    assert run(made, (0, 70), (1, 85), (2, 70), (3, 85)) == [1, 2, 3]
    made.arm(trigger(TriggerThreshold(reading=80.0, activation=TriggerActivation.DECREASING)))
    assert run(made, (4, 90), (5, 70), (6, 60)) == [5]


def test_what_is_past_the_value_from_the_first_moment_on_has_not_passed_it() -> None:
    made = Gathering()
    made.learn([sensor("a", 95.0)], 0)
    made.arm(trigger(TriggerThreshold(reading=80.0, activation=TriggerActivation.INCREASING)))
    assert run(made, (1, 96), (2, 97)) == []
    assert run(made, (3, 70), (4, 85)) == [4]


def test_it_has_to_stay_there_for_its_dwell_time_though_no_reading_comes() -> None:
    made = Gathering()
    threshold = TriggerThreshold(reading=80.0, activation=TriggerActivation.INCREASING, dwell=Duration.from_seconds(10))
    made.arm(trigger(threshold))
    assert run(made, (0, 70), (1, 85), (5, 70), (6, 85)) == []
    assert made.next_due() == 16.0
    assert made.due(15.9)[1] == []
    (fired,) = made.due(16.0)[1]
    assert (fired.threshold, fired.sensor.name, fired.limit) == ("upper_warning", "a", 80.0)
    assert made.due(17.0)[1] == []
    assert made.next_due() is None


def test_a_reading_that_cannot_be_believed_is_not_past_anything() -> None:
    made = Gathering()
    threshold = TriggerThreshold(reading=80.0, activation=TriggerActivation.INCREASING, dwell=Duration.from_seconds(5))
    made.arm(trigger(threshold))
    run(made, (0, 70), (1, 85), (2, None))
    assert made.due(60.0)[1] == []
    run(made, (61, 85))
    made.lose()
    assert made.due(99.0)[1] == []


def test_a_trigger_that_is_not_enabled_does_nothing() -> None:
    made = Gathering()
    made.arm(trigger(TriggerThreshold(reading=80.0), enabled=False))
    assert run(made, (0, 70), (1, 90)) == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"kind": ReportKind.UNSPECIFIED}, "say when"),
        ({"kind": ReportKind.PERIODIC}, "needs one"),
        ({"sensors": []}, "name sensors"),
    ],
)
def test_definitions_that_make_no_sense(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        definition(**fields)


def test_triggers_that_make_no_sense() -> None:
    with pytest.raises(Invalid, match="at least one"):
        rules.trigger(Trigger(name="t", sensors=["a"]), [])
    with pytest.raises(Invalid, match="no report definition x"):
        trigger(TriggerThreshold(reading=1.0), report_definitions=["x"])
    with pytest.raises(Invalid, match="which reports"):
        trigger(TriggerThreshold(reading=1.0), actions=[TriggerAction.REPORT])


def test_what_is_left_out_means_the_usual() -> None:
    made = definition()
    assert (made.enabled, made.actions, made.updates, made.append_limit) == (
        True, [ReportAction.LOG], ReportUpdates.OVERWRITE, 1000,
    )  # fmt: skip
    assert not definition(enabled=False).enabled
