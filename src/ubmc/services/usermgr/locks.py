"""Locks of accounts in the database, so that a restart opens none."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

TABLE = "CREATE TABLE usermgr_locks (name TEXT PRIMARY KEY, until REAL NOT NULL, level INTEGER NOT NULL) STRICT"


@dataclass(frozen=True, slots=True)
class Lock:
    """An account that cannot be logged in to."""

    name: str
    until: float
    """Unix seconds."""
    level: int
    """How often it was locked in a row."""


def read(connection: sqlite3.Connection) -> list[Lock]:
    """All locks in the database."""
    return [Lock(*row) for row in connection.execute("SELECT name, until, level FROM usermgr_locks")]


def write(connection: sqlite3.Connection, lock: Lock) -> None:
    """Store a lock."""
    connection.execute(
        "INSERT INTO usermgr_locks VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET until = excluded.until, level = excluded.level",
        (lock.name, lock.until, lock.level),
    )


def remove(connection: sqlite3.Connection, name: str) -> None:
    """Remove a lock."""
    connection.execute("DELETE FROM usermgr_locks WHERE name = ?", (name,))
