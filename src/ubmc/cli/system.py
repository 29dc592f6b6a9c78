"""`ubmc bmc`, `ubmc health`, `ubmc metrics`: the BMC about itself."""

from __future__ import annotations

import click

from ubmc.cli.exits import FAILED
from ubmc.cli.resource import Resource, add_list, add_show, name_one
from ubmc.cli.settings import Leaf, Noun, Settings, pass_settings
from ubmc.cli.terminal import printable, printable_lines
from ubmc.cli.text import columns, format_value
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.management_controller_pb import ManagementController, RestartManagementControllerRequest
from ubmc.v1alpha1.management_controller_rpc import ManagementControllerService
from ubmc.v1alpha1.system_pb import GetHealthRequest, GetMetricsRequest
from ubmc.v1alpha1.system_rpc import SystemService, TelemetryService

_COLUMNS = columns("name", "state", "version", "running since: start_time")

CONTROLLERS = Resource(
    noun="management controller",
    list=ManagementControllerService.ListManagementControllers,
    items="management_controllers",
    get=ManagementControllerService.GetManagementController,
    item="management_controller",
    columns=_COLUMNS,
    facts=_COLUMNS,
)

SERVICES = columns("service: name", "state", "process", "since", "restarts", "reason")

bmc = Noun("bmc", help="The BMC itself: show it, restart its services. NAME may be left out if there is one.")
add_list(bmc, CONTROLLERS)
add_show(bmc, CONTROLLERS, optional=True)


@bmc.command("restart")
@click.argument("name", required=False)
@pass_settings
def restart(settings: Settings, name: str | None) -> None:
    """Restart the services of the BMC; hosts keep their power."""
    with settings.connect() as client:
        request = RestartManagementControllerRequest(name=name_one(client, CONTROLLERS, name))
        answer = client.ask(ManagementControllerService.RestartManagementController, request)
    shown = answer.management_controller or ManagementController()
    settings.output.say(answer, f"{printable(shown.name)}: {format_value(shown.state)}")


@click.command("health", cls=Leaf)
@click.pass_context
def health(ctx: click.Context) -> None:
    """Show the health of every service; exit code 1 unless all is well."""
    settings = ctx.ensure_object(Settings)
    with settings.connect() as client:
        answer = client.ask(SystemService.GetHealth, GetHealthRequest())
    settings.output.list(answer, SERVICES, answer.services)
    if answer.health is not Severity.OK:
        ctx.exit(FAILED)


@click.command("metrics", cls=Leaf)
@pass_settings
def metrics(settings: Settings) -> None:
    """Print the metrics of all processes as OpenMetrics text."""
    with settings.connect() as client:
        answer = client.ask(TelemetryService.GetMetrics, GetMetricsRequest())
    settings.output.say(answer, printable_lines(answer.text.removesuffix("\n")))
