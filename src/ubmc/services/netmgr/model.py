"""The network of a simulated BMC: what it would be like if its settings were those of a real one. Pure.

It never touches the machine that u-bmc runs on. Its networks are those of documentation (RFC 5737, RFC 3849), so that
nobody takes an address of it for one that can be reached.
"""

from __future__ import annotations

import copy
import hashlib
import ipaddress
from collections.abc import Mapping

from ubmc.services.netmgr import addresses
from ubmc.services.netmgr.addresses import wrong
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

NETWORK_FIELDS = ("host_name", "domain", "static_dns_servers")
INTERFACE_FIELDS = (
    "mac_address",
    "enabled",
    "speed_mbps",
    "full_duplex",
    "auto_negotiation",
    "mtu",
    "vlan.enabled",
    "vlan.id",
    "vlan.priority",
    "ipv4.dhcp",
    "ipv4.static_addresses",
    "ipv4.static_gateway",
    "ipv6.enabled",
    "ipv6.autoconf",
    "ipv6.dhcp",
    "ipv6.static_addresses",
    "ipv6.static_gateway",
)
TIME_FIELDS = ("time", "utc_offset_minutes", "ntp_enabled", "ntp_servers")
_DHCP_NETWORK = ipaddress.IPv4Network("192.0.2.0/24")
_DHCP_FIRST = 10
_DHCP_DNS = "192.0.2.53"
_ROUTED = ipaddress.IPv6Network("2001:db8::/64")
_ROUTER = "fe80::1"
_SPEEDS = (10, 100, 1000)
_MTU = (576, 9000)
_IPV6_MTU = 1280  # RFC 8200, section 5


def fresh_network(host_name: str) -> Network:
    """What holds for a BMC that nobody has changed."""
    return Network(host_name=host_name)


def fresh_interface(name: str, seed: str) -> NetworkInterface:
    """An interface that nobody has changed; the seed makes its address, which is locally administered."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=5).digest()
    mac = ":".join(f"{octet:02x}" for octet in (0x02, *digest))
    return NetworkInterface(
        name=name,
        mac_address=mac,
        permanent_mac_address=mac,
        enabled=True,
        speed_mbps=_SPEEDS[-1],
        full_duplex=True,
        auto_negotiation=True,
        mtu=1500,
        vlan=Vlan(),
        ipv4=Ipv4(dhcp=True),
        ipv6=Ipv6(enabled=True, autoconf=True),
    )


def fresh_time() -> Time:
    """The settings of a clock that nobody has changed."""
    return Time(ntp_enabled=True, ntp_servers=["pool.ntp.org"])


def check_interface(settings: NetworkInterface) -> NetworkInterface:
    """Settings made whole. Raises `Invalid` for what no interface can have."""
    settings = copy.deepcopy(settings)
    name = settings.name
    settings.vlan = settings.vlan or Vlan()
    settings.ipv4 = settings.ipv4 or Ipv4()
    settings.ipv6 = settings.ipv6 or Ipv6()
    settings.mac_address = (settings.mac_address or settings.permanent_mac_address).lower()
    addresses.check_mac(f"{name}.mac_address", settings.mac_address)
    low = _IPV6_MTU if settings.ipv6.enabled else _MTU[0]
    if not low <= settings.mtu <= _MTU[1]:
        raise wrong(f"{name}.mtu", f"has to be from {low} to {_MTU[1]}")
    if settings.auto_negotiation:
        settings.speed_mbps, settings.full_duplex = _SPEEDS[-1], True
    elif settings.speed_mbps not in _SPEEDS:
        raise wrong(f"{name}.speed_mbps", f"has to be one of {', '.join(map(str, _SPEEDS))}")
    if settings.vlan.enabled and not settings.vlan.id:
        raise wrong(f"{name}.vlan.id", "has to be from 1 to 4094 for a VLAN that is enabled")
    addresses.check_ipv4(name, settings.ipv4)
    addresses.check_ipv6(name, settings.ipv6)
    return settings


def interface(settings: NetworkInterface, number: int) -> NetworkInterface:
    """An interface as it is with these settings; `number` counts interfaces from 0."""
    shown = copy.deepcopy(settings)
    ipv4, ipv6 = shown.ipv4 or Ipv4(), shown.ipv6 or Ipv6()
    shown.ipv4, shown.ipv6 = ipv4, ipv6
    ipv4.addresses, ipv4.gateway, ipv6.addresses, ipv6.gateway = [], "", [], ""
    shown.link = LinkState.UP if shown.enabled else LinkState.DOWN
    if not shown.enabled:
        shown.speed_mbps = 0
        return shown
    if ipv4.dhcp:
        address = str(_DHCP_NETWORK[_DHCP_FIRST + number])
        ipv4.addresses = [_made(address, _DHCP_NETWORK.prefixlen, AddressOrigin.DHCP)]
        ipv4.gateway = str(_DHCP_NETWORK[1])
    else:
        ipv4.addresses = _static(ipv4.static_addresses)
        ipv4.gateway = ipv4.static_gateway
    if ipv6.enabled:
        ipv6.addresses = [addresses.link_local(shown.mac_address), *_static(ipv6.static_addresses)]
        if ipv6.autoconf:
            routed = addresses.from_mac(shown.mac_address, _ROUTED)
            ipv6.addresses.append(_made(routed, _ROUTED.prefixlen, AddressOrigin.AUTOCONF))
        ipv6.gateway = ipv6.static_gateway or (_ROUTER if ipv6.autoconf else "")
    return shown


def network(settings: Network, interfaces: Mapping[str, NetworkInterface]) -> Network:
    """What holds for the whole BMC with these settings and interfaces."""
    shown = copy.deepcopy(settings)
    leased = any(each.enabled and each.ipv4 is not None and each.ipv4.dhcp for each in interfaces.values())
    shown.dns_servers = [*shown.static_dns_servers, *([_DHCP_DNS] if leased else [])]
    shown.ipv4_gateway = next(
        (each.ipv4.gateway for each in interfaces.values() if each.ipv4 and each.ipv4.gateway), ""
    )
    shown.ipv6_gateway = next(
        (each.ipv6.gateway for each in interfaces.values() if each.ipv6 and each.ipv6.gateway), ""
    )
    return shown


def _static(given: list[InterfaceAddress]) -> list[InterfaceAddress]:
    return [_made(each.address, each.prefix_length, AddressOrigin.STATIC) for each in given]


def _made(address: str, prefix_length: int, origin: AddressOrigin) -> InterfaceAddress:
    return InterfaceAddress(address=address, prefix_length=prefix_length, origin=origin)
