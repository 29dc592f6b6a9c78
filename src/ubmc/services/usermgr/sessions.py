"""Sessions: how long they live, and how they lie in memory and in the database.

In memory a session ends by the monotonic clock, so that a step of the time of day (a BMC without a battery learns the
time after it has booted) ends none early. Only between two runs of usermgr does the time of day count: the database
holds Unix seconds, computed from what is left on the monotonic clock at each write, and what is read back is clamped to
the limits. A time of day that went back while we were away therefore counts as no time at all.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ubmc.kit.errors import Invalid

TABLE = """
CREATE TABLE usermgr_sessions (
    id TEXT PRIMARY KEY,
    token BLOB NOT NULL UNIQUE,
    user TEXT NOT NULL REFERENCES usermgr_users (name) ON DELETE CASCADE,
    source TEXT NOT NULL,
    created REAL NOT NULL,
    used REAL NOT NULL,
    expires REAL NOT NULL
) STRICT;
CREATE INDEX usermgr_sessions_user ON usermgr_sessions (user)
"""
SSH = "ALTER TABLE usermgr_sessions ADD COLUMN ssh_key TEXT NOT NULL DEFAULT ''"
_COLUMNS = "id, token, user, source, created, used, expires, ssh_key"

IDLE = "idle"
EXPIRED = "expired"

IPMI_MOST = 512
IPMI_IDLE_SECONDS = 120.0
"""The IPMI door ends a session after a minute of silence (Spec IPMI 2.0, 6.12.15); this ends it should the door die."""

_TOKEN_BYTES = 32
_ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The limits of sessions; durations are in seconds.

    Raises `Invalid` for limits that let nobody in.
    """

    idle_seconds: float = 30 * 60.0
    """A session that is not used for so long ends."""
    absolute_seconds: float = 12 * 3600.0
    """A session ends after so long, used or not."""
    principal_seconds: float = 30.0
    """A signed principal is worth something for so long."""
    keep_seconds: float = 15.0
    """A door may keep a principal for so long before it asks again."""
    write_seconds: float = 60.0
    """The times of last use are written at most this often, because flash wears out."""
    per_user: int = 16
    in_all: int = 128

    def __post_init__(self) -> None:
        """Check that the limits fit together."""
        if not 0 < self.idle_seconds <= self.absolute_seconds:
            raise Invalid("the idle limit of sessions is longer than 0 s and no longer than the absolute limit")
        if not 0 <= self.keep_seconds <= self.principal_seconds:
            raise Invalid("a door may keep a principal no longer than it is valid")
        if not 1 <= self.per_user <= self.in_all:
            raise Invalid("each user needs at least 1 session, and no more than there are in all")


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on both clocks."""

    monotonic: float
    wall: float
    """Unix seconds."""

    @staticmethod
    def now() -> Moment:
        """This moment."""
        return Moment(time.monotonic(), time.time())

    def to_wall(self, monotonic: float) -> float:
        """The Unix seconds of a moment on the monotonic clock, as far as is known now."""
        return self.wall + (monotonic - self.monotonic)


@dataclass(slots=True)
class Session:
    """Somebody who is logged in."""

    id: str
    token_hash: bytes = field(repr=False)
    user: str
    source: str
    created: float
    """Unix seconds, as the clock said then."""
    used: float
    """Monotonic seconds of the last use."""
    expires: float
    """Monotonic seconds of the absolute limit."""
    ssh_key: str = ""
    """The id of the SSH key that it was opened with; empty if it was not."""
    level: int = 0
    """The highest IPMI privilege level that it was used with, 2 to 4; 0 if it is no session of IPMI.

    Those of IPMI are in memory only: they have no token, and the door, not its client, asks for them again.
    """

    def ends(self, options: SessionOptions) -> float:
        """The monotonic time at which it ends if it is not used any more."""
        return min(self.expires, self.used + self._idle_seconds(options))

    def _idle_seconds(self, options: SessionOptions) -> float:
        return IPMI_IDLE_SECONDS if self.level else options.idle_seconds

    def ending(self, now: float, options: SessionOptions) -> str:
        """Why it is over at the monotonic time `now`; empty if it is not."""
        if now >= self.expires:
            return EXPIRED
        return IDLE if now >= self.used + self._idle_seconds(options) else ""


def hash_token(token: str) -> bytes:
    """What is kept of a token. It is random, so a plain SHA-256 cannot be guessed backwards."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def open_session(
    user: str, source: str, now: Moment, options: SessionOptions, ssh_key: str = ""
) -> tuple[Session, str]:
    """A new session, and its token, which exists nowhere else."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    expires = now.monotonic + options.absolute_seconds
    session_id = secrets.token_hex(_ID_BYTES)
    return Session(session_id, hash_token(token), user, source, now.wall, now.monotonic, expires, ssh_key), token


class IpmiSessions:
    """The sessions of IPMI, in memory only, and not more than there can be.

    Each id begins with what tells this run of usermgr from others: one that another run gave is no session that was
    ended, but one that is not known any more, and may come back.
    """

    def __init__(self) -> None:
        self._run = secrets.token_hex(_ID_BYTES // 2)
        self._by_id: dict[str, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        """All, in no order."""
        return iter(self._by_id.values())

    def get(self, session_id: str) -> Session | None:
        """The session of an id."""
        return self._by_id.get(session_id)

    def of(self, user: str) -> list[Session]:
        """All of one user."""
        return [session for session in self if session.user == user]

    def ended(self, session_id: str) -> bool:
        """Whether an id is that of a session which this run gave and which is over."""
        return session_id.startswith(self._run) and session_id not in self._by_id

    def open(self, user: str, source: str, level: int, now: Moment, options: SessionOptions) -> Session:
        """A new one; `full` says what has to go before."""
        session_id = self._run + secrets.token_hex(_ID_BYTES // 2)
        expires = now.monotonic + options.absolute_seconds
        session = Session(session_id, b"", user, source, now.wall, now.monotonic, expires, level=level)
        self._by_id[session_id] = session
        return session

    def full(self) -> Session | None:
        """The one that was not used for longest, if there is no room for another."""
        if len(self._by_id) < IPMI_MOST:
            return None
        return min(self, key=lambda session: session.used)

    def discard(self, session: Session) -> None:
        """Forget a session."""
        self._by_id.pop(session.id, None)


class SessionTable:
    """The sessions in memory."""

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}
        self._by_token: dict[bytes, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        """All, in no order."""
        return iter(self._by_id.values())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._by_id)

    def add(self, session: Session) -> None:
        """Take a session in."""
        self._by_id[session.id] = session
        self._by_token[session.token_hash] = session

    def discard(self, session: Session) -> None:
        """Forget a session."""
        self._by_id.pop(session.id, None)
        self._by_token.pop(session.token_hash, None)

    def get(self, session_id: str) -> Session | None:
        """The session of an id."""
        return self._by_id.get(session_id)

    def find(self, token: str) -> Session | None:
        """The session of a token."""
        return self._by_token.get(hash_token(token))

    def of(self, user: str) -> list[Session]:
        """All sessions of one user."""
        return [session for session in self if session.user == user]


def read(connection: sqlite3.Connection, now: Moment, options: SessionOptions) -> list[Session]:
    """All sessions in the database; those that are over are among them."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM usermgr_sessions")  # noqa: S608  a constant
    return [_restore(row, now, options) for row in rows]


def _restore(
    row: tuple[str, bytes, str, str, float, float, float, str], now: Moment, options: SessionOptions
) -> Session:
    session_id, token_hash, user, source, created, used, expires, ssh_key = row
    unused = max(0.0, now.wall - used)
    left = min(expires - now.wall, options.absolute_seconds)
    return Session(session_id, token_hash, user, source, created, now.monotonic - unused, now.monotonic + left, ssh_key)


def write(connection: sqlite3.Connection, session: Session, now: Moment) -> None:
    """Store a new session."""
    connection.execute(
        f"INSERT INTO usermgr_sessions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  a constant
        (
            session.id,
            session.token_hash,
            session.user,
            session.source,
            session.created,
            now.to_wall(session.used),
            now.to_wall(session.expires),
            session.ssh_key,
        ),
    )


def write_times(connection: sqlite3.Connection, rows: Iterable[tuple[float, float, str]]) -> None:
    """Store anew when sessions were used and when they end; rows of (used, expires, id)."""
    connection.executemany("UPDATE usermgr_sessions SET used = ?, expires = ? WHERE id = ?", rows)


def remove(connection: sqlite3.Connection, session: Session) -> None:
    """Remove a session."""
    connection.execute("DELETE FROM usermgr_sessions WHERE id = ?", (session.id,))
