"""`ubmc bios`: the set-up of a host's firmware."""

from __future__ import annotations

import click

from ubmc.cli.host import HOSTS
from ubmc.cli.resource import name_one
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import printable
from ubmc.cli.text import columns
from ubmc.v1alpha1 import bios_pb as b
from ubmc.v1alpha1.bios_rpc import BiosService

_VALUES = columns("name", "is: current", "next boot: pending", "takes")
_host = click.option("--host", metavar="NAME", help="Of this host; may be left out if there is one.")

bios = Noun("bios", help="The set-up of a host's firmware: show it, have the next boot change it.")


class _Row:
    """One attribute with its values, for people."""

    def __init__(self, attribute: b.BiosAttribute, setup: b.Bios) -> None:
        self.name = attribute.name
        self.current = setup.attributes.get(attribute.name, "")
        self.pending = setup.pending.get(attribute.name, "")
        self.takes = _takes(attribute)


def _takes(attribute: b.BiosAttribute) -> str:
    if attribute.read_only:
        return "read only"
    match attribute.type:
        case b.BiosAttributeType.ENUMERATION:
            return ", ".join(each.value for each in attribute.values)
        case b.BiosAttributeType.INTEGER:
            low = str(attribute.minimum) if attribute.has_field("minimum") else ""
            high = str(attribute.maximum) if attribute.has_field("maximum") else ""
            return f"{low}..{high}"
        case b.BiosAttributeType.BOOLEAN:
            return "true, false"
        case _:
            return f"text, at most {attribute.max_length}"


@bios.command("show")
@_host
@pass_settings
def show(settings: Settings, host: str | None) -> None:
    """Show all attributes: as they are, and as the next boot makes them."""
    with settings.connect() as client:
        name = name_one(client, HOSTS, host)
        answer = client.ask(BiosService.GetBios, b.GetBiosRequest(host=name))
        request = b.ListBiosAttributesRequest(host=name, page_size=1000)
        known = client.ask(BiosService.ListBiosAttributes, request)
    setup = answer.bios or b.Bios()
    settings.output.list(answer, _VALUES, [_Row(each, setup) for each in known.bios_attributes])


@bios.command("set")
@click.argument("values", nargs=-1, required=True, metavar="ATTRIBUTE=VALUE...")
@_host
@pass_settings
def set_(settings: Settings, values: tuple[str, ...], host: str | None) -> None:
    """Have the next boot change attributes, as `BootMode=Legacy QuietBoot=true`."""
    pairs = [each.partition("=") for each in values]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise click.UsageError(f"{wrong[0]} is no ATTRIBUTE=VALUE")
    with settings.connect() as client:
        name = name_one(client, HOSTS, host)
        request = b.UpdateBiosRequest(host=name, attributes={name: value for name, _, value in pairs})
        answer = client.ask(BiosService.UpdateBios, request)
    _say(settings, answer, answer.bios)


@bios.command("reset")
@_host
@pass_settings
def reset(settings: Settings, host: str | None) -> None:
    """Have the next boot change all attributes to their defaults."""
    with settings.connect() as client:
        answer = client.ask(BiosService.ResetBios, b.ResetBiosRequest(host=name_one(client, HOSTS, host)))
    _say(settings, answer, answer.bios)


@bios.command("discard")
@_host
@pass_settings
def discard(settings: Settings, host: str | None) -> None:
    """Forget what the next boot was to change."""
    with settings.connect() as client:
        request = b.DiscardBiosChangesRequest(host=name_one(client, HOSTS, host))
        answer = client.ask(BiosService.DiscardBiosChanges, request)
    _say(settings, answer, answer.bios)


def _say(
    settings: Settings,
    answer: b.UpdateBiosResponse | b.ResetBiosResponse | b.DiscardBiosChangesResponse,
    setup: b.Bios | None,
) -> None:
    setup = setup or b.Bios()
    changes = ", ".join(f"{printable(name)}={printable(value)}" for name, value in setup.pending.items())
    settings.output.say(answer, f"{printable(setup.host)}: the next boot changes {changes or 'nothing'}")
