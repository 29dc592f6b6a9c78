"""Accounts, and how they lie in the database."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from ubmc.services.usermgr.roles import ADMINISTRATOR

TABLE = """
CREATE TABLE usermgr_users (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    must_change INTEGER NOT NULL,
    unclaimed INTEGER NOT NULL,
    password TEXT NOT NULL,
    created REAL NOT NULL,
    password_set REAL NOT NULL
) STRICT
"""
_COLUMNS = "name, role, enabled, must_change, unclaimed, password, created, password_set"


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may log in; times are Unix seconds."""

    name: str
    role: str
    enabled: bool
    must_change: bool
    """Nothing but a new password is allowed."""
    unclaimed: bool
    """It has a random password of ours, and nobody has logged in with it yet."""
    password: str = field(repr=False)
    """The argon2id hash in PHC text form."""
    created: float
    password_set: float

    @property
    def administers(self) -> bool:
        """It is an administrator who can log in."""
        return self.enabled and self.role == ADMINISTRATOR


def read(connection: sqlite3.Connection) -> list[Account]:
    """All accounts in the database."""
    return [
        Account(name, role, bool(enabled), bool(must_change), bool(unclaimed), password, created, password_set)
        for name, role, enabled, must_change, unclaimed, password, created, password_set in connection.execute(
            f"SELECT {_COLUMNS} FROM usermgr_users"  # noqa: S608  a constant
        )
    ]


def write(connection: sqlite3.Connection, account: Account) -> None:
    """Store an account, new or changed."""
    connection.execute(
        f"INSERT INTO usermgr_users ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  a constant
        " ON CONFLICT (name) DO UPDATE SET role = excluded.role, enabled = excluded.enabled,"
        " must_change = excluded.must_change, unclaimed = excluded.unclaimed, password = excluded.password,"
        " password_set = excluded.password_set",
        (
            account.name,
            account.role,
            account.enabled,
            account.must_change,
            account.unclaimed,
            account.password,
            account.created,
            account.password_set,
        ),
    )


def remove(connection: sqlite3.Connection, name: str) -> None:
    """Remove an account; its sessions go with it."""
    connection.execute("DELETE FROM usermgr_users WHERE name = ?", (name,))
