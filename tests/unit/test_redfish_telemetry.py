"""Metric reports and triggers as Redfish shows them, and what a client's body asks of telemetry."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from protobuf.wkt import Duration, FieldMask, Timestamp
from tests.unit.redfish_world import check_golden

from ubmc.kit.masks import merged
from ubmc.protocols.redfish import telemetry, telemetry_sent
from ubmc.protocols.redfish.messages import RedfishError
from ubmc.protocols.redfish.shape import check_new, check_patch
from ubmc.protocols.redfish.tree import TREE
from ubmc.services.telemetry.report_rules import TRIGGER_FIELDS
from ubmc.v1alpha1.report_pb import (
    Report,
    ReportAction,
    ReportDefinition,
    ReportKind,
    ReportUpdates,
    ReportValue,
    Trigger,
    TriggerAction,
    TriggerActivation,
    TriggerThreshold,
)

SENSORS = ["air_flow", "air_pressure", "cpu0_temp", "cpu1_temp", "inlet_temp"]
BASE = "/redfish/v1/Chassis/chassis.0/Sensors"
WHEN = Timestamp.from_datetime(dt.datetime(2026, 11, 23, 5, 0, 0, tzinfo=dt.UTC))


TRIGGER = TREE.find(f"{telemetry.TRIGGERS}/x")
assert TRIGGER is not None
assert TRIGGER.resource.patch is not None
TREE_PATCH = TRIGGER.resource.patch
SCALES = {"air_flow": 0.001, "air_pressure": 1 / 133.322}


def place(sensor: str) -> str:
    return f"{BASE}/{sensor}" if sensor != "lid" else ""


BOARD = telemetry.Sensors(SENSORS, place, lambda name: SCALES.get(name, 1.0))


def test_what_is_shown() -> None:
    some = ReportDefinition(
        name="some", kind=ReportKind.PERIODIC, interval=Duration.from_seconds(10.0), sensors=["cpu*_temp", "inlet_temp"]
    )
    everything = ReportDefinition(
        name="all",
        title="All of it",
        kind=ReportKind.ON_CHANGE,
        enabled=False,
        sensors=["*"],
        actions=[ReportAction.EVENT],
        updates=ReportUpdates.APPEND_WRAPS,
        append_limit=7,
        fault="no such sensor: x",
    )
    values = [
        ReportValue(sensor="cpu0_temp", value=41.25, time=WHEN, unit="Cel"),
        ReportValue(sensor="cpu1_temp", time=WHEN, unit="Cel"),
    ]
    limit = TriggerThreshold(reading=80.5, activation=TriggerActivation.INCREASING, dwell=Duration.from_seconds(5.0))
    hot = Trigger(
        name="hot",
        sensors=["cpu0_temp"],
        upper_critical=limit,
        actions=[TriggerAction.EVENT, TriggerAction.REPORT],
        report_definitions=["some"],
    )
    made = {
        "some": telemetry.definition(some, BOARD),
        "everything": telemetry.definition(everything, BOARD),
        "report": telemetry.report(Report(name="some", time=WHEN, values=values), BOARD),
        "trigger": telemetry.trigger(hot, BOARD),
    }
    check_golden("telemetry", made)
    assert made["some"]["MetricProperties"] == [f"{BASE}/{name}#/Reading" for name in SENSORS[2:]]
    assert made["report"]["MetricValues"][1]["MetricValue"] is None  # no good reading is no zero
    assert "MetricReport" not in made["everything"]  # its reports cannot be read


def test_what_is_shown_can_be_sent() -> None:
    """A definition that was read makes the same definition again."""
    of = ReportDefinition(
        name="same", kind=ReportKind.PERIODIC, interval=Duration.from_seconds(90.0), sensors=["*", "cpu0_temp"]
    )
    shown = telemetry.definition(of, BOARD)
    body = {name: value for name, value in shown.items() if name not in ("Status", "MetricReport")}
    checked = check_new(telemetry.CREATE_DEFINITION, body)
    assert checked.problems == ()
    again = telemetry_sent.definition_of(checked.values, BOARD)
    assert (again.name, again.kind, again.interval) == (of.name, of.kind, of.interval)
    assert sorted(again.sensors) == sorted(of.sensors)
    assert again.enabled


def test_reports_are_not_pushed_and_what_another_door_has_set_stays() -> None:
    """That a report is ready is told by u-bmc's own event, which is no `RedfishEvent`: that is the report itself."""
    new = {"MetricReportDefinitionType": "OnRequest", "ReportActions": ["RedfishEvent"]}
    (problem,) = check_new(telemetry.CREATE_DEFINITION, new).problems
    assert (problem.key, problem.related) == ("PropertyValueNotInList", ("/ReportActions",))
    now = ReportDefinition(name="mine", actions=[ReportAction.EVENT])
    changed = telemetry_sent.definition_of({"ReportActions": ["LogToMetricReportsCollection"]}, BOARD, now)
    assert changed.actions == [ReportAction.LOG, ReportAction.EVENT]
    assert telemetry_sent.definition_of({"ReportActions": []}, BOARD, changed).actions == [ReportAction.EVENT]


def test_wildcards_and_metrics_are_understood() -> None:
    body: dict[str, Any] = {
        "MetricProperties": [f"{BASE}/{{which}}#/Reading", f"{BASE}/inlet_temp"],
        "Metrics": [{"MetricProperties": [f"{BASE}/inlet_temp/Reading", f"{BASE}/board_temp#/Reading"]}],
        "Wildcards": [{"Name": "which", "Values": ["cpu0_temp", "cpu1_temp"]}],
    }
    assert telemetry_sent.sensors_of(body) == ["cpu0_temp", "cpu1_temp", "inlet_temp", "board_temp"]
    with pytest.raises(RedfishError, match="PropertyValueFormatError"):
        telemetry_sent.sensors_of({"MetricProperties": ["/redfish/v1/Systems/host.0#/PowerState"]})


def test_triggers_are_understood() -> None:
    body = {
        "Id": "hot",
        "TriggerActions": ["RedfishEvent", "LogToLogService", "RedfishMetricReport"],
        "NumericThresholds": {"UpperWarning": {"Reading": 70, "Activation": "Increasing", "DwellTime": "PT1M"}},
        "MetricProperties": [f"{BASE}/cpu0_temp#/Reading"],
        "Links": {"MetricReportDefinitions": [{"@odata.id": f"{telemetry.DEFINITIONS}/some"}]},
    }
    wanted = telemetry_sent.trigger_of(check_new(telemetry.CREATE_TRIGGER, body).values, BOARD)
    assert (wanted.name, wanted.sensors, wanted.report_definitions) == ("hot", ["cpu0_temp"], ["some"])
    assert wanted.actions == [TriggerAction.EVENT, TriggerAction.REPORT]
    assert wanted.upper_warning is not None
    assert wanted.upper_warning.reading == 70
    assert wanted.upper_warning.dwell == Duration.from_seconds(60.0)
    assert wanted.lower_critical is None


def test_every_property_that_can_be_changed_is_a_field() -> None:
    for name in telemetry.DEFINITION_PROPERTIES:
        assert hasattr(ReportDefinition(), telemetry_sent.DEFINITION_PATHS[name])
    for name in telemetry.TRIGGER_PROPERTIES:
        assert hasattr(Trigger(), telemetry_sent.trigger_path(name))


def test_a_wrong_interval_is_told() -> None:
    shape = telemetry.CREATE_DEFINITION
    body = {"MetricReportDefinitionType": "Periodic", "Schedule": {"RecurrenceInterval": "ten seconds"}}
    values = check_patch(shape, body, {}).values
    with pytest.raises(RedfishError) as caught:
        telemetry_sent.definition_of(values, BOARD)
    assert caught.value.messages[0].related == ("/Schedule/RecurrenceInterval",)


# --- units --------------------------------------------------------------------------------------------------------


def test_a_report_is_in_the_units_of_the_sensors_that_it_names() -> None:
    values = [
        ReportValue(sensor="air_flow", value=4281.0, time=WHEN, unit="L/min"),
        ReportValue(sensor="air_pressure", value=101_313.0, time=WHEN, unit="Pa"),
        ReportValue(sensor="cpu0_temp", value=41.0, time=WHEN, unit="Cel"),
        ReportValue(sensor="lid", state="open", time=WHEN),
    ]
    shown = telemetry.report(Report(name="some", time=WHEN, values=values), BOARD)["MetricValues"]
    assert [each["MetricValue"] for each in shown] == ["4.281", "759.9121", "41", "open"]
    assert "MetricProperty" not in shown[3]  # there is no resource for it


def test_a_threshold_is_in_the_unit_of_its_sensors_both_ways() -> None:
    body = {
        "MetricProperties": [f"{BASE}/air_pressure#/Reading"],
        "NumericThresholds": {"LowerWarning": {"Reading": 700.0, "Activation": "Decreasing"}},
    }
    wanted = telemetry_sent.trigger_of(check_new(telemetry.CREATE_TRIGGER, body).values, BOARD)
    assert wanted.lower_warning is not None
    assert wanted.lower_warning.reading == pytest.approx(93_325.4)
    shown = telemetry.trigger(wanted, BOARD)
    assert shown["NumericThresholds"]["LowerWarning"]["Reading"] == 700.0
    mixed = {**body, "MetricProperties": [f"{BASE}/air_pressure", f"{BASE}/cpu0_temp"]}
    with pytest.raises(RedfishError, match="PropertyValueConflict"):
        telemetry_sent.trigger_of(check_new(telemetry.CREATE_TRIGGER, mixed).values, BOARD)


# --- changes ------------------------------------------------------------------------------------------------------

LIMIT = TriggerThreshold(reading=80.0, activation=TriggerActivation.INCREASING, dwell=Duration.from_seconds(5.0))
LOW = TriggerThreshold(reading=5.0, activation=TriggerActivation.DECREASING)
HOT = Trigger(name="hot", sensors=["cpu0_temp"], upper_critical=LIMIT, lower_warning=LOW)


def changed(of: Trigger, body: dict[str, Any]) -> Trigger:
    """What telemetry keeps after a PATCH."""
    checked = check_patch(TREE_PATCH, body, telemetry.trigger(of, BOARD))
    assert checked.problems == ()
    wanted = telemetry_sent.trigger_of(checked.values, BOARD, of)
    mask = FieldMask(paths=sorted({telemetry_sent.trigger_path(name) for name in checked.values}))
    after, _ = merged(of, wanted, mask, TRIGGER_FIELDS)
    return after


def test_a_threshold_keeps_what_was_not_sent() -> None:
    after = changed(HOT, {"NumericThresholds": {"UpperCritical": {"Reading": 85}}})
    assert after.upper_critical == TriggerThreshold(
        reading=85.0, activation=TriggerActivation.INCREASING, dwell=Duration.from_seconds(5.0)
    )
    assert (after.lower_warning, after.sensors) == (LOW, ["cpu0_temp"])
    after = changed(HOT, {"NumericThresholds": {"UpperCritical": {"DwellTime": "PT30S"}}})
    assert after.upper_critical is not None
    assert (after.upper_critical.reading, after.upper_critical.activation) == (80.0, TriggerActivation.INCREASING)
    assert after.upper_critical.dwell == Duration.from_seconds(30.0)
    after = changed(HOT, {"NumericThresholds": {"UpperWarning": {"Reading": 70, "Activation": "Increasing"}}})
    assert (after.upper_critical, after.lower_warning) == (LIMIT, LOW)
    assert after.upper_warning == TriggerThreshold(reading=70.0, activation=TriggerActivation.INCREASING)


@pytest.mark.parametrize("gone", [None, {"Reading": None}])
def test_null_takes_a_threshold_away(gone: Any) -> None:
    after = changed(HOT, {"NumericThresholds": {"UpperCritical": gone}})
    assert (after.upper_critical, after.lower_warning) == (None, LOW)


def test_a_new_threshold_needs_a_reading() -> None:
    with pytest.raises(RedfishError) as caught:
        changed(HOT, {"NumericThresholds": {"UpperWarning": {"DwellTime": "PT1S"}}})
    (message,) = caught.value.messages
    assert (message.key, message.related) == ("PropertyMissing", ("/NumericThresholds/UpperWarning/Reading",))


def test_sensors_and_wildcards_are_changed_each_by_itself() -> None:
    everything = Trigger(name="all", sensors=["*"], upper_critical=LIMIT)
    only = [{"Name": "Sensor", "Values": ["cpu0_temp", "cpu1_temp"]}]
    assert changed(everything, {"Wildcards": only}).sensors == ["cpu0_temp", "cpu1_temp"]
    assert changed(everything, {"MetricProperties": [f"{BASE}/inlet_temp#/Reading"]}).sensors == ["inlet_temp"]
    assert changed(everything, {"Name": "All"}).sensors == ["*"]
    with pytest.raises(RedfishError, match="PropertyValueConflict"):  # it would change nothing
        changed(HOT, {"Wildcards": only})
    with pytest.raises(RedfishError, match="PropertyValueFormatError"):
        changed(HOT, {"MetricProperties": [f"{BASE}/{{nothing}}#/Reading"]})


def test_a_definition_keeps_its_sensors_too() -> None:
    now = ReportDefinition(name="all", kind=ReportKind.ON_REQUEST, sensors=["*"])
    values = {"Wildcards": [{"Name": "Sensor", "Values": ["cpu0_temp"]}]}
    assert telemetry_sent.definition_of(values, BOARD, now).sensors == ["cpu0_temp"]
    assert telemetry_sent.definition_of(values, BOARD, now).name == "all"


@pytest.mark.parametrize("name", [".", "..", ".hidden", "-x", "_x", "a/b", "ä"])
def test_a_name_that_no_path_can_have_is_refused(name: str) -> None:
    for shape in (telemetry.CREATE_DEFINITION, telemetry.CREATE_TRIGGER):
        body = {"Id": name, "MetricReportDefinitionType": "OnRequest"}
        assert ("PropertyValueFormatError", ("/Id",)) in [
            (each.key, each.related) for each in check_new(shape, body).problems
        ]
    for good in ("air", "0", "a.b-c_d"):
        problems = check_new(telemetry.CREATE_TRIGGER, {"Id": good}).problems
        assert not [each for each in problems if each.related == ("/Id",)]
