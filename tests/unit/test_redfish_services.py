"""Tasks, firmware, registries and schemas as Redfish shows them; times as it writes them."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protobuf.wkt import Duration, Timestamp
from tests.unit.redfish_world import body, check_golden, facts

from ubmc.protocols.redfish import chassis, managers, registries, systems, tasks, update
from ubmc.protocols.redfish.tree import SERVED, TREE
from ubmc.protocols.redfish.types import VERSIONS
from ubmc.protocols.redfish.when import duration, fine_stamp, seconds, stamp
from ubmc.v1alpha1.task_pb import Task, TaskState

WHEN = Timestamp.from_datetime(dt.datetime(2026, 11, 23, 5, 0, 0, 123456, tzinfo=dt.UTC))


def test_tasks() -> None:
    made = {
        state.name: tasks.task(
            Task(id="7", title="host.0: graceful off", state=state, message="it goes on", start_time=WHEN)
        )
        for state in TaskState
        if state is not TaskState.UNSPECIFIED
    }
    made["half"] = tasks.task(Task(id="8", state=TaskState.RUNNING, percent_complete=0))
    check_golden("tasks", {"service": tasks.service("2026-11-23T05:00:00Z"), **made})
    assert made["RUNNING"]["TaskMonitor"] == f"{tasks.MONITORS}/7"
    assert "TaskMonitor" not in made["COMPLETED"]
    assert "PercentComplete" not in made["RUNNING"]  # not known is not zero
    assert made["half"]["PercentComplete"] == 0


def test_firmware_registries_and_schemas() -> None:
    known = facts("on")
    paths = [
        update.SERVICE, update.FIRMWARE, f"{update.FIRMWARE}/bmc.0", registries.REGISTRIES,
        f"{registries.REGISTRIES}/Base", f"{registries.REGISTRIES}/Ubmc", f"{registries.SCHEMAS}/ComputerSystem",
    ]  # fmt: skip
    check_golden("services", {path: body(known, path) for path in paths})
    assert body(known, f"{update.FIRMWARE}/nothing") is None
    assert body(known, f"{registries.REGISTRIES}/Nobody") is None
    schemas = body(known, registries.SCHEMAS)
    assert schemas is not None
    assert len(schemas["Members"]) == len(VERSIONS)


def test_no_schema_is_listed_of_which_nothing_is_served() -> None:
    assert VERSIONS.keys() - {resource.type for resource in TREE} == {"Event"}  # which is what is delivered
    for family, base in ((chassis, chassis.CHASSIS), (managers, managers.MANAGER), (systems, systems.SYSTEM)):
        assert [name for name in family._SUBORDINATE if f"{base}/{name}" not in SERVED] == []


def test_times() -> None:
    assert stamp(WHEN) == "2026-11-23T05:00:00Z"
    assert fine_stamp(WHEN) == "2026-11-23T05:00:00.123Z"
    assert (stamp(None), fine_stamp(None), duration(None)) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "span"), [("P1D", 86400.0), ("PT1H2M3.5S", 3723.5), ("PT0S", 0.0), ("P2DT1M", 172860.0)]
)
def test_durations_are_read(text: str, span: float) -> None:
    assert seconds(text) == span


@pytest.mark.parametrize("text", ["", "P", "PT", "1D", "PT5", "P1Y", "PT-5S", "pt5s", "PT5S "])
def test_what_is_no_duration(text: str) -> None:
    assert seconds(text) is None


@given(st.integers(min_value=0, max_value=86_400_000))
def test_durations_come_back(milliseconds: int) -> None:
    text = duration(Duration.from_seconds(milliseconds / 1000))
    assert text is not None
    assert seconds(text) == pytest.approx(milliseconds / 1000)
