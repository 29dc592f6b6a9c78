"""Metric reports and triggers, owned by telemetry."""

from __future__ import annotations

from functools import partial

from protobuf.wkt import FieldMask

from ubmc.kit.errors import NotFound
from ubmc.protocols.redfish import layout, sensors, telemetry, telemetry_sent
from ubmc.protocols.redfish.origin import origin
from ubmc.protocols.redfish.query import Query
from ubmc.protocols.redfish.resource import Body, members
from ubmc.protocols.redfish.shape import Values
from ubmc.services.websrv.redfish.context import By, Context, Family, Made, Unit
from ubmc.services.websrv.redfish.families.blame import blaming
from ubmc.v1alpha1.report_pb import (
    CreateReportDefinitionRequest,
    CreateTriggerRequest,
    DeleteReportDefinitionRequest,
    DeleteTriggerRequest,
    GetReportDefinitionRequest,
    GetReportRequest,
    GetTriggerRequest,
    ListReportDefinitionsRequest,
    ListReportsRequest,
    ListTriggersRequest,
    UpdateReportDefinitionRequest,
    UpdateTriggerRequest,
)
from ubmc.v1alpha1.report_rpc import ReportService

PAGE = 1000
_FIELDS = {
    "name": "Id",
    "kind": "MetricReportDefinitionType",
    "interval": "Schedule/RecurrenceInterval",
    "sensors": "MetricProperties",
    "actions": "ReportActions",
    "report_definitions": "Links/MetricReportDefinitions",
    "upper_critical": "NumericThresholds",
}
_DEFINITION = f"{telemetry.DEFINITIONS}/{{report}}"
_TRIGGER = f"{telemetry.TRIGGERS}/{{trigger}}"


def _sensors(context: Context) -> telemetry.Sensors:
    view = context.view
    names = sensors.all_names(view)
    hidden = {*view.table("sensor").names()} - {*names}

    def place(name: str) -> str:
        return "" if name in hidden else origin(name, sensor=True, chassis=layout.chassis_of(view, name))[1]

    return telemetry.Sensors(names, place, partial(sensors.scale, view))


# --- definitions --------------------------------------------------------------------------------------------------


async def _definitions(context: Context, _query: Query) -> Body:
    found = await context.call(ReportService.ListReportDefinitions, ListReportDefinitionsRequest(page_size=PAGE))
    names = [each.name for each in found.report_definitions]
    return {"Name": "Metric Report Definitions", **members(telemetry.DEFINITIONS, names)}


async def _definition(context: Context, _query: Query) -> Body | None:
    request = GetReportDefinitionRequest(name=context.params["report"])
    found = (await context.call(ReportService.GetReportDefinition, request)).report_definition
    if found is None:
        return None
    return telemetry.definition(found, _sensors(context))


async def _create_definition(context: Context, values: Values) -> Made:
    request = CreateReportDefinitionRequest(report_definition=telemetry_sent.definition_of(values, _sensors(context)))
    with blaming(context.path, _FIELDS):
        made = (await context.call(ReportService.CreateReportDefinition, request)).report_definition
    if made is None:
        raise NotFound("the definition is not there any more")
    return Made(f"{telemetry.DEFINITIONS}/{made.name}")


async def _change_definition(context: Context, values: Values) -> None:
    request = GetReportDefinitionRequest(name=context.params["report"])
    now = (await context.call(ReportService.GetReportDefinition, request)).report_definition
    wanted = telemetry_sent.definition_of(values, _sensors(context), now)
    paths = sorted({telemetry_sent.DEFINITION_PATHS[name] for name in values})
    change = UpdateReportDefinitionRequest(report_definition=wanted, update_mask=FieldMask(paths=paths))
    with blaming(context.path, _FIELDS, tuple(values)):
        await context.call(ReportService.UpdateReportDefinition, change)


async def _delete_definition(context: Context) -> None:
    request = DeleteReportDefinitionRequest(name=context.params["report"])
    await context.call(ReportService.DeleteReportDefinition, request)


# --- reports ------------------------------------------------------------------------------------------------------


async def _reports(context: Context, _query: Query) -> Body:
    found = await context.call(ReportService.ListReports, ListReportsRequest(page_size=PAGE))
    return {"Name": "Metric Reports", **members(telemetry.REPORTS, [each.name for each in found.reports])}


async def _report(context: Context, _query: Query) -> Body | None:
    found = (await context.call(ReportService.GetReport, GetReportRequest(name=context.params["report"]))).report
    return telemetry.report(found, _sensors(context)) if found is not None else None


# --- triggers -----------------------------------------------------------------------------------------------------


async def _triggers(context: Context, _query: Query) -> Body:
    found = await context.call(ReportService.ListTriggers, ListTriggersRequest(page_size=PAGE))
    return {"Name": "Triggers", **members(telemetry.TRIGGERS, [each.name for each in found.triggers])}


async def _trigger(context: Context, _query: Query) -> Body | None:
    found = (await context.call(ReportService.GetTrigger, GetTriggerRequest(name=context.params["trigger"]))).trigger
    if found is None:
        return None
    return telemetry.trigger(found, _sensors(context))


async def _create_trigger(context: Context, values: Values) -> Made:
    request = CreateTriggerRequest(trigger=telemetry_sent.trigger_of(values, _sensors(context)))
    with blaming(context.path, _FIELDS, ("NumericThresholds",)):
        made = (await context.call(ReportService.CreateTrigger, request)).trigger
    if made is None:
        raise NotFound("the trigger is not there any more")
    return Made(f"{telemetry.TRIGGERS}/{made.name}")


async def _change_trigger(context: Context, values: Values) -> None:
    now = (await context.call(ReportService.GetTrigger, GetTriggerRequest(name=context.params["trigger"]))).trigger
    wanted = telemetry_sent.trigger_of(values, _sensors(context), now)
    paths = sorted({telemetry_sent.trigger_path(name) for name in values})
    request = UpdateTriggerRequest(trigger=wanted, update_mask=FieldMask(paths=paths))
    with blaming(context.path, _FIELDS, tuple(values)):
        await context.call(ReportService.UpdateTrigger, request)


async def _delete_trigger(context: Context) -> None:
    await context.call(ReportService.DeleteTrigger, DeleteTriggerRequest(name=context.params["trigger"]))


FAMILY = Family(
    loads={
        telemetry.DEFINITIONS: _definitions,
        _DEFINITION: _definition,
        telemetry.REPORTS: _reports,
        f"{telemetry.REPORTS}/{{report}}": _report,
        telemetry.TRIGGERS: _triggers,
        _TRIGGER: _trigger,
    },
    creates={
        telemetry.DEFINITIONS: By(_create_definition, ReportService.CreateReportDefinition),
        telemetry.TRIGGERS: By(_create_trigger, ReportService.CreateTrigger),
    },
    patches={
        _DEFINITION: (Unit(telemetry.DEFINITION_PROPERTIES, _change_definition, ReportService.UpdateReportDefinition),),
        _TRIGGER: (Unit(telemetry.TRIGGER_PROPERTIES, _change_trigger, ReportService.UpdateTrigger),),
    },
    deletes={
        _DEFINITION: By(_delete_definition, ReportService.DeleteReportDefinition),
        _TRIGGER: By(_delete_trigger, ReportService.DeleteTrigger),
    },
)
