"""A UDP socket that answers from the address that was asked.

Bound to a wildcard address, a plain UDP socket answers from whatever address the route prefers, and clients on another
network never recognize the answer. So we ask the kernel for the destination of each datagram and send from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from ubmc.kit.addresses import address_key
from ubmc.kit.errors import Unavailable
from ubmc.protocols.ipmi import rmcp

log = logging.getLogger("ubmc.ipmisrv")

GULP = 64
"""Datagrams that are read before others get their turn."""
BUFFER_BYTES = 256 * 1024
REMEMBERED = 1024
_IP_PKTINFO = 8  # linux/in.h; the socket module has no name for it
_PKTINFO4 = struct.Struct("=I4s4s")  # ip(7), struct in_pktinfo: interface, local address, destination
_PKTINFO6 = struct.Struct("=16sI")  # ipv6(7), struct in6_pktinfo: destination, interface
_ANCILLARY = socket.CMSG_SPACE(_PKTINFO6.size) + socket.CMSG_SPACE(_PKTINFO4.size)

Ancillary = list[tuple[int, int, bytes]]


class Sender(Protocol):
    """A socket that answers."""

    @property
    def port(self) -> int:
        """Where it listens."""
        ...

    def send(self, datagram: bytes, where: Any, source: Ancillary) -> None:
        """Send a datagram, from where the question went; what cannot be sent now is lost."""
        ...


class Peer(NamedTuple):
    """The other end of a datagram, and how to answer it."""

    endpoint: Sender
    where: Any
    """The socket address."""
    source: Ancillary
    address: str
    """For people: an IPv4 address within an IPv6 one is that IPv4 address."""
    port: int
    counted: str
    """What limits count by."""

    def send(self, datagram: bytes) -> None:
        """Send it, or let it go if the network cannot take it now."""
        self.endpoint.send(datagram, self.where, self.source)


class Endpoint:
    """One address that we listen on.

    Args:
        host: an address, or a name of this machine.
        port: 0: any that is free.
        received: what is done with each datagram; it must not wait.
    """

    def __init__(self, host: str, port: int, received: Callable[[bytes, Peer], None]) -> None:
        self._host = host
        self._port = port
        self._received = received
        self._socket: socket.socket | None = None
        self._wildcard = False
        self._peers: dict[Any, tuple[str, int, str]] = {}

    def open(self) -> int:
        """Begin to listen; the port.

        Raises:
            Unavailable: the address is not ours, or taken.
        """
        try:
            family, kind, proto, _name, where = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
            )[0]
            self._socket = socket.socket(family, kind, proto)
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            if family == socket.AF_INET6:
                # [::] takes IPv4 too, as people expect of it.
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self._socket.bind(where)
        except OSError as error:
            self.close()
            raise Unavailable(f"cannot listen for IPMI on {self._host} port {self._port}: {error.strerror}") from error
        self._wildcard = ipaddress.ip_address(self._socket.getsockname()[0]).is_unspecified
        if self._wildcard and family == socket.AF_INET6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        elif self._wildcard:
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        asyncio.get_running_loop().add_reader(self._socket, self._readable)
        self._port = int(self._socket.getsockname()[1])
        return self._port

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    def close(self) -> None:
        """Stop listening."""
        if self._socket is not None:
            with contextlib.suppress(RuntimeError):  # the loop may be closed already
                asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def send(self, datagram: bytes, where: Any, source: Ancillary) -> None:
        """Send a datagram; what cannot be sent now is lost, as it may be on any network."""
        if self._socket is None:
            return
        try:
            if source:
                self._socket.sendmsg((datagram,), source, 0, where)
            else:
                self._socket.sendto(datagram, where)
        except OSError as error:
            log.debug("a datagram could not be sent", extra={"error": str(error)})

    def _readable(self) -> None:
        for _ in range(GULP):
            if self._socket is None:
                return
            try:
                # One byte more than the longest, so that a longer one is known as such and not cut to size.
                if self._wildcard:
                    data, ancillary, _flags, where = self._socket.recvmsg(rmcp.LONGEST + 1, _ANCILLARY)
                    source = _answering(ancillary)
                else:
                    data, where = self._socket.recvfrom(rmcp.LONGEST + 1)
                    source = []
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error about what we sent before
            self._received(data, Peer(self, where, source, *self._known(where)))

    def _known(self, where: Any) -> tuple[str, int, str]:
        known = self._peers.get(where)
        if known is None:
            if len(self._peers) >= REMEMBERED:
                self._peers.clear()
            parsed = ipaddress.ip_address(str(where[0]).partition("%")[0])
            mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
            address = str(mapped or parsed)
            known = self._peers[where] = (address, int(where[1]), address_key(address))
        return known


def _answering(ancillary: Ancillary) -> Ancillary:
    """What to send with an answer, so that it comes from where the question went."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and len(data) >= _PKTINFO4.size:
            _interface, local, _destination = _PKTINFO4.unpack_from(data)
            return [(level, kind, _PKTINFO4.pack(0, local, bytes(4)))]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(data) >= _PKTINFO6.size:
            destination, _interface = _PKTINFO6.unpack_from(data)
            return [(level, kind, _PKTINFO6.pack(destination, 0))]
    return []
