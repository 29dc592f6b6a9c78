"""What netmgr remembers over restarts: the settings of the model, one row for each thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protobuf import Message

from ubmc.kit.database import Database

OWNER = "netmgr"
MIGRATIONS = ("CREATE TABLE netmgr_things (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT",)


class Store:
    """The table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> dict[str, bytes]:
        """Everything, by name. Raises `Unavailable`."""
        await self._database.migrate(OWNER, MIGRATIONS)
        return await self._database.run(
            lambda connection: dict(connection.execute("SELECT name, content FROM netmgr_things").fetchall())
        )

    async def put(self, things: Mapping[str, Message[Any]]) -> None:
        """Store these, all or none; they are on disk when this returns. Raises `Unavailable`."""
        rows = [(name, thing.to_binary()) for name, thing in things.items()]
        await self._database.run(
            lambda connection: connection.executemany(
                "INSERT OR REPLACE INTO netmgr_things VALUES (?, ?)", rows
            ).close()
        )
