"""What statemgr remembers over restarts, in the precious database. Flash wears out, so only changes are written."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any

import orjson

from ubmc.kit.database import Database
from ubmc.services.statemgr.bios import Setup
from ubmc.services.statemgr.host import HostRequest
from ubmc.services.statemgr.settings import BootChoice, Settings, WatchdogSettings
from ubmc.v1alpha1.host_pb import (
    BootFirmware,
    BootOverrideMode,
    BootTarget,
    HostPowerFailure,
    HostState,
    RestartCause,
    RestorePolicy,
    WatchdogAction,
    WatchdogPretimeoutAction,
    WatchdogUse,
)

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
    """
    ALTER TABLE statemgr_hosts ADD COLUMN boot_firmware INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE statemgr_hosts ADD COLUMN boot_http_uri TEXT NOT NULL DEFAULT '';
    ALTER TABLE statemgr_hosts ADD COLUMN watchdog_use INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE statemgr_hosts ADD COLUMN watchdog_pretimeout_seconds REAL NOT NULL DEFAULT 0;
    ALTER TABLE statemgr_hosts ADD COLUMN watchdog_pretimeout_action INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE statemgr_hosts ADD COLUMN watchdog_dont_log INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE statemgr_hosts ADD COLUMN watchdog_expired INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE statemgr_hosts ADD COLUMN restart_cause INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE statemgr_hosts ADD COLUMN restart_time_us INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE statemgr_bios (
        host TEXT PRIMARY KEY,
        current TEXT NOT NULL,
        pending TEXT NOT NULL,
        applied_time_us INTEGER NOT NULL,
        faults TEXT NOT NULL
    ) STRICT
    """,
    """
    ALTER TABLE statemgr_hosts ADD COLUMN state INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE statemgr_hosts ADD COLUMN state_time_us INTEGER NOT NULL DEFAULT 0
    """,
    "ALTER TABLE statemgr_hosts ADD COLUMN power_failure BLOB NOT NULL DEFAULT x''",
)
_COLUMNS = (
    "name",
    "desired",
    "mains_epoch",
    "power_on_seconds",
    "restore_policy",
    "boot_mode",
    "boot_target",
    "watchdog_running",
    "watchdog_seconds",
    "watchdog_action",
    "pending",
    "boot_firmware",
    "boot_http_uri",
    "watchdog_use",
    "watchdog_pretimeout_seconds",
    "watchdog_pretimeout_action",
    "watchdog_dont_log",
    "watchdog_expired",
    "restart_cause",
    "restart_time_us",
    "state",
    "state_time_us",
    "power_failure",
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
    """What is under way and has a second half, which a restart of ours must not lose without a word."""
    restart_cause: RestartCause = RestartCause.UNSPECIFIED
    restart_time_us: int = 0
    """When it was started or restarted last, in microseconds since 1970; 0 if that was never seen."""
    state: HostState = HostState.UNSPECIFIED
    """On or off, as it was seen last; unspecified while it was on its way."""
    state_time_us: int = 0
    """Since when, in microseconds since 1970."""
    power_failure: HostPowerFailure | None = None
    """The last power action, if it failed. Not to be changed."""


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
                f"SELECT {', '.join(_COLUMNS)} FROM statemgr_hosts WHERE name = ?",  # noqa: S608 - names of ours
                (name,),
            ).fetchone()
            return HostMemory() if row is None else _memory(dict(zip(_COLUMNS, row, strict=True)))

        return await self._database.run(read)

    async def keep_host(self, name: str, memory: HostMemory) -> None:
        """Remember a host; it is on disk when this returns. Raises `Unavailable`."""
        values = _row(name, memory)
        places = ", ".join("?" for _ in _COLUMNS)
        statement = f"INSERT OR REPLACE INTO statemgr_hosts ({', '.join(_COLUMNS)}) VALUES ({places})"  # noqa: S608
        await self._database.run(
            lambda connection: connection.execute(statement, [values[column] for column in _COLUMNS]).close()
        )

    async def bios(self, host: str) -> Setup:
        """The set-up of a host's firmware, as far as it was ever changed."""

        def read(connection: sqlite3.Connection) -> Setup:
            row = connection.execute(
                "SELECT current, pending, applied_time_us, faults FROM statemgr_bios WHERE host = ?", (host,)
            ).fetchone()
            if row is None:
                return Setup()
            current, pending, applied, faults = row
            return Setup(orjson.loads(current), orjson.loads(pending), applied, tuple(orjson.loads(faults)))

        return await self._database.run(read)

    async def keep_bios(self, host: str, setup: Setup) -> None:
        """Remember that; it is on disk when this returns. Raises `Unavailable`."""
        values = (
            host,
            orjson.dumps(setup.current).decode(),
            orjson.dumps(setup.pending).decode(),
            setup.applied_time_us,
            orjson.dumps(setup.faults).decode(),
        )
        await self._database.run(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO statemgr_bios (host, current, pending, applied_time_us, faults)"
                " VALUES (?, ?, ?, ?, ?)",
                values,
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
                "UPDATE statemgr_hosts SET desired = NULL, mains_epoch = '', watchdog_running = 0, pending = '',"
                " power_failure = x''"
            )
            return True

        return await self._database.run(swap)


def _memory(row: dict[str, Any]) -> HostMemory:
    settings = Settings(
        RestorePolicy(row["restore_policy"]),
        BootOverrideMode(row["boot_mode"]),
        BootChoice(BootTarget(row["boot_target"]), BootFirmware(row["boot_firmware"]), row["boot_http_uri"]),
        WatchdogSettings(
            running=bool(row["watchdog_running"]),
            seconds=row["watchdog_seconds"],
            action=WatchdogAction(row["watchdog_action"]),
            use=WatchdogUse(row["watchdog_use"]),
            pretimeout_seconds=row["watchdog_pretimeout_seconds"],
            pretimeout_action=WatchdogPretimeoutAction(row["watchdog_pretimeout_action"]),
            dont_log=bool(row["watchdog_dont_log"]),
            expired=frozenset(use for use in WatchdogUse if row["watchdog_expired"] & 1 << use.value),
        ),
    )
    return HostMemory(
        desired=None if row["desired"] is None else bool(row["desired"]),
        mains_epoch=row["mains_epoch"],
        power_on_seconds=row["power_on_seconds"],
        settings=settings,
        pending=HostRequest(row["pending"]) if row["pending"] else None,
        restart_cause=RestartCause(row["restart_cause"]),
        restart_time_us=row["restart_time_us"],
        state=HostState(row["state"]),
        state_time_us=row["state_time_us"],
        power_failure=HostPowerFailure.from_binary(row["power_failure"]) if row["power_failure"] else None,
    )


def _row(name: str, memory: HostMemory) -> dict[str, str | int | float | bytes | None]:
    settings, watchdog = memory.settings, memory.settings.watchdog
    return {
        "name": name,
        "desired": memory.desired,
        "mains_epoch": memory.mains_epoch,
        "power_on_seconds": memory.power_on_seconds,
        "restore_policy": settings.restore_policy,
        "boot_mode": settings.boot_mode,
        "boot_target": settings.boot.target,
        # A guest feeds it through a door that may not be there after a restart of ours; one that is heard again starts
        # it anew (completion code 80h, IPMI 2.0 section 27.5).
        "watchdog_running": watchdog.running and not watchdog.guest,
        "watchdog_seconds": watchdog.seconds,
        "watchdog_action": watchdog.action,
        "pending": memory.pending.value if memory.pending is not None else "",
        "boot_firmware": settings.boot.firmware,
        "boot_http_uri": settings.boot.http_uri,
        "watchdog_use": watchdog.use,
        "watchdog_pretimeout_seconds": watchdog.pretimeout_seconds,
        "watchdog_pretimeout_action": watchdog.pretimeout_action,
        "watchdog_dont_log": watchdog.dont_log,
        "watchdog_expired": sum(1 << use.value for use in watchdog.expired),
        "restart_cause": memory.restart_cause,
        "restart_time_us": memory.restart_time_us,
        "state": memory.state,
        "state_time_us": memory.state_time_us,
        "power_failure": memory.power_failure.to_binary() if memory.power_failure is not None else b"",
    }
