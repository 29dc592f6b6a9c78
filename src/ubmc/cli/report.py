"""`ubmc report`: metric reports, and triggers."""

from __future__ import annotations

import click
from protobuf.wkt import Duration

from ubmc.cli.given import Given
from ubmc.cli.resource import Resource, list_all
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.span import Span
from ubmc.cli.terminal import printable
from ubmc.cli.text import columns
from ubmc.v1alpha1 import report_pb as r
from ubmc.v1alpha1.report_rpc import ReportService

DEFINITIONS = Resource(
    noun="report",
    list=ReportService.ListReportDefinitions,
    items="report_definitions",
    get=ReportService.GetReportDefinition,
    item="report_definition",
    columns=columns("name", "when: kind", "every: interval", "sensors", "enabled", "fault"),
    facts=columns("name", "title", "when: kind", "every: interval", "sensors", "actions", "enabled", "fault", "user"),
)
VALUES = columns("sensor", "value", "unit", "state", "time")
TRIGGERS = columns(
    "name", "sensors", "too high: upper_critical.reading", "warn above: upper_warning.reading",
    "warn below: lower_warning.reading", "too low: lower_critical.reading", "fired", "last: fired_time",
)  # fmt: skip
THRESHOLDS = ("upper_critical", "upper_warning", "lower_warning", "lower_critical")

report = Noun("report", help="Metric reports and triggers.")


@report.command("list")
@pass_settings
def list_(settings: Settings) -> None:
    """List which reports are made."""
    with settings.connect() as client:
        answer = list_all(client, DEFINITIONS)
    settings.output.list(answer, DEFINITIONS.columns, answer.report_definitions)


@report.command("show")
@click.argument("name")
@pass_settings
def show(settings: Settings, name: str) -> None:
    """Show the values of the latest report of that name."""
    with settings.connect() as client:
        answer = client.ask(ReportService.GetReport, r.GetReportRequest(name=name))
    found = answer.report or r.Report()
    settings.output.list(answer, VALUES, map(Given, found.values))


@report.command("add")
@click.argument("name")
@click.argument("sensors", nargs=-1, required=True, metavar="SENSOR...")
@click.option("--every", type=Span(86400), metavar="TIME", help="Every so often: 30s, 5m.")
@click.option("--on-change", is_flag=True, help="When a reading changed.")
@click.option("--event", is_flag=True, help="Tell each report by an event.")
@pass_settings
def add(
    settings: Settings, *, name: str, sensors: tuple[str, ...], every: float | None, on_change: bool, event: bool
) -> None:
    """Report SENSORs, by name or pattern such as 'cpu*_temp'; when it is read, unless an option says when."""
    if every is not None and on_change:
        raise click.UsageError("say --every or --on-change, not both")
    kind = r.ReportKind.ON_CHANGE if on_change else r.ReportKind.ON_REQUEST
    kind = kind if every is None else r.ReportKind.PERIODIC
    actions = [r.ReportAction.LOG, *([r.ReportAction.EVENT] if event else [])]
    wanted = r.ReportDefinition(name=name, kind=kind, sensors=list(sensors), actions=actions)
    if every is not None:
        wanted.interval = Duration.from_seconds(every)
    with settings.connect() as client:
        request = r.CreateReportDefinitionRequest(report_definition=wanted)
        answer = client.ask(ReportService.CreateReportDefinition, request)
    settings.output.show(answer, DEFINITIONS.facts, answer.report_definition or r.ReportDefinition())


@report.command("delete")
@click.argument("name")
@pass_settings
def delete(settings: Settings, name: str) -> None:
    """Make no such reports any more."""
    with settings.connect() as client:
        request = r.DeleteReportDefinitionRequest(name=name)
        answer = client.ask(ReportService.DeleteReportDefinition, request)
    settings.output.say(answer, f"{printable(name)}: deleted")


@report.command("triggers")
@pass_settings
def triggers(settings: Settings) -> None:
    """List triggers."""
    with settings.connect() as client:
        answer = client.ask(ReportService.ListTriggers, r.ListTriggersRequest(page_size=1000))
    settings.output.list(answer, TRIGGERS, answer.triggers)


def _limits(command: click.decorators.FC) -> click.decorators.FC:
    for name in reversed(THRESHOLDS):
        option = click.option(f"--{name.replace('_', '-')}", type=float, metavar="VALUE", help="In the sensor's unit.")
        command = option(command)
    return command


@report.command("trigger")
@click.argument("name")
@click.argument("sensors", nargs=-1, required=True, metavar="SENSOR...")
@_limits
@click.option("--dwell", type=Span(86400), metavar="TIME", help="Only if the reading stays there for so long.")
@click.option("--report", "reports", multiple=True, metavar="NAME", help="Make this report then.")
@pass_settings
def trigger(
    settings: Settings, /, *, name: str, sensors: tuple[str, ...], dwell: float | None, reports: tuple[str, ...],
    **limits: float | None,
) -> None:  # fmt: skip
    """Tell by an event when a reading passes a value: upwards for upper limits, downwards for lower ones."""
    wanted = r.Trigger(name=name, sensors=list(sensors), actions=[r.TriggerAction.EVENT])
    for limit, reading in limits.items():
        if reading is not None:
            ways = r.TriggerActivation
            way = ways.INCREASING if limit.startswith("upper") else ways.DECREASING
            threshold = r.TriggerThreshold(reading=reading, activation=way)
            if dwell is not None:
                threshold.dwell = Duration.from_seconds(dwell)
            setattr(wanted, limit, threshold)
    if reports:
        wanted.actions.append(r.TriggerAction.REPORT)
        wanted.report_definitions = list(reports)
    with settings.connect() as client:
        answer = client.ask(ReportService.CreateTrigger, r.CreateTriggerRequest(trigger=wanted))
    settings.output.show(answer, TRIGGERS, answer.trigger or r.Trigger())


@report.command("untrigger")
@click.argument("name")
@pass_settings
def untrigger(settings: Settings, name: str) -> None:
    """Delete a trigger."""
    with settings.connect() as client:
        answer = client.ask(ReportService.DeleteTrigger, r.DeleteTriggerRequest(name=name))
    settings.output.say(answer, f"{printable(name)}: deleted")
