"""Changes of the BMC's network."""

from __future__ import annotations

from functools import partial
from typing import Any

from protobuf.wkt import FieldMask

from ubmc.kit.errors import NotFound
from ubmc.protocols.redfish import network
from ubmc.protocols.redfish.messages import Message, RedfishError
from ubmc.protocols.redfish.shape import Values
from ubmc.services.websrv.redfish.context import Context, Family, Unit
from ubmc.services.websrv.redfish.families.blame import blaming
from ubmc.services.websrv.redfish.families.managers import update_time
from ubmc.v1alpha1.network_pb import (
    Ipv4,
    Ipv6,
    Network,
    NetworkInterface,
    NetworkProtocol,
    Time,
    UpdateNetworkInterfaceRequest,
    UpdateNetworkProtocolRequest,
    UpdateNetworkRequest,
    Vlan,
)
from ubmc.v1alpha1.network_rpc import NetworkService, TimeService

# --- protocols ----------------------------------------------------------------------------------------------------


async def _protocol(name: str, context: Context, values: Values) -> None:
    ours = network.NAMES[name]
    now: NetworkProtocol | None = context.view.table("protocol").get(ours)
    if now is None:
        raise NotFound(f"this BMC has no {name}")
    fields = {path.rpartition("/")[2]: value for path, value in values.items()}
    wanted = NetworkProtocol(
        name=ours, enabled=fields.get("ProtocolEnabled", now.enabled), port=fields.get("Port", now.port)
    )
    mask = [ours for theirs, ours in (("ProtocolEnabled", "enabled"), ("Port", "port")) if theirs in fields]
    request = UpdateNetworkProtocolRequest(network_protocol=wanted, update_mask=FieldMask(paths=mask))
    answer = await context.call(NetworkService.UpdateNetworkProtocol, request)
    context.model.put("protocol", ours, answer.network_protocol)


async def _ntp(context: Context, values: Values) -> None:
    fields: dict[str, Any] = {}
    if "NTP/NTPServers" in values:
        now: Time | None = context.view.table("time").get("")
        servers = list(now.ntp_servers) if now is not None else []
        fields["ntp_servers"] = _texts("NTP/NTPServers", servers, values)
    if "NTP/ProtocolEnabled" in values:
        fields["ntp_enabled"] = values["NTP/ProtocolEnabled"]
    await update_time(context, list(fields), **fields)


def _paths(name: str, *fields: str) -> tuple[str, ...]:
    return tuple(f"{name}/{field}" for field in fields)


_PROTOCOLS = (
    *(
        Unit(_paths(name, "ProtocolEnabled", "Port"), partial(_protocol, name), NetworkService.UpdateNetworkProtocol)
        for name in network.NAMES
        if name != "NTP"
    ),
    Unit(_paths("NTP", "ProtocolEnabled", "NTPServers"), _ntp, TimeService.UpdateTime),
    Unit(_paths("NTP", "Port"), partial(_protocol, "NTP"), NetworkService.UpdateNetworkProtocol),
)


# --- interfaces ---------------------------------------------------------------------------------------------------


def _now(context: Context) -> NetworkInterface:
    found: NetworkInterface | None = context.view.table("interface").get(context.params["interface"])
    if found is None:
        raise NotFound("the interface is not there any more")
    return found


async def _update(context: Context, mask: list[str], **fields: Any) -> None:
    wanted = NetworkInterface(name=context.params["interface"], **fields)
    request = UpdateNetworkInterfaceRequest(network_interface=wanted, update_mask=FieldMask(paths=mask))
    answer = await context.call(NetworkService.UpdateNetworkInterface, request)
    context.model.put("interface", wanted.name, answer.network_interface)


_PLAIN = {
    "InterfaceEnabled": "enabled",
    "MACAddress": "mac_address",
    "SpeedMbps": "speed_mbps",
    "FullDuplex": "full_duplex",
    "AutoNeg": "auto_negotiation",
    "MTUSize": "mtu",
}


async def _plain(context: Context, values: Values) -> None:
    fields = {_PLAIN[name]: value for name, value in values.items()}
    with blaming(context.path, {_PLAIN[name]: name for name in values}, tuple(values)):
        await _update(context, list(fields), **fields)


async def _vlan(context: Context, values: Values) -> None:
    names = {"VLAN/VLANEnable": "enabled", "VLAN/VLANId": "id", "VLAN/VLANPriority": "priority"}
    fields = {names[path]: value for path, value in values.items()}
    with blaming(context.path, {names[path]: path for path in values}, tuple(values)):
        await _update(context, [f"vlan.{name}" for name in fields], vlan=Vlan(**fields))


async def _dhcp4(context: Context, values: Values) -> None:
    await _update(context, ["ipv4.dhcp"], ipv4=Ipv4(dhcp=values["DHCPv4/DHCPEnabled"]))


async def _static4(context: Context, values: Values) -> None:
    now = _now(context).ipv4 or Ipv4()
    name = "IPv4StaticAddresses"
    sent = _merged(name, network.static4(now), values)
    asked = {
        each["Gateway"]: f"/{name}/{at}/Gateway" for at, each in enumerate(values[name]) if (each or {}).get("Gateway")
    }
    if len(asked) > 1:
        text = "an interface has one gateway for IPv4: give all of its addresses the same, or say it at one of them"
        raise RedfishError(400, Message("PropertyValueConflict", (name, name), tuple(asked.values()), text))
    kept = next((each["Gateway"] for each in sent if each.get("Gateway")), "")
    gateway = next(iter(asked), kept)
    told = Ipv4(static_addresses=_addresses("IPv4StaticAddresses", sent), static_gateway=gateway)
    await _update(context, ["ipv4.static_addresses", "ipv4.static_gateway"], ipv4=told)


_V6 = {
    "IPv6Enabled": ("enabled", bool),
    "StatelessAddressAutoConfig/IPv6AutoConfigEnabled": ("autoconf", bool),
    "DHCPv6/OperatingMode": ("dhcp", lambda mode: mode == "Enabled"),
}


async def _v6(context: Context, values: Values) -> None:
    fields = {_V6[path][0]: _V6[path][1](value) for path, value in values.items()}
    await _update(context, [f"ipv6.{name}" for name in fields], ipv6=Ipv6(**fields))


async def _static6(context: Context, values: Values) -> None:
    now = _now(context).ipv6 or Ipv6()
    sent = _merged("IPv6StaticAddresses", network.static6(now), values)
    told = Ipv6(static_addresses=_addresses("IPv6StaticAddresses", sent))
    await _update(context, ["ipv6.static_addresses"], ipv6=told)


async def _gateways6(context: Context, values: Values) -> None:
    now = _now(context).ipv6 or Ipv6()
    name = "IPv6StaticDefaultGateways"
    sent = _merged(name, network.gateways6(now), values)
    gateway = str(_addresses(name, sent)[0].address) if sent else ""
    await _update(context, ["ipv6.static_gateway"], ipv6=Ipv6(static_gateway=gateway))


def _merged(name: str, now: list[dict[str, Any]], values: Values) -> list[dict[str, Any]]:
    try:
        return network.merged(now, values[name])
    except ValueError as error:
        raise _wrong(name, error) from None


def _texts(name: str, now: list[str], values: Values) -> list[str]:
    try:
        return network.merged_texts(now, values[name])
    except ValueError as error:
        raise _wrong(name, error) from None


def _addresses(name: str, sent: list[dict[str, Any]]) -> list[Any]:
    try:
        return [network.address(each) for each in sent]
    except ValueError as error:
        raise _wrong(name, error) from None


def _wrong(name: str, error: ValueError) -> RedfishError:
    return RedfishError(400, Message("PropertyValueError", (name,), (f"/{name}",), f"{name}: {error}"))


async def _names(context: Context, values: Values) -> None:
    """The name of the BMC belongs to all of its interfaces."""
    fields: dict[str, Any] = {}
    if "FQDN" in values:
        host, _, domain = values["FQDN"].partition(".")
        fields |= {"host_name": host, "domain": domain}
    if "HostName" in values:
        fields["host_name"] = values["HostName"]
    if "StaticNameServers" in values:
        told = list(network.network(context.view).static_dns_servers)
        fields["static_dns_servers"] = _texts("StaticNameServers", told, values)
    request = UpdateNetworkRequest(network=Network(**fields), update_mask=FieldMask(paths=list(fields)))
    answer = await context.call(NetworkService.UpdateNetwork, request)
    context.model.put("network", "", answer.network)


FAMILY = Family(
    patches={
        network.PROTOCOLS: _PROTOCOLS,
        network.INTERFACE: (
            Unit(tuple(_PLAIN), _plain, NetworkService.UpdateNetworkInterface),
            Unit(("HostName", "FQDN"), _names, NetworkService.UpdateNetwork),
            Unit(("StaticNameServers",), _names, NetworkService.UpdateNetwork),
            Unit(_paths("VLAN", "VLANEnable", "VLANId", "VLANPriority"), _vlan, NetworkService.UpdateNetworkInterface),
            Unit(("DHCPv4/DHCPEnabled",), _dhcp4, NetworkService.UpdateNetworkInterface),
            Unit(("IPv4StaticAddresses",), _static4, NetworkService.UpdateNetworkInterface),
            Unit(tuple(_V6), _v6, NetworkService.UpdateNetworkInterface),
            Unit(("IPv6StaticAddresses",), _static6, NetworkService.UpdateNetworkInterface),
            Unit(("IPv6StaticDefaultGateways",), _gateways6, NetworkService.UpdateNetworkInterface),
        ),
    }
)
