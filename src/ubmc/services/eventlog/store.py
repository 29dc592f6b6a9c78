"""The events in the database. An event is there once, whatever comes twice, and ids rise for ever.

Rows are bounded, and the bound is above that of the stream on the bus (`stream.MAX_MESSAGES`): whatever the bus may
deliver again is therefore still here to be recognised by its ULID.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

import orjson
from protobuf.wkt import Timestamp

from ubmc.kit.database import Database
from ubmc.kit.errors import Unavailable
from ubmc.services.eventlog.gap import Position
from ubmc.services.eventlog.query import Condition
from ubmc.services.eventlog.record import Record
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.event_pb import Event
from ubmc.v1alpha1.host_pb import Cause

T = TypeVar("T")

OWNER = "eventlog"
MIGRATIONS = (
    """
    CREATE TABLE eventlog_events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        ulid TEXT NOT NULL UNIQUE,
        time_us INTEGER NOT NULL,
        severity INTEGER NOT NULL,
        component TEXT NOT NULL,
        message_id TEXT NOT NULL,
        message TEXT NOT NULL,
        arguments BLOB NOT NULL,
        cause BLOB
    ) STRICT;
    CREATE INDEX eventlog_events_time ON eventlog_events (time_us);
    CREATE INDEX eventlog_events_severity ON eventlog_events (severity);
    CREATE INDEX eventlog_events_component ON eventlog_events (component);
    CREATE INDEX eventlog_events_message_id ON eventlog_events (message_id);
    CREATE TABLE eventlog_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT
    """,
)
_EPOCH_BYTES = 6
_TRIM_PART = 20  # when the log is full, a twentieth of it goes at once

_COLUMNS = "id, ulid, time_us, severity, component, message_id, message, arguments, cause"
_INSERT = (
    "INSERT INTO eventlog_events (ulid, time_us, severity, component, message_id, message, arguments, cause)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (ulid) DO NOTHING"
)
_SET_POSITION = "INSERT OR REPLACE INTO eventlog_meta VALUES ('position', ?)"
_TRIM = "DELETE FROM eventlog_events WHERE id IN (SELECT id FROM eventlog_events ORDER BY id LIMIT ?)"


class Store:
    """The tables of the event log.

    Args:
        database: where they are.
        rows: at most so many events are kept, the oldest go first.
    """

    def __init__(self, database: Database, rows: int) -> None:
        self._database = database
        self._rows = rows
        self._count = 0
        self.epoch = ""
        """Changes when the log was rebuilt from nothing."""
        self.position: Position | None = None
        """Up to where the stream on the bus is in this log; None in one that never read it."""

    async def open(self) -> None:
        """Make the tables if they are not there.

        Raises:
            Unavailable: the database does not take it.
        """
        await self._database.migrate(OWNER, MIGRATIONS)

        def job(connection: sqlite3.Connection) -> tuple[str, int, Position | None]:
            new = secrets.token_hex(_EPOCH_BYTES)
            connection.execute("INSERT INTO eventlog_meta VALUES ('epoch', ?) ON CONFLICT DO NOTHING", (new,))
            epoch = connection.execute("SELECT value FROM eventlog_meta WHERE name = 'epoch'").fetchone()[0]
            count = connection.execute("SELECT count(*) FROM eventlog_events").fetchone()[0]
            return epoch, count, _position(connection)

        self.epoch, self._count, self.position = await self._run(job)

    async def append(self, records: Sequence[Record], position: Position | None = None) -> None:
        """Store events in this order; what is there already is left as it is. When it returns they are on disk.

        Args:
            records: the events.
            position: up to where the stream was read for them; stored with them, or not at all.

        Raises:
            Unavailable: the database does not take them.
        """
        count, limit = self._count, self._rows

        def job(connection: sqlite3.Connection) -> int:
            rows = [
                (r.ulid, r.time_us, r.severity, r.component, r.message_id, r.message, r.arguments, r.cause)
                for r in records
            ]
            now = count + (connection.executemany(_INSERT, rows).rowcount if rows else 0)
            if position is not None:
                connection.execute(_SET_POSITION, (f"{position.sequence} {position.stream}",))
            if now > limit:
                now -= connection.execute(_TRIM, (now - limit + limit // _TRIM_PART,)).rowcount
            return now

        self._count = await self._run(job)
        self.position = position or self.position

    async def get(self, event_id: int) -> Event | None:
        """The event with this id; None if there is none (any more)."""

        def job(connection: sqlite3.Connection) -> Event | None:
            row = connection.execute(f"SELECT {_COLUMNS} FROM eventlog_events WHERE id = ?", (event_id,)).fetchone()  # noqa: S608  constants
            return None if row is None else _event(row)

        return await self._run(job)

    async def older(self, wanted: Condition, position: int | None, limit: int) -> list[Event]:
        """Events before the one with id `position` (None: all), the newest first."""
        return await self._select(wanted, "id < ?", "DESC", 2**63 - 1 if position is None else position, limit)

    async def newer(self, wanted: Condition, position: int | None, limit: int) -> list[Event]:
        """Events behind the one with id `position` (None: all), the oldest first."""
        return await self._select(wanted, "id > ?", "ASC", position or 0, limit)

    async def newest(self) -> int:
        """The id of the newest event; 0 if there is none."""
        return await self._run(_newest)

    async def _select(self, wanted: Condition, bound: str, order: str, position: int, limit: int) -> list[Event]:
        sql = f"SELECT {_COLUMNS} FROM eventlog_events WHERE {bound} AND {wanted.sql} ORDER BY id {order} LIMIT ?"  # noqa: S608  constants

        def job(connection: sqlite3.Connection) -> list[Event]:
            return [_event(row) for row in connection.execute(sql, (position, *wanted.parameters, limit))]

        return await self._run(job)

    async def _run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._database.run(job)
        except sqlite3.Error as error:
            raise Unavailable(f"the event log cannot be read or written: {error}") from error


def _position(connection: sqlite3.Connection) -> Position | None:
    row = connection.execute("SELECT value FROM eventlog_meta WHERE name = 'position'").fetchone()
    if row is None:
        return None
    sequence, _, stream = row[0].partition(" ")
    return Position(stream, int(sequence))


def _newest(connection: sqlite3.Connection) -> int:
    newest: int = connection.execute("SELECT coalesce(max(id), 0) FROM eventlog_events").fetchone()[0]
    return newest


def _event(row: tuple[int, str, int, int, str, str, str, bytes, bytes | None]) -> Event:
    event_id, ulid, time_us, severity, component, message_id, message, arguments, cause = row
    seconds, rest = divmod(time_us, 1_000_000)
    return Event(
        id=event_id,
        ulid=ulid,
        time=Timestamp(seconds=seconds, nanos=rest * 1000),
        severity=Severity(severity),
        component=component,
        message_id=message_id,
        message=message,
        arguments=orjson.loads(arguments),
        cause=None if cause is None else Cause.from_binary(cause),
    )
