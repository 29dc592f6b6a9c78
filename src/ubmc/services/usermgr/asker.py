"""Who makes a call, as usermgr itself knows them at this moment.

A principal was true some seconds ago. What follows from a call to usermgr may be for good (a new administrator), so
here the session must still be open, and what somebody may do is taken from their account as it is now.
"""

from __future__ import annotations

from dataclasses import dataclass

from ubmc.kit import call as calls
from ubmc.kit.errors import Denied, Unauthenticated
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.roles import privileges
from ubmc.services.usermgr.sessions import Session
from ubmc.services.usermgr.store import State
from ubmc.v1alpha1.access_pb import Privilege


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody with an open session."""

    session: Session
    account: Account

    @property
    def privileges(self) -> tuple[Privilege, ...]:
        """What they may do."""
        return privileges(self.account.role, must_change_password=self.account.must_change)

    @property
    def configures_users(self) -> bool:
        """They may look at and change all accounts and sessions."""
        return Privilege.CONFIGURE_USERS in self.privileges

    def sees(self, session: Session) -> bool:
        """Whether a session exists for them: an own one, or any."""
        return self.configures_users or session.user == self.account.name


def asking(state: State, *, users: bool = False) -> Asker:
    """Who makes the call that is being answered.

    Args:
        state: what is known.
        users: they need the privilege ConfigureUsers.

    Raises:
        Unauthenticated: the session has ended, or nobody asks.
        Denied: the privilege is missing.
    """
    principal = calls.asking()
    session = state.sessions.get(principal.session) if principal is not None else None
    if principal is None or session is None or session.user != principal.user:
        raise Unauthenticated("the session has ended; log in again")
    asker = Asker(session, state.accounts[session.user])
    if users and not asker.configures_users:
        raise Denied("this needs the privilege ConfigureUsers for any but the own account")
    return asker
