"""Accounts, sessions and roles in the shape of the schema."""

from __future__ import annotations

from datetime import UTC, datetime

from protobuf.wkt import Timestamp

from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.roles import ROLES
from ubmc.services.usermgr.sessions import Moment, Session
from ubmc.v1alpha1.session_pb import Session as SessionMessage
from ubmc.v1alpha1.user_pb import Role, User

_MINUTE_SECONDS = 60.0


def user(account: Account) -> User:
    """An account as others see it: without its password."""
    return User(
        name=account.name,
        role=account.role,
        enabled=account.enabled,
        must_change_password=account.must_change,
        create_time=_stamp(account.created),
        password_time=_stamp(account.password_set),
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
    )


def roles() -> list[Role]:
    """All roles."""
    return [Role(name=name, privileges=list(privileges)) for name, privileges in ROLES.items()]


def _stamp(seconds: float) -> Timestamp:
    return Timestamp.from_datetime(datetime.fromtimestamp(seconds, UTC))
