"""The memory of record: commits, refusals, migrations, damage."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ubmc.kit.database import Database
from ubmc.kit.errors import Refused, Unavailable

TABLE = "CREATE TABLE things_names (name TEXT PRIMARY KEY) STRICT"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "state" / "precious.db")
    made.open()
    yield made
    made.close()


def insert(name: str) -> object:
    return lambda connection: connection.execute("INSERT INTO things_names VALUES (?)", (name,)).rowcount


def names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM things_names ORDER BY name")]


async def test_what_was_answered_is_on_disk(database: Database) -> None:
    await database.migrate("things", [TABLE])
    await asyncio.gather(*(database.run(insert(f"n{n}")) for n in range(100)))  # type: ignore[arg-type]
    other = sqlite3.connect(database.path)
    assert len(names(other)) == 100
    other.close()
    assert database.path.stat().st_mode & 0o777 == 0o600


async def test_a_job_that_raises_changes_nothing_and_harms_no_other(database: Database) -> None:
    await database.migrate("things", [TABLE])

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO things_names VALUES ('half')")
        raise Refused("no")

    results = await asyncio.gather(
        database.run(insert("one")),  # type: ignore[arg-type]
        database.run(half),
        database.run(insert("two")),  # type: ignore[arg-type]
        return_exceptions=True,
    )
    assert isinstance(results[1], Refused)
    assert await database.run(names) == ["one", "two"]


async def test_migrations_go_forward_once(database: Database) -> None:
    await database.migrate("things", [TABLE])
    await database.run(insert("kept"))  # type: ignore[arg-type]
    await database.migrate("things", [TABLE, "ALTER TABLE things_names ADD COLUMN age INTEGER"])
    await database.migrate("things", [TABLE, "ALTER TABLE things_names ADD COLUMN age INTEGER"])
    assert await database.run(names) == ["kept"]
    with pytest.raises(Unavailable, match="version 2"):
        await database.migrate("things", [TABLE])


async def test_damaged_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "precious.db"
    path.write_bytes(b"SQLite format 3\0" + b"\x17" * 4096)
    database = Database(path)
    database.open()
    assert database.set_aside is not None
    assert database.set_aside.exists()
    await database.migrate("things", [TABLE])
    database.close()
    with pytest.raises(Unavailable):
        await database.run(names)
