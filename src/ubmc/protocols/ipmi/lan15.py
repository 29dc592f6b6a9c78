"""The session header of IPMI 1.5 (Spec table 13-8), of which only messages outside of sessions are left.

Before a session, clients ask in this form what a BMC can do (Spec section 13.13). Sessions of IPMI 1.5 send passwords
that can be guessed off line and everything else in the clear; there are none here.
"""

from __future__ import annotations

from ubmc.protocols.ipmi.rmcp import IPMI_HEADER

_HEADER = 10
_OUTSIDE = bytes(9)  # authentication type none, session sequence number 0, session id 0


def unwrap(body: bytes) -> bytes:
    """The message of a datagram outside of sessions; nothing for any other.

    Args:
        body: what follows the RMCP header.
    """
    if len(body) <= _HEADER or not body.startswith(_OUTSIDE):
        return b""
    length = body[9]
    # Some send one byte more, the "legacy pad" of Spec table 13-8.
    if len(body) - _HEADER not in (length, length + 1):
        return b""
    return body[_HEADER : _HEADER + length]


def wrap(message: bytes) -> bytes:
    """The datagram with a message outside of sessions."""
    return IPMI_HEADER + _OUTSIDE + bytes((len(message),)) + message
