"""From a credential to a signed principal, remembered for some seconds.

The door never makes a principal: usermgr does, and signs it. What the door keeps is keyed by the hash of the
credential, and forgotten at once when the session (or whatever the credential is of) ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict, deque
from dataclasses import dataclass

from ubmc.kit.bus import Bus
from ubmc.kit.errors import Unauthenticated
from ubmc.services.websrv.peer import Basic, Client, Credential, Token, certificate_identities
from ubmc.v1alpha1.session_pb import (
    ExchangeBasicRequest,
    ExchangeBasicResponse,
    ExchangeCertificateRequest,
    ExchangeCertificateResponse,
    ExchangeTokenRequest,
    ExchangeTokenResponse,
    Principal,
)
from ubmc.v1alpha1.session_rpc import SessionService

KEPT = 256
REMEMBERED = 512


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who is logged in."""

    signed: bytes
    principal: Principal
    shown: Credential
    until: float  # monotonic seconds


class Identities:
    """The tokens that were shown lately."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: OrderedDict[bytes, Identity] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Identity]] = {}
        self._ended: deque[str] = deque(maxlen=KEPT)
        self._shown: OrderedDict[str, tuple[Credential, str]] = OrderedDict()  # by session or visit: and whose it is

    async def identify(self, shown: Credential, source: str) -> Identity:
        """Whose credential this is.

        Raises:
            Unauthenticated: nobody's.
            Unavailable: usermgr is not running.
        """
        key = _key(shown)
        known = self._known.get(key)
        if known is not None and known.until > time.monotonic():
            return known
        if isinstance(shown, Basic):  # a password costs usermgr a hash; whoever sends it at once with others waits
            key += source.encode()
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(shown, source))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asked(key, done))
        return await asyncio.shield(task)

    def _asked(self, key: bytes, done: asyncio.Task[Identity]) -> None:
        self._asking.pop(key, None)
        if not done.cancelled():
            done.exception()  # seen, even if everybody who waited for it has left

    async def _ask(self, shown: Credential, source: str) -> Identity:
        began = time.monotonic()
        answer = await self._exchange(shown, source)
        principal = self._bus.verifier.verify(answer.principal)
        if principal.session in self._ended:  # it ended while we asked
            raise Unauthenticated("the session has ended; log in again")
        identity = Identity(answer.principal, principal, shown, began + answer.keep_seconds)
        if answer.keep_seconds > 0:
            self._known[_key(shown)] = identity
        if not isinstance(shown, Basic):  # a password is kept by nobody
            self._shown[principal.session] = (shown, principal.user)
            self._shown.move_to_end(principal.session)
            if len(self._shown) > REMEMBERED:
                self._shown.popitem(last=False)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return identity

    async def _exchange(
        self, shown: Credential, source: str
    ) -> ExchangeTokenResponse | ExchangeBasicResponse | ExchangeCertificateResponse:
        match shown:
            case Token(token):
                request = ExchangeTokenRequest(token=token, source=source)
                return await self._bus.ask(SessionService.ExchangeToken, request)
            case Basic(user, password):
                basic = ExchangeBasicRequest(user=user, password=password, source=source)
                return await self._bus.ask(SessionService.ExchangeBasic, basic)
            case Client(pem):
                names = await asyncio.to_thread(certificate_identities, pem)
                certificate = ExchangeCertificateRequest(identities=names, source=source)
                return await self._bus.ask(SessionService.ExchangeCertificate, certificate)

    def forget_session(self, session: str) -> None:
        """Forget whoever was identified by this session."""
        self._ended.append(session)
        self._shown.pop(session, None)
        for key, identity in tuple(self._known.items()):
            if identity.principal.session == session:
                del self._known[key]

    async def renew(self, session: str, source: str) -> Identity:
        """Ask anew about a session that is in use; gives who it is now, who may do less than before.

        Raises:
            Unauthenticated: it has ended, or is not known here any more.
            Unavailable: usermgr is away; what was known stays.
        """
        shown, user = self._shown.get(session, (None, ""))
        if shown is None:
            raise Unauthenticated("the session is not known any more; connect again")
        try:
            identity = await self._ask(shown, source)  # tokens and certificates get another visit each time
            if identity.principal.user != user:
                raise Unauthenticated("the credential is somebody else's now; connect again")
        except Unauthenticated:
            self._known.pop(_key(shown), None)
            self._shown.pop(session, None)
            raise
        return identity

    def forget(self, identity: Identity) -> None:
        """Forget one, so that it is asked anew."""
        self._known.pop(_key(identity.shown), None)


def _key(shown: Credential) -> bytes:
    """What a credential is known by; no secret is kept for that."""
    return hashlib.sha256(repr(shown).encode()).digest()
