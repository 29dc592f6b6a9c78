"""IPMI messages as they are on a LAN (Spec section 13.8, figure 13-4): addresses, sequence, command, two checksums."""

from __future__ import annotations

from typing import NamedTuple

from ubmc.protocols.ipmi.codes import BMC_ADDRESS

SHORTEST = 7


class Request(NamedTuple):
    """A request to us."""

    netfn: int
    lun: int
    """Of the responder, ours."""
    requester: int
    """Slave address or software id of who asks (Spec table 5-4)."""
    sequence: int
    """rqSeq, 0 to 63."""
    requester_lun: int
    command: int
    data: bytes


def checksum(data: bytes) -> int:
    """The two's complement of the sum, so that data and checksum add up to zero (Spec section 13.8)."""
    return -sum(data) & 0xFF


def parse(payload: bytes) -> Request | None:
    """The request in a payload; None if it is none to us, or damaged."""
    if len(payload) < SHORTEST or payload[0] != BMC_ADDRESS:
        return None
    if (payload[0] + payload[1] + payload[2]) & 0xFF or sum(payload[3:]) & 0xFF:
        return None
    netfn = payload[1] >> 2
    if netfn & 1:
        return None  # a response
    sequence = payload[4]
    return Request(netfn, payload[1] & 3, payload[3], sequence >> 2, sequence & 3, payload[5], payload[6:-1])


def respond(request: Request, answer: bytes) -> bytes:
    """The payload of a response.

    Args:
        request: what it answers.
        answer: completion code and data.
    """
    head = (request.requester, (request.netfn | 1) << 2 | request.requester_lun)
    body = bytes((BMC_ADDRESS, request.sequence << 2 | request.lun, request.command)) + answer
    return bytes((*head, -(head[0] + head[1]) & 0xFF)) + body + bytes((-sum(body) & 0xFF,))


def request(netfn: int, command: int, data: bytes = b"", *, sequence: int = 0, requester: int = 0x81) -> bytes:
    """The payload of a request to LUN 0 of a BMC, as a remote console makes it."""
    head = bytes((BMC_ADDRESS, netfn << 2))
    body = bytes((requester, sequence << 2, command)) + data
    return head + bytes((checksum(head),)) + body + bytes((checksum(body),))
