"""The packets of one open session: sealed, counted in both directions, each taken once."""

from __future__ import annotations

from ubmc.protocols.ipmi import rmcpplus
from ubmc.protocols.ipmi.cipher import Sealer
from ubmc.protocols.ipmi.message import Request
from ubmc.protocols.ipmi.rmcp import IPMI_HEADER
from ubmc.protocols.ipmi.rmcpplus import HEADER, Packet
from ubmc.protocols.ipmi.sequence import Window, following

REMEMBERED = 8
REMEMBERED_SECONDS = 5.0
"""A sequence number of requests may be used anew after so long (Spec section 5.4 leaves it to the medium)."""


class SecureChannel:
    """Seals and opens the packets of a session.

    Args:
        sealer: with the session's keys.
        console_id: the session id of the remote console, which is in what we send.
    """

    def __init__(self, sealer: Sealer, console_id: int) -> None:
        self._sealer = sealer
        self._console_id = console_id
        self._window = Window()
        self._sent = 0

    def open(self, body: bytes, packet: Packet) -> bytes | None:
        """The payload of what came; None if it is damaged, forged, too old, or has come before.

        A packet that is not both authenticated and encrypted is none of this session, whatever is in it.
        """
        if not (packet.authenticated and packet.encrypted):
            return None
        signed = rmcpplus.signed_part(body, packet, self._sealer.code)
        if signed is None or not self._sealer.verify(signed, body[len(signed) :]):
            return None
        if not self._window.take(packet.sequence):
            return None
        return self._sealer.decrypt(body[HEADER : HEADER + packet.length])

    def seal(self, kind: int, payload: bytes) -> bytes:
        """The datagram with a payload, under the next sequence number."""
        self._sent = following(self._sent)
        signed = rmcpplus.to_sign(kind, self._console_id, self._sent, self._sealer.encrypt(payload))
        return IPMI_HEADER + signed + self._sealer.sign(signed)


class Repeats:
    """What was answered lately, so that a request that comes again is answered again and not done again.

    A client that hears nothing repeats its request with the same rqSeq in a new packet (Spec section 6.12.9). It is the
    same one if all of it is the same; a request that is still being worked on is known, but has no answer yet.
    """

    def __init__(self) -> None:
        self._known: dict[Request, tuple[float, bytes | None]] = {}

    def begin(self, request: Request, now: float) -> tuple[bool, bytes | None]:
        """Whether this request is new; if not, what was answered to it (None: nothing yet)."""
        known = self._known.get(request)
        if known is not None:
            then, answer = known
            if answer is None or now - then < REMEMBERED_SECONDS:
                return False, answer
            del self._known[request]
        self._known[request] = (now, None)
        if len(self._known) > REMEMBERED:
            oldest = next((each for each, (_, answer) in self._known.items() if answer is not None), None)
            if oldest is not None:
                del self._known[oldest]
        return True, None

    def answered(self, request: Request, answer: bytes, now: float) -> None:
        """Remember an answer."""
        self._known.pop(request, None)
        self._known[request] = (now, answer)

    def forget(self, request: Request) -> None:
        """It was not answered, so it may come anew."""
        self._known.pop(request, None)
