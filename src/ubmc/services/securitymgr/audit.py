"""The audit trail: one chain of records, each hashed together with the hash before it.

Whoever changes or takes out a record breaks the chain from there on; whoever keeps the head elsewhere can prove that
nothing was rewritten. Records come from the event log, which loses none, and are stored once each (by the log's id).
The oldest records go when the trail is full; the chain then begins at the oldest one left, whose `previous` is kept.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson
from protobuf.wkt import Timestamp

from ubmc.v1alpha1.event_pb import Event
from ubmc.v1alpha1.security_pb import AuditRecord

OF_CONSOLES = frozenset({"Console.Attached", "Console.Written", "Console.TakenOver"})
"""What people do at a console goes past all calls; who looked on, who typed, and who pushed whom aside is kept."""

KEPT = 20_000
_TRIM_PART = 20  # when the trail is full, a twentieth of it goes at once
GENESIS = "0" * 64
TABLES = """
    CREATE TABLE securitymgr_audit (
        id INTEGER PRIMARY KEY,
        event TEXT NOT NULL UNIQUE,
        time_us INTEGER NOT NULL,
        user TEXT NOT NULL,
        source TEXT NOT NULL,
        action TEXT NOT NULL,
        target TEXT NOT NULL,
        outcome TEXT NOT NULL,
        trace_id TEXT NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;
    CREATE INDEX securitymgr_audit_user ON securitymgr_audit (user);
    CREATE TABLE securitymgr_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT
"""
_COLUMNS = "id, event, time_us, user, source, action, target, outcome, trace_id, previous, hash"


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened, before it has a place in the chain; `event` is the ULID of the event that tells it."""

    event: str
    time_us: int
    user: str
    source: str
    action: str
    target: str
    outcome: str
    trace_id: str

    def hash(self, number: int, previous: str) -> str:
        """The hash of this entry as record `number` behind the record with the hash `previous`.

        SHA-256 of the JSON array of all fields in their order, numbers as numbers, in UTF-8 without spaces.
        """
        fields = [
            number, previous, self.event, self.time_us, self.user, self.source, self.action, self.target,
            self.outcome, self.trace_id,
        ]  # fmt: skip
        return hashlib.sha256(orjson.dumps(fields)).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the whole chain found."""

    count: int
    oldest_id: int
    first_broken_id: int
    head: str

    @property
    def intact(self) -> bool:
        """Whether every record fits."""
        return self.first_broken_id == 0


def entry_of(event: Event) -> Entry | None:
    """What an event of the log says for the trail; None if it does not belong there."""
    given = event.arguments
    cause = event.cause
    if event.message_id == "Audit.Call":
        action, target, outcome = given.get("method", ""), given.get("target", ""), given.get("outcome", "")
    elif event.message_id == "Session.Login":
        action, target, outcome = "Session.Login", "", given.get("outcome", "")
    elif event.message_id == "Session.Ended":
        action, target, outcome = "Session.Ended", given.get("id", ""), given.get("reason", "")
    elif event.message_id in OF_CONSOLES:
        action, target, outcome = event.message_id, given.get("name", ""), "ok"
    else:
        return None
    time = event.time
    return Entry(
        event=event.ulid,
        time_us=0 if time is None else time.seconds * 1_000_000 + time.nanos // 1000,
        user=given.get("user", ""),
        source=given.get("source", ""),
        action=action,
        target=target,
        outcome=outcome,
        trace_id=cause.trace_id if cause is not None else "",
    )


def append(connection: sqlite3.Connection, entries: Iterable[Entry], cursor: str) -> int:
    """Put entries behind the chain, each once, and remember up to where the log was read; gives how many were new."""
    row = connection.execute("SELECT id, hash FROM securitymgr_audit ORDER BY id DESC LIMIT 1").fetchone()
    number, previous = row if row is not None else (int(_meta(connection, "last_id", "0")), _meta_head(connection))
    added = 0
    for entry in entries:
        if knows(connection, entry.event):
            continue
        number += 1
        digest = entry.hash(number, previous)
        connection.execute(
            f"INSERT INTO securitymgr_audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  constants
            (
                number, entry.event, entry.time_us, entry.user, entry.source, entry.action, entry.target,
                entry.outcome, entry.trace_id, previous, digest,
            ),
        )  # fmt: skip
        previous = digest
        added += 1
    _set_meta(connection, "cursor", cursor)
    _set_meta(connection, "last_id", str(number))
    _set_meta(connection, "head", previous)
    _trim(connection, number)
    return added


def knows(connection: sqlite3.Connection, event: str) -> bool:
    """Whether an event is in the trail already."""
    return connection.execute("SELECT 1 FROM securitymgr_audit WHERE event = ?", (event,)).fetchone() is not None


def _trim(connection: sqlite3.Connection, last: int) -> None:
    """Ids have no gaps, so that nothing needs to be counted."""
    oldest = connection.execute("SELECT min(id) FROM securitymgr_audit").fetchone()[0]
    if oldest is not None and last - oldest + 1 > KEPT:
        connection.execute("DELETE FROM securitymgr_audit WHERE id <= ?", (last - KEPT + KEPT // _TRIM_PART,))


def cursor(connection: sqlite3.Connection) -> str:
    """Up to where the log was read; empty before the first time."""
    return _meta(connection, "cursor", "")


def _meta(connection: sqlite3.Connection, name: str, default: str) -> str:
    row = connection.execute("SELECT value FROM securitymgr_meta WHERE name = ?", (name,)).fetchone()
    return default if row is None else str(row[0])


def _meta_head(connection: sqlite3.Connection) -> str:
    return _meta(connection, "head", GENESIS)


def _set_meta(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO securitymgr_meta VALUES (?, ?)", (name, value))


def verify(connection: sqlite3.Connection) -> Verdict:
    """Check every record, and that the last one is the one that was written last."""
    count = oldest = broken = 0
    previous: str | None = None
    expected = 0
    for row in connection.execute(f"SELECT {_COLUMNS} FROM securitymgr_audit ORDER BY id"):  # noqa: S608  constants
        number, *fields, before, digest = row
        count += 1
        oldest = oldest or number
        fits = previous is None or (number == expected and before == previous)
        if not broken and not (fits and Entry(*fields).hash(number, before) == digest):
            broken = number
        previous, expected = digest, number + 1
    head = _meta_head(connection)
    if not broken and (previous or GENESIS) != head:
        broken = max(expected, 1)  # the youngest ones were taken out
    return Verdict(count, oldest, broken, head)


@dataclass(frozen=True, slots=True)
class Part:
    """Which records are wanted, and in which order."""

    position: int | None
    """The id behind which they begin; None for the beginning."""
    limit: int
    user: str = ""
    """Only of this user, if not empty."""
    newest_first: bool = False
    skip: int = 0
    """So many are left out."""


def select(connection: sqlite3.Connection, part: Part) -> list[AuditRecord]:
    """Some records in the order asked for."""
    bound, order = ("id < ?", "DESC") if part.newest_first else ("id > ?", "ASC")
    start = (2**63 - 1 if part.newest_first else 0) if part.position is None else part.position
    wanted: Sequence[object] = (start, part.user) if part.user else (start,)
    condition = f"{bound} AND user = ?" if part.user else bound
    sql = f"SELECT {_COLUMNS} FROM securitymgr_audit WHERE {condition} ORDER BY id {order} LIMIT ? OFFSET ?"  # noqa: S608  constants
    return [_record(row) for row in connection.execute(sql, (*wanted, part.limit, part.skip))]


def count(connection: sqlite3.Connection, user: str = "") -> int:
    """How many records there are, or how many of one user."""
    condition, wanted = ("user = ?", (user,)) if user else ("1", ())
    sql = f"SELECT count(*) FROM securitymgr_audit WHERE {condition}"  # noqa: S608  constants
    return int(connection.execute(sql, wanted).fetchone()[0])


def get(connection: sqlite3.Connection, number: int) -> AuditRecord | None:
    """The record with this id; None if there is none (any more)."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM securitymgr_audit WHERE id = ?", (number,)).fetchone()  # noqa: S608  constants
    return None if row is None else _record(row)


def _record(row: tuple[int, str, int, str, str, str, str, str, str, str, str]) -> AuditRecord:
    number, _event, time_us, user, source, action, target, outcome, trace_id, _previous, digest = row
    seconds, rest = divmod(time_us, 1_000_000)
    return AuditRecord(
        id=number,
        time=Timestamp(seconds=seconds, nanos=rest * 1000),
        user=user,
        source=source,
        action=action,
        target=target,
        outcome=outcome,
        trace_id=trace_id,
        hash=digest,
    )
