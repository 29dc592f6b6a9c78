"""The calls of SessionService: log in, exchange credentials for principals, look at sessions and end them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ubmc.kit import call as calls
from ubmc.kit import pages
from ubmc.kit.errors import Denied, NotFound, Refused, UbmcError, Unauthenticated, Violation
from ubmc.kit.service import rpc
from ubmc.services.usermgr import credential_rules, rules, shapes, tokens
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.asker import Asker, asking
from ubmc.services.usermgr.core import WRONG, Core, log
from ubmc.services.usermgr.sessions import Moment, open_session
from ubmc.services.usermgr.store import Change, State
from ubmc.v1alpha1.session_pb import (
    CredentialKind,
    DeleteSessionRequest,
    DeleteSessionResponse,
    ExchangeBasicRequest,
    ExchangeBasicResponse,
    ExchangeCertificateRequest,
    ExchangeCertificateResponse,
    ExchangeTokenRequest,
    ExchangeTokenResponse,
    GetCurrentSessionRequest,
    GetCurrentSessionResponse,
    ListSessionsRequest,
    ListSessionsResponse,
    LoginRequest,
    LoginResponse,
    LogoutRequest,
    LogoutResponse,
)
from ubmc.v1alpha1.session_rpc import SessionService

COMMON_NAME = "cn:"
MAX_IDENTITIES = 32


class SessionCalls(Core):
    """What `UserManager` answers about sessions."""

    @rpc(SessionService.Login)
    async def login(self, request: LoginRequest) -> LoginResponse:
        """Open a session."""
        call = calls.current.get()
        source = call.source if call is not None else ""
        account = await self._authenticate(request.user, request.password, source)
        spend: Callable[[Account], Account] | None = None
        if account.totp:
            if not request.one_time_code:
                self._tell_failed(account.name, source, rules.FACTOR_MISSING)
                message = "is needed: this account has a second factor"
                raise Unauthenticated(
                    f"oneTimeCode {message}", violations=[Violation("oneTimeCode", "required", message)]
                )
            spend = self._spender(request.one_time_code)
        rehashed = ""
        if account.has_password and self._hasher.outdated(account.password):
            rehashed = await self._hasher.hash(request.password)
        session, token = open_session(account.name, source, Moment.now(), self._options)
        try:
            await self._change(
                lambda state: rules.login(state, account, session, self._options, spend=spend, rehashed=rehashed)
            )
        except Unauthenticated:
            await self._failed(account.name, source)
            raise
        self._locks.clear(account.name)
        state = self._store.state
        latest = state.accounts.get(account.name, account)
        return LoginResponse(
            token=token,
            session=shapes.session(session, latest, Moment.now()),
            must_change_password=state.policy.must_change(latest, time.time()),
            must_set_up_second_factor=state.policy.must_set_up(latest),
        )

    @rpc(SessionService.Logout)
    async def logout(self, request: LogoutRequest) -> LogoutResponse:
        """End the session that asks."""
        session = asking(self._store.state).session
        if session is None:
            raise Refused("there is no session to end: this call came with another credential")
        await self._change(lambda state: rules.end(state, session, rules.LOGOUT))
        return LogoutResponse()

    @rpc(SessionService.GetCurrentSession)
    async def get_current_session(self, request: GetCurrentSessionRequest) -> GetCurrentSessionResponse:
        """Say who asks."""
        state = self._store.state
        asker = asking(state)
        return GetCurrentSessionResponse(
            session=shapes.current(asker, Moment.now()),
            privileges=list(asker.privileges),
            must_change_password=state.policy.must_change(asker.account, time.time()),
            must_set_up_second_factor=state.policy.must_set_up(asker.account),
        )

    @rpc(SessionService.ListSessions)
    async def list_sessions(self, request: ListSessionsRequest) -> ListSessionsResponse:
        """One page of the own sessions, or of all."""
        asker = asking(self._store.state)
        state, now = self._store.state, Moment.now()
        visible = [
            session
            for session in (*state.sessions, *state.ipmi)
            if asker.sees(session.user) and not session.ending(now.monotonic, self._options)
        ]
        shown, following = pages.page(
            visible, request.page_size, request.page_token, key=lambda session: session.id, order=str
        )
        messages = [shapes.session(session, state.accounts[session.user], now) for session in shown]
        return ListSessionsResponse(sessions=messages, next_page_token=following)

    @rpc(SessionService.DeleteSession)
    async def delete_session(self, request: DeleteSessionRequest) -> DeleteSessionResponse:
        """End a session. Others' sessions do not exist for somebody who may not see them."""

        def decide(state: State) -> Change:
            asker = asking(state)
            session = state.session(request.id)
            if session is None or not asker.sees(session.user):
                raise NotFound(f"there is no session {request.id}")
            return rules.end(state, session, f"ended by {asker.account.name}")

        await self._change(decide)
        return DeleteSessionResponse()

    # --- for doors ------------------------------------------------------------------------------------------------

    @rpc(SessionService.ExchangeToken)
    async def exchange_token(self, request: ExchangeTokenRequest) -> ExchangeTokenResponse:
        """Say, signed, whose token this is. Reads memory only, but for the first use of a token in an hour."""
        if request.token.startswith(tokens.PREFIX):
            return await self._exchange_personal(request)
        now = time.monotonic()
        session = self._store.state.sessions.find(request.token)
        if session is None or session.ending(now, self._options):
            raise Unauthenticated("the token is wrong, or its session has ended; log in again")
        if not request.unattended and self._store.use(session, now):
            self._wake.set()
        state = self._store.state
        account = state.accounts[session.user]
        held = state.privileges(account, time.time())
        asker = Asker(account, held, session.id, CredentialKind.SESSION, session)
        signed, seconds = self._principal(asker, request.source, session.expires, self._options.principal_seconds)
        # When that is done somebody may do more at once, so a door must not keep what they may do without it.
        restricted = state.restricted(account, time.time())
        return ExchangeTokenResponse(
            principal=signed, keep_seconds=0.0 if restricted else min(self._options.keep_seconds, seconds)
        )

    async def _exchange_personal(self, request: ExchangeTokenRequest) -> ExchangeTokenResponse:
        now, wall = time.monotonic(), time.time()
        state = self._store.state
        token = state.tokens.find(request.token)
        account = state.accounts.get(token.user) if token is not None else None
        if token is None or account is None or not account.enabled or token.expires <= wall:
            raise Unauthenticated("the token is wrong, or has expired or been deleted; make another one")
        hour = math.floor(wall / tokens.HOUR_SECONDS) * tokens.HOUR_SECONDS
        if hour != token.used:
            try:
                await self._change(lambda _state: credential_rules.use_token(token, hour))
            except UbmcError as error:  # it may be used all the same
                log.warning("the use of a token could not be written", extra={"error": error.message})
            if state.tokens.get(token.id) is not token:
                raise Unauthenticated("the token has been deleted; make another one")
        held = token.limit(state.held(account))
        left = now + token.expires - wall
        until = min(left, now + self._options.principal_seconds)
        visit = state.visits.add(account.name, CredentialKind.TOKEN, until, now, token.id)
        asker = Asker(account, held, visit.id, CredentialKind.TOKEN)
        signed, seconds = self._principal(asker, request.source, left, self._options.principal_seconds)
        return ExchangeTokenResponse(principal=signed, keep_seconds=min(self._options.keep_seconds, seconds))

    @rpc(SessionService.ExchangeBasic)
    async def exchange_basic(self, request: ExchangeBasicRequest) -> ExchangeBasicResponse:
        """Say, signed, whose name and password these are. Doors keep that only as long as no news tells otherwise."""
        account = await self._authenticate(request.user, request.password, request.source)
        state = self._store.state
        if account.totp or state.policy.must_set_up(account):
            raise Denied("this account has a second factor, or needs one: log in and use the session's token")
        # Whoever must change their password can do that this way too, and nothing else (DSP0266, password management).
        self._locks.clear(account.name)
        signed, seconds = self._visit(account, CredentialKind.BASIC, request.source)
        # A directory does not tell when somebody is locked out there, so it is asked each time.
        once = not account.local or state.restricted(account, time.time())
        return ExchangeBasicResponse(
            principal=signed, keep_seconds=0.0 if once else min(self._options.keep_seconds, seconds)
        )

    @rpc(SessionService.ExchangeCertificate)
    async def exchange_certificate(self, request: ExchangeCertificateRequest) -> ExchangeCertificateResponse:
        """Say, signed, whose certificate this is: that of the one account that has one of its identities, exactly."""
        state = self._store.state
        shown = set(request.identities[:MAX_IDENTITIES])
        if not state.policy.certificate_common_names:
            shown = {each for each in shown if not each.startswith(COMMON_NAME)}
        found = [account for account in state.accounts.values() if shown.intersection(account.identities)]
        if len(found) != 1 or not found[0].enabled:
            self._tell_failed(found[0].name if len(found) == 1 else "", request.source, rules.REFUSED)
            raise Unauthenticated("this certificate belongs to no account, or to more than one")
        signed, seconds = self._visit(found[0], CredentialKind.CERTIFICATE, request.source)
        restricted = state.restricted(found[0], time.time())
        keep = 0.0 if restricted else min(self._options.keep_seconds, seconds)
        return ExchangeCertificateResponse(principal=signed, keep_seconds=keep)

    def _visit(self, account: Account, kind: CredentialKind, source: str) -> tuple[bytes, float]:
        """Let somebody in without a session."""
        now = time.monotonic()
        state = self._store.state
        latest = state.accounts.get(account.name)
        if latest is None or not latest.enabled or latest.password != account.password:
            raise Unauthenticated(WRONG)
        visit = state.visits.add(latest.name, kind, now + self._options.principal_seconds, now)
        asker = Asker(latest, state.privileges(latest, time.time()), visit.id, kind)
        self._tell_let_in(latest.name, source)
        return self._principal(asker, source, visit.until, self._options.principal_seconds)
