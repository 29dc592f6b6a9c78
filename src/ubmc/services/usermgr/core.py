"""What all calls of usermgr stand on: store, hasher, locks, directory, and how a password is checked."""

from __future__ import annotations

import asyncio
import base64
import logging
import math
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from ubmc.kit import call as calls
from ubmc.kit.addresses import address_key
from ubmc.kit.errors import Exhausted, Invalid, UbmcError, Unauthenticated, Unavailable, Violation
from ubmc.kit.keys import PrincipalSigner
from ubmc.kit.secrets import DeviceKey
from ubmc.kit.service import Service
from ubmc.services.usermgr import credential_rules, ldap_settings, rules, totp
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.asker import Asker
from ubmc.services.usermgr.attempts import Attempts
from ubmc.services.usermgr.lockout import Limits, Lockouts
from ubmc.services.usermgr.locks import Lock
from ubmc.services.usermgr.passwords import Hasher, check_new
from ubmc.services.usermgr.sessions import SessionOptions
from ubmc.services.usermgr.store import Change, State, Store
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.session_pb import LoginAttempt, LoginFlood, Principal
from ubmc.v1alpha1.user_pb import SourceLocked, UserLocked, UserUnlocked

log = logging.getLogger("ubmc.usermgr")

COMPONENT = "bmc.0"
RETRY_SECONDS = 5.0  # after the database refused
FINISH_SECONDS = 1.0  # for changes that were begun
WRONG = "wrong user name or password"
OK_AGAIN_SECONDS = 3600.0  # how often it is told that somebody was let in who shows their password with each request
DIRECTORY_THREADS = 2
DIRECTORY_WAITING = 8
DIRECTORY_SECONDS = 60.0
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.-")
_LONGEST_NAME = 32
_TOLD = 256

CheckPeer = Callable[[socket.socket], None]
T = TypeVar("T")


class Core(Service):
    """The ground of `UserManager`."""

    _store: Store
    _hasher: Hasher
    _first_changed: Callable[[], None]
    _decoy: str
    _wake: asyncio.Event
    _threads: ThreadPoolExecutor

    def __init__(self, signer: PrincipalSigner, key: DeviceKey, check_peer: CheckPeer, issuer: str) -> None:
        self._signer = signer
        self._key = key
        self._check_peer = check_peer
        self._issuer = issuer
        self._changes: set[asyncio.Task[Change]] = set()
        self._locks = Lockouts()
        self._sources = Lockouts()
        self._attempts = Attempts()
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._pending: dict[str, tuple[str, float]] = {}  # seeds that are not confirmed yet, until when
        self._asking_directory = 0
        self._directory_silent = False

    @property
    def _options(self) -> SessionOptions:
        return self._store.options

    # --- changes --------------------------------------------------------------------------------------------------

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
        for name in change.unlocked:
            self._locks.clear(name)
        if not change.empty:
            self._wake.set()  # something ends sooner, perhaps, than all else
        return change

    # --- locks ----------------------------------------------------------------------------------------------------

    def _limits(self) -> Limits:
        policy = self._store.state.policy
        return Limits(
            policy.lockout_failures, policy.lockout_window_seconds, policy.lockout_seconds, policy.lockout_max_seconds
        )

    def _restore_locks(self) -> None:
        """Take over the locks of before; the time of day may be wrong by now, so none lasts longer than it may."""
        wall, now = time.time(), time.monotonic()
        for lock in self._store.stored_locks:
            left = min(lock.until - wall, self._store.state.policy.lockout_max_seconds)
            self._locks.restore(lock.name, now + left, lock.level)

    def _check_source(self, source: str) -> None:
        """Refuse an address from which too much failed; no password is looked at.

        Raises:
            Exhausted: it is locked.
        """
        left = self._sources.left(address_key(source, unknown=""), time.monotonic())
        if left:
            seconds = math.ceil(left)
            raise Exhausted(f"too many failed logins from this address; try again in {seconds} s", retry_seconds=left)

    async def _failed(self, name: str, source: str, outcome: str = rules.REFUSED) -> None:
        """Note and tell a failed attempt; `name` is empty if there is no such account."""
        now, limits = time.monotonic(), self._limits()
        self._tell_failed(name, source, outcome)
        key = address_key(source, unknown="")
        if key:
            count = self._store.state.policy.source_lockout_failures
            seconds = self._sources.fail(key, now, replace(limits, failures=count))
            if seconds:
                self.bus.tell(COMPONENT, SourceLocked(source=key, seconds=round(seconds)))
        seconds = self._locks.fail(name, now, limits) if name else 0.0
        if seconds:
            lock = Lock(name, time.time() + seconds, self._locks.level(name))
            told = UserLocked(name=name, source=source, seconds=round(seconds))
            try:
                await self._change(lambda _state: Change(lock=lock, news=(told,)))
            except UbmcError as error:  # in memory it is locked all the same
                log.warning("a lock could not be written", extra={"error": error.message})

    def _tell_failed(self, name: str, source: str, outcome: str) -> None:
        """Tell that somebody was not let in; of a flood only how many, after a while."""
        if self._attempts.tell(name, address_key(source, unknown=""), time.monotonic()):
            attempt = LoginAttempt(user=name, source=source, outcome=outcome)
            self.bus.tell(COMPONENT, attempt, severity=Severity.WARNING)
        else:
            self._wake.set()  # that is due some time

    def _tell_flood(self, *, now: bool = False) -> None:
        """Tell how many were not told, if that is due or to be told now."""
        due = self._attempts.due()
        if due is None or not (now or due <= time.monotonic()):
            return
        flood = self._attempts.folded(time.monotonic())
        if flood is not None:
            news = LoginFlood(attempts=flood.attempts, source=flood.source, seconds=round(flood.seconds))
            self.bus.tell(COMPONENT, news)

    async def _end_locks(self) -> None:
        """Tell of locks that are over."""
        now = time.monotonic()
        self._sources.over(now)
        over = tuple(self._locks.over(now))
        if over:
            news = tuple(UserUnlocked(name=name, reason="time is over") for name in over)
            await self._store.change(lambda _state: Change(unlocked=over))
            for told in news:
                self.bus.tell(COMPONENT, told)

    # --- passwords ------------------------------------------------------------------------------------------------

    async def _authenticate(self, name: str, password: str, source: str) -> Account:
        """Whose password this is. All that is wrong is answered alike, and after the same work.

        Raises:
            Unauthenticated: nobody's, or the account is disabled or locked.
            Exhausted: too much failed from this address, or too many passwords are being checked.
            Unavailable: the name is not a local one, and the directory does not answer.
        """
        self._check_source(source)
        account = self._store.state.accounts.get(name)
        locked = self._locks.left(name, time.monotonic()) > 0
        here = account is not None and account.has_password
        right = await self._hasher.verify(account.password if account is not None and here else self._decoy, password)
        right = right and here
        if not locked and (account is None or not account.local) and self._in_directory(name):
            account = await self._ask_directory(name, password)
            right = account is not None
        # Others may have failed meanwhile: who guesses in parallel does not get more attempts by that.
        locked = locked or self._locks.left(name, time.monotonic()) > 0
        if account is None or not right or locked or not account.enabled:
            known = account.name if account is not None else name if name in self._store.state.accounts else ""
            await self._failed(known, source, rules.LOCKED if locked and known else rules.REFUSED)
            raise Unauthenticated(WRONG)
        return account

    async def _prove(self, asker: Asker, password: str, field: str) -> bool:
        """Whether whoever sits at an open session knows the password too; wrong ones lock as at the login."""
        call = calls.current.get()
        if not password:
            raise invalid(field, "required", "is needed to change the own credentials")
        try:
            await self._authenticate(asker.account.name, password, call.source if call is not None else "")
        except Unauthenticated:
            return False
        return True

    def _check_password(self, name: str, password: str, field: str) -> None:
        policy = self._store.state.policy
        check_new(name, password, field, shortest=policy.min_password_length, deny_common=policy.deny_common_passwords)

    async def _check_history(self, account: Account, password: str, field: str) -> None:
        """Refuse a password that the account had lately.

        Raises:
            Invalid: it had.
        """
        for hashed in account.history[: self._store.state.policy.password_history]:
            if await self._hasher.verify(hashed, password):
                raise invalid(field, "history", "was used for this account before; choose another one")

    def _principal(self, asker: Asker, source: str, until: float, most: float) -> tuple[bytes, float]:
        """The signed principal of somebody, and for how many seconds it is good.

        Args:
            asker: who.
            source: the address.
            until: the monotonic time at which their credential ends.
            most: for how many seconds it is good at most.
        """
        now = time.monotonic()
        seconds = min(most, until - now)
        principal = Principal(
            user=asker.account.name,
            role=asker.account.role,
            privileges=list(asker.privileges),
            session=asker.credential,
            source=source,
            expires=now + seconds,
            kind=asker.kind,
        )
        return self._signer.sign(principal), seconds

    def _tell_let_in(self, name: str, source: str) -> None:
        """Tell that somebody was let in without a session; not each time they ask something."""
        now = time.monotonic()
        key = (name, source)
        if now - self._told.get(key, -OK_AGAIN_SECONDS) < OK_AGAIN_SECONDS:
            return
        self._told[key] = now
        self._told.move_to_end(key)
        while len(self._told) > _TOLD:
            self._told.popitem(last=False)
        self.bus.tell(COMPONENT, LoginAttempt(user=name, source=source, outcome=rules.OK))

    # --- second factor --------------------------------------------------------------------------------------------

    def _spender(self, code: str) -> Callable[[Account], Account]:
        """Takes a code of the second factor from an account, within a change: so none is good twice."""

        def spend(account: Account) -> Account:
            seed = self._key.open(account.totp, f"totp:{account.name}").decode()
            return credential_rules.check_spent(totp.spend(account, seed, code, time.time()))

        return spend

    # --- directory ------------------------------------------------------------------------------------------------

    def _in_directory(self, name: str) -> bool:
        """Whether the directory is asked about a name."""
        return (
            self._store.state.ldap.enabled
            and 0 < len(name) <= _LONGEST_NAME
            and _NAME_CHARACTERS.issuperset(name)
            and not name[0].isdigit()
            and name[0] not in ".-"
        )

    def _bind_password(self, settings: ldap_settings.LdapSettings) -> str:
        if not settings.bind_password:
            return ""
        return self._key.open(base64.b64decode(settings.bind_password), ldap_settings.CONTEXT).decode()

    async def _ask_directory(self, name: str, password: str) -> Account | None:
        """The account of somebody whom the directory lets in; None if it does not.

        Raises:
            Unavailable: it does not answer.
        """
        from ubmc.services.usermgr import ldap  # a megabyte that only those need who have a directory

        settings = self._store.state.ldap
        bind_password = self._bind_password(settings)
        try:
            found = await self._in_thread(
                lambda: ldap.authenticate(settings, bind_password, name, password, self._check_peer)
            )
        except UbmcError as error:
            if not self._directory_silent:
                log.warning("the directory cannot be asked", extra={"error": error.message})
            self._directory_silent = True
            raise Unavailable("the directory cannot be asked now; local accounts can log in") from error
        if self._directory_silent:
            log.info("the directory answers again")
        self._directory_silent = False
        if found is None or not found.role:
            return None
        try:
            await self._change(lambda state: rules.from_directory(state, name, found.role, time.time()))
        except Unauthenticated:
            return None
        return self._store.state.accounts.get(name)

    async def _in_thread(self, ask: Callable[[], T]) -> T:
        """Ask the directory off the loop, a few at once.

        Raises:
            Exhausted: too many ask already.
            Unavailable: it takes too long.
        """
        if self._asking_directory >= DIRECTORY_THREADS + DIRECTORY_WAITING:
            raise Exhausted("too many logins wait for the directory; try again in a few seconds")
        self._asking_directory += 1
        try:
            async with asyncio.timeout(DIRECTORY_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        except TimeoutError as error:
            raise Unavailable("the directory takes too long") from error
        finally:
            self._asking_directory -= 1


def invalid(field: str, rule: str, message: str) -> Invalid:
    """The error for one field of a request."""
    return Invalid(f"{field} {message}", violations=[Violation(field, rule, message)])
