"""From what a real machine shows of its network to what people are shown. Pure."""

from __future__ import annotations

from ubmc.hw.network import port
from ubmc.v1alpha1.network_pb import (
    AddressOrigin,
    InterfaceAddress,
    InterfaceStatistics,
    Ipv4,
    Ipv6,
    LinkState,
    Network,
    NetworkInterface,
    Time,
    Vlan,
)

FIXED = "the network of this board belongs to its operating system: change it there"
FIXED_TIME = "the clock of this board belongs to its operating system: change it there"
_ORIGINS = {
    port.Origin.UNKNOWN: AddressOrigin.UNSPECIFIED,
    port.Origin.LINK_LOCAL: AddressOrigin.LINK_LOCAL,
    port.Origin.AUTOCONF: AddressOrigin.AUTOCONF,
}
_LINKS = {None: LinkState.UNSPECIFIED, True: LinkState.UP, False: LinkState.DOWN}


def interface(seen: port.Interface) -> NetworkInterface:
    """An interface, without its statistics."""
    return NetworkInterface(
        name=seen.name,
        mac_address=seen.mac_address,
        permanent_mac_address=seen.permanent_mac_address,
        enabled=seen.enabled,
        link=_LINKS[seen.link],
        speed_mbps=seen.speed_mbps,
        full_duplex=seen.full_duplex,
        mtu=seen.mtu,
        vlan=Vlan(enabled=seen.vlan > 0, id=seen.vlan),
        ipv4=Ipv4(addresses=_addresses(seen.ipv4), gateway=seen.ipv4_gateway),
        ipv6=Ipv6(enabled=bool(seen.ipv6), addresses=_addresses(seen.ipv6), gateway=seen.ipv6_gateway),
        fixed_reason=FIXED,
    )


def statistics(seen: port.Counters) -> InterfaceStatistics:
    """What it has carried."""
    return InterfaceStatistics(
        received_bytes=seen.received_bytes,
        received_packets=seen.received_packets,
        received_errors=seen.received_errors,
        received_dropped=seen.received_dropped,
        sent_bytes=seen.sent_bytes,
        sent_packets=seen.sent_packets,
        sent_errors=seen.sent_errors,
        sent_dropped=seen.sent_dropped,
    )


def network(seen: port.Facts) -> Network:
    """What holds for the whole BMC."""
    return Network(
        host_name=seen.host_name,
        domain=seen.domain,
        dns_servers=list(seen.dns_servers),
        ipv4_gateway=next((each.ipv4_gateway for each in seen.interfaces if each.ipv4_gateway), ""),
        ipv6_gateway=next((each.ipv6_gateway for each in seen.interfaces if each.ipv6_gateway), ""),
        fixed_reason=FIXED,
    )


def time(seen: port.Facts) -> Time:
    """The settings of the clock."""
    return Time(
        utc_offset_minutes=seen.utc_offset_minutes,
        ntp_enabled=seen.synchronized or bool(seen.ntp_servers),
        ntp_servers=list(seen.ntp_servers),
        synchronized=seen.synchronized,
        fixed_reason=FIXED_TIME,
    )


def _addresses(seen: tuple[port.Address, ...]) -> list[InterfaceAddress]:
    return [
        InterfaceAddress(address=each.address, prefix_length=each.prefix_length, origin=_ORIGINS[each.origin])
        for each in seen
    ]
