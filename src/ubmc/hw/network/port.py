"""The port for the BMC's own network: what netmgr is told of the machine that it runs on. It changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class Origin(Enum):
    """Where an address comes from, as far as that can be seen."""

    UNKNOWN = "unknown"
    LINK_LOCAL = "link-local"
    AUTOCONF = "autoconf"


@dataclass(frozen=True, slots=True)
class Address:
    """An address of an interface: `192.0.2.10`, `2001:db8::10`."""

    address: str
    prefix_length: int
    origin: Origin = Origin.UNKNOWN


@dataclass(frozen=True, slots=True)
class Counters:
    """What an interface has carried since it came up."""

    received_bytes: int = 0
    received_packets: int = 0
    received_errors: int = 0
    received_dropped: int = 0
    sent_bytes: int = 0
    sent_packets: int = 0
    sent_errors: int = 0
    sent_dropped: int = 0


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface."""

    name: str
    mac_address: str = ""
    permanent_mac_address: str = ""
    """As it was made; empty if that is not known."""
    enabled: bool = False
    link: bool | None = None
    """Whether the cable carries; None if that cannot be seen."""
    speed_mbps: int = 0
    """0 if that is not known."""
    full_duplex: bool = False
    mtu: int = 0
    vlan: int = 0
    """The virtual LAN that it is in; 0 for none."""
    ipv4: tuple[Address, ...] = ()
    ipv4_gateway: str = ""
    ipv6: tuple[Address, ...] = ()
    ipv6_gateway: str = ""
    counters: Counters = field(default_factory=Counters, compare=False)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is seen at one moment."""

    host_name: str = ""
    domain: str = ""
    dns_servers: tuple[str, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    synchronized: bool = False
    """The clock agrees with a time server."""
    utc_offset_minutes: int = 0
    ntp_servers: tuple[str, ...] = ()


class Network(Protocol):
    """The network of the machine that we run on."""

    async def read(self) -> Facts:
        """What there is now. Raises `Unavailable` if the operating system does not tell."""
