"""What statemgr remembers over restarts, in the precious database. Flash wears out, so only changes are written."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from ubmc.kit.database import Database
from ubmc.services.statemgr.host import HostRequest
from ubmc.services.statemgr.settings import Settings
from ubmc.v1alpha1.host_pb import BootOverrideMode, BootTarget, RestorePolicy, WatchdogAction

OWNER = "statemgr"
MIGRATIONS = (
    """
    CREATE TABLE statemgr_hosts (
        name TEXT PRIMARY KEY,
        desired INTEGER,
        mains_epoch TEXT NOT NULL,
        power_on_seconds REAL NOT NULL,
        restore_policy INTEGER NOT NULL,
        boot_mode INTEGER NOT NULL,
        boot_target INTEGER NOT NULL,
        watchdog_running INTEGER NOT NULL,
        watchdog_seconds REAL NOT NULL,
        watchdog_action INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE statemgr_chassis (name TEXT PRIMARY KEY, identify INTEGER NOT NULL) STRICT;
    CREATE TABLE statemgr_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT
    """,
    "ALTER TABLE statemgr_hosts ADD COLUMN pending TEXT NOT NULL DEFAULT ''",
)
_FINGERPRINT = "board_fingerprint"


@dataclass(frozen=True, slots=True)
class HostMemory:
    """What is remembered of a host."""

    desired: bool | None = None
    """Whether it shall be on; None if that is not known."""
    mains_epoch: str = ""
    power_on_seconds: float = 0.0
    settings: Settings = field(default_factory=Settings)
    pending: HostRequest | None = None
    """A reboot that is under way: a restart of ours must not lose its second half without a word."""


class Store:
    """Reads at start, writes changes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        """Make or update the tables. Raises `Unavailable`."""
        await self._database.migrate(OWNER, MIGRATIONS)

    async def host(self, name: str) -> HostMemory:
        """What is remembered of a host."""

        def read(connection: sqlite3.Connection) -> HostMemory:
            row = connection.execute(
                "SELECT desired, mains_epoch, power_on_seconds, restore_policy, boot_mode, boot_target,"
                " watchdog_running, watchdog_seconds, watchdog_action, pending FROM statemgr_hosts WHERE name = ?",
                (name,),
            ).fetchone()
            if row is None:
                return HostMemory()
            desired, epoch, seconds, policy, mode, target, running, timeout, action, pending = row
            return HostMemory(
                None if desired is None else bool(desired),
                epoch,
                seconds,
                Settings(
                    RestorePolicy(policy),
                    BootOverrideMode(mode),
                    BootTarget(target),
                    bool(running),
                    timeout,
                    WatchdogAction(action),
                ),
                HostRequest(pending) if pending else None,
            )

        return await self._database.run(read)

    async def keep_host(self, name: str, memory: HostMemory) -> None:
        """Remember a host; it is on disk when this returns. Raises `Unavailable`."""
        settings = memory.settings
        values = (
            name,
            memory.desired,
            memory.mains_epoch,
            memory.power_on_seconds,
            settings.restore_policy,
            settings.boot_mode,
            settings.boot_target,
            settings.watchdog_running,
            settings.watchdog_seconds,
            settings.watchdog_action,
            memory.pending.value if memory.pending is not None else "",
        )
        await self._database.run(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO statemgr_hosts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values
            ).close()
        )

    async def identify(self, chassis: str) -> bool:
        """Whether the identify light of a chassis is on."""

        def read(connection: sqlite3.Connection) -> bool:
            row = connection.execute("SELECT identify FROM statemgr_chassis WHERE name = ?", (chassis,)).fetchone()
            return row is not None and bool(row[0])

        return await self._database.run(read)

    async def keep_identify(self, chassis: str, identify: bool) -> None:
        """Remember that. Raises `Unavailable`."""
        await self._database.run(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO statemgr_chassis VALUES (?, ?)", (chassis, identify)
            ).close()
        )

    async def board_changed(self, fingerprint: str) -> bool:
        """Whether the board is another one than the last time.

        If so, the same commit remembers it and forgets what was desired of hosts, and which mains they had.
        """

        def swap(connection: sqlite3.Connection) -> bool:
            row = connection.execute("SELECT value FROM statemgr_meta WHERE key = ?", (_FINGERPRINT,)).fetchone()
            if row is not None and row[0] == fingerprint:
                return False
            connection.execute("INSERT OR REPLACE INTO statemgr_meta VALUES (?, ?)", (_FINGERPRINT, fingerprint))
            if row is None:
                return False
            connection.execute(
                "UPDATE statemgr_hosts SET desired = NULL, mains_epoch = '', watchdog_running = 0, pending = ''"
            )
            return True

        return await self._database.run(swap)
