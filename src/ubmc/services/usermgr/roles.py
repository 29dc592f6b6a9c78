"""Roles and what they may do; this is the one place that says so.

The three that are built in are the standard roles of Redfish (DSP0266, "Roles"), with their privileges of the same
names. Others are made by administrators and lie in the database.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from types import MappingProxyType

from ubmc.v1alpha1.access_pb import Privilege

TABLE = "CREATE TABLE usermgr_roles (name TEXT PRIMARY KEY, privileges TEXT NOT NULL) STRICT"

ADMINISTRATOR = "Administrator"
OPERATOR = "Operator"
READ_ONLY = "ReadOnly"
MAX_ROLES = 32

ROLES: MappingProxyType[str, tuple[Privilege, ...]] = MappingProxyType(
    {
        ADMINISTRATOR: (
            Privilege.LOGIN,
            Privilege.CONFIGURE_COMPONENTS,
            Privilege.CONFIGURE_MANAGER,
            Privilege.CONFIGURE_USERS,
            Privilege.CONFIGURE_SELF,
        ),
        OPERATOR: (Privilege.LOGIN, Privilege.CONFIGURE_COMPONENTS, Privilege.CONFIGURE_SELF),
        READ_ONLY: (Privilege.LOGIN, Privilege.CONFIGURE_SELF),
    }
)

RESTRICTED = (Privilege.CONFIGURE_SELF,)
"""What is left to somebody who has to change the password, or set up a second factor, first."""


def whole(privileges: Iterable[Privilege]) -> tuple[Privilege, ...]:
    """The privileges of a role, in the order of the schema; Login and ConfigureSelf are part of every one."""
    held = {*privileges, *ROLES[READ_ONLY]} - {Privilege.UNSPECIFIED}
    return tuple(privilege for privilege in Privilege if privilege in held)


def read(connection: sqlite3.Connection) -> dict[str, tuple[Privilege, ...]]:
    """All roles: the built-in ones, and those in the database; a privilege that is not known is left out."""
    known = {privilege.name: privilege for privilege in Privilege}
    made = {
        name: whole(known[each] for each in json.loads(privileges) if each in known)
        for name, privileges in connection.execute("SELECT name, privileges FROM usermgr_roles")
    }
    return made | dict(ROLES)


def write(connection: sqlite3.Connection, name: str, privileges: Iterable[Privilege]) -> None:
    """Store a role, new or changed."""
    connection.execute(
        "INSERT INTO usermgr_roles VALUES (?, ?) ON CONFLICT DO UPDATE SET privileges = excluded.privileges",
        (name, json.dumps([privilege.name for privilege in privileges])),
    )


def remove(connection: sqlite3.Connection, name: str) -> None:
    """Remove a role."""
    connection.execute("DELETE FROM usermgr_roles WHERE name = ?", (name,))
