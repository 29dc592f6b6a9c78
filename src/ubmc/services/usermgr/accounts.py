"""Accounts, and how they lie in the database."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field

from ubmc.services.usermgr.roles import ADMINISTRATOR

TABLE = """
CREATE TABLE usermgr_users (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    must_change INTEGER NOT NULL,
    unclaimed INTEGER NOT NULL,
    password TEXT NOT NULL,
    created REAL NOT NULL,
    password_set REAL NOT NULL
) STRICT
"""
CREDENTIALS = """
ALTER TABLE usermgr_users ADD COLUMN source TEXT NOT NULL DEFAULT 'local';
ALTER TABLE usermgr_users ADD COLUMN service INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usermgr_users ADD COLUMN history TEXT NOT NULL DEFAULT '[]';
ALTER TABLE usermgr_users ADD COLUMN totp BLOB NOT NULL DEFAULT x'';
ALTER TABLE usermgr_users ADD COLUMN totp_step INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usermgr_users ADD COLUMN recovery TEXT NOT NULL DEFAULT '[]';
ALTER TABLE usermgr_users ADD COLUMN ipmi BLOB NOT NULL DEFAULT x'';
ALTER TABLE usermgr_users ADD COLUMN identities TEXT NOT NULL DEFAULT '[]'
"""
IPMI = """
ALTER TABLE usermgr_users ADD COLUMN ipmi_id INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usermgr_users ADD COLUMN ipmi_off INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usermgr_users ADD COLUMN ipmi_limit INTEGER NOT NULL DEFAULT 0;
UPDATE usermgr_users SET ipmi_id = (
    SELECT 1 + count(*) FROM usermgr_users AS other WHERE other.ipmi != x'' AND other.name <= usermgr_users.name
) WHERE ipmi != x'';
UPDATE usermgr_users SET ipmi_id = 0 WHERE ipmi_id > 15
"""
"""Who has an IPMI secret already gets an id, in the order of the names, while there are some."""
_COLUMNS = (
    "name, role, enabled, must_change, unclaimed, password, created, password_set, "
    "source, service, history, totp, totp_step, recovery, ipmi, identities, ipmi_id, ipmi_off, ipmi_limit"
)
_MARKS = ", ".join("?" for _ in _COLUMNS.split(","))
_UPDATES = ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS.split(", ") if column != "name")

LOCAL = "local"
LDAP = "ldap"


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may log in; times are Unix seconds."""

    name: str
    role: str
    enabled: bool
    must_change: bool
    """Nothing but a new password is allowed."""
    unclaimed: bool
    """It has a random password of ours, and nobody has logged in with it yet."""
    password: str = field(repr=False)
    """The argon2id hash in PHC text form; empty for accounts that have no password here."""
    created: float
    password_set: float
    """For an account of the directory: when it logged in last."""
    source: str = LOCAL
    service: bool = False
    """It is for a program: tokens only."""
    history: tuple[str, ...] = field(default=(), repr=False)
    """Hashes of earlier passwords, the newest first."""
    totp: bytes = field(default=b"", repr=False)
    """The sealed seed of the second factor; empty if there is none."""
    totp_step: int = 0
    """The time step of the last code that was taken; none up to it is taken again."""
    recovery: tuple[str, ...] = field(default=(), repr=False)
    """Hashes of the recovery codes that are left."""
    ipmi: bytes = field(default=b"", repr=False)
    """The sealed IPMI secret; empty if there is none."""
    identities: tuple[str, ...] = ()
    """Who it is in client certificates."""
    ipmi_id: int = 0
    """Its user id in IPMI, 2 to 15; 0 if it has none."""
    ipmi_off: bool = False
    """IPMI is refused to it."""
    ipmi_limit: int = 0
    """The highest IPMI privilege level: 2 user, 3 operator, 4 administrator, 15 none at all; 0 as the role allows."""

    @property
    def local(self) -> bool:
        """It was made on this BMC."""
        return self.source == LOCAL

    @property
    def has_password(self) -> bool:
        """Somebody can log in with a password that is checked here."""
        return self.local and not self.service and bool(self.password)

    @property
    def administers(self) -> bool:
        """It is an administrator who can log in, whatever happens to the directory."""
        return self.enabled and self.role == ADMINISTRATOR and self.has_password


def read(connection: sqlite3.Connection) -> list[Account]:
    """All accounts in the database."""
    return [_restore(row) for row in connection.execute(f"SELECT {_COLUMNS} FROM usermgr_users")]  # noqa: S608  constant


def _restore(row: tuple[object, ...]) -> Account:
    name, role, enabled, must_change, unclaimed, password, created, password_set, *rest = row
    source, service, history, totp, totp_step, recovery, ipmi, identities, ipmi_id, ipmi_off, ipmi_limit = rest
    return Account(
        name=str(name),
        role=str(role),
        enabled=bool(enabled),
        must_change=bool(must_change),
        unclaimed=bool(unclaimed),
        password=str(password),
        created=float(str(created)),
        password_set=float(str(password_set)),
        source=str(source),
        service=bool(service),
        history=_texts(history),
        totp=_blob(totp),
        totp_step=int(str(totp_step)),
        recovery=_texts(recovery),
        ipmi=_blob(ipmi),
        identities=_texts(identities),
        ipmi_id=int(str(ipmi_id)),
        ipmi_off=bool(ipmi_off),
        ipmi_limit=int(str(ipmi_limit)),
    )


def _texts(column: object) -> tuple[str, ...]:
    return tuple(json.loads(str(column)))


def _blob(column: object) -> bytes:
    return column if isinstance(column, bytes) else b""


def write(connection: sqlite3.Connection, account: Account) -> None:
    """Store an account, new or changed."""
    connection.execute(
        f"INSERT INTO usermgr_users ({_COLUMNS}) VALUES ({_MARKS})"  # noqa: S608  constants
        f" ON CONFLICT (name) DO UPDATE SET {_UPDATES}",
        (
            account.name,
            account.role,
            account.enabled,
            account.must_change,
            account.unclaimed,
            account.password,
            account.created,
            account.password_set,
            account.source,
            account.service,
            json.dumps(account.history),
            account.totp,
            account.totp_step,
            json.dumps(account.recovery),
            account.ipmi,
            json.dumps(account.identities),
            account.ipmi_id,
            account.ipmi_off,
            account.ipmi_limit,
        ),
    )


def remove(connection: sqlite3.Connection, name: str) -> None:
    """Remove an account; its sessions and tokens go with it."""
    connection.execute("DELETE FROM usermgr_users WHERE name = ?", (name,))
