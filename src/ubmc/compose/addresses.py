"""Whether the addresses that the owner wants to listen on are free, found out before any process is started.

An address counts as taken only where the door that will want it would find it so: the sockets have its options.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator

from ubmc.boards.owner import OwnerSpec, parse_endpoint
from ubmc.kit.errors import Busy

_TRIED = 50
_LAST_PORT = 65535
_STREAM, _DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM


def check_free(owner: OwnerSpec, again: Callable[[str, str, str], str]) -> None:
    """Look at every address that doors will listen on; port 0 is the kernel's choice and always free.

    Args:
        owner: the wishes of the owner.
        again: the command to type instead, from a flag of `ubmc run`, the address that is taken and one that is free.

    Raises:
        Busy: somebody else has one of them.
    """
    for flag, text, kind in _wanted(owner):
        host, port = parse_endpoint(text)
        if port == 0 or not _taken(host, port, kind):
            continue
        others = range(port + 1, min(port + _TRIED, _LAST_PORT) + 1)
        free = next((each for each in others if not _taken(host, each, kind)), 0)
        other = f"[{host}]:{free}" if ":" in host else f"{host}:{free}"
        advice = f"another: {again(flag, text, other)}" if flag else "change web.redirect in the owner's file"
        raise Busy(f"{text} is taken; {advice}")


def _wanted(owner: OwnerSpec) -> Iterator[tuple[str, str, socket.SocketKind]]:
    yield from (("--listen", each, _STREAM) for each in owner.listen)
    yield from (("--ssh", each, _STREAM) for each in owner.ssh.listen)
    yield from (("--ipmi", each, _DATAGRAM) for each in owner.ipmi.listen)
    yield from (("", each, _STREAM) for each in owner.web.redirect)


def _taken(host: str, port: int, kind: socket.SocketKind) -> bool:
    """Whether somebody has it. What else may be wrong with an address may pass; the door says it, and tries again."""
    try:
        found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)
        for family, _kind, protocol, _name, where in found if kind is _STREAM else found[:1]:
            with socket.socket(family, kind, protocol) as probe:
                if kind is _STREAM:  # as asyncio does: connections that have ended hold no port
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, kind is _STREAM)
                probe.bind(where)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False
