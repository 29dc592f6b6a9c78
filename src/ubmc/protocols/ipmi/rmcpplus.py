"""The session header and trailer of RMCP+ (Spec table 13-8) and its payload types (Spec table 13-16)."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from ubmc.protocols.ipmi.rmcp import IPMI_HEADER

FORMAT = 0x06
"""The authentication type that says: this is RMCP+ (Spec table 13-8)."""
HEADER = 12
ENCRYPTED = 0x80
AUTHENTICATED = 0x40

_FIELDS = struct.Struct("<BBIIH")
# The pad, its length, and the next header, which is 07h "for IPMI v2.0" (Spec table 13-8).
_PADS = (b"\x00\x07", b"\xff\x01\x07", b"\xff\xff\x02\x07", b"\xff\xff\xff\x03\x07")


class Payload(IntEnum):
    """Payload types (Spec table 13-16)."""

    IPMI = 0x00
    SOL = 0x01
    OEM_EXPLICIT = 0x02
    OPEN_SESSION_REQUEST = 0x10
    OPEN_SESSION_RESPONSE = 0x11
    RAKP_1 = 0x12
    RAKP_2 = 0x13
    RAKP_3 = 0x14
    RAKP_4 = 0x15


class Packet(NamedTuple):
    """What the session header says."""

    kind: int
    """The payload type."""
    encrypted: bool
    authenticated: bool
    session_id: int
    sequence: int
    length: int
    """Of the payload, in bytes."""


def header(body: bytes) -> Packet | None:
    """The session header; None if it is none of RMCP+, or if the payload would be longer than the datagram.

    Args:
        body: what follows the RMCP header.
    """
    if len(body) < HEADER or body[0] != FORMAT:
        return None
    _format, kind, session_id, sequence, length = _FIELDS.unpack_from(body)
    if length > len(body) - HEADER or kind & 0x3F == Payload.OEM_EXPLICIT:  # which has a longer header
        return None
    return Packet(kind & 0x3F, bool(kind & ENCRYPTED), bool(kind & AUTHENTICATED), session_id, sequence, length)


def plain(body: bytes, packet: Packet) -> bytes | None:
    """The payload of a packet outside of sessions: nothing else is in the datagram.

    A session sequence number other than 0 is let pass (Spec section 13.7 wants 0): not all clients count from there.
    """
    if packet.encrypted or packet.authenticated or packet.session_id or len(body) != HEADER + packet.length:
        return None
    return body[HEADER:]


def signed_part(body: bytes, packet: Packet, code: int) -> bytes | None:
    """What the authentication code is made of: from the authentication type to the next header (Spec table 13-8).

    Args:
        body: what follows the RMCP header.
        packet: its session header.
        code: bytes of the authentication code, which is the end of the datagram.

    Returns:
        None: the trailer is not what it must be.
    """
    end = len(body) - code
    unpadded = HEADER + packet.length + 2
    pad = -unpadded % 4
    if end != unpadded + pad or body[HEADER + packet.length : end] != _PADS[pad]:
        return None
    return body[:end]


def wrap_plain(kind: int, payload: bytes) -> bytes:
    """The datagram with a payload outside of sessions."""
    return IPMI_HEADER + _FIELDS.pack(FORMAT, kind, 0, 0, len(payload)) + payload


def to_sign(kind: int, session_id: int, sequence: int, payload: bytes) -> bytes:
    """An authenticated and encrypted packet without its RMCP header and its authentication code."""
    head = _FIELDS.pack(FORMAT, kind | ENCRYPTED | AUTHENTICATED, session_id, sequence, len(payload))
    return head + payload + _PADS[-(HEADER + len(payload) + 2) % 4]
