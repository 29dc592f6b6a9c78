"""From a credential to a signed principal, remembered for some seconds.

The door never makes a principal: usermgr does, and signs it. What the door keeps is known by a keyed hash of the
credential under a key of this process, and forgotten at once when the session (or whatever the credential is of) ends.
A password that comes with each request is proven again whenever anything is told about its account or its address.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, replace

from ubmc.kit.addresses import address_key
from ubmc.kit.bus import Bus
from ubmc.kit.errors import UbmcError, Unauthenticated
from ubmc.services.websrv.peer import Basic, Client, Credential, Token, certificate_identities
from ubmc.v1alpha1.session_pb import (
    CredentialKind,
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
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who is logged in."""

    signed: bytes
    principal: Principal
    shown: Credential | None
    """What they showed; a password is there for the request that it came with, and not in what is kept."""
    key: bytes
    """What the credential is known by here."""
    until: float  # monotonic seconds
    attended: bool = True
    """Asking for it counted as use of the session."""


class Identities:
    """The credentials that were shown lately."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._secret = secrets.token_bytes(_KEY_BYTES)
        self._known: OrderedDict[bytes, Identity] = OrderedDict()
        self._asking: dict[tuple[bytes, bool], asyncio.Task[Identity]] = {}
        self._ended: deque[str] = deque(maxlen=KEPT)
        self._shown: OrderedDict[str, tuple[Credential, str]] = OrderedDict()  # by session or visit: and whose it is
        self._news = 0  # how often something was told that passwords are forgotten for

    async def identify(self, shown: Credential, source: str, *, attended: bool = True) -> Identity:
        """Whose credential this is.

        Args:
            shown: the credential.
            source: the address that it came from.
            attended: that counts as use of its session, which idles out without any.

        Raises:
            Unauthenticated: nobody's.
            Unavailable: usermgr is not running.
        """
        key = self._key(shown, source)
        known = self._known.get(key)
        if known is not None and known.until > time.monotonic():
            if not isinstance(shown, Basic):
                if known.attended or not attended:
                    return known
            elif self._bus.link.connected.is_set():  # else we would not hear that it is forbidden
                return replace(known, shown=shown)
        task = self._asking.get((key, attended))
        if task is None:
            task = asyncio.create_task(self._ask(shown, source, attended=attended))
            self._asking[key, attended] = task
            task.add_done_callback(lambda done: self._asked((key, attended), done))
        return await asyncio.shield(task)

    def _key(self, shown: Credential, source: str) -> bytes:
        """What a credential is known by; no secret is kept for that. A password is good from one address only."""
        text = repr((shown, source)) if isinstance(shown, Basic) else repr(shown)
        return hashlib.blake2b(text.encode(), key=self._secret, digest_size=_KEY_BYTES).digest()  # a MAC: RFC 7693

    def _asked(self, key: tuple[bytes, bool], done: asyncio.Task[Identity]) -> None:
        self._asking.pop(key, None)
        if not done.cancelled():
            done.exception()  # seen, even if everybody who waited for it has left

    async def _ask(self, shown: Credential, source: str, *, attended: bool) -> Identity:
        began, news = time.monotonic(), self._news
        try:
            answer = await self._exchange(shown, source, attended=attended)
        except UbmcError:
            if isinstance(shown, Basic):  # that may have locked the account or the address: the news come later
                self.forget_passwords(user=shown.user)
                self.forget_passwords(address=address_key(source))
            raise
        principal = self._bus.verifier.verify(answer.principal)
        if principal.session in self._ended:  # it ended while we asked
            raise Unauthenticated("the session has ended; log in again")
        until = began + answer.keep_seconds
        identity = Identity(answer.principal, principal, shown, self._key(shown, source), until, attended)
        if isinstance(shown, Basic):  # a password is kept by nobody
            if answer.keep_seconds > 0 and news == self._news:
                self._known[identity.key] = replace(identity, shown=None)
        else:
            if answer.keep_seconds > 0:
                self._known[identity.key] = identity
            self._shown[principal.session] = (shown, principal.user)
            self._shown.move_to_end(principal.session)
            if len(self._shown) > REMEMBERED:
                self._shown.popitem(last=False)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return identity

    async def _exchange(
        self, shown: Credential, source: str, *, attended: bool
    ) -> ExchangeTokenResponse | ExchangeBasicResponse | ExchangeCertificateResponse:
        match shown:
            case Token(token):
                request = ExchangeTokenRequest(token=token, source=source, unattended=not attended)
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

    async def renew(self, session: str, source: str, *, attended: bool = False) -> Identity:
        """Ask anew about a session that something is open for; gives who it is now, who may do less than before.

        Args:
            session: its id.
            source: the address that it is used from.
            attended: somebody has done something with what is open; that it is open is no use of the session.

        Raises:
            Unauthenticated: it has ended, or is not known here any more.
            Unavailable: usermgr is away; what was known stays.
        """
        shown, user = self._shown.get(session, (None, ""))
        if shown is None:
            raise Unauthenticated("the session is not known any more; connect again")
        try:
            identity = await self._ask(
                shown, source, attended=attended
            )  # tokens and certificates get another visit each time
            if identity.principal.user != user:
                raise Unauthenticated("the credential is somebody else's now; connect again")
        except Unauthenticated:
            self._known.pop(self._key(shown, source), None)
            self._shown.pop(session, None)
            raise
        return identity

    def forget(self, identity: Identity) -> None:
        """Forget one, so that it is asked anew."""
        self._known.pop(identity.key, None)

    def forget_passwords(self, *, user: str = "", address: str = "") -> None:
        """Have passwords that come with each request proven again.

        Args:
            user: those of this account.
            address: those from this address, as `address_key` has it; without both, all of them.
        """
        self._news += 1
        for key, identity in tuple(self._known.items()):
            principal = identity.principal
            if principal.kind is not CredentialKind.BASIC:
                continue
            if (not user or principal.user == user) and (not address or address_key(principal.source) == address):
                del self._known[key]
