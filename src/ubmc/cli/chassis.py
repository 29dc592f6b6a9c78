"""`ubmc chassis`."""

from __future__ import annotations

import click

from ubmc.cli.resource import Resource, add_actions, add_list, add_show, add_watch, name_one
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import printable
from ubmc.cli.text import columns
from ubmc.v1alpha1.chassis_pb import Chassis, ChassisPowerAction, SetChassisIdentifyRequest
from ubmc.v1alpha1.chassis_rpc import ChassisService

_COLUMNS = columns("name", "state", "since: state_time", "identify", "hosts")

CHASSIS = Resource(
    noun="chassis",
    plural="chassis",
    list=ChassisService.ListChassis,
    items="chassis",
    get=ChassisService.GetChassis,
    item="chassis",
    columns=_COLUMNS,
    facts=_COLUMNS,
)

ACTIONS = {
    "on": (ChassisPowerAction.ON, "Power on."),
    "off": (ChassisPowerAction.OFF, "Power off; refused while a host runs."),
    "cycle": (ChassisPowerAction.CYCLE, "Power off and on again; refused while a host runs."),
    "force-off": (ChassisPowerAction.FORCE_OFF, "Power off, whatever runs."),
    "force-cycle": (ChassisPowerAction.FORCE_CYCLE, "Power off and on again, whatever runs."),
}

chassis = Noun("chassis", help="Chassis: show them, power them, light them up. NAME may be left out if there is one.")
add_list(chassis, CHASSIS)
add_show(chassis, CHASSIS, optional=True)
add_watch(chassis, CHASSIS, ChassisService.WatchChassis)
add_actions(chassis, CHASSIS, ChassisService.ChangeChassisPower, ACTIONS)


@chassis.command("identify")
@click.argument("state", type=click.Choice(["on", "off"]), default="on")
@click.argument("name", required=False)
@pass_settings
def identify(settings: Settings, state: str, name: str | None) -> None:
    """Turn the identify light on (or off)."""
    with settings.connect() as client:
        request = SetChassisIdentifyRequest(name=name_one(client, CHASSIS, name), identify=state == "on")
        answer = client.ask(ChassisService.SetChassisIdentify, request)
    shown = answer.chassis or Chassis()
    settings.output.say(answer, f"{printable(shown.name)}: identify {'on' if shown.identify else 'off'}")
