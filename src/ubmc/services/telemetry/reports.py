"""The service reports: metric reports and triggers over the readings of sensors.

One stream of all sensors feeds everything; no sensor is ever asked by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from collections.abc import AsyncIterator
from typing import TypeVar

from protobuf.wkt import Timestamp

from ubmc.kit import pages
from ubmc.kit.database import Database
from ubmc.kit.errors import Exhausted, Exists, NotFound, Refused, UbmcError
from ubmc.kit.feed import Feed
from ubmc.kit.masks import merged
from ubmc.kit.service import Service, lasting, rpc, stream
from ubmc.services.telemetry import report_rules as rules
from ubmc.services.telemetry.gathering import Fired, Gathering
from ubmc.services.telemetry.report_store import Store
from ubmc.v1alpha1 import report_pb as r
from ubmc.v1alpha1.host_pb import Cause
from ubmc.v1alpha1.report_rpc import ReportService
from ubmc.v1alpha1.sensor_pb import WatchSensorsRequest
from ubmc.v1alpha1.sensor_rpc import SensorService

log = logging.getLogger("ubmc.telemetry")

T = TypeVar("T", r.ReportDefinition, r.Trigger)

RETRY_SECONDS = 2.0
UPDATE_BYTES = 24 * 1024
"""A report that is larger is told without its values: an update on the bus has 32 KiB."""
DEFINITION, REPORT, TRIGGER = "definition:", "report:", "trigger:"


class ReportManager(Service):
    """Metric reports and triggers.

    Args:
        database: the precious one, open.
        min_interval_seconds: each sensor is looked at once in so many seconds at most.
    """

    name = "reports"
    calls = (SensorService.WatchSensors,)
    tells = (r.ReportReady, r.TriggerFired, r.ReportSettingsChange)

    def __init__(self, database: Database, *, min_interval_seconds: float = 1.0) -> None:
        self._store = Store(database)
        self._interval = min_interval_seconds
        self._definitions: dict[str, r.ReportDefinition] = {}
        self._triggers: dict[str, r.Trigger] = {}
        self._gathering = Gathering()
        self._feed: Feed[r.WatchReportsResponse] = Feed()
        self._wake = asyncio.Event()
        self._changing = asyncio.Lock()

    # --- life ---------------------------------------------------------------------------------------------------

    async def setup(self) -> None:
        """Remember what is wanted; reports begin anew."""
        self._feed, self._gathering = Feed(), Gathering()
        self._definitions, self._triggers = await self._store.load()
        for definition in self._definitions.values():
            self._gathering.define(definition, self._now(), soon=True)
            self._publish_definition(definition)
        for trigger in self._triggers.values():
            trigger.fired = 0
            trigger.fired_time = None
            self._gathering.arm(trigger)
            self._publish_trigger(trigger)

    async def work(self) -> None:
        """Follow the sensors, and make reports when their time comes."""
        async with asyncio.TaskGroup() as group:
            group.create_task(lasting(self._follow()))
            group.create_task(lasting(self._keep_time()))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _follow(self) -> None:
        failing = False
        cursor = ""
        while True:
            try:
                request = WatchSensorsRequest(min_interval_seconds=self._interval, cursor=cursor)
                async with contextlib.aclosing(self.bus.watch(SensorService.WatchSensors, request)) as updates:
                    async for update in updates:
                        failing, cursor = False, update.cursor
                        known = len(self._gathering.sensors)
                        names, fired = self._gathering.learn(update.sensors, self._now())
                        if known != len(self._gathering.sensors):
                            self._look_for_faults()
                        self._act(names, fired)
            except UbmcError as error:
                if not failing:
                    log.info("reports have no sensors: %s", error.message)
                failing = True
            if failing:
                cursor = ""
                self._gathering.lose()  # what was read last is no reading any more
            await asyncio.sleep(RETRY_SECONDS)

    async def _keep_time(self) -> None:
        while True:
            self._wake.clear()
            due = self._gathering.next_due()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - self._now())):
                    await self._wake.wait()
            self._act(*self._gathering.due(self._now()))

    # --- what is made -------------------------------------------------------------------------------------------

    def _act(self, names: list[str], fired: list[Fired]) -> None:
        for name in names:
            self._report(name)
        for each in fired:
            self._fire(each)
        if fired or self._gathering.next_due() is not None:
            self._wake.set()

    def _report(self, name: str, *, told: bool = True) -> None:
        """Make a report now, if its definition wants one; `told` as its actions say."""
        made = self._gathering.report(name)
        if made is None:
            return
        actions = self._definitions[name].actions
        if r.ReportAction.LOG in actions:
            large = len(made.to_binary()) > UPDATE_BYTES
            shown = r.Report(name=name, sequence=made.sequence, time=made.time) if large else made
            self._feed.publish(REPORT + name, r.WatchReportsResponse(report=shown))
        if told and r.ReportAction.EVENT in actions:
            news = r.ReportReady(name=name, sequence=made.sequence, count=len(made.values))
            self.bus.tell("report", news, cause=Cause(kind="report"))

    def _fire(self, fired: Fired) -> None:
        trigger = self._triggers[fired.trigger]
        trigger.fired += 1
        trigger.fired_time = Timestamp.now()
        self._publish_trigger(trigger)
        if r.TriggerAction.EVENT in trigger.actions:
            news = r.TriggerFired(
                name=trigger.name,
                sensor=fired.sensor.name,
                threshold=fired.threshold,
                value=rules.value_of(fired.sensor) or 0.0,
                limit=fired.limit,
                unit=fired.sensor.unit,
            )
            severity = rules.SEVERITIES[fired.threshold]
            self.bus.tell(fired.sensor.name, news, severity=severity, cause=Cause(kind="trigger"))
        if r.TriggerAction.REPORT in trigger.actions:
            for name in trigger.report_definitions:
                self._report(name)

    def _look_for_faults(self) -> None:
        for definition in self._definitions.values():
            fault = self._gathering.fault(definition)
            if fault != definition.fault:
                definition.fault = fault
                self._publish_definition(definition)

    def _publish_definition(self, definition: r.ReportDefinition, *, gone: bool = False) -> None:
        self._publish(DEFINITION + definition.name, r.WatchReportsResponse(
            report_definition=copy.deepcopy(definition), gone=gone))  # fmt: skip

    def _publish_trigger(self, trigger: r.Trigger, *, gone: bool = False) -> None:
        self._publish(TRIGGER + trigger.name, r.WatchReportsResponse(trigger=copy.deepcopy(trigger), gone=gone))

    def _publish(self, key: str, update: r.WatchReportsResponse) -> None:
        self._feed.publish(key, update)
        if update.gone:
            self._feed.forget(key)

    # --- definitions --------------------------------------------------------------------------------------------

    @rpc(ReportService.ListReportDefinitions)
    async def list_definitions(self, request: r.ListReportDefinitionsRequest) -> r.ListReportDefinitionsResponse:
        """All definitions."""
        shown, token = _page(self._definitions, request.page_size, request.page_token)
        return r.ListReportDefinitionsResponse(report_definitions=shown, next_page_token=token)

    @rpc(ReportService.GetReportDefinition)
    async def get_definition(self, request: r.GetReportDefinitionRequest) -> r.GetReportDefinitionResponse:
        """One definition."""
        return r.GetReportDefinitionResponse(report_definition=_find(self._definitions, request.name, "definition"))

    @rpc(ReportService.CreateReportDefinition)
    async def create_definition(self, request: r.CreateReportDefinitionRequest) -> r.CreateReportDefinitionResponse:
        """Make a definition."""
        made = rules.definition(request.report_definition or r.ReportDefinition())
        async with self._changing:
            made.name = _name(made.name, "report", self._definitions, rules.MAX_DEFINITIONS)
            made.user = (self.bus.cause() or Cause()).user
            await self._set_definition(made, "made")
        return r.CreateReportDefinitionResponse(report_definition=made)

    @rpc(ReportService.UpdateReportDefinition)
    async def update_definition(self, request: r.UpdateReportDefinitionRequest) -> r.UpdateReportDefinitionResponse:
        """Change a definition; its report begins anew."""
        wanted = request.report_definition or r.ReportDefinition()
        async with self._changing:
            before = _find(self._definitions, wanted.name, "definition")
            after, _ = merged(before, wanted, request.update_mask, rules.DEFINITION_FIELDS)
            after = rules.definition(after)
            await self._set_definition(after, "changed")
        return r.UpdateReportDefinitionResponse(report_definition=after)

    async def _set_definition(self, definition: r.ReportDefinition, what: str) -> None:
        await self._store.put(definition)
        definition.fault = self._gathering.fault(definition)
        name = definition.name
        had = name in self._gathering.reports
        self._definitions[name] = definition
        self._gathering.define(definition, self._now(), soon=not self._gathering.sensors)
        if had:
            self._forget_report(name)
        self._publish_definition(definition)
        self.bus.tell("report", r.ReportSettingsChange(name=name, what=what))
        if definition.kind is not r.ReportKind.ON_REQUEST and self._gathering.sensors:
            self._report(name)  # so that there is one from the beginning, though nothing may change for long
        self._wake.set()

    def _forget_report(self, name: str) -> None:
        self._publish(REPORT + name, r.WatchReportsResponse(report=r.Report(name=name), gone=True))

    @rpc(ReportService.DeleteReportDefinition)
    async def delete_definition(self, request: r.DeleteReportDefinitionRequest) -> r.DeleteReportDefinitionResponse:
        """Delete a definition and its report; not while a trigger makes reports by it."""
        async with self._changing:
            definition = _find(self._definitions, request.name, "definition")
            users = sorted(each.name for each in self._triggers.values() if request.name in each.report_definitions)
            if users:
                raise Refused(f"the trigger {users[0]} makes reports by {request.name}: change or delete it first")
            await self._store.delete(definition)
            had = request.name in self._gathering.reports
            del self._definitions[request.name]
            self._gathering.forget(request.name)
            if had:
                self._forget_report(request.name)
            self._publish_definition(definition, gone=True)
        self.bus.tell("report", r.ReportSettingsChange(name=request.name, what="deleted"))
        return r.DeleteReportDefinitionResponse()

    # --- reports ------------------------------------------------------------------------------------------------

    @rpc(ReportService.ListReports)
    async def list_reports(self, request: r.ListReportsRequest) -> r.ListReportsResponse:
        """The latest report of each definition, without values."""
        reports = {
            name: r.Report(name=name, sequence=each.sequence, time=each.time)
            for name, each in self._gathering.reports.items()
        }
        shown, token = pages.page(reports.values(), request.page_size, request.page_token, key=lambda each: each.name)
        return r.ListReportsResponse(reports=shown, next_page_token=token)

    @rpc(ReportService.GetReport)
    async def get_report(self, request: r.GetReportRequest) -> r.GetReportResponse:
        """One report."""
        definition = _find(self._definitions, request.name, "definition")
        if definition.kind is r.ReportKind.ON_REQUEST:
            self._report(request.name, told=False)  # who reads it has it; readers shall not fill the log
        found = self._gathering.reports.get(request.name)
        if found is None:
            raise NotFound(f"there is no report {request.name} yet, or its definition does not keep any")
        return r.GetReportResponse(report=found)

    # --- triggers -----------------------------------------------------------------------------------------------

    @rpc(ReportService.ListTriggers)
    async def list_triggers(self, request: r.ListTriggersRequest) -> r.ListTriggersResponse:
        """All triggers."""
        shown, token = _page(self._triggers, request.page_size, request.page_token)
        return r.ListTriggersResponse(triggers=shown, next_page_token=token)

    @rpc(ReportService.GetTrigger)
    async def get_trigger(self, request: r.GetTriggerRequest) -> r.GetTriggerResponse:
        """One trigger."""
        return r.GetTriggerResponse(trigger=_find(self._triggers, request.name, "trigger"))

    @rpc(ReportService.CreateTrigger)
    async def create_trigger(self, request: r.CreateTriggerRequest) -> r.CreateTriggerResponse:
        """Make a trigger."""
        async with self._changing:
            made = rules.trigger(request.trigger or r.Trigger(), self._definitions)
            made.name = _name(made.name, "trigger", self._triggers, rules.MAX_TRIGGERS)
            made.user = (self.bus.cause() or Cause()).user
            made.fired, made.fired_time = 0, None
            await self._set_trigger(made, "made")
        return r.CreateTriggerResponse(trigger=made)

    @rpc(ReportService.UpdateTrigger)
    async def update_trigger(self, request: r.UpdateTriggerRequest) -> r.UpdateTriggerResponse:
        """Change a trigger; it has to be passed anew."""
        wanted = request.trigger or r.Trigger()
        async with self._changing:
            before = _find(self._triggers, wanted.name, "trigger")
            after, _ = merged(before, wanted, request.update_mask, rules.TRIGGER_FIELDS)
            after = rules.trigger(after, self._definitions)
            await self._set_trigger(after, "changed")
        return r.UpdateTriggerResponse(trigger=after)

    async def _set_trigger(self, trigger: r.Trigger, what: str) -> None:
        await self._store.put(trigger)
        self._triggers[trigger.name] = trigger
        self._gathering.arm(trigger)
        self._publish_trigger(trigger)
        self.bus.tell("report", r.ReportSettingsChange(name=trigger.name, what=what))

    @rpc(ReportService.DeleteTrigger)
    async def delete_trigger(self, request: r.DeleteTriggerRequest) -> r.DeleteTriggerResponse:
        """Delete a trigger."""
        async with self._changing:
            trigger = _find(self._triggers, request.name, "trigger")
            await self._store.delete(trigger)
            del self._triggers[request.name]
            self._gathering.disarm(request.name)
            self._publish_trigger(trigger, gone=True)
        self.bus.tell("report", r.ReportSettingsChange(name=request.name, what="deleted"))
        return r.DeleteTriggerResponse()

    @stream(ReportService.WatchReports)
    async def watch_reports(self, request: r.WatchReportsRequest) -> AsyncIterator[r.WatchReportsResponse]:
        """Every change."""
        async for update in self._feed.watch(request.cursor):
            item = update.item
            yield r.WatchReportsResponse(
                report_definition=item.report_definition,
                report=item.report,
                trigger=item.trigger,
                cursor=update.cursor,
                snapshot=update.snapshot,
                complete=update.complete,
                gone=item.gone,
            )


def _page(items: dict[str, T], size: int, token: str) -> tuple[list[T], str]:
    return pages.page(items.values(), size, token, key=lambda each: each.name)


def _find(items: dict[str, T], name: str, what: str) -> T:
    if name not in items:
        raise NotFound(f"there is no {what} {name}; there is {', '.join(sorted(items)) or 'none at all'}")
    return items[name]


def _name(asked: str, stem: str, items: dict[str, T], most: int) -> str:
    """The name of a new one. Raises `Invalid`, `Exists`, `Exhausted`."""
    rules.check_name(asked)
    if asked in items:
        raise Exists(f"there is a {stem} {asked} already: update it, or choose another name")
    if len(items) >= most:
        raise Exhausted(f"there are {most} already: delete one first", retry_seconds=0)
    return asked or next(f"{stem}-{number}" for number in range(1, most + 2) if f"{stem}-{number}" not in items)
