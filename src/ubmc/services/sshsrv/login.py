"""Logging in: the same accounts, lockout and second factor as at every other door, and public keys."""

from __future__ import annotations

import time

from ubmc.kit import call as calls
from ubmc.kit.bus import Bus
from ubmc.kit.call import Call
from ubmc.kit.errors import UbmcError, Unauthenticated
from ubmc.kit.tracing import Trace
from ubmc.v1alpha1.session_pb import (
    CheckSshKeyRequest,
    ExchangeTokenRequest,
    LoginRequest,
    LoginSshKeyRequest,
    LogoutRequest,
    Principal,
)
from ubmc.v1alpha1.session_rpc import SessionService

CALL_SECONDS = 10.0
CODE_FIELD = "oneTimeCode"


class CodeWantedError(Exception):
    """The password was right; a code of the second factor is needed, too."""


class Login:
    """A session of somebody who came by SSH."""

    def __init__(self, bus: Bus, token: str, source: str, restricted: str) -> None:
        self._bus = bus
        self._token = token
        self.source = source
        self.restricted = restricted
        """What has to be done before anything else is allowed; empty for nothing."""
        self._signed = b""
        self._principal: Principal | None = None
        self._until = 0.0

    @property
    def user(self) -> str:
        """Who, once `call` was asked for."""
        return self._principal.user if self._principal is not None else ""

    @property
    def session(self) -> str:
        """The id of the session, once `call` was asked for."""
        return self._principal.session if self._principal is not None else ""

    async def call(self, *, attended: bool = False) -> Call:
        """A call on their behalf, with a proof that is fresh enough.

        Args:
            attended: somebody has typed; that a console is open is no use of the session.

        Raises:
            Unauthenticated: the session has ended.
            Unavailable: usermgr is away.
        """
        now = time.monotonic()
        if attended or now >= self._until:
            request = ExchangeTokenRequest(token=self._token, source=self.source, unattended=not attended)
            answer = await self._bus.ask(SessionService.ExchangeToken, request, timeout=CALL_SECONDS)
            self._signed = answer.principal
            self._principal = self._bus.verifier.verify(answer.principal)
            self._until = now + answer.keep_seconds
        return Call(
            time.monotonic() + CALL_SECONDS,
            Trace.new(),
            source=self.source,
            signed=self._signed,
            principal=self._principal,
        )

    async def end(self) -> None:
        """Log out, if that can be done."""
        try:
            await self._bus.forward(SessionService.Logout, LogoutRequest(), await self.call())
        except UbmcError:
            return  # it ends by itself


async def by_password(bus: Bus, user: str, password: str, source: str, code: str = "") -> Login:
    """Log in with a password.

    Raises:
        CodeWantedError: only with a code of the second factor.
        UbmcError: what usermgr says.
    """
    request = LoginRequest(user=user, password=password, one_time_code=code)
    call = Call(time.monotonic() + CALL_SECONDS, Trace.new(), source=source)
    try:
        answer = await bus.forward(SessionService.Login, request, call)
    except Unauthenticated as error:
        if not code and any(each.field == CODE_FIELD for each in error.violations):
            raise CodeWantedError from error
        raise
    return Login(bus, answer.token, source, _restricted(answer.must_change_password, answer.must_set_up_second_factor))


async def takes_key(bus: Bus, user: str, key: bytes) -> bool:
    """Whether this public key would be taken. Raises `Unavailable`."""
    try:
        await bus.ask(SessionService.CheckSshKey, CheckSshKeyRequest(user=user, key=key))
    except Unauthenticated:
        return False
    return True


async def by_key(bus: Bus, user: str, key: bytes, source: str) -> Login:
    """Log in with a public key whose private half the client has proven to have. Raises what usermgr says."""
    request = LoginSshKeyRequest(user=user, key=key, source=source)
    marked = calls.current.set(None)
    try:
        answer = await bus.ask(SessionService.LoginSshKey, request, timeout=CALL_SECONDS)
    finally:
        calls.current.reset(marked)
    return Login(bus, answer.token, source, _restricted(answer.must_change_password, answer.must_set_up_second_factor))


def _restricted(change: bool, factor: bool) -> str:
    if change:
        return "your password must be changed first: do it in the web UI, or with `ubmc user password`"
    if factor:
        return "a second factor must be set up first: do it in the web UI"
    return ""
