"""What inventorymgr remembers over restarts.

How the assets were (expendable: without it the next start tells no events), and the asset tags that the owner gave to
parts without a storage of their own (precious). Flash wears out, so only changes are written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ubmc.kit.database import Database

OWNER = "inventorymgr"
_ASSETS = (
    """
    CREATE TABLE inventorymgr_assets (
        name TEXT PRIMARY KEY,
        present INTEGER,
        description TEXT NOT NULL,
        serial_number TEXT NOT NULL,
        faults TEXT NOT NULL
    ) STRICT
    """,
)
_TAGS = (
    "CREATE TABLE inventorymgr_tags (name TEXT PRIMARY KEY, tag TEXT NOT NULL, serial_number TEXT NOT NULL) STRICT",
)


@dataclass(frozen=True, slots=True)
class Known:
    """How an asset was when it was last looked at."""

    present: bool | None
    """None: it was never seen whether it is there."""
    description: str
    serial_number: str
    faults: str


class Memory:
    """Reads at start, writes changes.

    Args:
        expendable: the database for what can be found again.
        precious: the database for what cannot.
    """

    def __init__(self, expendable: Database, precious: Database) -> None:
        self._expendable = expendable
        self._precious = precious
        self.known: Mapping[str, Known] = {}
        self.tags: Mapping[str, tuple[str, str]] = {}
        """By name: the tag, and the serial number of the part that it was given to."""

    async def load(self) -> None:
        """Make or update the tables and read them. Raises `Unavailable`."""
        await self._expendable.migrate(OWNER, _ASSETS)
        await self._precious.migrate(OWNER, _TAGS)

        def assets(connection: sqlite3.Connection) -> dict[str, Known]:
            rows = connection.execute(
                "SELECT name, present, description, serial_number, faults FROM inventorymgr_assets"
            )
            return {row[0]: Known(None if row[1] is None else bool(row[1]), *row[2:]) for row in rows}

        def tags(connection: sqlite3.Connection) -> dict[str, tuple[str, str]]:
            rows = connection.execute("SELECT name, tag, serial_number FROM inventorymgr_tags")
            return {name: (tag, serial) for name, tag, serial in rows}

        self.known = await self._expendable.run(assets)
        self.tags = await self._precious.run(tags)

    async def remember(self, known: Mapping[str, Known]) -> None:
        """Write what differs from what is known. Raises `Unavailable`, `Exhausted`."""
        changed = {name: each for name, each in known.items() if self.known.get(name) != each}
        gone = self.known.keys() - known.keys()
        if not changed and not gone:
            return
        await self._expendable.run(lambda connection: _write(connection, changed, gone))
        self.known = dict(known)

    async def tag(self, name: str, tag: str | None, serial_number: str) -> None:
        """Keep an asset tag; None: forget it. Raises `Unavailable`, `Exhausted`."""

        def job(connection: sqlite3.Connection) -> None:
            if tag is None:
                connection.execute("DELETE FROM inventorymgr_tags WHERE name = ?", (name,))
            else:
                connection.execute(
                    "INSERT OR REPLACE INTO inventorymgr_tags VALUES (?, ?, ?)", (name, tag, serial_number)
                )

        if tag is None and name not in self.tags:
            return
        await self._precious.run(job)
        rest = {other: value for other, value in self.tags.items() if other != name}
        self.tags = rest if tag is None else {**rest, name: (tag, serial_number)}


def _write(connection: sqlite3.Connection, changed: Mapping[str, Known], gone: Collection[str]) -> None:
    connection.executemany("DELETE FROM inventorymgr_assets WHERE name = ?", [(name,) for name in gone])
    connection.executemany(
        "INSERT OR REPLACE INTO inventorymgr_assets VALUES (?, ?, ?, ?, ?)",
        [(name, each.present, each.description, each.serial_number, each.faults) for name, each in changed.items()],
    )
