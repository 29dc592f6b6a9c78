"""`ubmc sensor`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import click
from protobuf.wkt import FieldMask

from ubmc.cli.given import Given
from ubmc.cli.live import Row, view
from ubmc.cli.resource import Resource, list_all
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import printable
from ubmc.cli.text import Column, cell, columns, format_duration, format_number
from ubmc.v1alpha1.sensor_pb import (
    GetSensorRequest,
    ResetSensorThresholdsRequest,
    Sensor,
    SensorKind,
    SensorLevel,
    SensorStatistics,
    SensorThresholds,
    UpdateSensorThresholdsRequest,
    WatchSensorsRequest,
)
from ubmc.v1alpha1.sensor_rpc import SensorService


def _title(limit: str) -> str:
    """What a limit is called."""
    return limit.removesuffix("_seconds").replace("_", " ")


COLUMNS = columns("name", "value", "level", "quality", "component", "kind")
WATCHED = columns("name", "value", "level", "quality", "age", "component")
LIMITS = (
    "upper_fatal", "upper_critical", "upper_warning", "lower_warning", "lower_critical", "lower_fatal",
    "hysteresis", "debounce_seconds",
)  # fmt: skip
FACTS = columns(
    "name", "kind", "component", "value", "level", "side", "quality", "why: quality_reason", "age",
    "read: reading_time",
    *(f"{_title(name)}: thresholds.{name}" for name in LIMITS), "changed: thresholds_changed",
    "lowest: statistics.minimum", "highest: statistics.maximum", "average: statistics.average",
    "readings: statistics.count", "counted since: statistics.since", "states", "bus", "made of: sources",
)  # fmt: skip
_OF_NUMBERS = ("thresholds.", "thresholds_changed", "statistics.")
SENSORS = Resource(
    noun="sensor",
    list=SensorService.ListSensors,
    items="sensors",
    get=SensorService.GetSensor,
    item="sensor",
    columns=COLUMNS,
    facts=FACTS,
)

KINDS = {kind.name.lower().replace("_", "-"): kind for kind in SensorKind if kind.value}
LEVELS = {level.name.lower(): level for level in SensorLevel if level.value > SensorLevel.NORMAL.value}
_UNITS: Mapping[str, str] = MappingProxyType({"Cel": "\N{DEGREE SIGN}C"})

sensor = Noun("sensor", help="Sensors: show them, watch them, set their limits.")


def _unit(found: Sensor) -> str:
    return _UNITS.get(found.unit, found.unit)


@dataclass(frozen=True, slots=True)
class InUnit:
    """Numbers of a sensor for people, each with its unit; an absent one stays absent."""

    message: SensorThresholds | SensorStatistics
    unit: str

    def __getattr__(self, name: str) -> Any:
        value = getattr(Given(self.message), name)
        if not isinstance(value, float):
            return value
        if name == "debounce_seconds":
            return format_duration(value)
        return f"{format_number(value)} {self.unit}".strip()


@dataclass(frozen=True, slots=True)
class Reading:
    """A sensor for people: as the message, but with the value in one text."""

    sensor: Sensor

    @property
    def value(self) -> str:
        """The value with its unit, or the name of the state."""
        if self.sensor.kind is SensorKind.STATE:
            return self.sensor.state
        if not self.sensor.has_field("value"):
            return ""
        return f"{format_number(self.sensor.value)} {_unit(self.sensor)}".strip()

    @property
    def thresholds(self) -> Any:
        """Its limits, with their unit."""
        return InUnit(self.sensor.thresholds or SensorThresholds(), _unit(self.sensor))

    @property
    def statistics(self) -> Any:
        """What it has measured, if anything."""
        found = self.sensor.statistics
        return InUnit(found, _unit(self.sensor)) if found is not None and found.count else None

    @property
    def age(self) -> str:
        """How old it is; nothing if it was never read."""
        return format_duration(self.sensor.age_seconds) if self.sensor.reading_time is not None else ""

    def __getattr__(self, name: str) -> Any:
        return getattr(Given(self.sensor), name)


def _facts(found: Sensor) -> tuple[Column, ...]:
    """What can be said of it: states have no limits, numbers have no states."""
    if found.kind is SensorKind.STATE:
        return tuple(fact for fact in FACTS if not fact.path.startswith(_OF_NUMBERS))
    return tuple(fact for fact in FACTS if fact.path != "states")


def _row(found: Sensor) -> Row:
    reading = Reading(found)
    return Row(found.name, [cell(reading, column.path) for column in WATCHED], found.level.value)


@sensor.command("list")
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only of this kind.")
@click.option("--component", default="", metavar="NAME", help="Only of this component: host.0")
@click.option("--level", type=click.Choice(list(LEVELS)), help="Only those at least this far from normal.")
@pass_settings
def list_(settings: Settings, kind: str | None, component: str, level: str | None) -> None:
    """List sensors with their latest readings."""
    wanted = {
        "kind": KINDS[kind] if kind else SensorKind.UNSPECIFIED,
        "component": component,
        "level": LEVELS[level] if level else SensorLevel.UNSPECIFIED,
    }
    with settings.connect() as client:
        answer = list_all(client, SENSORS, **wanted)
    settings.output.list(answer, COLUMNS, [Reading(found) for found in answer.sensors])


@sensor.command("show")
@click.argument("name")
@pass_settings
def show(settings: Settings, name: str) -> None:
    """Show one sensor with its limits and what it has measured."""
    with settings.connect() as client:
        answer = client.ask(SensorService.GetSensor, GetSensorRequest(name=name))
    found = answer.sensor or Sensor()
    settings.output.show(answer, _facts(found), Reading(found))


@sensor.command("watch")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--interval", type=click.FloatRange(0, 3600), default=1.0, show_default=True, metavar="SECONDS",
              help="Each sensor at most once in this time.")  # fmt: skip
@click.option("--lines", is_flag=True, help="Print lines instead of a table that changes.")
@pass_settings
def watch(settings: Settings, names: tuple[str, ...], interval: float, lines: bool) -> None:
    """Show readings as they change; ends with Ctrl-C. What is worst stands on top."""
    request = WatchSensorsRequest(names=list(names), min_interval_seconds=interval)
    with (
        settings.connect() as client,
        closing(client.watch(SensorService.WatchSensors, request)) as updates,
        view(settings.output, WATCHED, lines=lines) as shown,
    ):
        for update in updates:
            shown.update(update, [_row(found) for found in update.sensors])


def _limits(command: Callable[..., None]) -> Callable[..., None]:
    for name in reversed(LIMITS):
        option = "--debounce" if name == "debounce_seconds" else f"--{name.replace('_', '-')}"
        command = click.option(option, name, metavar="VALUE", help="A number, or `none`.")(command)
    return command


def _limit(name: str, text: str) -> float | None:
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{name}: {printable(text)} is no number; give one, or `none`") from None


@sensor.command("threshold")
@click.argument("name")
@_limits
@click.option("--reset", is_flag=True, help="Take those of the board file again.")
@pass_settings
def threshold(settings: Settings, /, name: str, reset: bool, **texts: str | None) -> None:
    """Show the limits of a sensor, or change those that are given; `none` means not watched.

    They are kept over restarts.
    """
    values = {limit: _limit(limit, text) for limit, text in texts.items() if text is not None}
    if reset and values:
        raise click.UsageError("--reset takes all limits of the board file; give no others with it")
    answer: Any
    with settings.connect() as client:
        if reset:
            answer = client.ask(SensorService.ResetSensorThresholds, ResetSensorThresholdsRequest(name=name))
        elif values:
            given = SensorThresholds(**{limit: value for limit, value in values.items() if value is not None})
            request = UpdateSensorThresholdsRequest(
                name=name, thresholds=given, update_mask=FieldMask(paths=list(values))
            )
            answer = client.ask(SensorService.UpdateSensorThresholds, request)
        else:
            answer = client.ask(SensorService.GetSensor, GetSensorRequest(name=name))
    shown = columns(*(f"{_title(limit)}: {limit}" for limit in LIMITS))
    settings.output.show(answer, shown, Reading(answer.sensor or Sensor()).thresholds)
