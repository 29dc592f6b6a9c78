"""The network of a Linux machine, read from sysfs, procfs and three files of /etc; nothing is changed.

The one thing to know: IPv4 addresses stand in no file. They are asked for by SIOCGIFCONF and SIOCGIFNETMASK
(netdevice(7)), which name every address of every interface; an alias such as `eth0:1` counts as its interface.
"""

from __future__ import annotations

import array
import asyncio
import ctypes
import fcntl
import ipaddress
import socket
import struct
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ubmc.hw.network.port import Address, Counters, Facts, Interface, Origin
from ubmc.hw.sysfs import text_or_none
from ubmc.kit.errors import Unavailable

_SIOCGIFCONF = 0x8912
_SIOCGIFNETMASK = 0x891B
_IFREQ_BYTES = 40 if struct.calcsize("P") == 8 else 32
_MOST_ADDRESSES = 256
_LOOPBACK_TYPE = "772"  # ARPHRD_LOOPBACK of if_arp.h
_UP = 0x1  # IFF_UP of if.h
_RTF_GATEWAY = 0x2  # route.h
_LINK_SCOPE = 0x20  # IPV6_ADDR_LINKLOCAL of net/ipv6.h
_PERMANENT = 0x80  # IFA_F_PERMANENT of if_addr.h: what was set by hand has no end
_UNSYNCHRONIZED = 0x0040  # STA_UNSYNC of timex.h
_COUNTERS = (
    "rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "tx_bytes", "tx_packets", "tx_errors", "tx_dropped",
)  # fmt: skip

Ipv4 = Callable[[], Iterable[tuple[str, str, int]]]
"""Interface, address and length of its prefix, of every IPv4 address."""


class LinuxNetwork:
    """The network of this machine. Loopback is left out.

    Args:
        root: where `sys`, `proc` and `etc` are.
        ipv4: what tells IPv4 addresses.
        synchronized: what tells whether the clock agrees with a time server.
    """

    def __init__(
        self, root: Path = Path("/"), ipv4: Ipv4 | None = None, synchronized: Callable[[], bool] | None = None
    ) -> None:
        self._root = root
        self._ipv4 = ipv4 or ipv4_addresses
        self._synchronized = synchronized or clock_synchronized

    async def read(self) -> Facts:
        """What there is now; see `ubmc.hw.network.port.Network`."""
        try:
            return await asyncio.to_thread(self._read)
        except OSError as error:
            raise Unavailable(f"the network of this machine cannot be read: {error}") from error

    def _read(self) -> Facts:
        name, _, domain = socket.gethostname().partition(".")
        servers, searched = self._resolver()
        return Facts(
            host_name=name,
            domain=domain or searched,
            dns_servers=servers,
            interfaces=self._interfaces(),
            synchronized=self._synchronized(),
            utc_offset_minutes=time.localtime().tm_gmtoff // 60,
            ntp_servers=self._ntp_servers(),
        )

    def _lines(self, path: str) -> list[str]:
        try:
            return (self._root / path).read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return []

    def _resolver(self) -> tuple[tuple[str, ...], str]:
        """Name servers and domain (resolv.conf(5))."""
        words = [line.split() for line in self._lines("etc/resolv.conf")]
        servers = tuple(each[1] for each in words if len(each) > 1 and each[0] == "nameserver")
        domains = [each[1] for each in words if len(each) > 1 and each[0] in {"domain", "search"}]
        return servers, domains[-1] if domains and domains[-1] != "." else ""

    def _ntp_servers(self) -> tuple[str, ...]:
        """What timesyncd and chrony are told (timesyncd.conf(5), chrony.conf(5))."""
        found = [
            line.partition("=")[2].split() for line in self._lines("etc/systemd/timesyncd.conf") if line[:4] == "NTP="
        ]
        words = [line.split() for line in self._lines("etc/chrony/chrony.conf")]
        found += [each[1:2] for each in words if each and each[0] in {"server", "pool", "peer"}]
        return tuple(dict.fromkeys(server for servers in found for server in servers))

    # --- interfaces ---------------------------------------------------------------------------------------------

    def _interfaces(self) -> tuple[Interface, ...]:
        folder = self._root / "sys/class/net"
        names = sorted(each.name for each in folder.iterdir() if (each / "address").exists())
        ipv4, ipv6 = self._ipv4_by_name(), self._ipv6_by_name()
        via4, via6 = self._gateways4(), self._gateways6()
        return tuple(
            self._interface(
                folder / name, ipv4.get(name, ()), via4.get(name, ""), ipv6.get(name, ()), via6.get(name, "")
            )
            for name in names
            if text_or_none(folder / name / "type") != _LOOPBACK_TYPE
        )

    def _interface(
        self, folder: Path, ipv4: tuple[Address, ...], gateway4: str, ipv6: tuple[Address, ...], gateway6: str
    ) -> Interface:
        carrier = text_or_none(folder / "carrier")  # cannot be read while the interface is down
        mac = text_or_none(folder / "address") or ""
        own = text_or_none(folder / "addr_assign_type") == "0"  # NET_ADDR_PERM of netdevice.h
        return Interface(
            name=folder.name,
            mac_address=mac,
            permanent_mac_address=mac if own else "",
            enabled=bool(_number(folder / "flags", 16) & _UP),
            link={"1": True, "0": False}.get(carrier or ""),
            speed_mbps=max(0, _number(folder / "speed")),
            full_duplex=text_or_none(folder / "duplex") == "full",
            mtu=_number(folder / "mtu"),
            vlan=self._vlan(folder.name),
            ipv4=ipv4,
            ipv4_gateway=gateway4,
            ipv6=ipv6,
            ipv6_gateway=gateway6,
            counters=Counters(*(max(0, _number(folder / "statistics" / name)) for name in _COUNTERS)),
        )

    def _vlan(self, name: str) -> int:
        """From /proc/net/vlan/config: `eth0.5  | 5  | eth0`."""
        for line in self._lines("proc/net/vlan/config"):
            parts = [part.strip() for part in line.split("|")]
            if len(parts) == 3 and parts[0] == name and parts[1].isdecimal():
                return int(parts[1])
        return 0

    def _ipv4_by_name(self) -> dict[str, tuple[Address, ...]]:
        found: dict[str, tuple[Address, ...]] = {}
        for name, address, length in self._ipv4():
            origin = Origin.LINK_LOCAL if ipaddress.IPv4Address(address).is_link_local else Origin.UNKNOWN
            interface = name.partition(":")[0]
            found[interface] = (*found.get(interface, ()), Address(address, length, origin))
        return found

    def _ipv6_by_name(self) -> dict[str, tuple[Address, ...]]:
        """From /proc/net/if_inet6: address, index, prefix length, scope, flags (hexadecimal), name."""
        found: dict[str, tuple[Address, ...]] = {}
        for line in self._lines("proc/net/if_inet6"):
            digits, _index, length, scope, flags, name = line.split()
            origin = Origin.UNKNOWN if int(flags, 16) & _PERMANENT else Origin.AUTOCONF
            origin = Origin.LINK_LOCAL if int(scope, 16) == _LINK_SCOPE else origin
            address = str(ipaddress.IPv6Address(int(digits, 16)))
            found[name] = (*found.get(name, ()), Address(address, int(length, 16), origin))
        return found

    def _gateways4(self) -> dict[str, str]:
        """From /proc/net/route: name, destination, gateway, flags, ... (hexadecimal, in the order of the machine)."""
        found: dict[str, str] = {}
        for line in self._lines("proc/net/route")[1:]:
            name, destination, gateway, flags = line.split()[:4]
            if int(destination, 16) == 0 and int(flags, 16) & _RTF_GATEWAY:
                found.setdefault(name, socket.inet_ntoa(struct.pack("=I", int(gateway, 16))))
        return found

    def _gateways6(self) -> dict[str, str]:
        """From /proc/net/ipv6_route: destination, length, source, length, next hop, metric, ..., flags, name."""
        found: dict[str, str] = {}
        for line in self._lines("proc/net/ipv6_route"):
            parts = line.split()
            if int(parts[0], 16) == 0 and int(parts[1], 16) == 0 and int(parts[4], 16):
                found.setdefault(parts[9], str(ipaddress.IPv6Address(int(parts[4], 16))))
        return found


def ipv4_addresses() -> list[tuple[str, str, int]]:
    """All IPv4 addresses of this machine, by the kernel. Raises `OSError`."""
    buffer = array.array("B", bytes(_MOST_ADDRESSES * _IFREQ_BYTES))
    place, _ = buffer.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        asked = bytearray(struct.pack("iP", len(buffer), place))
        fcntl.ioctl(sock, _SIOCGIFCONF, asked)
        size: int = struct.unpack("iP", asked)[0]
        found = []
        for start in range(0, size, _IFREQ_BYTES):
            entry = buffer[start : start + _IFREQ_BYTES].tobytes()
            name = entry[:16].split(b"\0")[0].decode()
            answer = fcntl.ioctl(sock, _SIOCGIFNETMASK, entry)
            mask = int.from_bytes(answer[20:24], "big")
            found.append((name, socket.inet_ntoa(entry[20:24]), mask.bit_count()))
        return found


class _Timex(ctypes.Structure):
    """The beginning of `struct timex` (adjtimex(2)), with room for all of it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def clock_synchronized() -> bool:
    """Whether the kernel says that its clock follows a time server (adjtimex(2)); False if it does not tell."""
    timex = _Timex()
    try:
        answer = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    except AttributeError:  # not every C library has it
        return False
    return int(answer) >= 0 and not timex.status & _UNSYNCHRONIZED


def _number(path: Path, base: int = 10) -> int:
    """The number of an attribute; 0 if there is none."""
    try:
        return int(text_or_none(path) or "0", base)
    except ValueError:
        return 0
