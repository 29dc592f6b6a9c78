"""What is remembered of event subscriptions: what they are, and up to where each was served. Headers are sealed."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field

from protobuf.wkt import Duration

from ubmc.kit.database import Database
from ubmc.kit.secrets import DeviceKey
from ubmc.services.eventlog.push_rules import opened_headers, sealed_headers
from ubmc.v1alpha1.subscription_pb import Delivery, Subscription

OWNER = "eventpush"
MIGRATIONS = (
    """
    CREATE TABLE eventpush_subscriptions (
        id TEXT PRIMARY KEY,
        content BLOB NOT NULL,
        headers BLOB NOT NULL,
        cursor TEXT NOT NULL
    ) STRICT;
    CREATE TABLE eventpush_things (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT
    """,
)
DELIVERY = "delivery"
RETRY_ATTEMPTS = 3
RETRY_SECONDS = 30.0


@dataclass(slots=True)
class Entry:
    """One subscription and how far it is."""

    subscription: Subscription
    """As it is shown: without its headers."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    cursor: str = ""
    """Behind the last event that was delivered or not wanted."""


class Store:
    """The tables."""

    def __init__(self, database: Database, key: DeviceKey) -> None:
        self._database = database
        self._key = key

    async def load(self) -> tuple[dict[str, Entry], Delivery]:
        """All subscriptions in the order in which they were made, and how deliveries are made.

        Raises:
            Unavailable: the database cannot be read, or the device key is another one.
        """
        await self._database.migrate(OWNER, MIGRATIONS)

        def read(connection: sqlite3.Connection) -> tuple[list[tuple[str, bytes, bytes, str]], bytes | None]:
            rows = connection.execute(
                "SELECT id, content, headers, cursor FROM eventpush_subscriptions ORDER BY id"
            ).fetchall()
            row = connection.execute("SELECT content FROM eventpush_things WHERE name = ?", (DELIVERY,)).fetchone()
            return rows, None if row is None else row[0]

        rows, kept = await self._database.run(read)
        entries = {
            name: Entry(
                Subscription.from_binary(content),
                opened_headers(self._key.open(headers, self._context(name)) if headers else b""),
                cursor,
            )
            for name, content, headers, cursor in rows
        }
        return entries, default_delivery() if kept is None else Delivery.from_binary(kept)

    async def put(self, entry: Entry) -> None:
        """Store a subscription and how far it is; it is on disk when this returns. Raises `Unavailable`."""
        subscription = copy.deepcopy(entry.subscription)
        subscription.http_headers = {}
        name = subscription.id
        headers = sealed_headers(dict(entry.headers))
        sealed = self._key.seal(headers, self._context(name)) if entry.headers else b""
        values = (name, subscription.to_binary(), sealed, entry.cursor)
        await self._database.run(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO eventpush_subscriptions VALUES (?, ?, ?, ?)", values
            ).close()
        )

    async def reached(self, entry: Entry) -> bool:
        """Store how far a subscription is; False if it is not there any more. Raises `Unavailable`."""
        values = (entry.subscription.to_binary(), entry.cursor, entry.subscription.id)

        def write(connection: sqlite3.Connection) -> bool:
            changed = connection.execute(
                "UPDATE eventpush_subscriptions SET content = ?, cursor = ? WHERE id = ?", values
            ).rowcount
            return changed > 0

        return await self._database.run(write)

    async def delete(self, name: str) -> None:
        """Forget a subscription. Raises `Unavailable`."""
        await self._database.run(
            lambda connection: connection.execute("DELETE FROM eventpush_subscriptions WHERE id = ?", (name,)).close()
        )

    async def put_delivery(self, delivery: Delivery) -> None:
        """Store how deliveries are made. Raises `Unavailable`."""
        content = delivery.to_binary()
        await self._database.run(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO eventpush_things VALUES (?, ?)", (DELIVERY, content)
            ).close()
        )

    @staticmethod
    def _context(name: str) -> str:
        return f"{OWNER}:{name}"


def default_delivery() -> Delivery:
    """How deliveries are made on a BMC that nobody has changed."""
    return Delivery(enabled=True, retry_attempts=RETRY_ATTEMPTS, retry_interval=Duration.from_seconds(RETRY_SECONDS))
