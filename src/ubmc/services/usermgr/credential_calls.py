"""The calls about second factors and tokens."""

from __future__ import annotations

import time
from collections.abc import Callable

from ubmc.kit import call as calls
from ubmc.kit import pages
from ubmc.kit.errors import Denied, NotFound, Refused, Unauthenticated, Violation
from ubmc.kit.service import rpc
from ubmc.services.usermgr import credential_rules, rules, shapes, tokens, totp
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.asker import asking
from ubmc.services.usermgr.core import Core, invalid
from ubmc.services.usermgr.roles import whole
from ubmc.services.usermgr.store import Change, State
from ubmc.services.usermgr.user_calls import about
from ubmc.v1alpha1.token_pb import (
    CreateTokenRequest,
    CreateTokenResponse,
    DeleteTokenRequest,
    DeleteTokenResponse,
    ListTokensRequest,
    ListTokensResponse,
)
from ubmc.v1alpha1.token_rpc import TokenService
from ubmc.v1alpha1.user_pb import (
    ConfirmTotpRequest,
    ConfirmTotpResponse,
    RegenerateRecoveryCodesRequest,
    RegenerateRecoveryCodesResponse,
    RemoveTotpRequest,
    RemoveTotpResponse,
    StartTotpRequest,
    StartTotpResponse,
)
from ubmc.v1alpha1.user_rpc import UserService

PENDING_SECONDS = 600.0
MAX_PENDING = 64
WithCode = Callable[[State, str, Callable[[Account], Account]], Change]


class CredentialCalls(Core):
    """What `UserManager` answers about what somebody proves themselves with."""

    # --- second factor --------------------------------------------------------------------------------------------

    def _own(self, name: str) -> Account:
        """The own account, which only its owner, in person, may give a second factor.

        Raises:
            Denied: it is another's, or a token asks.
        """
        asker = asking(self._store.state, in_person=True)
        if name != asker.account.name:
            raise Denied("a second factor is set up by its owner; log in as them")
        return asker.account

    @rpc(UserService.StartTotp)
    async def start_totp(self, request: StartTotpRequest) -> StartTotpResponse:
        """Make a seed, which counts for nothing until it is confirmed."""
        account = self._own(request.name)
        if account.totp:
            raise Refused(f"{account.name} has a second factor; remove it first")
        if not await self._prove(asking(self._store.state), request.current_password, "currentPassword"):
            message = "is wrong"
            raise Denied(f"currentPassword {message}", violations=[Violation("currentPassword", "right", message)])
        seed = totp.new_seed()
        self._pending.pop(account.name, None)
        while len(self._pending) >= MAX_PENDING:
            del self._pending[next(iter(self._pending))]
        self._pending[account.name] = (seed, time.monotonic() + PENDING_SECONDS)
        return StartTotpResponse(secret=seed, uri=totp.uri(seed, account.name, self._issuer))

    @rpc(UserService.ConfirmTotp)
    async def confirm_totp(self, request: ConfirmTotpRequest) -> ConfirmTotpResponse:
        """Take the seed into use, when a code of it shows that its owner has it."""
        account = self._own(request.name)
        seed, until = self._pending.get(account.name, ("", 0.0))
        if until <= time.monotonic():
            self._pending.pop(account.name, None)
            raise Refused("there is nothing to confirm, or it took too long; call StartTotp again")
        step = totp.step_of(seed, request.one_time_code, time.time(), 0)
        if step is None:
            raise invalid("oneTimeCode", "right", "is wrong; look at the clocks of the BMC and of the authenticator")
        shown, hashes = totp.new_recovery_codes()
        sealed = self._key.seal(seed.encode(), f"totp:{account.name}")

        def decide(state: State) -> Change:
            asker = asking(state, in_person=True)
            if asker.session is None:
                raise Refused("a second factor is set up in a session; log in for one")
            return credential_rules.set_up_factor(state, asker.account.name, sealed, step, hashes, asker.session)

        await self._change(decide)
        self._pending.pop(account.name, None)
        return ConfirmTotpResponse(recovery_codes=shown)

    @rpc(UserService.RemoveTotp)
    async def remove_totp(self, request: RemoveTotpRequest) -> RemoveTotpResponse:
        """Take the second factor away: the own by a code of it, another's by privilege."""
        _, own = about(self._store.state, request.name)
        if own:
            await self._by_code(request.name, request.one_time_code, credential_rules.remove_factor)
        else:

            def decide(state: State) -> Change:
                about(state, request.name)
                return credential_rules.remove_factor(state, request.name, None)

            await self._change(decide)
        return RemoveTotpResponse()

    @rpc(UserService.RegenerateRecoveryCodes)
    async def regenerate_recovery_codes(
        self, request: RegenerateRecoveryCodesRequest
    ) -> RegenerateRecoveryCodesResponse:
        """Other recovery codes."""
        name = self._own(request.name).name
        shown, hashes = totp.new_recovery_codes()
        await self._by_code(
            name,
            request.one_time_code,
            lambda state, name, spend: credential_rules.new_codes(state, name, hashes, spend),
        )
        return RegenerateRecoveryCodesResponse(recovery_codes=shown)

    async def _by_code(self, name: str, code: str, change: WithCode) -> None:
        """Change the own second factor with a code of it; wrong codes lock as wrong passwords do.

        Raises:
            Denied: the code is wrong, or the account is locked.
        """
        call = calls.current.get()
        source = call.source if call is not None else ""
        message = "is wrong, or was used before"
        denied = Denied(f"oneTimeCode {message}", violations=[Violation("oneTimeCode", "right", message)])
        if self._locks.left(name, time.monotonic()):
            raise denied
        spend = self._spender(code)

        def decide(state: State) -> Change:
            asking(state, in_person=True)
            return change(state, name, spend)

        try:
            await self._change(decide)
        except Unauthenticated as error:
            if not error.violations:
                raise
            await self._failed(name, source)
            raise denied from error

    # --- tokens ---------------------------------------------------------------------------------------------------

    @rpc(TokenService.ListTokens)
    async def list_tokens(self, request: ListTokensRequest) -> ListTokensResponse:
        """One page of the own tokens, of another's, or of all."""
        asker = asking(self._store.state)
        if request.user and not asker.sees(request.user):
            raise Denied("this needs the privilege ConfigureUsers for any but the own tokens")
        visible = [
            token for token in self._store.state.tokens if asker.sees(token.user) and request.user in ("", token.user)
        ]
        shown, following = pages.page(
            visible, request.page_size, request.page_token, key=lambda token: token.id, order=str
        )
        return ListTokensResponse(tokens=[shapes.token(each) for each in shown], next_page_token=following)

    @rpc(TokenService.CreateToken)
    async def create_token(self, request: CreateTokenRequest) -> CreateTokenResponse:
        """Make a token for the own account, or for a service account."""
        asker = asking(self._store.state, in_person=True)
        if request.token is None or not request.token.name:
            raise invalid("token.name", "required", "is needed")
        user = request.token.user or asker.account.name
        now = time.time()
        expires = _end_of(request, now)
        token, secret = tokens.make(user, request.token.name, request.token.scopes, now, expires)

        def decide(state: State) -> Change:
            asker = asking(state, in_person=True)
            if user != asker.account.name:
                asking(state, users=True)
            account = rules.find(state, user)
            if user != asker.account.name and not account.service:
                raise Denied("a person makes their own tokens; make a service account for a program")
            if not account.local:
                raise Refused(f"{user} comes from the directory; make a service account for a program")
            asker.check_covers(token.limit(state.held(account)))
            if extra := set(token.scopes) - set(whole(state.held(account))):
                names = ", ".join(sorted(each.name for each in extra))
                raise invalid("token.scopes", "role", f"has what the role of {user} has not: {names}")
            return credential_rules.make_token(state, token)

        await self._change(decide)
        return CreateTokenResponse(token=shapes.token(token), secret=secret)

    @rpc(TokenService.DeleteToken)
    async def delete_token(self, request: DeleteTokenRequest) -> DeleteTokenResponse:
        """End a token. Others' tokens do not exist for somebody who may not see them."""

        def decide(state: State) -> Change:
            asker = asking(state)
            token = state.tokens.get(request.id)
            if token is None or not asker.sees(token.user):
                raise NotFound(f"there is no token {request.id}")
            return credential_rules.delete_token(state, token)

        await self._change(decide)
        return DeleteTokenResponse()


def _end_of(request: CreateTokenRequest, now: float) -> float:
    """When a token that is made now ends, both in Unix seconds. Raises `Invalid`."""
    ends = request.token.expire_time if request.token is not None else None
    if request.lifetime is not None:
        if ends is not None:
            raise invalid("lifetime", "alone", "and token.expireTime exclude each other; send one of them")
        return now + request.lifetime.to_seconds()  # its range is the schema's
    expires = ends.to_datetime().timestamp() if ends is not None else now + tokens.DEFAULT_SECONDS
    if not now < expires <= now + tokens.LONGEST_SECONDS:
        raise invalid("token.expireTime", "range", "lies in the future, and not more than a year away")
    return expires
