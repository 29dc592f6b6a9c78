"""The guard for outgoing requests that a user can name: event destinations, images, LDAP, ACME.

A BMC stands in a network that its users may not reach themselves, so it must not fetch for them what is meant for
itself: loopback, link-local addresses (with the metadata services of clouds) and the like. The name is checked before,
and the address of the peer again when connected, because a name can point elsewhere the second time (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from ubmc.kit.errors import Invalid, Refused, Unavailable

_PORTS = {"https": 443, "http": 80, "ldaps": 636, "ldap": 389}
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Metadata of clouds that is not link-local: Alibaba's, Oracle's, Azure's, and AWS's over IPv6.
_METADATA = frozenset(
    ipaddress.ip_address(each) for each in ("100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def check_address(address: str, *, allow_local: bool = False) -> None:
    """Refuse an address that a user must not make the BMC talk to.

    Args:
        address: an IPv4 or IPv6 address, with or without a zone.
        allow_local: the owner allows loopback and link-local ones.

    Raises:
        Refused: it must not be.
        Invalid: it is no address.
    """
    try:
        parsed: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError as error:
        raise Invalid(f"{address} is no address") from error
    parsed = _inner(parsed)
    if parsed.is_multicast or parsed.is_unspecified or (parsed.is_reserved and not parsed.is_loopback):
        raise Refused(f"{address} is no address of a single host")
    if not allow_local and (parsed.is_loopback or parsed.is_link_local or parsed in _METADATA):
        raise Refused(
            f"{address} is loopback, link-local or a metadata service, which the BMC does not talk to for others; "
            "an administrator can allow it: set outgoingToLocal in the security policy"
        )


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries (mapped, 6to4, Teredo, NAT64), where packets may end; else itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def check_url(url: str, schemes: Collection[str], *, allow_local: bool = False) -> str:
    """Refuse a URL that a user must not name; gives its host. Blocks for the name service.

    Raises:
        Invalid: it is no URL of these schemes, or carries a user or password.
        Refused: its host has an address that must not be.
        Unavailable: its host has no address.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid("this is no URL") from error
    if parts.scheme not in schemes or not host:
        raise Invalid(f"the URL must begin with {' or '.join(f'{scheme}://' for scheme in schemes)} and name a host")
    if parts.username is not None or parts.password is not None:
        raise Invalid("the URL must not carry a user or a password")
    try:
        found = socket.getaddrinfo(host, port or _PORTS.get(parts.scheme, 0), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"{host} has no address: {error}") from error
    for *_, place in found:
        check_address(str(place[0]), allow_local=allow_local)
    return host


def check_peer(connected: socket.socket, *, allow_local: bool = False) -> None:
    """Refuse a connection to an address that must not be; the caller closes it. Raises `Refused`."""
    check_address(str(connected.getpeername()[0]), allow_local=allow_local)
