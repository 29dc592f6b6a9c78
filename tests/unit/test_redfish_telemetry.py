"""Metric reports and triggers as Redfish shows them, and what a client's body asks of telemetry."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from protobuf.wkt import Duration, Timestamp
from tests.unit.redfish_world import check_golden

from ubmc.protocols.redfish import telemetry
from ubmc.protocols.redfish.messages import RedfishError
from ubmc.protocols.redfish.shape import check_new, check_patch
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

SENSORS = ["cpu0_temp", "cpu1_temp", "inlet_temp"]
BASE = "/redfish/v1/Chassis/chassis.0/Sensors"
WHEN = Timestamp.from_datetime(dt.datetime(2026, 11, 23, 5, 0, 0, tzinfo=dt.UTC))


def place(sensor: str) -> str:
    return f"{BASE}/{sensor}"


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
        "some": telemetry.definition(some, SENSORS, place),
        "everything": telemetry.definition(everything, SENSORS, place),
        "report": telemetry.report(Report(name="some", time=WHEN, values=values), place),
        "trigger": telemetry.trigger(hot, SENSORS, place),
    }
    check_golden("telemetry", made)
    assert made["some"]["MetricProperties"] == [f"{BASE}/{name}#/Reading" for name in SENSORS]
    assert made["report"]["MetricValues"][1]["MetricValue"] is None  # no good reading is no zero
    assert "MetricReport" not in made["everything"]  # its reports cannot be read


def test_what_is_shown_can_be_sent() -> None:
    """A definition that was read makes the same definition again."""
    of = ReportDefinition(
        name="same", kind=ReportKind.PERIODIC, interval=Duration.from_seconds(90.0), sensors=["*", "cpu0_temp"]
    )
    shown = telemetry.definition(of, SENSORS, place)
    body = {name: value for name, value in shown.items() if name not in ("Status", "MetricReport")}
    checked = check_new(telemetry.CREATE_DEFINITION, body)
    assert checked.problems == ()
    again = telemetry.definition_of(checked.values)
    assert (again.name, again.kind, again.interval) == (of.name, of.kind, of.interval)
    assert sorted(again.sensors) == sorted(of.sensors)
    assert again.enabled


def test_wildcards_and_metrics_are_understood() -> None:
    body: dict[str, Any] = {
        "MetricProperties": [f"{BASE}/{{which}}#/Reading", f"{BASE}/inlet_temp"],
        "Metrics": [{"MetricProperties": [f"{BASE}/inlet_temp/Reading", f"{BASE}/board_temp#/Reading"]}],
        "Wildcards": [{"Name": "which", "Values": ["cpu0_temp", "cpu1_temp"]}],
    }
    assert telemetry.sensors_of(body) == ["cpu0_temp", "cpu1_temp", "inlet_temp", "board_temp"]
    with pytest.raises(RedfishError, match="PropertyValueFormatError"):
        telemetry.sensors_of({"MetricProperties": ["/redfish/v1/Systems/host.0#/PowerState"]})


def test_triggers_are_understood() -> None:
    body = {
        "Id": "hot",
        "TriggerActions": ["RedfishEvent", "LogToLogService", "RedfishMetricReport"],
        "NumericThresholds": {"UpperWarning": {"Reading": 70, "Activation": "Increasing", "DwellTime": "PT1M"}},
        "MetricProperties": [f"{BASE}/cpu0_temp#/Reading"],
        "Links": {"MetricReportDefinitions": [{"@odata.id": f"{telemetry.DEFINITIONS}/some"}]},
    }
    wanted = telemetry.trigger_of(check_new(telemetry.CREATE_TRIGGER, body).values)
    assert (wanted.name, wanted.sensors, wanted.report_definitions) == ("hot", ["cpu0_temp"], ["some"])
    assert wanted.actions == [TriggerAction.EVENT, TriggerAction.REPORT]
    assert wanted.upper_warning is not None
    assert wanted.upper_warning.reading == 70
    assert wanted.upper_warning.dwell == Duration.from_seconds(60.0)
    assert wanted.lower_critical is None


def test_every_property_that_can_be_changed_is_a_field() -> None:
    for name in telemetry.DEFINITION_PROPERTIES:
        assert hasattr(ReportDefinition(), telemetry.DEFINITION_PATHS[name])
    for name in telemetry.TRIGGER_PROPERTIES:
        assert hasattr(Trigger(), telemetry.trigger_path(name))


def test_a_wrong_interval_is_told() -> None:
    shape = telemetry.CREATE_DEFINITION
    body = {"MetricReportDefinitionType": "Periodic", "Schedule": {"RecurrenceInterval": "ten seconds"}}
    values = check_patch(shape, body, {}).values
    with pytest.raises(RedfishError) as caught:
        telemetry.definition_of(values)
    assert caught.value.messages[0].related == ("/Schedule/RecurrenceInterval",)
