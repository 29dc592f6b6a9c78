"""The commands about payloads (Spec chapter 24), and which session has which serial line."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Sequence

from ubmc.kit.bus import Bus
from ubmc.protocols.ipmi import sol
from ubmc.protocols.ipmi.codes import Code, Completion, Level, NetFn
from ubmc.protocols.ipmi.rmcpplus import Payload
from ubmc.services.ipmisrv.dispatch import Command, Context
from ubmc.services.ipmisrv.sessions import Session, Sessions
from ubmc.services.ipmisrv.settings import Settings, SolSettings
from ubmc.services.ipmisrv.sol_link import CALLS, SolLink

__all__ = ["CALLS", "SolPayloads"]

log = logging.getLogger("ubmc.ipmisrv")

_INSTANCES = 15  # the number has 4 bits, and 0 is none (Spec table 24-2)
_ENCRYPT = 0x80
_AUTHENTICATE = 0x40
_TEST_MODE = 0x20
_ALERTS = 0x0C  # of a serial port: 0 they fail, 1 they are put off, 2 they are sent, 3 is reserved
_NO_VLAN = 0xFFFF
_ALREADY_ACTIVE = 0x80  # Activate Payload (Spec table 24-2)
_DISABLED = 0x81
_LIMIT = 0x82
_WITHOUT_ENCRYPTION = 0x84
_ALREADY_INACTIVE = 0x80  # Deactivate Payload (Spec table 24-3)
_NOT_ALLOWED = 0x81  # Suspend/Resume Payload Encryption (Spec table 24-4)
_NOT_ACTIVE = 0x83
_SUSPEND = 0


class SolPayloads:
    """The commands about payloads, and which session has which line.

    Args:
        bus: where consolesrv is asked.
        sessions: all of them.
        settings: how serial over LAN is set.
        consoles: the names of the consoles; instance 1 is the first.
    """

    def __init__(self, bus: Bus, sessions: Sessions, settings: Settings, consoles: Sequence[str]) -> None:
        self._bus = bus
        self._sessions = sessions
        self._settings = settings
        self._consoles = tuple(consoles[:_INSTANCES])
        self._links: dict[int, SolLink] = {}  # by instance

    def commands(self) -> Iterable[Command]:
        """The table of them (Spec table G-1)."""
        app, user, calls_ = NetFn.APP, Level.USER, "ConsoleService.OpenConsole"
        return (
            Command(app, 0x48, "Activate Payload", user, self._activate, 6, calls=calls_),
            Command(app, 0x49, "Deactivate Payload", user, self._deactivate, 6),
            Command(app, 0x4A, "Get Payload Activation Status", user, self._status, 1),
            Command(app, 0x4B, "Get Payload Instance Info", user, self._instance, 2),
            Command(app, 0x55, "Suspend/Resume Payload Encryption", user, self._encryption, 3),
        )

    def received(self, session: Session, payload: bytes) -> None:
        """Take a SOL payload; without a line it is dropped (Spec section 15.3)."""
        for link in self._links.values():
            if link.session is session:
                link.received(payload)
                return

    # --- commands ---------------------------------------------------------------------------------------------------

    def _activate(self, context: Context, data: bytes) -> bytes:
        """Spec table 24-2, with the auxiliary data of SOL (table 15-4)."""
        instance = self._sol(data)
        settings = self._settings.sol
        if context.session is None or context.level < settings.level:
            raise Completion(Code.INSUFFICIENT_PRIVILEGE)
        kept_from = self._settings.section("payload_access").get("no_sol", [])  # by Set User Payload Access
        if not settings.enabled or context.session.user_id in kept_from:
            raise Completion(_DISABLED)
        if not 1 <= instance <= len(self._consoles):
            raise Completion(_LIMIT)
        if not data[2] & _ENCRYPT or not data[2] & _AUTHENTICATE:
            raise Completion(_WITHOUT_ENCRYPTION)
        if data[2] & _TEST_MODE or data[2] & _ALERTS == _ALERTS:
            raise Completion(Code.INVALID_FIELD)
        session = self._sessions.get(context.session.session_id)
        if session is None:
            raise Completion(Code.NOT_IN_THIS_STATE)
        if instance in self._links or any(link.session is session for link in self._links.values()):
            raise Completion(_ALREADY_ACTIVE)
        # There are no alerts by a serial port here, so there is none that could fail or be put off. The bit of the
        # start-up handshake (02h) holds back nothing: ipmitool sets it always and then waits for the host.
        context.after.append(lambda: self._begin(session, instance, settings))
        sizes = sol.PAYLOAD_SIZE.to_bytes(2, "little") * 2
        port = session.peer.endpoint.port
        return bytes(4) + sizes + port.to_bytes(2, "little") + _NO_VLAN.to_bytes(2, "little")

    def _begin(self, session: Session, instance: int, settings: SolSettings) -> None:
        name = self._consoles[instance - 1]
        write = session.facts.level >= Level.OPERATOR
        link = self._links[instance] = SolLink(self._bus, session, name, settings, write=write)
        session.closing[link] = end = functools.partial(self._end, instance, link)
        link.when_over(end)
        log.info("serial over LAN began", extra={"console": name, "user": session.facts.user})

    def _end(self, instance: int, link: SolLink) -> None:
        if self._links.get(instance) is link:
            del self._links[instance]
            link.session.closing.pop(link, None)
            link.close()
            log.info("serial over LAN ended", extra={"console": link.name, "user": link.session.facts.user})

    def _deactivate(self, context: Context, data: bytes) -> bytes:
        """Spec table 24-3: also somebody else's, with the level that it takes to activate it."""
        instance = self._sol(data)
        if context.level < self._settings.sol.level:
            raise Completion(Code.INSUFFICIENT_PRIVILEGE)
        link = self._links.get(instance)
        if link is None:
            raise Completion(_ALREADY_INACTIVE)
        if link.session.facts is not context.session:
            link.session.send(Payload.SOL, sol.deactivating())
        self._end(instance, link)
        return b""

    def _status(self, _context: Context, data: bytes) -> bytes:
        """Spec table 24-5."""
        if data[0] & 0x3F != Payload.SOL:
            raise Completion(Code.INVALID_FIELD)
        active = sum(1 << (instance - 1) for instance in self._links)
        return bytes((max(1, len(self._consoles)),)) + active.to_bytes(2, "little")

    def _instance(self, _context: Context, data: bytes) -> bytes:
        """Spec table 24-6; the first of the specific bytes is the number of the port."""
        instance = self._sol(data)
        link = self._links.get(instance)
        session_id = link.session.facts.session_id if link is not None else 0
        return session_id.to_bytes(4, "little") + bytes((instance,)) + bytes(7)

    def _encryption(self, context: Context, data: bytes) -> bytes:
        """Spec table 24-4: everything is encrypted, and each packet has an initialization vector of its own."""
        link = self._links.get(self._sol(data))
        if link is None or link.session.facts is not context.session:
            raise Completion(_NOT_ACTIVE)
        if data[2] & 0x1F == _SUSPEND:
            raise Completion(_NOT_ALLOWED)
        return b""

    @staticmethod
    def _sol(data: bytes) -> int:
        """The instance that a request is about."""
        if data[0] & 0x3F != Payload.SOL:
            raise Completion(Code.INVALID_FIELD)
        return data[1] & 0x0F
