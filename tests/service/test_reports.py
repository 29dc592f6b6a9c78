"""Metric reports and triggers on a real bus, fed by the real sensormon. The wire of the test stands for hardware."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from protobuf.wkt import Duration, FieldMask
from tests.harness.bus import BusWorld

from ubmc.hw.sensors.port import Outcome
from ubmc.kit.bus import Bus
from ubmc.kit.database import Database
from ubmc.kit.errors import Denied, Exhausted, Exists, Invalid, NotFound, Refused, Unavailable
from ubmc.kit.readings import Readings
from ubmc.rpc import Req, Res, Unary
from ubmc.services.eventlog.service import EventLog
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.sensormon.plan import Limits, Options, SensorPlan
from ubmc.services.sensormon.service import SensorMonitor
from ubmc.services.telemetry.reports import ReportManager
from ubmc.v1alpha1 import report_pb as r
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.event_pb import Event, EventFilter, ListEventsRequest
from ubmc.v1alpha1.event_rpc import EventService
from ubmc.v1alpha1.report_rpc import ReportService
from ubmc.v1alpha1.sensor_pb import SensorKind

SECONDS = 20.0
SPECS = (
    ProcessSpec("safety", (SensorMonitor,)),
    ProcessSpec("managers", (EventLog, ReportManager)),
    ProcessSpec("websrv", (), door=True),
)


class Wire:
    """The hardware."""

    name = "i2c-1"

    def __init__(self) -> None:
        self.values: dict[str, Outcome] = {"cpu0_temp": 50.0, "cpu1_temp": 51.0, "inlet_temp": 22.0}

    @property
    def sensors(self) -> Sequence[str]:
        return tuple(self.values)

    async def read(self, sensors: Sequence[str]) -> Mapping[str, Outcome]:
        return {name: self.values[name] for name in sensors}

    async def close(self) -> None:
        """Nothing is open."""


def plan(name: str) -> SensorPlan:
    return SensorPlan(
        name=name,
        kind=SensorKind.TEMPERATURE,
        component="chassis.0",
        bus=Wire.name,
        interval_seconds=0.05,
        limits=Limits(),
    )


@dataclass
class House:
    """Sensors, reports, the event log and a door."""

    bus: BusWorld
    wire: Wire
    managers: Bus
    door: Bus
    database: Database
    running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.running = await self.bus.run(self.managers, ReportManager(self.database, min_interval_seconds=0.05))

    async def stop(self) -> None:
        assert self.running is not None
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    async def ask(self, token: Unary[Req, Res], request: Req, role: str = "Administrator") -> Res:
        return await self.door.forward(token, request, self.bus.call("olga", role))

    async def define(self, **fields: object) -> r.ReportDefinition:
        wanted = r.ReportDefinition(**fields)  # type: ignore[arg-type]
        answer = await self.ask(
            ReportService.CreateReportDefinition, r.CreateReportDefinitionRequest(report_definition=wanted)
        )
        assert answer.report_definition is not None
        return answer.report_definition

    async def trigger(self, **fields: object) -> r.Trigger:
        wanted = r.Trigger(**fields)  # type: ignore[arg-type]
        answer = await self.ask(ReportService.CreateTrigger, r.CreateTriggerRequest(trigger=wanted))
        assert answer.trigger is not None
        return answer.trigger

    async def report(self, name: str, sequence: int = 1) -> r.Report:
        """The report of that name, as soon as it is so many."""
        async with asyncio.timeout(SECONDS):
            while True:
                with contextlib.suppress(NotFound):
                    found = (await self.ask(ReportService.GetReport, r.GetReportRequest(name=name))).report
                    assert found is not None
                    if found.sequence >= sequence and found.values:
                        return found
                await asyncio.sleep(0.02)

    async def events(self, message_id: str, count: int = 1) -> list[Event]:
        request = ListEventsRequest(filter=EventFilter(message_id=message_id))
        async with asyncio.timeout(SECONDS):
            while len(events := (await self.ask(EventService.ListEvents, request)).events) < count:
                await asyncio.sleep(0.02)
        return events


@contextlib.asynccontextmanager
async def house(path: Path) -> AsyncIterator[House]:
    precious, expendable = Database(path / "precious.db"), Database(path / "expendable.db")
    precious.open()
    expendable.open()
    wire = Wire()
    options = Options(thresholds_file=path / "thresholds.json")
    try:
        async with BusWorld(*SPECS) as bus:
            managers = await bus.place("managers", EventLog(expendable, bus.schema))
            door = await bus.place("websrv")
            plans = [plan(name) for name in wire.values]
            await bus.place("safety", SensorMonitor(plans, {wire.name: lambda: wire}, Readings(), options))
            made = House(bus, wire, managers, door, precious)
            await made.start()
            yield made
            await made.stop()
    finally:
        precious.close()
        expendable.close()


def values(report: r.Report) -> dict[str, float]:
    return {each.sensor: each.value for each in report.values}


async def test_a_report_on_request_is_made_when_it_is_read(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        defined = await made.define(kind=r.ReportKind.ON_REQUEST, sensors=["cpu*_temp"])
        assert (defined.name, defined.enabled, defined.user) == ("report-1", True, "olga")
        first = await made.report("report-1")
        assert values(first) == {"cpu0_temp": 50.0, "cpu1_temp": 51.0}
        assert [each.unit for each in first.values] == ["Cel", "Cel"]
        made.wire.values["cpu0_temp"] = 60.0
        async with asyncio.timeout(SECONDS):
            while values(await made.report("report-1"))["cpu0_temp"] != 60.0:
                await asyncio.sleep(0.02)


async def test_a_periodic_report_is_made_again_and_again_and_told(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.define(
            name="every-second",
            kind=r.ReportKind.PERIODIC,
            interval=Duration.from_seconds(1),
            sensors=["inlet_temp"],
            actions=[r.ReportAction.LOG, r.ReportAction.EVENT],
        )
        report = await made.report("every-second", sequence=2)
        assert values(report) == {"inlet_temp": 22.0}
        event = (await made.events("Report.Ready", 2))[0]
        assert event.message == "the metric report every-second is there, with 1 values"


async def test_a_sensor_that_fails_has_no_value_and_a_change_makes_a_report(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.define(name="changes", kind=r.ReportKind.ON_CHANGE, sensors=["cpu0_temp"])
        before = await made.report("changes")
        made.wire.values["cpu0_temp"] = Unavailable("no answer")
        async with asyncio.timeout(SECONDS):
            while (last := await made.report("changes", before.sequence + 1)).values[0].has_field("value"):
                await asyncio.sleep(0.02)
        assert last.values[0].sensor == "cpu0_temp"


async def test_a_trigger_tells_and_makes_a_report(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.define(name="all", kind=r.ReportKind.ON_CHANGE, sensors=["inlet_temp"])
        first = await made.report("all")
        await made.trigger(
            name="hot",
            sensors=["cpu*"],
            upper_critical=r.TriggerThreshold(reading=80.0, activation=r.TriggerActivation.INCREASING),
            actions=[r.TriggerAction.EVENT, r.TriggerAction.REPORT],
            report_definitions=["all"],
        )
        made.wire.values["cpu1_temp"] = 85.0
        (event,) = await made.events("Trigger.Fired")
        assert (event.component, event.severity) == ("cpu1_temp", Severity.CRITICAL)
        assert event.arguments["threshold"] == "upper_critical"
        assert "cpu1_temp passed upper_critical of the trigger hot: 85" in event.message
        assert (await made.report("all")).sequence == first.sequence + 1
        shown = (await made.ask(ReportService.GetTrigger, r.GetTriggerRequest(name="hot"))).trigger
        assert shown is not None
        assert (shown.fired, shown.fired_time is not None) == (1, True)


async def test_definitions_and_triggers_survive_a_restart_and_reports_begin_anew(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        defined = await made.define(name="kept", kind=r.ReportKind.ON_CHANGE, sensors=["*"])
        set_up = await made.trigger(name="kept", sensors=["*"], lower_warning=r.TriggerThreshold(reading=10.0))
        await made.report("kept")
        await made.stop()
        await made.start()
        answer = await made.ask(ReportService.ListReportDefinitions, r.ListReportDefinitionsRequest())
        assert answer.report_definitions == [defined]
        assert (await made.ask(ReportService.ListTriggers, r.ListTriggersRequest())).triggers == [set_up]
        assert (await made.report("kept")).sequence == 1


async def test_a_report_of_a_long_interval_is_there_soon_after_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        day = Duration.from_seconds(86400)
        await made.define(name="daily", kind=r.ReportKind.PERIODIC, interval=day, sensors=["inlet_temp"])
        await made.report("daily")
        await made.stop()
        await made.start()
        assert values(await made.report("daily")) == {"inlet_temp": 22.0}


async def test_a_definition_that_a_trigger_names_stays_until_the_trigger_is_gone(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.define(name="all", kind=r.ReportKind.ON_REQUEST, sensors=["*"])
        threshold = r.TriggerThreshold(reading=80.0)
        await made.trigger(name="hot", sensors=["*"], upper_critical=threshold, report_definitions=["all"])
        delete = r.DeleteReportDefinitionRequest(name="all")
        with pytest.raises(Refused, match="the trigger hot makes reports by all: change or delete it first"):
            await made.ask(ReportService.DeleteReportDefinition, delete)
        await made.ask(ReportService.DeleteTrigger, r.DeleteTriggerRequest(name="hot"))
        await made.ask(ReportService.DeleteReportDefinition, delete)
        assert (
            await made.ask(ReportService.ListReportDefinitions, r.ListReportDefinitionsRequest())
        ).report_definitions == []


async def test_who_reads_a_report_on_request_fills_no_log(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        both = [r.ReportAction.LOG, r.ReportAction.EVENT]
        await made.define(name="asked", kind=r.ReportKind.ON_REQUEST, sensors=["*"], actions=both)
        for _ in range(3):
            await made.report("asked")
        await made.define(name="told", kind=r.ReportKind.ON_CHANGE, sensors=["*"], actions=both)
        (event,) = await made.events("Report.Ready")
        assert event.arguments["name"] == "told"


async def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.define(name="a", kind=r.ReportKind.ON_REQUEST, sensors=["*"])
        with pytest.raises(Exists, match="a already"):
            await made.define(name="a", kind=r.ReportKind.ON_REQUEST, sensors=["*"])
        with pytest.raises(Invalid, match="say when"):
            await made.define(name="b", sensors=["*"])
        with pytest.raises(Invalid, match="no report definition zzz"):
            threshold = r.TriggerThreshold(reading=1.0)
            await made.trigger(sensors=["*"], upper_warning=threshold, report_definitions=["zzz"])
        with pytest.raises(NotFound, match="there is a"):
            await made.ask(ReportService.GetReport, r.GetReportRequest(name="zzz"))
        with pytest.raises(Denied):
            request = r.DeleteReportDefinitionRequest(name="a")
            await made.ask(ReportService.DeleteReportDefinition, request, "Operator")
        with pytest.raises(Invalid, match="kind"):
            request2 = r.UpdateReportDefinitionRequest(
                report_definition=r.ReportDefinition(name="a"), update_mask=FieldMask(paths=["kind"])
            )
            await made.ask(ReportService.UpdateReportDefinition, request2)
        for _ in range(23):
            await made.define(kind=r.ReportKind.ON_REQUEST, sensors=["*"])
        with pytest.raises(Exhausted, match="24 already"):
            await made.define(kind=r.ReportKind.ON_REQUEST, sensors=["*"])


async def test_a_definition_that_is_switched_off_or_deleted_has_no_report(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.define(name="a", kind=r.ReportKind.ON_CHANGE, sensors=["*"])
        await made.report("a")
        wanted = r.ReportDefinition(name="a", enabled=False)
        request = r.UpdateReportDefinitionRequest(report_definition=wanted, update_mask=FieldMask(paths=["enabled"]))
        await made.ask(ReportService.UpdateReportDefinition, request)
        with pytest.raises(NotFound):
            await made.ask(ReportService.GetReport, r.GetReportRequest(name="a"))
        await made.ask(ReportService.DeleteReportDefinition, r.DeleteReportDefinitionRequest(name="a"))
        assert (await made.ask(ReportService.ListReports, r.ListReportsRequest())).reports == []


async def test_a_pattern_that_means_nothing_is_a_fault(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.define(name="all", kind=r.ReportKind.ON_CHANGE, sensors=["*"])
        await made.report("all")  # so the sensors are known
        defined = await made.define(name="stray", kind=r.ReportKind.ON_REQUEST, sensors=["gpu*"])
        assert "no sensor" in defined.fault


async def test_watchers_see_definitions_reports_and_triggers(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        call = made.bus.call("olga", "ReadOnly", seconds=60)
        watch = made.door.watch(ReportService.WatchReports, r.WatchReportsRequest(), call)
        try:
            coming = asyncio.ensure_future(anext(watch))
            await made.define(name="a", kind=r.ReportKind.ON_CHANGE, sensors=["inlet_temp"])
            update = await asyncio.wait_for(coming, SECONDS)
            assert update.report_definition is not None
            async with asyncio.timeout(SECONDS):
                made.wire.values["inlet_temp"] = 25.0
                while (update := await anext(watch)).report is None or values(update.report) != {"inlet_temp": 25.0}:
                    pass
                await made.ask(ReportService.DeleteReportDefinition, r.DeleteReportDefinitionRequest(name="a"))
                gone = [await anext(watch), await anext(watch)]
            assert [each.gone for each in gone] == [True, True]
        finally:
            await watch.aclose()
