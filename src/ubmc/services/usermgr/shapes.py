"""Accounts, sessions, roles and tokens in the shape of the schema."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from protobuf.wkt import Timestamp

from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.asker import Asker
from ubmc.services.usermgr.policy import AccountPolicy
from ubmc.services.usermgr.roles import ROLES
from ubmc.services.usermgr.sessions import Moment, Session
from ubmc.services.usermgr.ssh_keys import SshKey as KnownKey
from ubmc.services.usermgr.store import State
from ubmc.services.usermgr.tokens import Token
from ubmc.v1alpha1.session_pb import CredentialKind
from ubmc.v1alpha1.session_pb import Session as SessionMessage
from ubmc.v1alpha1.token_pb import Token as TokenMessage
from ubmc.v1alpha1.user_pb import IpmiPrivilege, Role, SshKey, User, UserSource

_MINUTE_SECONDS = 60.0


def user(account: Account, policy: AccountPolicy, locked_seconds: float, ssh_keys: int) -> User:
    """An account as others see it: without its password and its other secrets."""
    expires = policy.expires(account)
    return User(
        name=account.name,
        role=account.role,
        enabled=account.enabled,
        must_change_password=account.must_change,
        create_time=_stamp(account.created),
        password_time=_stamp(account.password_set) if account.has_password else None,
        source=UserSource.LOCAL if account.local else UserSource.LDAP,
        service_account=account.service,
        locked_until=_stamp(round(time.time() + locked_seconds)) if locked_seconds else None,
        password_expire_time=_stamp(expires) if expires is not None else None,
        second_factor=bool(account.totp),
        recovery_codes_left=len(account.recovery),
        ipmi_enabled=bool(account.ipmi),
        certificate_identities=list(account.identities),
        ipmi_user_id=account.ipmi_id,
        ipmi_disabled=account.ipmi_off,
        ipmi_privilege_limit=IpmiPrivilege(account.ipmi_limit),
        ssh_keys=ssh_keys,
    )


def session(open_session: Session, account: Account, now: Moment) -> SessionMessage:
    """A session as others see it: without its token."""
    used = now.to_wall(open_session.used)
    return SessionMessage(
        id=open_session.id,
        user=open_session.user,
        role=account.role,
        create_time=_stamp(open_session.created),
        last_used_time=_stamp(max(open_session.created, used - used % _MINUTE_SECONDS)),
        expire_time=_stamp(round(now.to_wall(open_session.expires))),
        source=open_session.source,
        kind=CredentialKind.IPMI if open_session.level else CredentialKind.SESSION,
    )


def current(asker: Asker, now: Moment) -> SessionMessage:
    """Who asks; somebody without a session has only an id, a name and a role."""
    if asker.session is not None:
        return session(asker.session, asker.account, now)
    return SessionMessage(id=asker.credential, user=asker.account.name, role=asker.account.role)


def role(state: State, name: str) -> Role:
    """A role."""
    return Role(name=name, privileges=list(state.roles.get(name, ())), built_in=name in ROLES)


def roles(state: State) -> list[Role]:
    """All roles, those that are built in first."""
    made = sorted(name for name in state.roles if name not in ROLES)
    return [role(state, name) for name in (*ROLES, *made)]


def token(known: Token) -> TokenMessage:
    """A token as others see it: without its secret."""
    return TokenMessage(
        id=known.id,
        user=known.user,
        name=known.name,
        scopes=list(known.scopes),
        create_time=_stamp(known.created),
        expire_time=_stamp(known.expires),
        last_used_time=_stamp(known.used) if known.used else None,
    )


def ssh_key(known: KnownKey) -> SshKey:
    """An SSH key as others see it."""
    return SshKey(
        id=known.id,
        kind=known.kind,
        fingerprint=known.fingerprint,
        comment=known.comment,
        create_time=_stamp(known.created),
    )


def _stamp(seconds: float) -> Timestamp:
    return Timestamp.from_datetime(datetime.fromtimestamp(seconds, UTC))
