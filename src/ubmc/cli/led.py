"""`ubmc led`."""

from __future__ import annotations

import click

from ubmc.cli import chassis
from ubmc.cli.resource import Resource, add_list, add_show, add_watch
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.span import Span
from ubmc.cli.terminal import printable
from ubmc.cli.text import cell, columns, format_duration
from ubmc.v1alpha1.led_pb import Led, LedPattern, SetLedRequest, TestLedsRequest
from ubmc.v1alpha1.led_rpc import LedService

_COLUMNS = columns("name", "role", "component", "shows: pattern", "because: reason", "overridden", "failed")
LEDS = Resource(
    noun="light",
    list=LedService.ListLeds,
    items="leds",
    get=LedService.GetLed,
    item="led",
    columns=_COLUMNS,
    facts=_COLUMNS,
)
PATTERNS = {
    "auto": LedPattern.UNSPECIFIED,
    "off": LedPattern.OFF,
    "on": LedPattern.ON,
    "slow": LedPattern.BLINK_SLOW,
    "fast": LedPattern.BLINK_FAST,
    "flash": LedPattern.FLASH,
}

led = Noun("led", help="Lights: show them, test them, find a chassis.")
add_list(led, LEDS)
add_show(led, LEDS, optional=False)
add_watch(led, LEDS, LedService.WatchLeds)


@led.command("set")
@click.argument("name")
@click.argument("pattern", type=click.Choice(list(PATTERNS)))
@click.option("--for", "seconds", type=Span(86400), metavar="TIME",
              help="How long: 90s, 10m, 2h; else until it is set to auto, or the BMC restarts.")  # fmt: skip
@pass_settings
def set_(settings: Settings, name: str, pattern: str, seconds: float | None) -> None:
    """Show something else on a light than what it is there for; auto takes that back."""
    if PATTERNS[pattern] is LedPattern.UNSPECIFIED and seconds is not None:
        raise click.UsageError("auto needs no --for: it takes back what was set")
    request = SetLedRequest(name=name, pattern=PATTERNS[pattern], duration_seconds=seconds or 0.0)
    with settings.connect() as client:
        answer = client.ask(LedService.SetLed, request)
    shown = answer.led or Led()
    line = f"{printable(shown.name)}: {cell(shown, 'pattern')} ({cell(shown, 'reason')})"
    settings.output.say(answer, line + ("; but the hardware does not obey" if shown.failed else ""))


@led.command("test")
@click.option("--for", "seconds", type=Span(60), default="5s", show_default=True, metavar="TIME",
              help="How long, a minute at most.")  # fmt: skip
@pass_settings
def test(settings: Settings, seconds: float) -> None:
    """Light all lights for a while; who stands before the machine sees which are broken."""
    with settings.connect() as client:
        answer = client.ask(LedService.TestLeds, TestLedsRequest(duration_seconds=seconds))
    failed = [printable(found.name) for found in answer.leds if found.failed]
    line = f"{len(answer.leds)} lights are lit for {format_duration(seconds)}"
    settings.output.say(
        answer, line + (f"; the hardware of these does not obey: {', '.join(failed)}" if failed else "")
    )


led.add_command(chassis.identify)
