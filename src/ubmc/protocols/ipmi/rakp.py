"""Opening a session: Open Session and the four RAKP messages (Spec sections 13.17 to 13.24), and the keys from them.

In the names of the specification M is the remote console and C the managed system, which is us.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from ubmc.protocols.ipmi.cipher import Suite
from ubmc.protocols.ipmi.codes import Level

RANDOM = 16
"""Bytes of a random number and of a GUID."""
LONGEST_NAME = 16
"""Bytes of a user name (Spec table 13-11)."""
LONGEST_KEY = 20
"""Bytes of K[UID], a password of IPMI 2.0 (Spec section 13.31)."""

_OPEN = struct.Struct("<BBxxI8s8s8s")
_RAKP_1 = struct.Struct("<BxxxI16sBxxB")
_RAKP_3 = struct.Struct("<BBxxI")
_CONSTANT_1 = b"\x01" * 20  # Spec section 13.32, for every hash
_CONSTANT_2 = b"\x02" * 20
_ANY = 0x00  # as the length of an algorithm payload: "null", choose for me (Spec table 13-9)
_ALGORITHM = 8


class Status(IntEnum):
    """RMCP+ and RAKP message status codes (Spec table 13-15)."""

    OK = 0x00
    NO_RESOURCES = 0x01
    INVALID_SESSION_ID = 0x02
    INVALID_PAYLOAD_TYPE = 0x03
    INVALID_AUTH_ALGORITHM = 0x04
    INVALID_INTEGRITY_ALGORITHM = 0x05
    NO_AUTH_PAYLOAD = 0x06
    NO_INTEGRITY_PAYLOAD = 0x07
    INACTIVE_SESSION_ID = 0x08
    INVALID_ROLE = 0x09
    UNAUTHORIZED_ROLE = 0x0A
    NO_RESOURCES_FOR_ROLE = 0x0B
    INVALID_NAME_LENGTH = 0x0C
    UNAUTHORIZED_NAME = 0x0D
    UNAUTHORIZED_GUID = 0x0E
    INVALID_INTEGRITY_CHECK = 0x0F
    INVALID_CONFIDENTIALITY_ALGORITHM = 0x10
    NO_CIPHER_SUITE = 0x11
    ILLEGAL_PARAMETER = 0x12


_NOT_OFFERED = (
    Status.INVALID_AUTH_ALGORITHM,
    Status.INVALID_INTEGRITY_ALGORITHM,
    Status.INVALID_CONFIDENTIALITY_ALGORITHM,
)


class OpenRequest(NamedTuple):
    """RMCP+ Open Session Request (Spec table 13-9)."""

    tag: int
    role: int
    """The highest privilege level that is asked for; 0: the highest that there is."""
    console_id: int
    """The session id that the remote console chose."""
    algorithms: tuple[int | None, int | None, int | None]
    """Authentication, integrity, confidentiality; None: choose for me."""


class Rakp1(NamedTuple):
    """RAKP message 1 (Spec table 13-11)."""

    tag: int
    system_id: int
    random: bytes
    role: int
    """The byte as it came, with the bit for the way of looking up the name; it goes into the keys like that."""
    name: bytes

    @property
    def level(self) -> int:
        """The privilege level that is asked for."""
        return self.role & 0x0F


class Rakp3(NamedTuple):
    """RAKP message 3 (Spec table 13-13)."""

    tag: int
    status: int
    system_id: int
    code: bytes
    """The key exchange authentication code."""


def parse_open(payload: bytes) -> OpenRequest | None:
    """The request in a payload; None if it is none."""
    if len(payload) != _OPEN.size:
        return None
    tag, role, console_id, *algorithms = _OPEN.unpack(payload)
    chosen: list[int | None] = []
    for kind, algorithm in enumerate(algorithms):
        if algorithm[0] != kind or algorithm[3] not in (_ANY, _ALGORITHM):
            return None
        chosen.append(None if algorithm[3] == _ANY else algorithm[4] & 0x3F)
    return OpenRequest(tag, role & 0x0F, console_id, (chosen[0], chosen[1], chosen[2]))


def choose(request: OpenRequest, suites: Sequence[Suite]) -> tuple[Suite | None, Status]:
    """The first suite that has what is asked for, or why there is none.

    Args:
        request: what is asked for.
        suites: what may be had, the best first.
    """
    fitting = list(suites)
    for place, algorithm in enumerate(request.algorithms):
        if algorithm is None:
            continue
        if all(suite.algorithms[place] != algorithm for suite in suites):
            return None, _NOT_OFFERED[place]
        fitting = [suite for suite in fitting if suite.algorithms[place] == algorithm]
    return (fitting[0], Status.OK) if fitting else (None, Status.NO_CIPHER_SUITE)


def open_response(request: OpenRequest, level: Level, system_id: int, suite: Suite) -> bytes:
    """RMCP+ Open Session Response that agrees (Spec table 13-10).

    Args:
        request: what it answers.
        level: what the session may become at most: what was asked for, FreeIPMI insists on that.
        system_id: the session id that we chose.
        suite: what was agreed on.
    """
    head = struct.pack("<BBBxII", request.tag, Status.OK, level, request.console_id, system_id)
    return head + b"".join(bytes((kind, 0, 0, 8, each, 0, 0, 0)) for kind, each in enumerate(suite.algorithms))


def refusal(tag: int, status: Status, console_id: int) -> bytes:
    """What Open Session Response, RAKP 2 and RAKP 4 are when something is wrong: no more than the 8 bytes that say so.

    The notes under Spec tables 13-10, 13-12 and 13-14 have only tag, status and remote console session id then.
    """
    return struct.pack("<BBxxI", tag, status, console_id)


def parse_rakp1(payload: bytes) -> Rakp1 | None:
    """The message in a payload; None if it is none. The name may be longer than it may be, which has a status."""
    if len(payload) < _RAKP_1.size:
        return None
    tag, system_id, random, role, length = _RAKP_1.unpack_from(payload)
    name = payload[_RAKP_1.size :]
    # A name may be followed by padding: the field is 16 bytes long at the most (Spec table 13-11).
    if not length <= len(name) <= max(length, LONGEST_NAME):
        return None
    return Rakp1(tag, system_id, random, role, name[:length])


def parse_rakp3(payload: bytes) -> Rakp3 | None:
    """The message in a payload; None if it is none."""
    if len(payload) < _RAKP_3.size:
        return None
    tag, status, system_id = _RAKP_3.unpack_from(payload)
    return Rakp3(tag, status, system_id, payload[_RAKP_3.size :])


@dataclass(frozen=True, slots=True)
class Exchange:
    """All that both sides know once RAKP 1 has come; what is computed of it are Spec sections 13.31 and 13.32."""

    suite: Suite
    console_id: int
    system_id: int
    console_random: bytes
    system_random: bytes
    guid: bytes
    """Of the managed system, as in Get System GUID."""
    role: int
    name: bytes
    key: bytes = field(repr=False)
    """K[UID]: the user's IPMI secret, at most 20 bytes; zeros after it change nothing in an HMAC key."""

    @property
    def _who(self) -> bytes:
        return bytes((self.role, len(self.name))) + self.name

    def _hmac(self, key: bytes, data: bytes) -> bytes:
        return hmac.digest(key, data, self.suite.digest)

    def code_2(self) -> bytes:
        """The key exchange authentication code of RAKP 2: HMAC K[UID] (SIDm, SIDc, Rm, Rc, GUIDc, ROLEm, name)."""
        ids = struct.pack("<II", self.console_id, self.system_id)
        return self._hmac(self.key, ids + self.console_random + self.system_random + self.guid + self._who)

    def code_3(self) -> bytes:
        """The key exchange authentication code of RAKP 3: HMAC K[UID] (Rc, SIDm, ROLEm, name)."""
        return self._hmac(self.key, self.system_random + struct.pack("<I", self.console_id) + self._who)

    def sik(self) -> bytes:
        """The session integrity key: HMAC K[G] (Rm, Rc, ROLEm, name); K[G] is not set, so K[UID] stands for it."""
        return self._hmac(self.key, self.console_random + self.system_random + self._who)

    def code_4(self, sik: bytes) -> bytes:
        """The integrity check value of RAKP 4: HMAC SIK (Rm, SIDc, GUIDc), shortened (Spec section 13.28.1 and .4)."""
        data = self.console_random + struct.pack("<I", self.system_id) + self.guid
        return self._hmac(sik, data)[: self.suite.code]

    def keys(self, sik: bytes) -> tuple[bytes, bytes]:
        """K1 for integrity and K2 for confidentiality (Spec section 13.32)."""
        return self._hmac(sik, _CONSTANT_1), self._hmac(sik, _CONSTANT_2)


def rakp2(tag: int, exchange: Exchange) -> bytes:
    """RAKP message 2 (Spec table 13-12)."""
    head = struct.pack("<BBxxI", tag, Status.OK, exchange.console_id)
    return head + exchange.system_random + exchange.guid + exchange.code_2()


def rakp4(tag: int, exchange: Exchange, sik: bytes) -> bytes:
    """RAKP message 4 (Spec table 13-14)."""
    return struct.pack("<BBxxI", tag, Status.OK, exchange.console_id) + exchange.code_4(sik)
