"""Accounts and sessions in memory for reading, and in the database before anything is answered.

Changes are data. Whoever wants one hands in a function that looks at the state and returns a `Change` (or refuses);
it runs while nothing else changes, then the change is committed as one transaction, then memory follows. So memory and
database cannot come apart, and rules need no I/O.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from protobuf import Message

from ubmc.kit.database import Database
from ubmc.services.usermgr import accounts, sessions
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.sessions import Moment, Session, SessionOptions, SessionTable

OWNER = "usermgr"
MIGRATIONS = (f"{accounts.TABLE};{sessions.TABLE}",)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be different afterwards, and the news of it."""

    account: Account | None = None
    """New or changed."""
    removed: Account | None = None
    opened: Session | None = None
    ended: tuple[Session, ...] = ()
    news: tuple[Message[Any], ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing is different."""
        return self.account is None and self.removed is None and self.opened is None and not self.ended


@dataclass(slots=True)
class State:
    """Everything that is known, in memory."""

    accounts: dict[str, Account] = field(default_factory=dict)
    sessions: SessionTable = field(default_factory=SessionTable)

    def apply(self, change: Change) -> None:
        """Let a change happen."""
        for session in change.ended:
            self.sessions.discard(session)
        if change.removed is not None:
            del self.accounts[change.removed.name]
        if change.account is not None:
            self.accounts[change.account.name] = change.account
        if change.opened is not None:
            self.sessions.add(change.opened)


class Store:
    """The state, and the only way to change it."""

    def __init__(self, database: Database, options: SessionOptions) -> None:
        self._database = database
        self._options = options
        self._changing = asyncio.Lock()
        self._dirty = False
        self._written = 0.0
        self.state = State()

    async def load(self) -> None:
        """Read everything.

        Raises:
            Unavailable: the database is closed, or newer than this program.
        """
        await self._database.migrate(OWNER, MIGRATIONS)
        now = Moment.now()

        def read(connection: sqlite3.Connection) -> tuple[list[Account], list[Session]]:
            return accounts.read(connection), sessions.read(connection, now, self._options)

        known, open_sessions = await self._database.run(read)
        self.state = State({account.name: account for account in known})
        for session in open_sessions:
            self.state.sessions.add(session)
        self._written = now.monotonic

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
        return self._written + self._options.write_seconds if self._dirty else None

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
    if change.removed is not None:
        accounts.remove(connection, change.removed.name)
    if change.account is not None:
        accounts.write(connection, change.account)
    if change.opened is not None:
        sessions.write(connection, change.opened, now)
