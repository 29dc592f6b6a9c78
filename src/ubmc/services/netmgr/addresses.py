"""Rules about addresses, and those that an interface gives itself. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from ubmc.kit.errors import Invalid, Violation
from ubmc.v1alpha1.network_pb import AddressOrigin, InterfaceAddress, Ipv4, Ipv6

_LINK_LOCAL = ipaddress.IPv6Network("fe80::/64")
_WIDTHS = {4: 32, 6: 128}


def check_ipv4(name: str, ipv4: Ipv4) -> None:
    """Raises `Invalid` for static addresses or a gateway that no interface can have."""
    field = f"{name}.ipv4"
    networks = _check_all(f"{field}.static_addresses", ipv4.static_addresses, 4)
    if ipv4.static_gateway:
        gateway = _address(f"{field}.static_gateway", ipv4.static_gateway, 4)
        if not any(gateway in network for network in networks):
            raise wrong(f"{field}.static_gateway", f"{gateway} is in the network of none of the static addresses")


def check_ipv6(name: str, ipv6: Ipv6) -> None:
    """Raises `Invalid` for static addresses or a gateway that no interface can have."""
    field = f"{name}.ipv6"
    networks = _check_all(f"{field}.static_addresses", ipv6.static_addresses, 6)
    if ipv6.static_gateway:
        gateway = _address(f"{field}.static_gateway", ipv6.static_gateway, 6)
        if not gateway.is_link_local and not any(gateway in network for network in networks):
            raise wrong(f"{field}.static_gateway", f"{gateway} is neither link-local nor in a network of the addresses")


def _check_all(
    field: str, addresses: Sequence[InterfaceAddress], version: int
) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    networks = []
    seen: set[object] = set()
    for each in addresses:
        address = _address(field, each.address, version)
        if address in seen:
            raise wrong(field, f"{address} is there twice")
        seen.add(address)
        if not 1 <= each.prefix_length <= _WIDTHS[version]:
            raise wrong(field, f"the prefix of {address} has 1 to {_WIDTHS[version]} bits")
        network = ipaddress.ip_network(f"{address}/{each.prefix_length}", strict=False)
        wide = network.num_addresses > 2  # smaller networks have no address for everybody (RFC 3021)
        if version == 4 and wide and address in {network.network_address, network.broadcast_address}:
            raise wrong(field, f"{address}/{each.prefix_length} is the address of the network or of everybody in it")
        networks.append(network)
    return networks


def _address(field: str, text: str, version: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise wrong(field, f"{text!r} is no address") from error
    if address.version != version:
        raise wrong(field, f"{address} is no IPv{version} address")
    if address.is_multicast or address.is_loopback or address.is_unspecified or getattr(address, "scope_id", None):
        raise wrong(field, f"{address} is no address that an interface of a BMC can have")
    if version == 4 and address.is_reserved:
        raise wrong(field, f"{address} is reserved")
    return address


def check_mac(field: str, mac: str) -> None:
    """Raises `Invalid` for what is no address of one card."""
    if int(mac[:2], 16) & 1 or not mac.replace(":", "").strip("0"):
        raise wrong(field, f"{mac} is no address of a single card")


def from_mac(mac: str, network: ipaddress.IPv6Network) -> str:
    """The IPv6 address of an interface in a network, made of its MAC address (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    interface = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return str(network[int.from_bytes(interface, "big")])


def link_local(mac: str) -> InterfaceAddress:
    """The address that an interface with this MAC address has on its link."""
    return InterfaceAddress(address=from_mac(mac, _LINK_LOCAL), prefix_length=64, origin=AddressOrigin.LINK_LOCAL)


def text(addresses: Sequence[InterfaceAddress]) -> str:
    """Addresses for people."""
    return ", ".join(f"{each.address}/{each.prefix_length}" for each in addresses) or "no address"


def wrong(field: str, message: str) -> Invalid:
    """The error of a field."""
    return Invalid(f"{field}: {message}", violations=[Violation(field, "network", message)])
