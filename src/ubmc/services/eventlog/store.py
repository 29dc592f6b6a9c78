"""The events in the database. An event is there once, whatever comes twice, and ids rise for ever.

The log is bounded by count and by bytes. What left it, because it was full or somebody cleared it, is remembered by
its ULID for as long as the bus may deliver it again: so nothing that is gone comes back.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import orjson
from protobuf.wkt import Timestamp

from ubmc.kit.database import Database
from ubmc.kit.errors import Unavailable
from ubmc.services.eventlog.gap import Position
from ubmc.services.eventlog.query import Condition
from ubmc.services.eventlog.record import Record
from ubmc.services.eventlog.stream import MAX_MESSAGES
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.event_pb import Event, EventLogState
from ubmc.v1alpha1.host_pb import Cause

T = TypeVar("T")

OWNER = "eventlog"
ROW_BYTES = 64  # id, time, severity, ULID and what SQLite says about the columns, about
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
    f"""
    ALTER TABLE eventlog_events ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE eventlog_events SET bytes = {ROW_BYTES} + length(CAST(component AS BLOB)) + length(CAST(message_id AS BLOB))
        + length(CAST(message AS BLOB)) + length(arguments) + coalesce(length(cause), 0);
    CREATE TABLE eventlog_tally (
        count INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        dropped INTEGER NOT NULL,
        cleared INTEGER NOT NULL
    ) STRICT;
    INSERT INTO eventlog_tally SELECT count(*), coalesce(sum(bytes), 0), 0, 0 FROM eventlog_events;
    CREATE TABLE eventlog_gone (id INTEGER PRIMARY KEY, ulid TEXT NOT NULL UNIQUE) STRICT
    """,  # noqa: S608  a constant
    "ALTER TABLE eventlog_tally ADD COLUMN cleared_us INTEGER NOT NULL DEFAULT 0",
)
GONE = MAX_MESSAGES
"""So many of the events that left the log are remembered: as many as the stream on the bus can hold."""
_EPOCH_BYTES = 6
_TRIM_PART = 20  # when the log is full, a twentieth of it goes at once

_COLUMNS = "id, ulid, time_us, severity, component, message_id, message, arguments, cause"
_INSERT = (
    "INSERT INTO eventlog_events (ulid, time_us, severity, component, message_id, message, arguments, cause, bytes)"
    " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE ?1 NOT IN (SELECT ulid FROM eventlog_gone)"
    " ON CONFLICT (ulid) DO NOTHING"
)
_SET_POSITION = "INSERT OR REPLACE INTO eventlog_meta VALUES ('position', ?)"
_REMEMBER = (
    "INSERT INTO eventlog_gone SELECT id, ulid FROM eventlog_events WHERE id <= ? ORDER BY id DESC LIMIT ?"
    " ON CONFLICT DO NOTHING"
)
_FORGET = "DELETE FROM eventlog_gone WHERE id <= (SELECT id FROM eventlog_gone ORDER BY id DESC LIMIT 1 OFFSET ?)"


@dataclass(slots=True)
class Tally:
    """How much is in the log, and how much has left it; kept in the same transactions."""

    count: int
    bytes: int
    dropped: int
    cleared: int
    cleared_us: int = 0  # when people took something out last; 0: never


class Store:
    """The tables of the event log.

    Args:
        database: where they are.
        rows: at most so many events are kept, the oldest go first.
        size: at most so many bytes.
    """

    def __init__(self, database: Database, rows: int, size: int) -> None:
        self._database = database
        self._rows = rows
        self._size = size
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

        def job(connection: sqlite3.Connection) -> tuple[str, Position | None]:
            new = secrets.token_hex(_EPOCH_BYTES)
            connection.execute("INSERT INTO eventlog_meta VALUES ('epoch', ?) ON CONFLICT DO NOTHING", (new,))
            epoch = connection.execute("SELECT value FROM eventlog_meta WHERE name = 'epoch'").fetchone()[0]
            return epoch, _position(connection)

        self.epoch, self.position = await self._run(job)

    async def append(self, records: Sequence[Record], position: Position | None = None) -> None:
        """Store events in this order; what is or was there already is left as it is. When it returns they are on disk.

        Args:
            records: the events.
            position: up to where the stream was read for them; stored with them, or not at all.

        Raises:
            Unavailable: the database does not take them.
        """

        def job(connection: sqlite3.Connection) -> None:
            tally = _tally(connection)
            self._insert(connection, tally, records)
            if position is not None:
                connection.execute(_SET_POSITION, (f"{position.sequence} {position.stream}",))
            _set_tally(connection, tally)

        await self._run(job)
        self.position = position or self.position

    async def clear(self, up_to: int, note: Callable[[int], Record]) -> int:
        """Take out the events up to an id, and log that, both or neither; how many they were.

        Args:
            up_to: the id; 0 for all there are.
            note: makes the event that says that so many were taken out.

        Raises:
            Unavailable: the database does not take it.
        """

        def job(connection: sqlite3.Connection) -> int:
            tally = _tally(connection)
            count = _take_out(connection, tally, min(up_to or _newest(connection), _newest(connection)))
            tally.cleared += count
            tally.cleared_us = time.time_ns() // 1000
            self._insert(connection, tally, [note(count)])
            _set_tally(connection, tally)
            return count

        return await self._run(job)

    async def delete(self, event_id: int, note: Callable[[Event], Record]) -> bool:
        """Take one event out, and log that, both or neither; whether there was one.

        Args:
            event_id: its id.
            note: makes the event that says that this one was taken out.

        Raises:
            Unavailable: the database does not take it.
        """

        def job(connection: sqlite3.Connection) -> bool:
            select = f"SELECT {_COLUMNS}, bytes FROM eventlog_events WHERE id = ?"  # noqa: S608  constants
            row = connection.execute(select, (event_id,)).fetchone()
            if row is None:
                return False
            tally = _tally(connection)
            connection.execute("INSERT INTO eventlog_gone VALUES (?, ?) ON CONFLICT DO NOTHING", (event_id, row[1]))
            connection.execute(_FORGET, (GONE,))
            connection.execute("DELETE FROM eventlog_events WHERE id = ?", (event_id,))
            tally.count -= 1
            tally.bytes -= row[-1]
            tally.cleared += 1
            tally.cleared_us = time.time_ns() // 1000
            self._insert(connection, tally, [note(_event(row[:-1]))])
            _set_tally(connection, tally)
            return True

        return await self._run(job)

    def _insert(self, connection: sqlite3.Connection, tally: Tally, records: Sequence[Record]) -> None:
        for r in records:
            size = _size(r)
            row = (r.ulid, r.time_us, r.severity, r.component, r.message_id, r.message, r.arguments, r.cause, size)
            if connection.execute(_INSERT, row).rowcount:
                tally.count += 1
                tally.bytes += size
        if tally.count > self._rows or tally.bytes > self._size:
            tally.dropped += _take_out(connection, tally, self._last_too_many(connection, tally))

    def _last_too_many(self, connection: sqlite3.Connection, tally: Tally) -> int:
        """The id up to which events go, so that there is room again; the newest one always stays."""
        spare_rows = tally.count - self._rows + self._rows // _TRIM_PART
        spare_bytes = tally.bytes - self._size + self._size // _TRIM_PART
        last = 0
        for event_id, size in connection.execute("SELECT id, bytes FROM eventlog_events ORDER BY id"):
            if spare_rows <= 0 and spare_bytes <= 0:
                return last
            spare_rows -= 1
            spare_bytes -= size
            last = event_id
        return last - 1

    async def state(self) -> EventLogState:
        """How full the log is."""

        def job(connection: sqlite3.Connection) -> EventLogState:
            tally = _tally(connection)
            oldest: int = connection.execute("SELECT coalesce(min(id), 0) FROM eventlog_events").fetchone()[0]
            newest = _newest(connection)
            when = connection.execute("SELECT time_us FROM eventlog_events WHERE id = ?", (newest,)).fetchone()
            return EventLogState(
                count=tally.count,
                bytes=tally.bytes,
                max_count=self._rows,
                max_bytes=self._size,
                dropped=tally.dropped,
                cleared=tally.cleared,
                oldest_id=oldest,
                newest_id=newest,
                newest_time=None if when is None else _timestamp(when[0]),
                cleared_time=_timestamp(tally.cleared_us) if tally.cleared_us else None,
            )

        return await self._run(job)

    async def get(self, event_id: int) -> Event | None:
        """The event with this id; None if there is none (any more)."""

        def job(connection: sqlite3.Connection) -> Event | None:
            row = connection.execute(f"SELECT {_COLUMNS} FROM eventlog_events WHERE id = ?", (event_id,)).fetchone()  # noqa: S608  constants
            return None if row is None else _event(row)

        return await self._run(job)

    async def older(self, wanted: Condition, position: int | None, limit: int, skip: int = 0) -> list[Event]:
        """Events before the one with id `position` (None: all), the newest first, without the first `skip`."""
        start = 2**63 - 1 if position is None else position
        return await self._select(wanted, "id < ?", "DESC", (start, limit, skip))

    async def newer(self, wanted: Condition, position: int | None, limit: int, skip: int = 0) -> list[Event]:
        """Events behind the one with id `position` (None: all), the oldest first, without the first `skip`."""
        return await self._select(wanted, "id > ?", "ASC", (position or 0, limit, skip))

    async def newest(self) -> int:
        """The id of the newest event; 0 if there is none."""
        return await self._run(_newest)

    async def _select(self, wanted: Condition, bound: str, order: str, part: tuple[int, int, int]) -> list[Event]:
        position, limit, skip = part
        where = f"{bound} AND {wanted.sql}"
        sql = f"SELECT {_COLUMNS} FROM eventlog_events WHERE {where} ORDER BY id {order} LIMIT ? OFFSET ?"  # noqa: S608  constants

        def job(connection: sqlite3.Connection) -> list[Event]:
            return [_event(row) for row in connection.execute(sql, (position, *wanted.parameters, limit, skip))]

        return await self._run(job)

    async def _run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._database.run(job)
        except sqlite3.Error as error:
            raise Unavailable(f"the event log cannot be read or written: {error}") from error


def _take_out(connection: sqlite3.Connection, tally: Tally, up_to: int) -> int:
    """Delete the events up to an id and remember that they were there; how many they were."""
    count, size = connection.execute(
        "SELECT count(*), coalesce(sum(bytes), 0) FROM eventlog_events WHERE id <= ?", (up_to,)
    ).fetchone()
    connection.execute(_REMEMBER, (up_to, GONE))
    connection.execute(_FORGET, (GONE,))
    connection.execute("DELETE FROM eventlog_events WHERE id <= ?", (up_to,))
    tally.count -= count
    tally.bytes -= size
    return int(count)


def _size(record: Record) -> int:
    texts = (record.component, record.message_id, record.message)
    return ROW_BYTES + sum(len(text.encode()) for text in texts) + len(record.arguments) + len(record.cause or b"")


def _tally(connection: sqlite3.Connection) -> Tally:
    return Tally(
        *connection.execute("SELECT count, bytes, dropped, cleared, cleared_us FROM eventlog_tally").fetchone()
    )


def _set_tally(connection: sqlite3.Connection, tally: Tally) -> None:
    connection.execute(
        "UPDATE eventlog_tally SET count = ?, bytes = ?, dropped = ?, cleared = ?, cleared_us = ?",
        (tally.count, tally.bytes, tally.dropped, tally.cleared, tally.cleared_us),
    )


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
    return Event(
        id=event_id,
        ulid=ulid,
        time=_timestamp(time_us),
        severity=Severity(severity),
        component=component,
        message_id=message_id,
        message=message,
        arguments=orjson.loads(arguments),
        cause=None if cause is None else Cause.from_binary(cause),
    )


def _timestamp(time_us: int) -> Timestamp:
    seconds, rest = divmod(time_us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)
