"""The calls about IPMI: secrets, user ids, and the sessions that its door opens for who proved to have a secret."""

from __future__ import annotations

import hmac
import time

from ubmc.kit.addresses import address_key
from ubmc.kit.errors import NotFound, Unauthenticated
from ubmc.kit.service import rpc
from ubmc.services.usermgr import ipmi_rules, passwords, rules
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.asker import Asker, asking
from ubmc.services.usermgr.core import Core, invalid
from ubmc.services.usermgr.sessions import Moment, Session
from ubmc.services.usermgr.store import Change, State
from ubmc.services.usermgr.user_calls import about
from ubmc.v1alpha1.session_pb import (
    CredentialKind,
    EndIpmiSessionRequest,
    EndIpmiSessionResponse,
    ExchangeIpmiRequest,
    ExchangeIpmiResponse,
    ReportIpmiFailureRequest,
    ReportIpmiFailureResponse,
)
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.user_pb import (
    DeleteIpmiSecretRequest,
    DeleteIpmiSecretResponse,
    GetIpmiKeyRequest,
    GetIpmiKeyResponse,
    IpmiSecretTest,
    IpmiUser,
    ListIpmiUsersRequest,
    ListIpmiUsersResponse,
    ResetIpmiSecretRequest,
    ResetIpmiSecretResponse,
    SetIpmiSecretRequest,
    SetIpmiSecretResponse,
    SetIpmiUserNameRequest,
    SetIpmiUserNameResponse,
    TestIpmiSecretRequest,
    TestIpmiSecretResponse,
)
from ubmc.v1alpha1.user_rpc import UserService

DISPLACED = "displaced by a newer session"


class IpmiCalls(Core):
    """What `UserManager` answers about IPMI."""

    def _sealed(self, name: str, secret: bytes) -> bytes:
        return self._key.seal(secret, f"ipmi:{name}")

    def _secret(self, account: Account) -> bytes:
        return self._key.open(account.ipmi, f"ipmi:{account.name}")

    # --- secrets --------------------------------------------------------------------------------------------------

    @staticmethod
    def _about_secret(state: State, name: str) -> Asker:
        """Who gives a secret, if they may: with it somebody may do all that the role may.

        Raises:
            Denied: so it is for nobody who has to change the password or set up a second factor first; or they may not.
        """
        asker = asking(state)
        if asker.kind is not CredentialKind.IPMI or asker.account.name != name:  # who came by it may change it by it
            asker, _ = about(state, name)
        asker.check_covers(state.held(rules.find(state, name)))
        return asker

    async def _set_secret(self, name: str, secret: bytes) -> None:
        sealed = self._sealed(name, secret)

        def decide(state: State) -> Change:
            asker = self._about_secret(state, name)
            return ipmi_rules.set_secret(state, name, sealed, asker.session)

        await self._change(decide)

    @rpc(UserService.ResetIpmiSecret)
    async def reset_ipmi_secret(self, request: ResetIpmiSecretRequest) -> ResetIpmiSecretResponse:
        """Make a secret for IPMI; it is stored encrypted, because that protocol needs it in clear (RAKP)."""
        self._about_secret(self._store.state, request.name)
        ipmi_rules.check_account(rules.find(self._store.state, request.name))
        secret = passwords.random_password(ipmi_rules.SHORT if request.short else ipmi_rules.LONG)
        await self._set_secret(request.name, secret.encode())
        return ResetIpmiSecretResponse(secret=secret)

    @rpc(UserService.SetIpmiSecret)
    async def set_ipmi_secret(self, request: SetIpmiSecretRequest) -> SetIpmiSecretResponse:
        """Take a secret for IPMI that somebody chose: as long as a password; a short one must not be common either."""
        state = self._store.state
        self._about_secret(state, request.name)
        ipmi_rules.check_account(rules.find(state, request.name))
        secret = ipmi_rules.padded(request.secret, short=request.short)
        policy, size = state.policy, ipmi_rules.SHORT if request.short else ipmi_rules.LONG
        text = request.secret.decode("latin-1")
        passwords.check_new(
            request.name,
            text,
            "secret",
            shortest=min(policy.min_password_length, size),
            deny_common=policy.deny_common_passwords and len(text) < ipmi_rules.SHORT,
        )
        await self._set_secret(request.name, secret)
        return SetIpmiSecretResponse()

    @rpc(UserService.DeleteIpmiSecret)
    async def delete_ipmi_secret(self, request: DeleteIpmiSecretRequest) -> DeleteIpmiSecretResponse:
        """Take the secret for IPMI away."""

        def decide(state: State) -> Change:
            about(state, request.name)
            return ipmi_rules.set_secret(state, request.name, b"")

        await self._change(decide)
        return DeleteIpmiSecretResponse()

    # --- user ids -------------------------------------------------------------------------------------------------

    @rpc(UserService.SetIpmiUserName)
    async def set_ipmi_user_name(self, request: SetIpmiUserNameRequest) -> SetIpmiUserNameResponse:
        """Give a user id to somebody, or take it away."""
        if not ipmi_rules.FIRST_ID <= request.ipmi_user_id <= ipmi_rules.LAST_ID:
            raise invalid("ipmiUserId", "range", f"is from {ipmi_rules.FIRST_ID} to {ipmi_rules.LAST_ID}")
        if request.name:
            ipmi_rules.check_name(request.name)

        def decide(state: State) -> Change:
            asker = asking(state, users=True)
            holder = ipmi_rules.by_id(state, request.ipmi_user_id)
            for account in (holder, state.accounts.get(request.name)):
                if account is not None:
                    asker.check_covers(state.held(account))
            if not request.name:
                return ipmi_rules.give_up(state, request.ipmi_user_id)
            renamed = self._sealed(request.name, self._secret(holder)) if holder is not None and holder.ipmi else None
            return ipmi_rules.give_name(state, request.ipmi_user_id, request.name, time.time(), renamed)

        await self._change(decide)
        return SetIpmiUserNameResponse()

    @rpc(UserService.ListIpmiUsers)
    async def list_ipmi_users(self, request: ListIpmiUsersRequest) -> ListIpmiUsersResponse:
        """Who has a user id."""
        state, now = self._store.state, time.time()
        known = sorted((each for each in state.accounts.values() if each.ipmi_id), key=lambda each: each.ipmi_id)
        return ListIpmiUsersResponse(
            users=[
                IpmiUser(
                    id=account.ipmi_id,
                    name=account.name,
                    enabled=account.enabled and not account.ipmi_off and bool(account.ipmi),
                    has_secret=bool(account.ipmi),
                    privilege_level=ipmi_rules.limit_of(state, account, now),
                    service_account=account.service,
                    disabled=account.ipmi_off,
                )
                for account in known
            ]
        )

    @rpc(UserService.TestIpmiSecret)
    async def test_ipmi_secret(self, request: TestIpmiSecretRequest) -> TestIpmiSecretResponse:
        """Compare a secret, whose kept size counts too (Spec section 22.30)."""
        account = ipmi_rules.by_id(self._store.state, request.ipmi_user_id)
        if account is None or not account.ipmi:
            return TestIpmiSecretResponse(outcome=IpmiSecretTest.OTHER)
        kept, shown = self._secret(account), ipmi_rules.padded(request.secret.rstrip(b"\0"), short=request.short)
        if len(kept) != len(shown):
            return TestIpmiSecretResponse(outcome=IpmiSecretTest.OTHER_SIZE)
        same = hmac.compare_digest(kept, shown)
        return TestIpmiSecretResponse(outcome=IpmiSecretTest.SAME if same else IpmiSecretTest.OTHER)

    # --- for the door ---------------------------------------------------------------------------------------------

    @rpc(UserService.GetIpmiKey)
    async def get_ipmi_key(self, request: GetIpmiKeyRequest) -> GetIpmiKeyResponse:
        """The secret for the IPMI door; whatever keeps somebody out is answered alike."""
        state, now = self._store.state, time.time()
        account = state.accounts.get(request.name)
        if account is None or self._locked(request.name, request.source) or not ipmi_rules.admits(state, account, now):
            raise NotFound("there is no such account for IPMI")
        return GetIpmiKeyResponse(
            key=self._secret(account).rstrip(b"\0"),
            privileges=list(state.privileges(account, now)),
            ipmi_user_id=account.ipmi_id,
            privilege_level=ipmi_rules.limit_of(state, account, now),
        )

    def _locked(self, name: str, source: str) -> bool:
        return self._locks.left(name, time.monotonic()) > 0 or self._source_locked(source)

    def _source_locked(self, source: str) -> bool:
        return self._sources.left(address_key(source, unknown=""), time.monotonic()) > 0

    @rpc(SessionService.ExchangeIpmi)
    async def exchange_ipmi(self, request: ExchangeIpmiRequest) -> ExchangeIpmiResponse:
        """Say, signed, who proved to have the secret, and no more of what they may do than the level has."""
        if not ipmi_rules.USER <= request.privilege_level <= ipmi_rules.ADMINISTRATOR:
            raise invalid("privilegeLevel", "range", "is 2, 3 or 4")
        state = self._store.state
        if not request.session and self._locked(request.name, request.source):
            raise NotFound("there is no such account for IPMI")  # it was locked after the handshake had begun
        account = ipmi_rules.check_level(state, state.accounts.get(request.name), request.privilege_level, time.time())
        session = await self._ipmi_session(account, request)
        session.used = time.monotonic()
        session.level = max(session.level, request.privilege_level)
        held = ipmi_rules.at_level(state.privileges(account, time.time()), request.privilege_level)
        asker = Asker(account, held, session.id, CredentialKind.IPMI, session)
        signed, seconds = self._principal(asker, request.source, session.expires, self._options.principal_seconds)
        keep = min(self._options.keep_seconds, seconds)
        return ExchangeIpmiResponse(principal=signed, session=session.id, keep_seconds=keep)

    async def _ipmi_session(self, account: Account, request: ExchangeIpmiRequest) -> Session:
        """The session to go on with; a new one if there is none, or if it was opened before usermgr was restarted.

        Raises:
            Unauthenticated: it has been ended, or it is another's.
        """
        state = self._store.state
        if request.session:
            session = state.ipmi.get(request.session)
            if state.ipmi.ended(request.session) or (session is not None and session.user != account.name):
                raise Unauthenticated("the session has been ended")
            if session is not None:
                return session
        else:
            self._locks.clear(account.name)
        if (oldest := state.ipmi.full()) is not None:
            await self._change(lambda state: rules.end(state, oldest, DISPLACED))
        session = state.ipmi.open(account.name, request.source, request.privilege_level, Moment.now(), self._options)
        self._wake.set()  # it may end sooner than all else
        self._tell_let_in(account.name, request.source)
        return session

    @rpc(SessionService.EndIpmiSession)
    async def end_ipmi_session(self, request: EndIpmiSessionRequest) -> EndIpmiSessionResponse:
        """Forget a session; nobody is told, because the one who would have to know asks for it."""
        session = self._store.state.ipmi.get(request.session)
        if session is not None:
            self._store.state.ipmi.discard(session)
        return EndIpmiSessionResponse()

    @rpc(SessionService.ReportIpmiFailure)
    async def report_ipmi_failure(self, request: ReportIpmiFailureRequest) -> ReportIpmiFailureResponse:
        """Count a failure as a wrong password counts."""
        known = request.name if request.name in self._store.state.accounts else ""
        locked = bool(known) and self._locks.left(known, time.monotonic()) > 0
        await self._failed(known, request.source, rules.LOCKED if locked else rules.REFUSED)
        return ReportIpmiFailureResponse()
