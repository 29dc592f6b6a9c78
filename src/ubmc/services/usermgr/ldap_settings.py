"""How the directory is asked: the settings, how they are stored, and what may be changed."""

from __future__ import annotations

import base64
import json
import re
import ssl
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ubmc.kit.errors import Invalid, Violation
from ubmc.v1alpha1.account_pb import Ldap, LdapRoleMapping, LdapSecurity

CHANGEABLE = (
    "enabled",
    "servers",
    "security",
    "ca_pem",
    "user_dn_template",
    "user_base_dn",
    "user_attribute",
    "bind_dn",
    "bind_password",
    "group_base_dn",
    "group_attribute",
    "role_mappings",
    "timeout_seconds",
)
CONTEXT = "ldap:bind"
_DEFAULT_SECONDS = 5
_SECURITY = {LdapSecurity.LDAPS: "ldaps", LdapSecurity.STARTTLS: "starttls", LdapSecurity.UNSPECIFIED: "ldaps"}


@dataclass(frozen=True, slots=True)
class LdapSettings:
    """How the directory is asked; the schema says what each field means."""

    enabled: bool = False
    servers: tuple[str, ...] = ()
    security: str = "ldaps"
    ca_pem: str = ""
    user_dn_template: str = ""
    user_base_dn: str = ""
    user_attribute: str = "uid"
    bind_dn: str = ""
    bind_password: str = field(default="", repr=False)
    """Sealed, in base64."""
    group_base_dn: str = ""
    group_attribute: str = "member"
    role_mappings: tuple[tuple[str, str], ...] = ()
    timeout_seconds: int = _DEFAULT_SECONDS

    def role_of(self, groups: Iterable[str]) -> str:
        """The role that membership in these groups means; empty if none does."""
        held = {plain_dn(group) for group in groups}
        return next((role for group, role in self.role_mappings if plain_dn(group) in held), "")


def plain_dn(dn: str) -> str:
    """A distinguished name in a form that can be compared: without case, and without space around its parts."""
    return re.sub(r"\s*(?<!\\)([,=+])\s*", r"\1", dn.strip()).casefold()


def to_text(settings: LdapSettings) -> str:
    """The settings for the database."""
    return json.dumps(asdict(settings))


def from_text(text: str) -> LdapSettings:
    """The settings out of the database; a field that this program does not know is left out."""
    known = LdapSettings.__dataclass_fields__
    values: dict[str, Any] = {name: value for name, value in json.loads(text).items() if name in known}
    values["servers"] = tuple(values.get("servers", ()))
    values["role_mappings"] = tuple((group, role) for group, role in values.get("role_mappings", ()))
    return LdapSettings(**values)


def message(settings: LdapSettings) -> Ldap:
    """The settings in the shape of the schema, without the password."""
    security = next(each for each, name in _SECURITY.items() if name == settings.security)
    return Ldap(
        enabled=settings.enabled,
        servers=list(settings.servers),
        security=security,
        ca_pem=settings.ca_pem,
        user_dn_template=settings.user_dn_template,
        user_base_dn=settings.user_base_dn,
        user_attribute=settings.user_attribute,
        bind_dn=settings.bind_dn,
        group_base_dn=settings.group_base_dn,
        group_attribute=settings.group_attribute,
        role_mappings=[LdapRoleMapping(group=group, role=role) for group, role in settings.role_mappings],
        timeout_seconds=settings.timeout_seconds,
        has_bind_password=bool(settings.bind_password),
    )


def updated(before: LdapSettings, wanted: Ldap, paths: Iterable[str], seal: Callable[[bytes], bytes]) -> LdapSettings:
    """The settings after an update.

    Args:
        before: the settings.
        wanted: the new values.
        paths: which of them to take.
        seal: encrypts the password.

    Raises:
        Invalid: a field is unknown, or fields do not fit together.
    """
    values: dict[str, Any] = {}
    for path in paths:
        if path not in CHANGEABLE:
            raise _wrong("updateMask", f"{path} cannot be changed; name some of {', '.join(CHANGEABLE)}")
        values[path] = _value(path, wanted, seal)
    if not values:
        raise _wrong("updateMask", f"name what is to change: some of {', '.join(CHANGEABLE)}")
    after = replace(before, **values)
    if after.servers != before.servers and before.bind_password and "bind_password" not in values:
        # Else whoever may change the servers could have the password sent to one of theirs.
        after = replace(after, bind_password="")
    _check(after)
    return after


def _value(path: str, wanted: Ldap, seal: Callable[[bytes], bytes]) -> Any:
    value = getattr(wanted, path)
    match path:
        case "servers":
            return tuple(value)
        case "security":
            return _SECURITY[value]
        case "role_mappings":
            return tuple((each.group, each.role) for each in value)
        case "bind_password":
            return base64.b64encode(seal(value.encode())).decode() if value else ""
        case "user_attribute" | "group_attribute" | "timeout_seconds":
            return value or getattr(LdapSettings(), path)
    return value


def _check(settings: LdapSettings) -> None:
    if settings.ca_pem:
        try:
            ssl.create_default_context(cadata=settings.ca_pem)
        except (ssl.SSLError, ValueError) as error:
            raise _wrong("ldap.caPem", "holds no certificates in PEM form") from error
    if settings.user_dn_template and settings.user_dn_template.count("{user}") != 1:
        raise _wrong("ldap.userDnTemplate", "has {user} once, where the login name goes")
    if not settings.enabled:
        return
    if not settings.servers:
        raise _wrong("ldap.servers", "is needed: name a server")
    if not settings.user_dn_template and not settings.user_base_dn:
        raise _wrong("ldap.userDnTemplate", "is needed, or userBaseDn to search for users")
    if not settings.role_mappings:
        raise _wrong("ldap.roleMappings", "is needed: without one nobody has a role")


def _wrong(name: str, text: str) -> Invalid:
    return Invalid(f"{name}: {text}", violations=[Violation(name, "valid", text)])
