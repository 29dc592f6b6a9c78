"""The BMC's own network: its interfaces, and the protocols by which it can be reached."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from ubmc.protocols.redfish import layout
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.resource import MANAGER as NEEDS
from ubmc.protocols.redfish.resource import NULL, Body, Params, Resource, known, members
from ubmc.protocols.redfish.shape import Prop, Shape
from ubmc.protocols.redfish.types import ROOT
from ubmc.v1alpha1.network_pb import (
    AddressOrigin,
    InterfaceAddress,
    Ipv4,
    Ipv6,
    LinkState,
    Network,
    NetworkInterface,
    Time,
    Vlan,
)

MANAGER = f"{ROOT}/Managers/{{manager}}"
PROTOCOLS = f"{MANAGER}/NetworkProtocol"
INTERFACES = f"{MANAGER}/EthernetInterfaces"
INTERFACE = f"{INTERFACES}/{{interface}}"
CERTIFICATES = f"{PROTOCOLS}/HTTPS/Certificates"

NAMES = {
    "HTTP": "http",
    "HTTPS": "https",
    "SSH": "ssh",
    "IPMI": "ipmi",
    "SSDP": "ssdp",
    "NTP": "ntp",
    "KVMIP": "kvm",
}
"""Protocols by what Redfish calls them."""
_PORTS = {"HTTP": 80, "HTTPS": 443, "SSH": 22, "IPMI": 623, "SSDP": 1900, "NTP": 123, "KVMIP": 5900}
_ORIGINS4 = {
    AddressOrigin.STATIC: "Static",
    AddressOrigin.DHCP: "DHCP",
    AddressOrigin.LINK_LOCAL: "IPv4LinkLocal",
}
_ORIGINS6 = {
    AddressOrigin.STATIC: "Static",
    AddressOrigin.DHCP: "DHCPv6",
    AddressOrigin.LINK_LOCAL: "LinkLocal",
    AddressOrigin.AUTOCONF: "SLAAC",
}
_LINKS = {LinkState.UP: "LinkUp", LinkState.DOWN: "LinkDown"}


def network(view: View) -> Network:
    """What holds for the whole BMC."""
    return view.table("network").get("") or Network()


def full_name(told: Network) -> str:
    """Host name and domain."""
    return ".".join(part for part in (told.host_name, told.domain) if part)


def protocols(view: View, params: Params) -> Body | None:
    """By which protocols the BMC can be reached."""
    if layout.controller(view, params["manager"]) is None:
        return None
    told, table = network(view), view.table("protocol")
    found: Body = {
        "Id": "NetworkProtocol",
        "Name": "Network Protocols",
        "HostName": told.host_name or None,
        "FQDN": full_name(told) or None,
        "Status": {"State": "Enabled", "Health": "OK"},
    }
    for name, ours in NAMES.items():
        each = table.get(ours)
        if each is not None:
            found[name] = {"ProtocolEnabled": each.enabled, "Port": each.port or _PORTS[name]}
        elif name == "HTTPS":
            found[name] = {"ProtocolEnabled": True, "Port": None}
    certificates = view.link(CERTIFICATES, manager=params["manager"])
    if certificates is not None:
        found["HTTPS"]["Certificates"] = certificates
    time: Time | None = view.table("time").get("")
    if time is not None and "NTP" in found:
        found["NTP"] |= {"ProtocolEnabled": time.ntp_enabled, "NTPServers": list(time.ntp_servers)}
    return found


def collection(view: View, params: Params) -> Body | None:
    """The interfaces of the BMC."""
    if layout.controller(view, params["manager"]) is None:
        return None
    return {
        "Name": "Ethernet Interfaces",
        **members(INTERFACES.format(**params), view.table("interface").names()),
    }


def interface(view: View, params: Params) -> Body | None:
    """One interface of the BMC."""
    one: NetworkInterface | None = view.table("interface").get(params["interface"])
    if one is None or layout.controller(view, params["manager"]) is None:
        return None
    told = network(view)
    return known(
        {
            "Id": one.name,
            "Name": one.name,
            "EthernetInterfaceType": "Physical",
            "InterfaceEnabled": one.enabled,
            "LinkStatus": _LINKS.get(one.link, "NoLink"),
            "MACAddress": one.mac_address.upper() or NULL,
            "PermanentMACAddress": one.permanent_mac_address.upper(),
            "SpeedMbps": one.speed_mbps or NULL,
            "FullDuplex": one.full_duplex,
            "AutoNeg": one.auto_negotiation,
            "MTUSize": one.mtu or None,
            "HostName": told.host_name or NULL,
            "FQDN": full_name(told) or NULL,
            "NameServers": list(told.dns_servers),
            "StaticNameServers": list(told.static_dns_servers),
            "VLAN": _vlan(one.vlan or Vlan()),
            **_v4(one.ipv4 or Ipv4()),
            **_v6(one.ipv6 or Ipv6()),
            "Status": {"State": "Enabled" if one.enabled else "Disabled", "Health": "OK"},
        }
    )


def _vlan(vlan: Vlan) -> Body:
    return known({"VLANEnable": vlan.enabled, "VLANId": vlan.id, "VLANPriority": vlan.priority})


def _v4(told: Ipv4) -> Body:
    return {
        "DHCPv4": {"DHCPEnabled": told.dhcp},
        "IPv4Addresses": [_address4(each, told.gateway, each.origin) for each in told.addresses],
        "IPv4StaticAddresses": static4(told),
    }


def static4(told: Ipv4) -> list[Body]:
    """The addresses that were set, as they are shown and sent."""
    return [_address4(each, told.static_gateway) for each in told.static_addresses]


def _address4(each: InterfaceAddress, gateway: str, origin: AddressOrigin | None = None) -> Body:
    found = {
        "Address": each.address,
        "SubnetMask": str(ipaddress.IPv4Network((0, each.prefix_length)).netmask),
        "Gateway": gateway or None,
    }
    return found if origin is None else {**found, "AddressOrigin": _ORIGINS4.get(origin, "Static")}


def _v6(told: Ipv6) -> Body:
    return {
        "IPv6Enabled": told.enabled,
        "DHCPv6": {"OperatingMode": "Enabled" if told.dhcp else "Disabled"},
        "StatelessAddressAutoConfig": {"IPv6AutoConfigEnabled": told.autoconf},
        "IPv6Addresses": [
            {
                "Address": each.address,
                "PrefixLength": each.prefix_length,
                "AddressOrigin": _ORIGINS6.get(each.origin, "Static"),
                "AddressState": "Preferred",
            }
            for each in told.addresses
        ],
        "IPv6StaticAddresses": static6(told),
        "IPv6DefaultGateway": told.gateway or None,
        "IPv6StaticDefaultGateways": gateways6(told),
    }


def static6(told: Ipv6) -> list[Body]:
    """The addresses that were set, as they are shown and sent."""
    return [{"Address": each.address, "PrefixLength": each.prefix_length} for each in told.static_addresses]


def gateways6(told: Ipv6) -> list[Body]:
    """The gateways that were set, as they are shown and sent."""
    return [{"Address": told.static_gateway}] if told.static_gateway else []


def merged(now: Sequence[Body], sent: Iterable[Any]) -> list[Body]:
    """An array after a PATCH (DSP0266, "Array properties"): null takes one away, an empty object keeps it.

    Raises:
        ValueError: an element is no object.
    """
    found = []
    for index, each in enumerate(sent):
        if each is None:
            continue
        if not isinstance(each, dict):
            raise ValueError("an element is no object")
        before = now[index] if index < len(now) else {}
        after = {**before, **each}
        if after:
            found.append(after)
    return found


def merged_texts(now: Sequence[str], sent: Iterable[Any]) -> list[str]:
    """The same for an array of texts.

    Raises:
        ValueError: an element is no text.
    """
    found = []
    for index, each in enumerate(sent):
        if each == {} and index < len(now):
            found.append(now[index])
        elif isinstance(each, str):
            if each:
                found.append(each)
        elif each is not None:
            raise ValueError("an element is no text")
    return found


def address(sent: Body) -> InterfaceAddress:
    """An address that was sent.

    Raises:
        ValueError: it is none, or its mask is none.
    """
    text = sent.get("Address")
    if not isinstance(text, str):
        raise ValueError("Address is missing")
    parsed = ipaddress.ip_address(text)
    if parsed.version == 4:
        mask = sent.get("SubnetMask")
        if not isinstance(mask, str):
            raise ValueError("SubnetMask is missing")
        length = ipaddress.IPv4Network(f"0.0.0.0/{mask}").prefixlen
    else:
        length = sent.get("PrefixLength", 64)
    return InterfaceAddress(address=str(parsed), prefix_length=length)


_SWITCH: Shape = {"ProtocolEnabled": Prop("boolean"), "Port": Prop("integer", minimum=1, maximum=65535)}
PROTOCOLS_PATCH: Shape = {
    **{name: _SWITCH for name in NAMES if name != "NTP"},
    "NTP": {**_SWITCH, "NTPServers": Prop("array", longest=8)},
}
_ADDRESS4: Shape = {
    "Address": Prop(longest=15),
    "SubnetMask": Prop(longest=15),
    "Gateway": Prop(longest=15, nullable=True),
}
_ADDRESS6: Shape = {
    "Address": Prop(longest=45),
    "PrefixLength": Prop("integer", minimum=0, maximum=128),
}
PATCH: Shape = {
    "InterfaceEnabled": Prop("boolean"),
    "MACAddress": Prop(pattern="[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}"),
    "SpeedMbps": Prop("integer", minimum=0, maximum=400000),
    "FullDuplex": Prop("boolean"),
    "AutoNeg": Prop("boolean"),
    "MTUSize": Prop("integer", minimum=68, maximum=65536),
    "HostName": Prop(longest=63),
    "FQDN": Prop(longest=253),
    "StaticNameServers": Prop("array", longest=4),
    "VLAN": {
        "VLANEnable": Prop("boolean"),
        "VLANId": Prop("integer", minimum=0, maximum=4094),
        "VLANPriority": Prop("integer", minimum=0, maximum=7),
    },
    "DHCPv4": {"DHCPEnabled": Prop("boolean")},
    "DHCPv6": {"OperatingMode": Prop(values=("Enabled", "Disabled"))},
    "StatelessAddressAutoConfig": {"IPv6AutoConfigEnabled": Prop("boolean")},
    "IPv4StaticAddresses": Prop("array", longest=4, items=_ADDRESS4),
    "IPv6StaticAddresses": Prop("array", longest=8, items=_ADDRESS6),
    "IPv6StaticDefaultGateways": Prop("array", longest=1, items=_ADDRESS6),
    "IPv6Enabled": Prop("boolean"),
}

RESOURCES = (
    Resource(
        PROTOCOLS,
        "ManagerNetworkProtocol",
        protocols,
        write=NEEDS,
        patch=PROTOCOLS_PATCH,
        about="By which protocols the BMC can be reached.",
    ),
    Resource(INTERFACES, "EthernetInterfaceCollection", collection, about="The network interfaces of the BMC."),
    Resource(
        INTERFACE,
        "EthernetInterface",
        interface,
        write=NEEDS,
        patch=PATCH,
        about="One network interface of the BMC.",
    ),
)
