"""Commands of the network function Transport: LAN and SOL parameters (Spec chapters 23 and 26)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from ubmc.protocols.ipmi.codes import Code, Completion, Level


class Lan(IntEnum):
    """The LAN parameters that are offered (Spec table 23-4)."""

    SET_IN_PROGRESS = 0
    AUTH_SUPPORT = 1
    AUTH_ENABLES = 2
    ADDRESS = 3
    ADDRESS_SOURCE = 4
    MAC = 5
    MASK = 6
    IP_HEADER = 7
    PORT = 8
    SECOND_PORT = 9
    ARP_CONTROL = 10
    ARP_INTERVAL = 11
    GATEWAY = 12
    GATEWAY_MAC = 13
    BACKUP_GATEWAY = 14
    BACKUP_GATEWAY_MAC = 15
    COMMUNITY = 16
    DESTINATIONS = 17
    DESTINATION_TYPE = 18
    DESTINATION_ADDRESS = 19
    VLAN_ID = 20
    VLAN_PRIORITY = 21
    CIPHER_COUNT = 22
    CIPHER_SUITES = 23
    CIPHER_LEVELS = 24
    BAD_PASSWORDS = 26
    IPV6_SUPPORT = 50
    IPV6_ENABLES = 51
    IPV6_STATUS = 55
    IPV6_STATIC = 56
    IPV6_DYNAMIC = 59
    IPV6_ROUTERS = 64
    IPV6_ROUTER_1 = 65
    IPV6_ROUTER_1_MAC = 66
    IPV6_ROUTER_1_PREFIX_LENGTH = 67
    IPV6_ROUTER_1_PREFIX = 68
    IPV6_ROUTER_2 = 69
    IPV6_ROUTER_2_MAC = 70
    IPV6_ROUTER_2_PREFIX_LENGTH = 71
    IPV6_ROUTER_2_PREFIX = 72


STATIC, DHCP = 1, 2
"""Address sources (Spec table 23-4, parameter 4)."""
_IP_HEADER = b"\x40\x40\x10"  # time to live 64, do not fragment, minimise delay (parameter 7)
_SECOND_PORT = (664).to_bytes(2, "little")
_ARP_ANSWERS = b"\x02"  # the network stack answers; none is sent unasked (parameter 10)
_VLAN_ON = 0x8000
_IPV6_ACTIVE, _IPV6_DISABLED = 0x00, 0x01
SLAAC, DHCPV6 = 1, 2
"""Sources of dynamic addresses (Spec table 23-4, parameter 59)."""
_ENABLED = 0x80  # of a static address
_MOST_STATIC, _MOST_DYNAMIC = 8, 8


@dataclass(frozen=True, slots=True)
class LanFacts:
    """What the parameters are made of."""

    address: str = "0.0.0.0"
    prefix: int = 0
    dhcp: bool = False
    mac: bytes = bytes(6)
    gateway: str = ""
    port: int = 623
    vlan: int = 0
    """0: none."""
    vlan_priority: int = 0
    cipher_suites: tuple[int, ...] = (17,)
    ipv6: bool = False
    ipv6_gateway: str = ""
    """The static one."""
    ipv6_static: tuple[tuple[str, int], ...] = ()
    ipv6_dynamic: tuple[tuple[str, int, int], ...] = field(default_factory=tuple)
    """With their sources, `SLAAC` or `DHCPV6`."""


def lan(parameter: int, facts: LanFacts, selector: int = 0) -> bytes:
    """The data of a LAN parameter (Spec section 23.2, table 23-4).

    Raises:
        Completion: 80h, it is not offered; C9h, there is no such destination or address.
    """
    if parameter in (Lan.IPV6_STATIC, Lan.IPV6_DYNAMIC):
        return _ipv6(parameter, facts, selector)
    if parameter in (Lan.DESTINATION_TYPE, Lan.DESTINATION_ADDRESS):  # only 0, the volatile one, and it is empty
        if selector & 0x0F:
            raise Completion(Code.OUT_OF_RANGE)
        return bytes(4) if parameter == Lan.DESTINATION_TYPE else bytes(13)
    suites = facts.cipher_suites
    values = {
        Lan.SET_IN_PROGRESS: b"\x00",
        Lan.AUTH_SUPPORT: b"\x00",  # none of IPMI 1.5
        Lan.AUTH_ENABLES: bytes(5),
        Lan.ADDRESS: _four(facts.address),
        Lan.ADDRESS_SOURCE: bytes((DHCP if facts.dhcp else STATIC,)),
        Lan.MAC: facts.mac,
        Lan.MASK: ipaddress.IPv4Network((0, facts.prefix)).netmask.packed,
        Lan.IP_HEADER: _IP_HEADER,
        Lan.PORT: facts.port.to_bytes(2, "little"),
        Lan.SECOND_PORT: _SECOND_PORT,
        Lan.ARP_CONTROL: _ARP_ANSWERS,
        Lan.ARP_INTERVAL: b"\x00",
        Lan.GATEWAY: _four(facts.gateway),
        Lan.GATEWAY_MAC: bytes(6),
        Lan.BACKUP_GATEWAY: bytes(4),
        Lan.BACKUP_GATEWAY_MAC: bytes(6),
        Lan.COMMUNITY: bytes(18),
        Lan.DESTINATIONS: b"\x00",
        Lan.VLAN_ID: (facts.vlan | (_VLAN_ON if facts.vlan else 0)).to_bytes(2, "little"),
        Lan.VLAN_PRIORITY: bytes((facts.vlan_priority & 0x07,)),
        Lan.CIPHER_COUNT: bytes((len(suites),)),
        Lan.CIPHER_SUITES: b"\x00" + bytes(suites),
        Lan.CIPHER_LEVELS: b"\x00" + _levels(suites),
        Lan.IPV6_SUPPORT: b"\x03",  # IPv6 only, or both, can be had
        Lan.IPV6_ENABLES: bytes((0x02 if facts.ipv6 else 0x00,)),  # both, or IPv4 only
        Lan.IPV6_STATUS: bytes((_MOST_STATIC, _MOST_DYNAMIC, 0x03)),  # DHCPv6 and SLAAC can be had
        Lan.IPV6_ROUTERS: bytes((0x03 if facts.ipv6_gateway else 0x02,)),  # static ones, those of the network
        Lan.IPV6_ROUTER_1: ipaddress.IPv6Address(facts.ipv6_gateway or "::").packed,
        Lan.IPV6_ROUTER_1_MAC: bytes(6),
        Lan.IPV6_ROUTER_1_PREFIX_LENGTH: b"\x00",
        Lan.IPV6_ROUTER_1_PREFIX: bytes(16),
        Lan.IPV6_ROUTER_2: bytes(16),
        Lan.IPV6_ROUTER_2_MAC: bytes(6),
        Lan.IPV6_ROUTER_2_PREFIX_LENGTH: b"\x00",
        Lan.IPV6_ROUTER_2_PREFIX: bytes(16),
    }
    try:
        return values[Lan(parameter)]
    except (KeyError, ValueError) as error:
        raise Completion(0x80) from error


def _levels(suites: Sequence[int]) -> bytes:
    """The highest level of each suite, 4 bits a suite.

    Clients, and advice on how to close suite 0, take the place for the number of the suite; so 17 has none.
    """
    nibbles = [Level.ADMINISTRATOR if number in suites else 0 for number in range(16)]
    return bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))


def _ipv6(parameter: int, facts: LanFacts, selector: int) -> bytes:
    """Parameters 56 and 59: one address, or a place where there is none."""
    static = parameter == Lan.IPV6_STATIC
    if selector >= (_MOST_STATIC if static else _MOST_DYNAMIC):
        raise Completion(Code.OUT_OF_RANGE)
    found = tuple((*each, _ENABLED) for each in facts.ipv6_static) if static else facts.ipv6_dynamic
    if selector >= len(found):
        return bytes((selector, 0x00)) + bytes(16) + bytes((0, _IPV6_DISABLED))
    address, prefix, source = found[selector]
    packed = ipaddress.IPv6Address(address.partition("%")[0]).packed
    return bytes((selector, source)) + packed + bytes((prefix, _IPV6_ACTIVE))


def bad_passwords(failures: int, window_seconds: float, lockout_seconds: float) -> bytes:
    """LAN parameter 26: after how many wrong passwords within which time a user is locked, and for how long."""
    tens = [min(round(seconds / 10), 0xFFFF).to_bytes(2, "little") for seconds in (window_seconds, lockout_seconds)]
    return bytes((0x01, min(failures, 255))) + b"".join(tens)


def address_of(data: bytes) -> str:
    """The address of a Set LAN Configuration Parameters."""
    if len(data) != 4:
        raise Completion(Code.LENGTH_INVALID)
    return str(ipaddress.IPv4Address(data))


def prefix_of(data: bytes) -> int:
    """The prefix length of a subnet mask.

    Raises:
        Completion: CCh, it is no mask.
    """
    try:
        return ipaddress.IPv4Network(f"0.0.0.0/{address_of(data)}").prefixlen
    except ValueError as error:
        raise Completion(Code.INVALID_FIELD) from error


def _four(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed if address else bytes(4)


def statistics(counts: Sequence[int]) -> bytes:
    """What Get IP/UDP/RMCP Statistics tells: nine counters that stay at their end (Spec section 23.4, table 23-6)."""
    return b"".join(min(each, 0xFFFF).to_bytes(2, "little") for each in counts)


# --- SOL --------------------------------------------------------------------------------------------------------------


class Sol(IntEnum):
    """SOL parameters (Spec table 26-5)."""

    SET_IN_PROGRESS = 0
    ENABLE = 1
    AUTHENTICATION = 2
    ACCUMULATE = 3
    RETRY = 4
    BIT_RATE = 5
    VOLATILE_BIT_RATE = 6
    CHANNEL = 7
    PORT = 8


SOL_LENGTHS = {Sol.SET_IN_PROGRESS: 1, Sol.ENABLE: 1, Sol.AUTHENTICATION: 1, Sol.ACCUMULATE: 2, Sol.RETRY: 2}
SOL_LENGTHS |= {Sol.BIT_RATE: 1, Sol.VOLATILE_BIT_RATE: 1, Sol.CHANNEL: 1, Sol.PORT: 2}
BIT_RATES = {9600: 0x06, 19200: 0x07, 38400: 0x08, 57600: 0x09, 115200: 0x0A}
"""Spec table 26-5, parameter 5."""
AS_IT_IS = 0x00
"""Of the bit rates: that of the serial channel."""
ACCUMULATE_STEP_SECONDS = 0.005
RETRY_STEP_SECONDS = 0.01
_FORCE_ENCRYPTION, _FORCE_AUTHENTICATION = 0x80, 0x40


def sol_authentication(level: Level, *, encryption: bool, authentication: bool) -> bytes:
    """Parameter 2."""
    flags = (_FORCE_ENCRYPTION if encryption else 0) | (_FORCE_AUTHENTICATION if authentication else 0)
    return bytes((flags | level,))


def new_sol_authentication(data: bytes) -> tuple[Level, bool, bool]:
    """Level, encryption and authentication of parameter 2.

    Raises:
        Completion: CCh, there is no such level for SOL.
    """
    if data[0] & 0x0F not in (Level.USER, Level.OPERATOR, Level.ADMINISTRATOR):
        raise Completion(Code.INVALID_FIELD)
    return Level(data[0] & 0x0F), bool(data[0] & _FORCE_ENCRYPTION), bool(data[0] & _FORCE_AUTHENTICATION)
