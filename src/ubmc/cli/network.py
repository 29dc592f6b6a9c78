"""`ubmc network` and `ubmc time`."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from protobuf.wkt import FieldMask, Timestamp

from ubmc.cli.fields import parsed
from ubmc.cli.resource import Listing, Resource, list_all, name_one
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import printable
from ubmc.cli.text import cell, columns
from ubmc.v1alpha1 import network_pb as n
from ubmc.v1alpha1.network_rpc import NetworkService, TimeService

NETWORK = columns(
    "host_name", "domain", "name servers: dns_servers", "IPv4 gateway: ipv4_gateway", "IPv6 gateway: ipv6_gateway",
    "cannot be changed: fixed_reason",
)  # fmt: skip
INTERFACES = Resource(
    noun="interface",
    list=NetworkService.ListNetworkInterfaces,
    items="network_interfaces",
    get=NetworkService.GetNetworkInterface,
    item="network_interface",
    columns=columns("name", "link", "Mbit/s: speed_mbps", "MAC: mac_address", "addresses: few"),
    facts=columns(
        "name",
        "enabled",
        "link",
        "Mbit/s: speed_mbps",
        "MAC: mac_address",
        "permanent MAC: permanent_mac_address",
        "MTU: mtu",
        "VLAN: vlan.id",
        "VLAN enabled: vlan.enabled",
        "IPv4 by DHCP: ipv4.dhcp",
        "IPv4 gateway: ipv4.gateway",
        "IPv6 by routers: ipv6.autoconf",
        "IPv6 gateway: ipv6.gateway",
        "addresses: few",
        "received bytes: statistics.received_bytes",
        "sent bytes: statistics.sent_bytes",
        "cannot be changed: fixed_reason",
    ),
)
PROTOCOLS = Listing(
    noun="protocol",
    list=NetworkService.ListNetworkProtocols,
    items="network_protocols",
    columns=columns("name", "enabled", "port", "cannot be changed: fixed_reason"),
)
TIME = columns(
    "time", "minutes ahead of UTC: utc_offset_minutes", "follows NTP: ntp_enabled", "NTP servers: ntp_servers",
    "synchronized", "seconds ahead of the machine: offset_seconds", "cannot be changed: fixed_reason",
)  # fmt: skip
_fields = click.argument("values", nargs=-1, required=True, metavar="FIELD=VALUE...")

network = Noun("network", help="The network of the BMC: show it, change it.")
time = Noun("time", help="The clock of the BMC, and who sets it.")


class _Shown:
    """An interface for people: with its addresses in one line."""

    def __init__(self, interface: n.NetworkInterface) -> None:
        self._interface = interface

    @property
    def few(self) -> list[str]:
        """Its addresses."""
        both = (self._interface.ipv4, self._interface.ipv6)
        return [f"{each.address}/{each.prefix_length}" for ip in both if ip is not None for each in ip.addresses]

    def __getattr__(self, name: str) -> object:
        return getattr(self._interface, name)


@network.command("show")
@pass_settings
def show(settings: Settings) -> None:
    """Show what holds for the whole BMC: names, name servers, gateways."""
    with settings.connect() as client:
        answer = client.ask(NetworkService.GetNetwork, n.GetNetworkRequest())
    settings.output.show(answer, NETWORK, answer.network or n.Network())


@network.command("set")
@_fields
@pass_settings
def set_(settings: Settings, values: tuple[str, ...]) -> None:
    """Change what holds for the whole BMC, as `host_name=rack7 static_dns_servers='["192.0.2.53"]'`."""
    wanted, mask = parsed(n.Network, values)
    with settings.connect() as client:
        request = n.UpdateNetworkRequest(network=wanted, update_mask=mask)
        answer = client.ask(NetworkService.UpdateNetwork, request)
    settings.output.show(answer, NETWORK, answer.network or n.Network())


@network.command("interfaces")
@pass_settings
def interfaces(settings: Settings) -> None:
    """List the interfaces of the BMC."""
    with settings.connect() as client:
        answer = list_all(client, INTERFACES)
    settings.output.list(answer, INTERFACES.columns, map(_Shown, answer.network_interfaces))


@network.command("interface")
@click.argument("name", required=False)
@pass_settings
def interface(settings: Settings, name: str | None) -> None:
    """Show one interface; NAME may be left out if there is one."""
    with settings.connect() as client:
        request = n.GetNetworkInterfaceRequest(name=name_one(client, INTERFACES, name))
        answer = client.ask(NetworkService.GetNetworkInterface, request)
    settings.output.show(answer, INTERFACES.facts, _Shown(answer.network_interface or n.NetworkInterface()))


@network.command("configure")
@click.argument("name")
@_fields
@pass_settings
def configure(settings: Settings, name: str, values: tuple[str, ...]) -> None:
    """Change an interface, as `eth0 ipv4.dhcp=true mtu=9000`, or `eth0 vlan.enabled=true vlan.id=5`."""
    wanted, mask = parsed(n.NetworkInterface, values)
    _change(settings, name, wanted, mask)


@network.command("address")
@click.argument("name")
@click.argument("address")
@click.option("--gateway", default="", help="Where packets for other networks go.")
@pass_settings
def address(settings: Settings, name: str, address: str, gateway: str) -> None:
    """Give an interface one static IPv4 ADDRESS, as 192.0.2.10/24, or `dhcp`."""
    if address == "dhcp":
        _change(settings, name, n.NetworkInterface(ipv4=n.Ipv4(dhcp=True)), FieldMask(paths=["ipv4.dhcp"]))
        return
    plain, slash, length = address.partition("/")
    if not slash or not length.isdecimal():
        raise click.UsageError("say the address with the length of its prefix, as 192.0.2.10/24; or dhcp")
    given = n.InterfaceAddress(address=plain, prefix_length=int(length))
    ipv4 = n.Ipv4(dhcp=False, static_addresses=[given], static_gateway=gateway)
    _change(settings, name, n.NetworkInterface(ipv4=ipv4), FieldMask(paths=["ipv4"]))


def _change(settings: Settings, name: str, wanted: n.NetworkInterface, mask: FieldMask) -> None:
    wanted.name = name
    with settings.connect() as client:
        request = n.UpdateNetworkInterfaceRequest(network_interface=wanted, update_mask=mask)
        answer = client.ask(NetworkService.UpdateNetworkInterface, request)
    settings.output.show(answer, INTERFACES.facts, _Shown(answer.network_interface or n.NetworkInterface()))


@network.command("protocols")
@pass_settings
def protocols(settings: Settings) -> None:
    """List by which protocols the BMC is reached, and which it uses."""
    with settings.connect() as client:
        answer = list_all(client, PROTOCOLS)
    settings.output.list(answer, PROTOCOLS.columns, answer.network_protocols)


@time.command("show")
@pass_settings
def show_time(settings: Settings) -> None:
    """Show the clock, and where its time comes from."""
    with settings.connect() as client:
        answer = client.ask(TimeService.GetTime, n.GetTimeRequest())
    settings.output.show(answer, TIME, answer.time or n.Time())


def _set_time(settings: Settings, wanted: n.Time, *paths: str) -> None:
    with settings.connect() as client:
        request = n.UpdateTimeRequest(time=wanted, update_mask=FieldMask(paths=list(paths)))
        answer = client.ask(TimeService.UpdateTime, request)
    shown = answer.time or n.Time()
    settings.output.say(answer, f"{printable(cell(shown, 'time'))}, follows NTP: {cell(shown, 'ntp_enabled')}")


@time.command("set")
@click.argument("moment")
@pass_settings
def set_time(settings: Settings, moment: str) -> None:
    """Set the clock to MOMENT, as 2026-01-31T12:00:00Z or `now`; NTP must be off."""
    try:
        wanted = datetime.now(UTC) if moment == "now" else datetime.fromisoformat(moment)
    except ValueError:
        raise click.UsageError(f"{moment} is no time; write 2026-01-31T12:00:00Z, or now") from None
    wanted = wanted if wanted.tzinfo else wanted.replace(tzinfo=UTC)
    _set_time(settings, n.Time(time=Timestamp.from_datetime(wanted)), "time")


@time.command("ntp")
@click.argument("servers", nargs=-1, metavar="[off | SERVER...]")
@pass_settings
def ntp(settings: Settings, servers: tuple[str, ...]) -> None:
    """Follow time servers, those named or the ones it knows; or none, with `off`."""
    if servers == ("off",):
        _set_time(settings, n.Time(ntp_enabled=False), "ntp_enabled")
    elif servers:
        _set_time(settings, n.Time(ntp_enabled=True, ntp_servers=list(servers)), "ntp_enabled", "ntp_servers")
    else:
        _set_time(settings, n.Time(ntp_enabled=True), "ntp_enabled")


@time.command("zone")
@click.argument("minutes", type=click.IntRange(-720, 840))
@pass_settings
def zone(settings: Settings, minutes: int) -> None:
    """Say how far local time is ahead of UTC, in MINUTES."""
    _set_time(settings, n.Time(utc_offset_minutes=minutes), "utc_offset_minutes")
