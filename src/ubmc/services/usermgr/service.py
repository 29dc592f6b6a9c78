"""usermgr: answers for accounts and sessions, and vouches for who is asking.

Everything is read from memory; every change is on disk before it is answered. A change that was begun is finished and
told even if its caller has given up meanwhile, because memory, database and the doors must agree. The calls stand in
`session_calls`, `user_calls`, `credential_calls`, `ipmi_calls`, `ssh_calls` and `account_calls`; here is the life of
the service.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ubmc.kit import outgoing
from ubmc.kit.database import Database
from ubmc.kit.errors import UbmcError
from ubmc.kit.keys import PrincipalSigner
from ubmc.kit.secrets import DeviceKey
from ubmc.services.usermgr import credential_rules, passwords, recovery, rules
from ubmc.services.usermgr.account_calls import AccountCalls
from ubmc.services.usermgr.core import DIRECTORY_THREADS, FINISH_SECONDS, RETRY_SECONDS, CheckPeer, log
from ubmc.services.usermgr.credential_calls import CredentialCalls
from ubmc.services.usermgr.ipmi_calls import IpmiCalls
from ubmc.services.usermgr.passwords import Hasher
from ubmc.services.usermgr.policy import AccountPolicy
from ubmc.services.usermgr.session_calls import SessionCalls
from ubmc.services.usermgr.sessions import SessionOptions
from ubmc.services.usermgr.ssh_calls import SshCalls
from ubmc.services.usermgr.store import Change, State, Store
from ubmc.services.usermgr.tokens import Token
from ubmc.services.usermgr.user_calls import UserCalls
from ubmc.v1alpha1.account_pb import AccountPolicyChange
from ubmc.v1alpha1.session_pb import LoginAttempt, LoginFlood, SessionEnd
from ubmc.v1alpha1.token_pb import TokenChange
from ubmc.v1alpha1.user_pb import (
    RoleChange,
    SecondFactorChange,
    SourceLocked,
    UserChange,
    UserLocked,
    UserUnlocked,
)


class UserManager(SessionCalls, UserCalls, CredentialCalls, IpmiCalls, SshCalls, AccountCalls):
    """Accounts, roles, passwords, sessions, tokens, second factors, IPMI secrets and SSH keys.

    Args:
        database: the precious one, open; it belongs to whoever made it.
        signer: signs principals; the others of its public half trust what it signed.
        key: encrypts what has to be known in clear: seeds of second factors, IPMI secrets, the directory's password.
        first_password: the password that the owner gave for the first account, None if they gave none; asked only while
            there is no account that somebody has logged in to.
        announce: told the name and the random password of the first account, each time one was made and stored.
        first_changed: told when that password was changed for another one, so that it need not be kept any more.
        options: the limits of sessions, until somebody changes the policy.
        policy: what holds for all accounts, until somebody changes it.
        state: the directory in which `ubmc user recover` leaves its request; None for none.
        issuer: the name of this BMC in an authenticator.
        check_peer: raises `Refused` for a server of the directory that must not be talked to.
    """

    name = "usermgr"
    tells = (
        UserChange,
        SessionEnd,
        LoginAttempt,
        LoginFlood,
        UserLocked,
        UserUnlocked,
        SourceLocked,
        SecondFactorChange,
        RoleChange,
        TokenChange,
        AccountPolicyChange,
    )

    def __init__(
        self,
        database: Database,
        signer: PrincipalSigner,
        key: DeviceKey,
        *,
        first_password: Callable[[], str | None],
        announce: Callable[[str, str], None],
        first_changed: Callable[[], None],
        options: SessionOptions,
        policy: AccountPolicy | None = None,
        state: Path | None = None,
        issuer: str = "u-bmc",
        check_peer: CheckPeer = outgoing.check_peer,
    ) -> None:
        super().__init__(signer, key, check_peer, issuer)
        self._database = database
        self._first_password = first_password
        self._announce = announce
        self._first_changed = first_changed
        self._base_options = options
        self._base_policy = policy
        self._state_folder = state

    # --- life -----------------------------------------------------------------------------------------------------

    async def setup(self) -> None:
        """Read what is stored, make the first account if there is none, end what is over."""
        self._wake = asyncio.Event()
        self._hasher = Hasher()
        self._threads = ThreadPoolExecutor(DIRECTORY_THREADS, thread_name_prefix="ldap")
        self._store = Store(self._database, self._base_options, self._base_policy)
        await self._store.load()
        self._restore_locks()
        self._decoy = await self._hasher.hash(secrets.token_urlsafe())
        await self._first_boot()
        await self._recover()
        await self._sweep()

    async def _first_boot(self) -> None:
        state = self._store.state
        if state.accounts and not any(account.unclaimed for account in state.accounts.values()):
            return
        given = self._first_password()
        password = passwords.random_password() if given is None else given
        self._check_password(rules.FIRST_NAME, password, "the first password")
        hashed = await self._hasher.hash(password)
        change = await self._change(lambda now: rules.first(now, hashed, time.time(), given=given is not None))
        if given is None and change.account is not None:
            self._announce(change.account.name, password)

    async def work(self) -> None:
        """End what is over, write when sessions were used, and look for whoever wants to get in by the device."""
        while True:
            self._wake.clear()
            await self._sleep(self._due())
            try:
                await self._recover()
                await self._sweep()
                writing = self._store.write_due()
                if writing is not None and writing <= time.monotonic():
                    await self._store.write_times()
            except UbmcError as error:
                log.warning("sessions could not be written", extra={"error": error.message})
                await asyncio.sleep(RETRY_SECONDS)

    def _due(self) -> float | None:
        """In how many seconds there is something to do; None if there never is."""
        now, wall = time.monotonic(), time.time()
        state = self._store.state
        due = [session.ends(self._options) for session in (*state.sessions, *state.ipmi)]
        due += [now + token.expires - wall for token in self._store.state.tokens]
        due += self._locks.ends()
        due += [flood for flood in (self._attempts.due(),) if flood is not None]
        writing = self._store.write_due()
        if writing is not None:
            due.append(writing)
        if self._state_folder is not None:
            due.append(now + recovery.POLL_SECONDS)
        return max(0.0, min(due) - now) if due else None

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _sweep(self) -> None:
        await self._change(lambda state: rules.sweep(state, time.monotonic(), self._options))
        for token in credential_rules.expired_tokens(self._store.state, time.time()):
            await self._change(partial(_expire, token=token))
        await self._end_locks()
        self._tell_flood()

    async def teardown(self) -> None:
        """Let what was begun end, and store when sessions were used."""
        self._tell_flood(now=True)
        if self._changes:
            await asyncio.wait(tuple(self._changes), timeout=FINISH_SECONDS)
        self._hasher.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if len(self._store.state.sessions):
            try:
                await self._store.write_times()
            except UbmcError as error:
                log.warning("sessions could not be written", extra={"error": error.message})

    # --- recovery -------------------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Let somebody in who has the device in hands, if a request stands in the state directory."""
        if self._state_folder is None:
            return
        request = None
        try:
            request = recovery.take(self._state_folder)
            if request is None:
                return
            await self._change(partial(_recovered, request=request))
            problem = ""
            log.warning("an account was recovered on the device", extra={"user": request.name})
        except UbmcError as error:
            problem = error.message
            log.warning("a recovery on the device failed", extra={"error": problem})
        if request is not None:
            try:
                recovery.answer(self._state_folder, request, problem)
            except OSError as error:
                log.warning("the outcome of a recovery could not be written", extra={"error": str(error)})


def _expire(state: State, *, token: Token) -> Change:
    return credential_rules.delete_token(state, token, credential_rules.EXPIRED)


def _recovered(state: State, *, request: recovery.Recovery) -> Change:
    return credential_rules.recover(
        state, request.name, request.password, time.time(), remove_factor=request.remove_second_factor
    )
