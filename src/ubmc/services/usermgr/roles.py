"""The three roles and what they may do; this is the one place that says so.

They are the standard roles of Redfish (DSP0266, "Roles"), with their privileges of the same names.
"""

from __future__ import annotations

from types import MappingProxyType

from ubmc.v1alpha1.access_pb import Privilege

ADMINISTRATOR = "Administrator"
OPERATOR = "Operator"
READ_ONLY = "ReadOnly"

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

_ONLY_THE_PASSWORD = (Privilege.CONFIGURE_SELF,)


def privileges(role: str, *, must_change_password: bool) -> tuple[Privilege, ...]:
    """What somebody of this role may do now: with a password that has to be changed, nothing but that."""
    return _ONLY_THE_PASSWORD if must_change_password else ROLES[role]
