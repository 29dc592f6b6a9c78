"""What is remembered of reports: definitions and triggers, one row for each."""

from __future__ import annotations

from ubmc.kit.database import Database
from ubmc.v1alpha1.report_pb import ReportDefinition, Trigger

OWNER = "reports"
MIGRATIONS = (
    """
    CREATE TABLE reports_definitions (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT;
    CREATE TABLE reports_triggers (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT
    """,
)
_TABLES = {ReportDefinition: "reports_definitions", Trigger: "reports_triggers"}


class Store:
    """The tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> tuple[dict[str, ReportDefinition], dict[str, Trigger]]:
        """All definitions and triggers. Raises `Unavailable`."""
        await self._database.migrate(OWNER, MIGRATIONS)
        rows = await self._database.run(
            lambda connection: (
                connection.execute("SELECT name, content FROM reports_definitions ORDER BY name").fetchall(),
                connection.execute("SELECT name, content FROM reports_triggers ORDER BY name").fetchall(),
            )
        )
        definitions = {name: ReportDefinition.from_binary(content) for name, content in rows[0]}
        return definitions, {name: Trigger.from_binary(content) for name, content in rows[1]}

    async def put(self, thing: ReportDefinition | Trigger) -> None:
        """Store one; it is on disk when this returns. Raises `Unavailable`."""
        statement = f"INSERT OR REPLACE INTO {_TABLES[type(thing)]} VALUES (?, ?)"  # noqa: S608 - a constant
        values = (thing.name, thing.to_binary())
        await self._database.run(lambda connection: connection.execute(statement, values).close())

    async def delete(self, thing: ReportDefinition | Trigger) -> None:
        """Forget one. Raises `Unavailable`."""
        statement = f"DELETE FROM {_TABLES[type(thing)]} WHERE name = ?"  # noqa: S608 - a constant
        await self._database.run(lambda connection: connection.execute(statement, (thing.name,)).close())
