"""What securitymgr keeps: certificate and key, what it trusts, ACME, policy; keys only sealed.

One row for each thing, a message of the schema or sealed bytes. A change is one transaction, so that a crash leaves
the old or the new.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ubmc.kit.database import Database
from ubmc.kit.secrets import DeviceKey
from ubmc.services.securitymgr import audit
from ubmc.v1alpha1.security_pb import Acme, Certificate, ClientCertificates, SecurityPolicy

OWNER = "securitymgr"
T = TypeVar("T")
MIGRATIONS = (
    f"""
    CREATE TABLE securitymgr_things (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT;
    {audit.TABLES}
    """,
)
HTTPS = "https"
CERTIFICATE, KEY, PENDING_KEY = "certificate", "key", "pending-key"
ACME, ACME_ACCOUNT, POLICY, TRUSTED = "acme", "acme-account", "policy", "trusted:"
_SEALED = frozenset({KEY, PENDING_KEY, ACME_ACCOUNT})
DEFAULT_REQUESTS_PER_SECOND = 500


def default_policy() -> SecurityPolicy:
    """The policy of a BMC that nobody has changed."""
    return SecurityPolicy(
        client_certificates=ClientCertificates.OFF,
        basic_auth=True,
        http3=False,
        requests_per_second=DEFAULT_REQUESTS_PER_SECOND,
    )


@dataclass(slots=True)
class Kept:
    """Everything, in memory; keys in clear."""

    certificate: Certificate | None = None
    key: bytes = field(default=b"", repr=False)
    pending_key: bytes = field(default=b"", repr=False)
    acme: Acme = field(default_factory=Acme)
    acme_account: bytes = field(default=b"", repr=False)
    policy: SecurityPolicy = field(default_factory=default_policy)
    trusted: dict[str, Certificate] = field(default_factory=dict)


class Store:
    """The tables, and what is in them."""

    def __init__(self, database: Database, device_key: DeviceKey) -> None:
        self._database = database
        self._device_key = device_key
        self.kept = Kept()

    async def load(self) -> None:
        """Read everything.

        Raises:
            Unavailable: the database cannot be read, or the device key is another one.
        """
        await self._database.migrate(OWNER, MIGRATIONS)

        def read(connection: sqlite3.Connection) -> dict[str, bytes]:
            return dict(connection.execute("SELECT name, content FROM securitymgr_things"))

        self.kept = self._kept(await self._database.run(read))

    def _kept(self, rows: Mapping[str, bytes]) -> Kept:
        def opened(name: str) -> bytes:
            return self._device_key.open(rows[name], f"{OWNER}:{name}") if name in rows else b""

        return Kept(
            certificate=Certificate.from_binary(rows[CERTIFICATE]) if CERTIFICATE in rows else None,
            key=opened(KEY),
            pending_key=opened(PENDING_KEY),
            acme=Acme.from_binary(rows.get(ACME, b"")),
            acme_account=opened(ACME_ACCOUNT),
            policy=SecurityPolicy.from_binary(rows[POLICY]) if POLICY in rows else default_policy(),
            trusted={
                name.removeprefix(TRUSTED): Certificate.from_binary(content)
                for name, content in sorted(rows.items())
                if name.startswith(TRUSTED)
            },
        )

    async def put(self, changes: Mapping[str, bytes | None]) -> None:
        """Store things by name, keys in clear (they are sealed here); None takes one away. One transaction.

        Raises:
            Unavailable: the database does not take it.
        """
        rows = {
            name: self._device_key.seal(content, f"{OWNER}:{name}") if content and name in _SEALED else content
            for name, content in changes.items()
        }

        def write(connection: sqlite3.Connection) -> dict[str, bytes]:
            for name, content in rows.items():
                if content is None:
                    connection.execute("DELETE FROM securitymgr_things WHERE name = ?", (name,))
                else:
                    connection.execute("INSERT OR REPLACE INTO securitymgr_things VALUES (?, ?)", (name, content))
            return dict(connection.execute("SELECT name, content FROM securitymgr_things"))

        self.kept = self._kept(await self._database.run(write))

    async def run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with the database; see `Database.run`."""
        return await self._database.run(job)
