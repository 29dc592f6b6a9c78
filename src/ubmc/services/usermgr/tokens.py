"""Personal access tokens: how they lie in memory and in the database.

A token is `ubmc_pat_` and 256 random bits, so a plain SHA-256 of it is all that is kept. It ends by the time of day.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ubmc.services.usermgr.roles import whole
from ubmc.v1alpha1.access_pb import Privilege

TABLE = """
CREATE TABLE usermgr_tokens (
    id TEXT PRIMARY KEY,
    user TEXT NOT NULL REFERENCES usermgr_users (name) ON DELETE CASCADE,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created REAL NOT NULL,
    expires REAL NOT NULL,
    used REAL NOT NULL
) STRICT
"""

PREFIX = "ubmc_pat_"
PER_USER = 16
IN_ALL = 256
DEFAULT_SECONDS = 90 * 86400.0
LONGEST_SECONDS = 366 * 86400.0
HOUR_SECONDS = 3600.0
_SECRET_BYTES = 32
_ID_BYTES = 8


@dataclass(slots=True)
class Token:
    """A token; times are Unix seconds."""

    id: str
    user: str
    name: str
    scopes: tuple[Privilege, ...]
    """What it may do, as far as its owner's role may; none means all of that."""
    hash: bytes = field(repr=False)
    created: float
    expires: float
    used: float = 0.0
    """The hour of the last use; 0 if it never was used."""

    def limit(self, privileges: Iterable[Privilege]) -> tuple[Privilege, ...]:
        """What is left of some privileges."""
        return tuple(each for each in privileges if not self.scopes or each in self.scopes)


def make(user: str, name: str, scopes: Iterable[Privilege], now: float, expires: float) -> tuple[Token, str]:
    """A new token, and its secret, which exists nowhere else."""
    secret = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    wanted = set(scopes)
    ordered = tuple(each for each in whole(wanted) if each in wanted)
    return Token(secrets.token_hex(_ID_BYTES), user, name, ordered, hash_secret(secret), now, expires), secret


def hash_secret(secret: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class TokenTable:
    """The tokens in memory."""

    def __init__(self) -> None:
        self._by_id: dict[str, Token] = {}
        self._by_hash: dict[bytes, Token] = {}

    def __iter__(self) -> Iterator[Token]:
        """All, in no order."""
        return iter(self._by_id.values())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._by_id)

    def add(self, token: Token) -> None:
        """Take a token in."""
        self._by_id[token.id] = token
        self._by_hash[token.hash] = token

    def discard(self, token: Token) -> None:
        """Forget a token."""
        self._by_id.pop(token.id, None)
        self._by_hash.pop(token.hash, None)

    def get(self, token_id: str) -> Token | None:
        """The token of an id."""
        return self._by_id.get(token_id)

    def find(self, secret: str) -> Token | None:
        """The token of a secret."""
        return self._by_hash.get(hash_secret(secret))

    def of(self, user: str) -> list[Token]:
        """All tokens of one user."""
        return [token for token in self if token.user == user]


def read(connection: sqlite3.Connection) -> list[Token]:
    """All tokens in the database. One of whose scopes none is known is left out: no scopes would mean all."""
    known = {privilege.name: privilege for privilege in Privilege}
    found: list[Token] = []
    rows = connection.execute("SELECT id, user, name, scopes, hash, created, expires, used FROM usermgr_tokens")
    for token_id, user, name, text, hashed, created, expires, used in rows:
        stored = json.loads(text)
        scopes = tuple(known[each] for each in stored if each in known)
        if scopes or not stored:
            found.append(Token(token_id, user, name, scopes, hashed, created, expires, used))
    return found


def write(connection: sqlite3.Connection, token: Token) -> None:
    """Store a new token."""
    scopes = json.dumps([scope.name for scope in token.scopes])
    row = (token.id, token.user, token.name, scopes, token.hash, token.created, token.expires, token.used)
    connection.execute("INSERT INTO usermgr_tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


def write_use(connection: sqlite3.Connection, token_id: str, used: float) -> None:
    """Store when a token was used last."""
    connection.execute("UPDATE usermgr_tokens SET used = ? WHERE id = ?", (used, token_id))


def remove(connection: sqlite3.Connection, token: Token) -> None:
    """Remove a token."""
    connection.execute("DELETE FROM usermgr_tokens WHERE id = ?", (token.id,))
