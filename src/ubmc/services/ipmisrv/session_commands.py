"""The commands about sessions and payloads (Spec chapters 22 and 24): what they are, not what is done in them."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Iterable, Sequence

from ubmc.protocols.ipmi import cipher
from ubmc.protocols.ipmi.cipher import Suite
from ubmc.protocols.ipmi.codes import LAN_CHANNEL, THIS_CHANNEL, Code, Completion, Level, NetFn
from ubmc.protocols.ipmi.rmcpplus import Payload
from ubmc.services.ipmisrv.commands.own import changing
from ubmc.services.ipmisrv.dispatch import Command, Context, SessionFacts
from ubmc.services.ipmisrv.sessions import Session, Sessions
from ubmc.v1alpha1.access_pb import Privilege

MOST_SHOWN = 63
"""The numbers of sessions have 6 bits (Spec table 22-25)."""
_RECORDS = 16  # bytes of cipher suite records in one answer (Spec table 22-18)
_LEVEL_NOT_AVAILABLE = 0x80  # Set Session Privilege Level (Spec table 22-23)
_LEVEL_EXCEEDS_LIMIT = 0x81
_INVALID_SESSION_ID = 0x87  # Close Session (Spec table 22-24)
_INVALID_HANDLE = 0x88
_PAYLOAD_NOT_AVAILABLE = 0x80  # Get Channel Payload Version (Spec table 24-12)
_CLOSE = "Close Session"
_LEVELS = (Level.USER, Level.OPERATOR, Level.ADMINISTRATOR)


class SessionCommands:
    """What a client asks to open, see and close sessions.

    Args:
        sessions: all of them.
        suites: the cipher suites that may be used, the best first.
        payloads: the standard payload types that there are besides IPMI messages.
    """

    def __init__(self, sessions: Sessions, suites: Sequence[Suite], payloads: Iterable[Payload]) -> None:
        self._sessions = sessions
        self._suites = tuple(suites)
        self._payloads = (Payload.IPMI, *payloads)

    def commands(self) -> Iterable[Command]:
        """The table of them (Spec table G-1)."""
        app, none, user = NetFn.APP, Level.NONE, Level.USER
        return (
            Command(app, 0x38, "Get Channel Authentication Capabilities", none, self._capabilities, 2, inband=True),
            Command(app, 0x39, "Get Session Challenge", none, _ipmi15, 0, 255),
            Command(app, 0x3A, "Activate Session", none, _ipmi15, 0, 255),
            Command(app, 0x54, "Get Channel Cipher Suites", none, self._cipher_suites, 3, inband=True),
            Command(app, 0x3B, "Set Session Privilege Level", user, self._set_level, 1),
            Command(app, 0x3C, _CLOSE, Level.CALLBACK, self._close, 4, 5, calls="SessionService.EndIpmiSession"),
            Command(app, 0x3D, "Get Session Info", user, self._info, 1, 5),
            Command(app, 0x4E, "Get Channel Payload Support", user, self._payload_support, 1, inband=True),
            Command(app, 0x4F, "Get Channel Payload Version", user, self._payload_version, 2, inband=True),
        )

    # --- before a session ----------------------------------------------------------------------------------------

    def _capabilities(self, context: Context, data: bytes) -> bytes:
        """Spec table 22-15: RMCP+ only, no user without a name, no K[G]."""
        _this_lan(context, data[0] & 0x0F)
        if not 1 <= data[1] & 0x0F <= Level.OEM:
            raise Completion(Code.INVALID_FIELD)
        extended = data[0] & 0x80  # an IPMI 1.5 client does not set it, and finds no authentication type it could use
        return bytes((LAN_CHANNEL, extended, 0x04, 0x02 if extended else 0x00, 0, 0, 0, 0))

    def _cipher_suites(self, context: Context, data: bytes) -> bytes:
        """Spec table 22-18."""
        _this_lan(context, data[0] & 0x0F)
        if data[1] & 0x3F not in self._payloads:
            raise Completion(Code.INVALID_FIELD)
        whole = cipher.records(self._suites) if data[2] & 0x80 else cipher.algorithms_of(self._suites)
        start = (data[2] & 0x3F) * _RECORDS
        return bytes((LAN_CHANNEL,)) + whole[start : start + _RECORDS]

    # --- in a session --------------------------------------------------------------------------------------------

    def _set_level(self, context: Context, data: bytes) -> bytes:
        """Spec table 22-23."""
        facts = _facts(context)
        wanted = data[0] & 0x0F
        if wanted != 0:  # 0: no change, tell which it is
            if wanted not in _LEVELS:
                raise Completion(_LEVEL_NOT_AVAILABLE)
            if wanted > facts.limit:
                raise Completion(_LEVEL_EXCEEDS_LIMIT)
            facts.level = Level(wanted)
        return bytes((facts.level,))

    def _close(self, context: Context, data: bytes) -> bytes | Awaitable[bytes]:
        """Spec table 22-24: the own session, or with ConfigureUsers any."""
        facts = _facts(context)
        session_id = int.from_bytes(data[:4], "little")
        if session_id == 0:
            if len(data) != 5:
                raise Completion(Code.LENGTH_INVALID)
            session, missing = self._sessions.by_handle(data[4]), _INVALID_HANDLE
        else:
            session, missing = self._sessions.get(session_id), _INVALID_SESSION_ID
        own = session is not None and session.facts is facts
        if not own and context.level < Level.ADMINISTRATOR:
            raise Completion(Code.INSUFFICIENT_PRIVILEGE)
        if session is None:
            raise Completion(missing)
        if not own:
            return self._close_another(context, session, facts.user)
        context.after.append(lambda: self._sessions.close(session, "closed by the client"))
        return b""

    async def _close_another(self, context: Context, session: Session, by: str) -> bytes:
        async with changing(context, _CLOSE, Privilege.CONFIGURE_USERS, session.facts.user):
            context.after.append(lambda: self._sessions.close(session, f"closed by {by}"))
        return b""

    def _info(self, context: Context, data: bytes) -> bytes:
        """Spec table 22-25."""
        active = self._sessions.active()
        facts = self._asked_about(context, data, active)
        counts = bytes((min(self._sessions.limit, MOST_SHOWN), min(len(active), MOST_SHOWN)))
        if facts is None:
            return b"\x00" + counts
        address = ipaddress.ip_address(facts.source)
        four = address.packed if address.version == 4 else bytes(4)  # there is no room for more
        head = bytes((facts.user_id, facts.level, 0x10 | LAN_CHANNEL))  # 1h: RMCP+
        return bytes((facts.handle,)) + counts + head + four + bytes(6) + facts.port.to_bytes(2, "little")

    def _asked_about(self, context: Context, data: bytes, active: Sequence[SessionFacts]) -> SessionFacts | None:
        match data[0]:
            case 0x00:
                if len(data) != 1:
                    raise Completion(Code.LENGTH_INVALID)
                return context.session
            case 0xFE:
                if len(data) != 2:
                    raise Completion(Code.LENGTH_INVALID)
                session: Session | None = self._sessions.by_handle(data[1])
            case 0xFF:
                if len(data) != 5:
                    raise Completion(Code.LENGTH_INVALID)
                session = self._sessions.get(int.from_bytes(data[1:5], "little"))
            case index:
                if len(data) != 1:
                    raise Completion(Code.LENGTH_INVALID)
                return active[index - 1] if index <= len(active) else None
        if session is None:
            raise Completion(Code.NOT_PRESENT)
        return session.facts

    def _payload_support(self, context: Context, data: bytes) -> bytes:
        """Spec table 24-11: standard types 0 to 15, session set-up types 10h to 1Fh, OEM types 20h to 2Fh."""
        _this_lan(context, data[0] & 0x0F)
        standard = sum(1 << payload for payload in self._payloads)
        set_up = sum(1 << (payload & 0x0F) for payload in Payload if payload >= Payload.OPEN_SESSION_REQUEST)
        return standard.to_bytes(2, "little") + set_up.to_bytes(2, "little") + bytes(4)

    def _payload_version(self, context: Context, data: bytes) -> bytes:
        """Spec table 24-12: all are 1.0."""
        _this_lan(context, data[0] & 0x0F)
        kind = data[1] & 0x3F
        if kind not in self._payloads and kind not in tuple(Payload)[3:]:
            raise Completion(_PAYLOAD_NOT_AVAILABLE)
        return b"\x10"


def _ipmi15(_context: Context, _data: bytes) -> bytes:
    raise Completion(Code.SUBFUNCTION_DISABLED, "sessions of IPMI 1.5 are not offered")


def _this_lan(context: Context, channel: int) -> None:
    """Whether a request is about our LAN channel.

    Raises:
        Completion: CCh, it is about another one.
    """
    if channel != LAN_CHANNEL and not (channel == THIS_CHANNEL and context.channel == LAN_CHANNEL):
        raise Completion(Code.INVALID_FIELD)


def _facts(context: Context) -> SessionFacts:
    if context.session is None:
        raise Completion(Code.NOT_IN_THIS_STATE)
    return context.session
