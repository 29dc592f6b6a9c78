"""`ubmc zone`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import click
from protobuf import Message

from ubmc.cli.given import Given
from ubmc.cli.live import Row, view
from ubmc.cli.resource import Resource, list_all, name_one
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.span import Span
from ubmc.cli.terminal import printable, printable_lines
from ubmc.cli.text import cell, columns, few, format_duration
from ubmc.v1alpha1.thermal_pb import (
    ClearManualDutyRequest,
    CustomProfile,
    GetControllerLogRequest,
    GetThermalZoneRequest,
    SetManualDutyRequest,
    SetThermalProfileRequest,
    ThermalProfile,
    ThermalZone,
    ThermalZoneState,
    WatchThermalZonesRequest,
)
from ubmc.v1alpha1.thermal_rpc import ThermalService

_COLUMNS = columns(
    "name", "state", "duty %: duty_percent", "profile", "because: duty_reason", "fans: few_fans", "why: reasons"
)
ZONES = Resource(
    noun="zone",
    list=ThermalService.ListThermalZones,
    items="thermal_zones",
    get=ThermalService.GetThermalZone,
    item="thermal_zone",
    columns=_COLUMNS,
    facts=columns(
        "name",
        "state",
        "since: state_time",
        "why: reasons",
        "duty %: duty_percent",
        "because: duty_reason",
        "profile",
        "custom offset \N{DEGREE SIGN}C: custom.set_point_offset_celsius",
        "custom minimum %: custom.minimum_percent",
        "by hand %: manual_percent",
        "time left: left",
        "fans: cooling_devices",
        "fail-safe %: fail_safe_percent",
        "minimum %: minimum_percent",
        "hosts",
        "overruns",
    ),
)


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone for people."""

    zone: ThermalZone

    @property
    def left(self) -> str:
        """How long it is driven by hand still, if it is."""
        return format_duration(self.zone.manual_remaining_seconds) if self.zone.has_field("manual_percent") else ""

    @property
    def few_fans(self) -> str:
        """Its fans, or the first of many."""
        return few(self.zone.cooling_devices, 3)

    def __getattr__(self, name: str) -> Any:
        return getattr(Given(self.zone), name)


_CONTROLLERS = columns(
    "controller: name",
    "kind",
    "aims at \N{DEGREE SIGN}C: set_point_celsius",
    "sees \N{DEGREE SIGN}C: input_celsius",
    "asks for %: output_percent",
    "sensors",
)
PROFILES = {profile.name.lower(): profile for profile in ThermalProfile if profile.value}
_RANKS = {ThermalZoneState.OVERHEATED: 3, ThermalZoneState.FAIL_SAFE: 2, ThermalZoneState.MANUAL: 1}

zone = Noun("zone", help="Thermal zones: show them, tune them. NAME may be left out if there is one zone.")


@zone.command("list")
@pass_settings
def list_(settings: Settings) -> None:
    """List all zones."""
    with settings.connect() as client:
        answer = list_all(client, ZONES)
    settings.output.list(answer, _COLUMNS, map(Zone, answer.thermal_zones))


@zone.command("show")
@click.argument("name", required=False)
@pass_settings
def show(settings: Settings, name: str | None) -> None:
    """Show one zone with its controllers."""
    with settings.connect() as client:
        request = GetThermalZoneRequest(name=name_one(client, ZONES, name))
        answer = client.ask(ThermalService.GetThermalZone, request)
    found = answer.thermal_zone or ThermalZone()
    output = settings.output
    output.show(answer, ZONES.facts, Zone(found))
    if not output.as_json and found.controllers:
        output.text("")
        output.list(answer, _CONTROLLERS, map(Given, found.controllers))


@zone.command("watch")
@click.argument("name", required=False)
@click.option("--lines", is_flag=True, help="Print lines instead of a table that changes.")
@pass_settings
def watch(settings: Settings, name: str | None, lines: bool) -> None:
    """Show zones as they change; ends with Ctrl-C."""
    request = WatchThermalZonesRequest(name=name or "")
    with (
        settings.connect() as client,
        closing(client.watch(ThermalService.WatchThermalZones, request)) as updates,
        view(settings.output, _COLUMNS, lines=lines) as shown,
    ):
        for update in updates:
            found = update.thermal_zone or ThermalZone()
            cells = [cell(Zone(found), column.path) for column in _COLUMNS]
            shown.update(update, [Row(found.name, cells, _RANKS.get(found.state, 0))])


def _say(settings: Settings, answer: Message[Any], found: ThermalZone | None) -> None:
    shown = found or ThermalZone()
    line = f"{printable(shown.name)}: {cell(shown, 'state')}, profile {cell(shown, 'profile')}"
    if shown.has_field("manual_percent"):
        line += f", {cell(shown, 'manual_percent')} % for {format_duration(shown.manual_remaining_seconds)}"
    settings.output.say(answer, line)


@zone.command("profile")
@click.argument("profile", type=click.Choice(list(PROFILES)))
@click.argument("name", required=False)
@click.option("--offset", type=click.FloatRange(-30, 30), metavar="CELSIUS", help="custom: added to all set-points.")
@click.option("--minimum", type=click.FloatRange(0, 100), metavar="PERCENT", help="custom: the least duty.")
@pass_settings
def set_profile(
    settings: Settings, profile: str, name: str | None, offset: float | None, minimum: float | None
) -> None:
    """Choose how a zone weighs noise against temperature; it is kept over restarts."""
    custom = None
    if PROFILES[profile] is ThermalProfile.CUSTOM:
        custom = CustomProfile(set_point_offset_celsius=offset or 0.0, minimum_percent=minimum or 0.0)
    elif offset is not None or minimum is not None:
        raise click.UsageError("--offset and --minimum belong to the profile custom")
    with settings.connect() as client:
        request = SetThermalProfileRequest(name=name_one(client, ZONES, name), profile=PROFILES[profile], custom=custom)
        answer = client.ask(ThermalService.SetThermalProfile, request)
    _say(settings, answer, answer.thermal_zone)


@zone.command("manual")
@click.argument("percent", type=click.FloatRange(0, 100))
@click.argument("name", required=False)
@click.option("--for", "seconds", type=Span(3600), default="10m", show_default=True, metavar="TIME",
              help="How long, an hour at most: 90s, 10m, 1h.")  # fmt: skip
@pass_settings
def manual(settings: Settings, percent: float, name: str | None, seconds: float) -> None:
    """Drive the fans of a zone by hand for a while; safety raises the duty where it must."""
    with settings.connect() as client:
        request = SetManualDutyRequest(
            name=name_one(client, ZONES, name), duty_percent=percent, duration_seconds=seconds
        )
        answer = client.ask(ThermalService.SetManualDuty, request)
    _say(settings, answer, answer.thermal_zone)


@zone.command("auto")
@click.argument("name", required=False)
@pass_settings
def auto(settings: Settings, name: str | None) -> None:
    """Let the controllers drive again."""
    with settings.connect() as client:
        answer = client.ask(ThermalService.ClearManualDuty, ClearManualDutyRequest(name=name_one(client, ZONES, name)))
    _say(settings, answer, answer.thermal_zone)


@zone.command("log")
@click.argument("name", required=False)
@pass_settings
def log(settings: Settings, name: str | None) -> None:
    """Print the last cycles of the controllers as CSV, for tuning."""
    with settings.connect() as client:
        answer = client.ask(
            ThermalService.GetControllerLog, GetControllerLogRequest(name=name_one(client, ZONES, name))
        )
    settings.output.say(answer, printable_lines(answer.csv.rstrip("\n")))
