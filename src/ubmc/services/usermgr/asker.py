"""Who makes a call, as usermgr itself knows them at this moment.

A principal was true some seconds ago. What follows from a call to usermgr may be for good (a new administrator), so
here the session, token or visit must still be good, and what somebody may do is taken from their account as it is now.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from ubmc.kit import call as calls
from ubmc.kit.errors import Denied, Unauthenticated
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.sessions import Session
from ubmc.services.usermgr.store import State
from ubmc.services.usermgr.visits import token_of
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.session_pb import CredentialKind, Principal


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who is known now."""

    account: Account
    privileges: tuple[Privilege, ...]
    """What they may do."""
    credential: str
    """The id of their session or visit."""
    kind: CredentialKind
    session: Session | None = None

    @property
    def configures_users(self) -> bool:
        """They may look at and change all accounts and sessions."""
        return Privilege.CONFIGURE_USERS in self.privileges

    def sees(self, user: str) -> bool:
        """Whether what belongs to a user exists for them."""
        return self.configures_users or user == self.account.name

    def check_covers(self, privileges: Iterable[Privilege]) -> None:
        """Refuse to give what one does not have, or to change somebody who has it.

        Raises:
            Denied: one of them is missing.
        """
        if missing := [each for each in privileges if each not in self.privileges]:
            names = ", ".join(each.name.title().replace("_", "") for each in missing)
            raise Denied(f"this is about privileges that you do not have yourself: {names}")


def asking(state: State, *, users: bool = False, in_person: bool = False) -> Asker:
    """Who makes the call that is being answered.

    Args:
        state: what is known.
        users: they need the privilege ConfigureUsers.
        in_person: a token or an IPMI secret will not do.

    Raises:
        Unauthenticated: the session has ended, or nobody asks.
        Denied: the privilege is missing, or they use a token or IPMI.
    """
    principal = calls.asking()
    asker = _find(state, principal) if principal is not None else None
    if asker is None:
        raise Unauthenticated("the session has ended; log in again")
    if users and not asker.configures_users:
        raise Denied("this needs the privilege ConfigureUsers for any but the own account")
    if in_person and asker.kind in (CredentialKind.TOKEN, CredentialKind.IPMI):
        raise Denied("this cannot be done with a token or over IPMI; log in and do it in a session")
    return asker


def _find(state: State, principal: Principal) -> Asker | None:
    account = state.accounts.get(principal.user)
    if account is None or not account.enabled:
        return None
    now = time.time()
    kind = principal.kind or CredentialKind.SESSION
    privileges = state.privileges(account, now)
    session = state.session(principal.session)
    token = state.tokens.get(token_of(principal.session))
    visit = state.visits.get(principal.session, time.monotonic())
    if kind is CredentialKind.SESSION:
        good = session is not None and not session.level and session.user == account.name
    elif kind is CredentialKind.TOKEN:
        good = token is not None and token.user == account.name and token.expires > now
        privileges = token.limit(state.held(account)) if token is not None else ()
    elif kind is CredentialKind.IPMI:
        good = session is not None and bool(session.level) and session.user == account.name
        privileges = tuple(each for each in privileges if each in principal.privileges)
    else:
        good = visit is not None and visit.user == account.name and visit.kind is kind
    return Asker(account, privileges, principal.session, kind, session) if good else None
