"""usermgr: answers for accounts and sessions, and vouches for who is asking.

Everything is read from memory; every change is on disk before it is answered. A change that was begun is finished and
told even if its caller has given up meanwhile, because memory, database and the doors must agree.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import replace

from ubmc.kit import call as calls
from ubmc.kit.database import Database
from ubmc.kit.errors import Denied, Invalid, NotFound, UbmcError, Unauthenticated, Violation
from ubmc.kit.keys import PrincipalSigner
from ubmc.kit.service import Service, rpc
from ubmc.services.usermgr import pages, passwords, rules, shapes
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.asker import asking
from ubmc.services.usermgr.passwords import Hasher
from ubmc.services.usermgr.roles import privileges
from ubmc.services.usermgr.sessions import Moment, SessionOptions, open_session
from ubmc.services.usermgr.store import Change, State, Store
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.session_pb import (
    DeleteSessionRequest,
    DeleteSessionResponse,
    ExchangeTokenRequest,
    ExchangeTokenResponse,
    GetCurrentSessionRequest,
    GetCurrentSessionResponse,
    ListSessionsRequest,
    ListSessionsResponse,
    LoginAttempt,
    LoginRequest,
    LoginResponse,
    LogoutRequest,
    LogoutResponse,
    Principal,
    SessionEnd,
)
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.user_pb import (
    ChangePasswordRequest,
    ChangePasswordResponse,
    CreateUserRequest,
    CreateUserResponse,
    DeleteUserRequest,
    DeleteUserResponse,
    GetUserRequest,
    GetUserResponse,
    ListRolesRequest,
    ListRolesResponse,
    ListUsersRequest,
    ListUsersResponse,
    UpdateUserRequest,
    UpdateUserResponse,
    User,
    UserChange,
)
from ubmc.v1alpha1.user_rpc import UserService

log = logging.getLogger("ubmc.usermgr")

COMPONENT = "bmc.0"
RETRY_SECONDS = 5.0  # after the database refused
FINISH_SECONDS = 1.0  # for changes that were begun


class UserManager(Service):
    """Accounts, roles, passwords and sessions.

    Args:
        database: the precious one, open; it belongs to whoever made it.
        signer: signs principals; the others of its public half trust what it signed.
        first_password: the password that the owner gave for the first account, None if they gave none; asked only while
            there is no account that somebody has logged in to.
        announce: told the name and the random password of the first account, each time one was made and stored.
        options: the limits of sessions.
    """

    name = "usermgr"
    tells = (UserChange, SessionEnd, LoginAttempt)

    def __init__(
        self,
        database: Database,
        signer: PrincipalSigner,
        *,
        first_password: Callable[[], str | None],
        announce: Callable[[str, str], None],
        options: SessionOptions,
    ) -> None:
        self._database = database
        self._signer = signer
        self._first_password = first_password
        self._announce = announce
        self._options = options
        self._changes: set[asyncio.Task[Change]] = set()

    # --- life -----------------------------------------------------------------------------------------------------

    async def setup(self) -> None:
        """Read what is stored, make the first account if there is none, end what is over."""
        self._wake = asyncio.Event()
        self._hasher = Hasher()
        self._store = Store(self._database, self._options)
        await self._store.load()
        self._decoy = await self._hasher.hash(secrets.token_urlsafe())
        await self._first_boot()
        await self._change(lambda state: rules.sweep(state, time.monotonic(), self._options))

    async def _first_boot(self) -> None:
        state = self._store.state
        if state.accounts and not any(account.unclaimed for account in state.accounts.values()):
            return
        given = self._first_password()
        password = passwords.random_password() if given is None else given
        passwords.check_new(rules.FIRST_NAME, password, "the first password")
        hashed = await self._hasher.hash(password)
        change = await self._change(lambda now: rules.first(now, hashed, time.time(), given=given is not None))
        if given is None and change.account is not None:
            self._announce(change.account.name, password)

    async def work(self) -> None:
        """End sessions that are over, and write when the others were used."""
        while True:
            self._wake.clear()
            due = [session.ends(self._options) for session in self._store.state.sessions]
            writing = self._store.write_due()
            if writing is not None:
                due.append(writing)
            await self._sleep(max(0.0, min(due) - time.monotonic()) if due else None)
            try:
                await self._change(lambda state: rules.sweep(state, time.monotonic(), self._options))
                writing = self._store.write_due()
                if writing is not None and writing <= time.monotonic():
                    await self._store.write_times()
            except UbmcError as error:
                log.warning("sessions could not be written", extra={"error": error.message})
                await asyncio.sleep(RETRY_SECONDS)

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def teardown(self) -> None:
        """Let what was begun end, and store when sessions were used."""
        if self._changes:
            await asyncio.wait(tuple(self._changes), timeout=FINISH_SECONDS)
        self._hasher.close()
        if len(self._store.state.sessions):
            try:
                await self._store.write_times()
            except UbmcError as error:
                log.warning("sessions could not be written", extra={"error": error.message})

    async def _change(self, decide: Callable[[State], Change]) -> Change:
        """Change the state and tell it; goes on to its end even if the caller is cancelled."""
        task = asyncio.create_task(self._commit(decide))
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    async def _commit(self, decide: Callable[[State], Change]) -> Change:
        change = await self._store.change(decide)
        for news in change.news:
            self.bus.tell(COMPONENT, news)
        if change.opened is not None:
            self._wake.set()  # it ends sooner, perhaps, than all others
        return change

    # --- sessions -------------------------------------------------------------------------------------------------

    @rpc(SessionService.Login)
    async def login(self, request: LoginRequest) -> LoginResponse:
        """Open a session. All that is wrong is answered alike, and after the same work."""
        call = calls.current.get()
        source = call.source if call is not None else ""
        account = self._store.state.accounts.get(request.user)
        right = await self._hasher.verify(account.password if account is not None else self._decoy, request.password)
        try:
            if account is None or not right:
                raise Unauthenticated("wrong user name or password")
            session, token = open_session(account.name, source, Moment.now(), self._options)
            await self._change(lambda state: rules.login(state, account, session, self._options))
        except Unauthenticated:
            name = account.name if account is not None else ""
            attempt = LoginAttempt(user=name, source=source, outcome=rules.REFUSED)
            self.bus.tell(COMPONENT, attempt, severity=Severity.WARNING)
            raise
        latest = self._store.state.accounts.get(account.name, account)
        return LoginResponse(
            token=token,
            session=shapes.session(session, latest, Moment.now()),
            must_change_password=latest.must_change,
        )

    @rpc(SessionService.Logout)
    async def logout(self, request: LogoutRequest) -> LogoutResponse:
        """End the session that asks."""
        session = asking(self._store.state).session
        await self._change(lambda state: rules.end(state, session, rules.LOGOUT))
        return LogoutResponse()

    @rpc(SessionService.GetCurrentSession)
    async def get_current_session(self, request: GetCurrentSessionRequest) -> GetCurrentSessionResponse:
        """Say who asks."""
        asker = asking(self._store.state)
        return GetCurrentSessionResponse(
            session=shapes.session(asker.session, asker.account, Moment.now()),
            privileges=list(asker.privileges),
            must_change_password=asker.account.must_change,
        )

    @rpc(SessionService.ListSessions)
    async def list_sessions(self, request: ListSessionsRequest) -> ListSessionsResponse:
        """One page of the own sessions, or of all."""
        asker = asking(self._store.state)
        state, now = self._store.state, Moment.now()
        visible = [
            session
            for session in state.sessions
            if asker.sees(session) and not session.ending(now.monotonic, self._options)
        ]
        shown, following = pages.page(visible, lambda session: session.id, request.page_size, request.page_token)
        messages = [shapes.session(session, state.accounts[session.user], now) for session in shown]
        return ListSessionsResponse(sessions=messages, next_page_token=following)

    @rpc(SessionService.DeleteSession)
    async def delete_session(self, request: DeleteSessionRequest) -> DeleteSessionResponse:
        """End a session. Others' sessions do not exist for somebody who may not see them."""

        def decide(state: State) -> Change:
            asker = asking(state)
            session = state.sessions.get(request.id)
            if session is None or not asker.sees(session):
                raise NotFound(f"there is no session {request.id}")
            return rules.end(state, session, f"ended by {asker.account.name}")

        await self._change(decide)
        return DeleteSessionResponse()

    @rpc(SessionService.ExchangeToken)
    async def exchange_token(self, request: ExchangeTokenRequest) -> ExchangeTokenResponse:
        """Say, signed, whose token this is. Reads memory only."""
        now = time.monotonic()
        session = self._store.state.sessions.find(request.token)
        if session is None or session.ending(now, self._options):
            raise Unauthenticated("the token is wrong, or its session has ended; log in again")
        if self._store.use(session, now):
            self._wake.set()
        account = self._store.state.accounts[session.user]
        left = session.expires - now
        principal = Principal(
            user=account.name,
            role=account.role,
            privileges=list(privileges(account.role, must_change_password=account.must_change)),
            session=session.id,
            source=request.source,
            expires=now + min(self._options.principal_seconds, left),
        )
        # With its new password somebody may do more at once, so a door must not keep what they may do without it.
        keep = 0.0 if account.must_change else min(self._options.keep_seconds, left)
        return ExchangeTokenResponse(principal=self._signer.sign(principal), keep_seconds=keep)

    # --- users ----------------------------------------------------------------------------------------------------

    @rpc(UserService.ListUsers)
    async def list_users(self, request: ListUsersRequest) -> ListUsersResponse:
        """One page of all accounts."""
        asking(self._store.state, users=True)
        accounts = self._store.state.accounts.values()
        shown, following = pages.page(accounts, lambda account: account.name, request.page_size, request.page_token)
        return ListUsersResponse(users=[shapes.user(account) for account in shown], next_page_token=following)

    @rpc(UserService.GetUser)
    async def get_user(self, request: GetUserRequest) -> GetUserResponse:
        """The own account, or any."""
        if request.name != asking(self._store.state).account.name:
            asking(self._store.state, users=True)
        return GetUserResponse(user=shapes.user(rules.find(self._store.state, request.name)))

    @rpc(UserService.CreateUser)
    async def create_user(self, request: CreateUserRequest) -> CreateUserResponse:
        """Make an account."""
        asking(self._store.state, users=True)
        user = _required(request.user)
        rules.check_role(user.role)
        passwords.check_new(user.name, request.password, "password")
        now = time.time()
        account = Account(
            name=user.name,
            role=user.role,
            enabled=user.enabled or not user.has_field("enabled"),
            must_change=user.must_change_password,
            unclaimed=False,
            password="",
            created=now,
            password_set=now,
        )
        rules.create(self._store.state, account)  # refuse before the work of hashing
        account = replace(account, password=await self._hasher.hash(request.password))

        def decide(state: State) -> Change:
            asking(state, users=True)
            return rules.create(state, account)

        await self._change(decide)
        return CreateUserResponse(user=shapes.user(account))

    @rpc(UserService.UpdateUser)
    async def update_user(self, request: UpdateUserRequest) -> UpdateUserResponse:
        """Change role, enabled or must_change_password."""
        asking(self._store.state, users=True)
        user = _required(request.user)
        paths = rules.paths_of(user, request.update_mask.paths if request.update_mask is not None else ())
        if "role" in paths:
            rules.check_role(user.role)

        def decide(state: State) -> Change:
            asking(state, users=True)
            return rules.update(state, user, paths)

        change = await self._change(decide)
        return UpdateUserResponse(user=shapes.user(change.account or rules.find(self._store.state, user.name)))

    @rpc(UserService.DeleteUser)
    async def delete_user(self, request: DeleteUserRequest) -> DeleteUserResponse:
        """Remove an account."""

        def decide(state: State) -> Change:
            asking(state, users=True)
            return rules.delete(state, request.name)

        await self._change(decide)
        return DeleteUserResponse()

    @rpc(UserService.ChangePassword)
    async def change_password(self, request: ChangePasswordRequest) -> ChangePasswordResponse:
        """Change the own password, or give another account a new one."""
        own = request.name == asking(self._store.state).account.name
        asking(self._store.state, users=not own)
        account = rules.find(self._store.state, request.name)
        passwords.check_new(account.name, request.new_password, "newPassword")
        if own:
            await self._prove(account, request)
        hashed = await self._hasher.hash(request.new_password)

        def decide(state: State) -> Change:
            asker = asking(state, users=not own)
            return rules.new_password(state, account, hashed, time.time(), asker.session if own else None)

        await self._change(decide)
        return ChangePasswordResponse()

    async def _prove(self, account: Account, request: ChangePasswordRequest) -> None:
        """Check that whoever sits at an open session knows the password too."""
        if not request.current_password:
            raise _wrong("currentPassword", "required", "is needed to change the own password")
        if not await self._hasher.verify(account.password, request.current_password):
            message = "is wrong"
            raise Denied(f"currentPassword {message}", violations=[Violation("currentPassword", "right", message)])
        if request.new_password == request.current_password:
            raise _wrong("newPassword", "new", "must differ from the current one")

    @rpc(UserService.ListRoles)
    async def list_roles(self, request: ListRolesRequest) -> ListRolesResponse:
        """All roles."""
        return ListRolesResponse(roles=shapes.roles())


def _required(user: User | None) -> User:
    if user is None or not user.name:
        raise _wrong("user.name", "required", "is needed")
    return user


def _wrong(field: str, rule: str, message: str) -> Invalid:
    return Invalid(f"{field} {message}", violations=[Violation(field, rule, message)])
