"""The memory of record: SQLite with one writer thread and group commit.

Everything that waits for the writer is committed together, each job in a savepoint of its own, and is answered only
after the commit is on disk (WAL, synchronous=FULL). A damaged file is set aside and said so, never a boot loop.
Two such files: `precious.db` (accounts, settings) and `expendable.db` (events, history). Every service owns the
tables that begin with its name, with a version and forward migrations.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ubmc.kit.errors import Exhausted, UbmcError, Unavailable

log = logging.getLogger("ubmc.database")

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], Any]

WAITING = 1024
BATCH = 64
BUSY_SECONDS = 5.0
_VERSIONS = "CREATE TABLE IF NOT EXISTS schema_versions (owner TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT"


class DamagedError(sqlite3.DatabaseError):
    """The file is not what SQLite wrote."""


def _damaged(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None  # the rest is detail (sqlite.org/rescode.html)
    return isinstance(error, DamagedError) or primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Database:
    """One file, shared by the services of one process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set_aside: Path | None = None
        """Where a damaged file was put when this one was opened."""
        self._jobs: queue.Queue[tuple[Job, asyncio.Future[Any], asyncio.AbstractEventLoop] | None] = queue.Queue(
            WAITING
        )
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Open the file and start its thread; a damaged file is set aside first. Blocks for some milliseconds.

        Raises:
            Unavailable: the file is sound and cannot be opened all the same.
        """
        if self._thread is not None:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            connection = self._connect()
        except sqlite3.DatabaseError as error:
            if not _damaged(error):  # locked by somebody, a full disk, no permission: the file itself is sound
                raise Unavailable(f"{self.path} cannot be opened: {error}") from error
            self.set_aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
            log.error(
                "a database is damaged and was set aside",
                extra={"file": str(self.path), "aside": str(self.set_aside), "error": str(error)},
            )
            self.path.rename(self.set_aside)
            for suffix in ("-wal", "-shm"):  # they may hold what the file has not: set aside too, never thrown away
                with contextlib.suppress(FileNotFoundError):
                    self.path.with_name(self.path.name + suffix).rename(f"{self.set_aside}{suffix}")
            connection = self._connect()
        self._thread = threading.Thread(target=self._work, args=(connection,), name=f"db-{self.path.stem}", daemon=True)
        self._thread.start()

    def _connect(self) -> sqlite3.Connection:
        new = not self.path.exists()
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            if new:
                self.path.chmod(0o600)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA temp_store=MEMORY")  # no file elsewhere, where we may not write
            result = connection.execute("PRAGMA quick_check(1)").fetchone()
            if result != ("ok",):
                raise DamagedError(str(result))
            connection.execute(_VERSIONS)
        except BaseException:
            connection.close()
            raise
        return connection

    async def migrate(self, owner: str, steps: Sequence[str]) -> None:
        """Bring the tables of `owner` to version `len(steps)`; each step is a script of SQL, applied once, in order.

        Raises:
            Unavailable: the tables are newer than this program.
        """

        def job(connection: sqlite3.Connection) -> None:
            row = connection.execute("SELECT version FROM schema_versions WHERE owner = ?", (owner,)).fetchone()
            version = row[0] if row else 0
            if version > len(steps):
                raise Unavailable(f"the tables of {owner} are of version {version}, this program knows {len(steps)}")
            for step in steps[version:]:
                for statement in step.split(";"):
                    if statement.strip():
                        connection.execute(statement)
            connection.execute(
                "INSERT INTO schema_versions VALUES (?, ?) ON CONFLICT DO UPDATE SET version = excluded.version",
                (owner, len(steps)),
            )

        await self.run(job)

    async def run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job in the database's thread; what it changed is on disk when this returns.

        A job that raises changes nothing; it must not wait for anything.

        Raises:
            Exhausted: too many jobs wait.
            Unavailable: the database is closed, or the disk does not take it.
        """
        if self._thread is None:
            raise Unavailable("the database is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        try:
            self._jobs.put_nowait((job, future, loop))
        except queue.Full as error:
            raise Exhausted("the database cannot follow; try again later") from error
        return await asyncio.shield(future)

    def close(self) -> None:
        """Finish what waits and close the file."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(BUSY_SECONDS)
            self._thread = None

    # --- the thread ---------------------------------------------------------------------------------------------

    def _work(self, connection: sqlite3.Connection) -> None:
        ended = False
        while not ended:
            batch = []
            entry = self._jobs.get()
            while entry is not None:
                batch.append(entry)
                if len(batch) >= BATCH:
                    break
                try:
                    entry = self._jobs.get_nowait()
                except queue.Empty:
                    break
            else:
                ended = True
            if batch:
                self._commit(connection, batch)
        connection.close()

    @staticmethod
    def _commit(
        connection: sqlite3.Connection, batch: list[tuple[Job, asyncio.Future[Any], asyncio.AbstractEventLoop]]
    ) -> None:
        outcomes: list[tuple[Any, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job, _future, _loop in batch:
                connection.execute("SAVEPOINT job")
                try:
                    outcomes.append((job(connection), None))
                except Exception as error:  # noqa: BLE001  it belongs to whoever gave the job
                    connection.execute("ROLLBACK TO job")
                    outcomes.append((None, error))
                connection.execute("RELEASE job")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            log.error("the database does not take changes", extra={"error": str(error)})
            failure = Unavailable(f"the database does not take changes: {error}")
            outcomes = [(None, failure)] * len(batch)
        for (_job, future, loop), (result, failed) in zip(batch, outcomes, strict=True):
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(_resolve, future, result, failed)


def _resolve(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
        if isinstance(error, UbmcError):
            future.exception()  # a refusal that nobody waits for any more is no bug
