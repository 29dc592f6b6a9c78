"""Accounts and all that belongs to them in memory for reading, and in the database before anything is answered.

Changes are data. Whoever wants one hands in a function that looks at the state and returns a `Change` (or refuses);
it runs while nothing else changes, then the change is committed as one transaction, then memory follows. So memory and
database cannot come apart, and rules need no I/O.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from protobuf import Message

from ubmc.kit.database import Database
from ubmc.services.usermgr import accounts, ldap_settings, locks, roles, sessions, ssh_keys, tokens
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.ldap_settings import LdapSettings
from ubmc.services.usermgr.locks import Lock
from ubmc.services.usermgr.policy import AccountPolicy, overlaid
from ubmc.services.usermgr.roles import ROLES
from ubmc.services.usermgr.sessions import IpmiSessions, Moment, Session, SessionOptions, SessionTable
from ubmc.services.usermgr.ssh_keys import SshKey
from ubmc.services.usermgr.tokens import Token, TokenTable
from ubmc.services.usermgr.visits import Visits
from ubmc.v1alpha1.access_pb import Privilege

OWNER = "usermgr"
_SETTINGS = "CREATE TABLE usermgr_settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT"
MIGRATIONS = (
    f"{accounts.TABLE};{sessions.TABLE}",
    f"{accounts.CREDENTIALS};{roles.TABLE};{tokens.TABLE};{locks.TABLE};{_SETTINGS}",
    f"{accounts.IPMI};{sessions.SSH};{ssh_keys.TABLE}",
)
_POLICY, _LDAP = "policy", "ldap"


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be different afterwards, and the news of it."""

    account: Account | None = None
    """New or changed."""
    removed: Account | None = None
    opened: Session | None = None
    ended: tuple[Session, ...] = ()
    closed: tuple[Session, ...] = ()
    """Sessions of IPMI that are over."""
    role: tuple[str, tuple[Privilege, ...]] | None = None
    """New or changed."""
    removed_role: str = ""
    token: Token | None = None
    """New."""
    revoked: tuple[Token, ...] = ()
    used: tuple[Token, float] | None = None
    """A token, and the hour in which it was used."""
    left: tuple[str, ...] = ()
    """Ids of visits that are over."""
    added_key: SshKey | None = None
    removed_key: SshKey | None = None
    lock: Lock | None = None
    unlocked: tuple[str, ...] = ()
    policy: Mapping[str, Any] | None = None
    """All that differs from the owner's policy."""
    ldap: LdapSettings | None = None
    news: tuple[Message[Any], ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing is different in the database."""
        parts: tuple[object, ...] = (self.account, self.removed, self.opened, self.role, self.token, self.used)
        parts += (self.lock, self.policy)
        parts += (self.added_key, self.removed_key)
        rest = (self.ended, self.removed_role, self.revoked, self.unlocked)
        return self.ldap is None and all(part is None for part in parts) and not any(rest)


@dataclass(slots=True)
class State:
    """Everything that is known, in memory."""

    accounts: dict[str, Account] = field(default_factory=dict)
    sessions: SessionTable = field(default_factory=SessionTable)
    ipmi: IpmiSessions = field(default_factory=IpmiSessions)
    ssh_keys: dict[str, tuple[SshKey, ...]] = field(default_factory=dict)
    """By the name of the account, in the order in which they were added."""
    roles: dict[str, tuple[Privilege, ...]] = field(default_factory=lambda: dict(ROLES))
    tokens: TokenTable = field(default_factory=TokenTable)
    visits: Visits = field(default_factory=Visits)
    defaults: AccountPolicy = field(default_factory=AccountPolicy)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    policy: AccountPolicy = field(default_factory=AccountPolicy)
    ldap: LdapSettings = field(default_factory=LdapSettings)

    def restricted(self, account: Account, now: float) -> bool:
        """Whether somebody has to change the password or set up a second factor first; `now` in Unix seconds."""
        return self.policy.must_change(account, now) or self.policy.must_set_up(account)

    def privileges(self, account: Account, now: float) -> tuple[Privilege, ...]:
        """What somebody may do who is logged in; `now` in Unix seconds."""
        return roles.RESTRICTED if self.restricted(account, now) else self.held(account)

    def held(self, account: Account) -> tuple[Privilege, ...]:
        """What the role of an account may do."""
        return self.roles.get(account.role, ())

    def session(self, session_id: str) -> Session | None:
        """The session of an id, of IPMI or not."""
        return self.sessions.get(session_id) or self.ipmi.get(session_id)

    def sessions_of(self, user: str) -> list[Session]:
        """All sessions of one user, also those of IPMI."""
        return [*self.sessions.of(user), *self.ipmi.of(user)]

    def apply(self, change: Change) -> None:
        """Let a change happen."""
        for session in change.ended:
            self.sessions.discard(session)
        for session in change.closed:
            self.ipmi.discard(session)
        for token in change.revoked:
            self.tokens.discard(token)
        for visit_id in change.left:
            self.visits.discard(visit_id)
        if change.removed is not None:
            del self.accounts[change.removed.name]
            self.ssh_keys.pop(change.removed.name, None)
        if change.account is not None:
            self.accounts[change.account.name] = change.account
        if (added := change.added_key) is not None:
            self.ssh_keys[added.user] = (*self.ssh_keys.get(added.user, ()), added)
        if (gone := change.removed_key) is not None:
            self.ssh_keys[gone.user] = tuple(each for each in self.ssh_keys.get(gone.user, ()) if each.id != gone.id)
        if change.opened is not None:
            self.sessions.add(change.opened)
        if change.token is not None:
            self.tokens.add(change.token)
        if change.used is not None:
            change.used[0].used = change.used[1]
        self._apply_settings(change)

    def _apply_settings(self, change: Change) -> None:
        if change.role is not None:
            self.roles[change.role[0]] = change.role[1]
        if change.removed_role:
            self.roles.pop(change.removed_role, None)
        if change.policy is not None:
            self.overrides = change.policy
            self.policy = overlaid(self.defaults, change.policy)
        if change.ldap is not None:
            self.ldap = change.ldap


class Store:
    """The state, and the only way to change it."""

    def __init__(self, database: Database, options: SessionOptions, policy: AccountPolicy | None = None) -> None:
        self._database = database
        self._base = options
        self._defaults = (policy or AccountPolicy()).with_sessions(options)
        self._changing = asyncio.Lock()
        self._dirty = False
        self._written = 0.0
        self.stored_locks: list[Lock] = []
        """What was locked when it was read; times are Unix seconds."""
        self.state = State(defaults=self._defaults, policy=self._defaults)

    @property
    def options(self) -> SessionOptions:
        """The limits of sessions, as the policy is now."""
        return self.state.policy.session_options(self._base)

    async def load(self) -> None:
        """Read everything.

        Raises:
            Unavailable: the database is closed, or newer than this program.
        """
        await self._database.migrate(OWNER, MIGRATIONS)
        now = Moment.now()
        self.state = await self._database.run(self._read)
        self.stored_locks = await self._database.run(locks.read)
        options = self.options
        for session in await self._database.run(lambda connection: sessions.read(connection, now, options)):
            self.state.sessions.add(session)
        self._written = now.monotonic

    def _read(self, connection: sqlite3.Connection) -> State:
        settings: dict[str, str] = dict(connection.execute("SELECT key, value FROM usermgr_settings"))
        overrides: dict[str, Any] = json.loads(settings.get(_POLICY, "{}"))
        state = State(
            accounts={account.name: account for account in accounts.read(connection)},
            roles=roles.read(connection),
            defaults=self._defaults,
            overrides=overrides,
            policy=overlaid(self._defaults, overrides),
            ldap=ldap_settings.from_text(settings.get(_LDAP, "{}")),
        )
        for token in tokens.read(connection):
            state.tokens.add(token)
        for key in ssh_keys.read(connection):
            state.ssh_keys[key.user] = (*state.ssh_keys.get(key.user, ()), key)
        return state

    async def change(self, decide: Callable[[State], Change]) -> Change:
        """Change the state; on disk when this returns. It must not be cancelled in the middle: shield it.

        Raises:
            UbmcError: what `decide` refuses with; `Unavailable` or `Exhausted` when the database does not take it.
        """
        async with self._changing:
            change = decide(self.state)
            if not change.empty:
                now = Moment.now()
                await self._database.run(lambda connection: _write(connection, change, now))
            self.state.apply(change)
            return change

    # --- when sessions were used --------------------------------------------------------------------------------

    def use(self, session: Session, now: float) -> bool:
        """Note that a session is used; True if a write becomes due by that (see `write_due`)."""
        session.used = now
        first = not self._dirty
        self._dirty = True
        return first

    def write_due(self) -> float | None:
        """The monotonic time at which `write_times` shall be called next; None if it need not."""
        return self._written + self._base.write_seconds if self._dirty else None

    async def write_times(self) -> None:
        """Store when sessions were used last and, by the time of day as it is known now, when they end.

        Raises:
            UbmcError: the database does not take it; it is due again after the usual time.
        """
        now = Moment.now()
        self._written = now.monotonic
        rows = [
            (now.to_wall(session.used), now.to_wall(session.expires), session.id) for session in self.state.sessions
        ]
        self._dirty = False
        try:
            await self._database.run(lambda connection: sessions.write_times(connection, rows))
        except BaseException:
            self._dirty = True
            raise


def _write(connection: sqlite3.Connection, change: Change, now: Moment) -> None:
    for session in change.ended:
        sessions.remove(connection, session)
    for token in change.revoked:
        tokens.remove(connection, token)
    if change.removed is not None:
        accounts.remove(connection, change.removed.name)
        locks.remove(connection, change.removed.name)
    if change.account is not None:
        accounts.write(connection, change.account)
    if change.opened is not None:
        sessions.write(connection, change.opened, now)
    if change.token is not None:
        tokens.write(connection, change.token)
    if change.used is not None:
        tokens.write_use(connection, change.used[0].id, change.used[1])
    if change.added_key is not None:
        ssh_keys.write(connection, change.added_key)
    if change.removed_key is not None:
        ssh_keys.remove(connection, change.removed_key)
    _write_settings(connection, change)


def _write_settings(connection: sqlite3.Connection, change: Change) -> None:
    if change.role is not None:
        roles.write(connection, *change.role)
    if change.removed_role:
        roles.remove(connection, change.removed_role)
    if change.lock is not None:
        locks.write(connection, change.lock)
    for name in change.unlocked:
        locks.remove(connection, name)
    if change.policy is not None:
        _write_setting(connection, _POLICY, json.dumps(dict(change.policy)))
    if change.ldap is not None:
        _write_setting(connection, _LDAP, ldap_settings.to_text(change.ldap))


def _write_setting(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute(
        "INSERT INTO usermgr_settings VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value)
    )
