"""What counts as one address when something is counted or limited by address."""

from __future__ import annotations

import ipaddress


def address_key(host: str, unknown: str | None = None) -> str:
    """An IPv4 address, or the /64 network of an IPv6 one, since a host owns a whole /64.

    Args:
        host: an address, with or without a zone.
        unknown: what to give for what is no address; that itself unless said.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host if unknown is None else unknown
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))
