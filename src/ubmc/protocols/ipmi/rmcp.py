"""RMCP, the envelope of every datagram, and the ASF presence ping (Spec sections 13.1 and 13.2)."""

from __future__ import annotations

PORT = 623
"""The primary RMCP port (Spec section 13.1.2)."""
VERSION = 0x06
"""RMCP 1.0 (Spec table 13-1)."""
NO_ACK = 0xFF
"""The sequence number of messages that want no RMCP acknowledgement; all IPMI has it (Spec table 13-1)."""
CLASS_ASF = 0x06
CLASS_IPMI = 0x07

HEADER = 4
IPMI_HEADER = bytes((VERSION, 0x00, NO_ACK, CLASS_IPMI))
LONGEST = 1024
"""More bytes than any message has: 255 of IPMI, 259 of SOL, and what is put around them."""

_ASF_ENTERPRISE = bytes((0x00, 0x00, 0x11, 0xBE))  # 4542, most significant byte first (ASF 2.0 section 3.2.2)
_PING = 0x80
_PONG = 0x40
_ASF_HEADER = 8
_IPMI_SUPPORTED = 0x81  # IPMI is there, ASF version 1.0 (Spec table 13-5)


def unwrap(datagram: bytes) -> tuple[int, bytes]:
    """The class and the body of a datagram; class 0 for what is not RMCP or needs no answer.

    An RMCP acknowledgement (the high bit of the class, Spec table 13-2) is for senders of numbered messages, which we
    are not.
    """
    if not HEADER < len(datagram) <= LONGEST or datagram[0] != VERSION or datagram[3] & 0x80:
        return 0, b""
    return datagram[3] & 0x1F, datagram[HEADER:]


def pong(body: bytes) -> bytes:
    """The presence pong to an ASF message (Spec table 13-5); nothing if that is no presence ping (Spec table 13-4)."""
    if len(body) < _ASF_HEADER or body[:4] != _ASF_ENTERPRISE or body[4] != _PING or body[7] != 0:
        return b""
    header = bytes((VERSION, 0x00, NO_ACK, CLASS_ASF))
    data = _ASF_ENTERPRISE + bytes(4) + bytes((_IPMI_SUPPORTED, 0x00)) + bytes(6)
    return header + _ASF_ENTERPRISE + bytes((_PONG, body[5], 0x00, len(data))) + data
