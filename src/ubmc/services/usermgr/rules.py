"""What may change, and what follows from it. Pure: each rule looks at the state and returns a `Change`, or refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from protobuf import Message

from ubmc.kit.errors import Busy, Exhausted, Exists, Invalid, NotFound, Refused, Unauthenticated, Violation
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.roles import ADMINISTRATOR, ROLES
from ubmc.services.usermgr.sessions import Session, SessionOptions
from ubmc.services.usermgr.store import Change, State
from ubmc.v1alpha1.session_pb import LoginAttempt, SessionEnd
from ubmc.v1alpha1.user_pb import User, UserChange

FIRST_NAME = "admin"
MAX_ACCOUNTS = 256

LOGOUT = "logout"
PASSWORD_CHANGED = "password changed"  # noqa: S105  the reason of news
ACCOUNT_CHANGED = "account changed"

CREATED = "created"
UPDATED = "updated"
DELETED = "deleted"
NEW_PASSWORD = "given a new password"  # noqa: S105  the words of news

OK = "ok"
REFUSED = "refused"

UPDATABLE = ("role", "enabled", "must_change_password")


def find(state: State, name: str) -> Account:
    """The account of a name.

    Raises:
        NotFound: there is none.
    """
    account = state.accounts.get(name)
    if account is None:
        raise NotFound(f"there is no account {name}")
    return account


def check_role(role: str) -> None:
    """Refuse a role that does not exist.

    Raises:
        Invalid: it does not exist.
    """
    if role not in ROLES:
        message = f"is one of {', '.join(ROLES)}"
        raise Invalid(f"user.role {message}", violations=[Violation("user.role", "known", message)])


# --- accounts ---------------------------------------------------------------------------------------------------------


def first(state: State, password: str, now: float, *, given: bool) -> Change:
    """The administrator of the first boot, or a new password for one whom nobody has claimed.

    Args:
        state: what is known.
        password: its hash.
        now: Unix seconds.
        given: the owner gave the password, so it need not be changed and is never made anew.
    """
    known = next((account for account in state.accounts.values() if account.unclaimed), None)
    if known is None and state.accounts:
        return Change()
    what = CREATED if known is None else NEW_PASSWORD
    account = known or Account(
        name=FIRST_NAME,
        role=ADMINISTRATOR,
        enabled=True,
        must_change=True,
        unclaimed=True,
        password=password,
        created=now,
        password_set=now,
    )
    account = replace(account, password=password, password_set=now, must_change=not given, unclaimed=not given)
    return Change(account=account, news=(UserChange(name=account.name, what=what),))


def create(state: State, account: Account) -> Change:
    """A new account.

    Raises:
        Exists: there is one of this name.
        Exhausted: there are too many accounts.
    """
    if account.name in state.accounts:
        raise Exists(f"there is an account {account.name} already")
    if len(state.accounts) >= MAX_ACCOUNTS:
        raise Exhausted(f"there are {MAX_ACCOUNTS} accounts already; remove one first")
    return Change(account=account, news=(UserChange(name=account.name, what=CREATED),))


def paths_of(user: User, mask: Sequence[str]) -> frozenset[str]:
    """Which fields an update is about.

    Raises:
        Invalid: the mask names something that cannot be updated, or nothing is named.
    """
    unknown = [path for path in mask if path not in UPDATABLE]
    if unknown:
        message = f"{', '.join(unknown)} cannot be updated; name some of {', '.join(UPDATABLE)}"
        raise Invalid(f"updateMask: {message}", violations=[Violation("updateMask", "known", message)])
    if mask:
        return frozenset(mask)
    if user.role:
        return frozenset({"role"})
    message = f"name what is to change: some of {', '.join(UPDATABLE)}"
    raise Invalid(f"updateMask: {message}", violations=[Violation("updateMask", "required", message)])


def update(state: State, user: User, paths: frozenset[str]) -> Change:
    """New values for an account. Its sessions end where it may do less, or other things, than before.

    Raises:
        NotFound: there is no such account.
        Refused: it is the last enabled administrator.
    """
    before = find(state, user.name)
    after = replace(
        before,
        role=user.role if "role" in paths else before.role,
        enabled=user.enabled if "enabled" in paths else before.enabled,
        must_change=user.must_change_password if "must_change_password" in paths else before.must_change,
    )
    if after == before:
        return Change()
    if not after.administers:
        _keep_an_administrator(state, before)
    restricted = after.role != before.role or not after.enabled or (after.must_change and not before.must_change)
    return _ending(
        Change(account=after, news=(UserChange(name=after.name, what=UPDATED),)),
        state.sessions.of(after.name) if restricted else (),
        ACCOUNT_CHANGED,
    )


def delete(state: State, name: str) -> Change:
    """An account less.

    Raises:
        NotFound: there is no such account.
        Refused: it is the last enabled administrator.
    """
    account = find(state, name)
    _keep_an_administrator(state, account)
    change = Change(removed=account, news=(UserChange(name=name, what=DELETED),))
    return _ending(change, state.sessions.of(name), ACCOUNT_CHANGED)


def _keep_an_administrator(state: State, account: Account) -> None:
    if account.administers and sum(other.administers for other in state.accounts.values()) == 1:
        raise Refused(f"{account.name} is the last enabled administrator; make or enable another one first")


def new_password(state: State, known: Account, password: str, now: float, keep: Session | None) -> Change:
    """A new password for an account.

    Args:
        state: what is known.
        known: the account as it was when the request was checked.
        password: the hash of the new one.
        now: Unix seconds.
        keep: the session of the account itself that asks; None when somebody else does, which means that the password
            has to be changed at the next login.

    Raises:
        NotFound: the account is gone.
        Busy: it got another password meanwhile.
    """
    account = find(state, known.name)
    if account.password != known.password:
        raise Busy(f"{account.name} was given another password just now; look before you try again")
    account = replace(account, password=password, password_set=now, must_change=keep is None, unclaimed=False)
    change = Change(account=account, news=(UserChange(name=account.name, what=NEW_PASSWORD),))
    return _ending(change, (one for one in state.sessions.of(account.name) if one is not keep), PASSWORD_CHANGED)


# --- sessions ---------------------------------------------------------------------------------------------------------


def login(state: State, known: Account, session: Session, options: SessionOptions) -> Change:
    """A new session for an account whose password was right; whoever is displaced by it goes.

    Nobody is ever refused because there are too many sessions: with a right password one gets in.

    Raises:
        Unauthenticated: the account is gone, disabled, or has another password meanwhile.
    """
    account = state.accounts.get(known.name)
    if account is None or not account.enabled or account.password != known.password:
        raise Unauthenticated("wrong user name or password")
    change = Change(
        account=replace(account, unclaimed=False) if account.unclaimed else None,
        opened=session,
        news=(LoginAttempt(user=account.name, source=session.source, outcome=OK),),
    )
    return _ending(change, _displaced(state, account.name, options), f"ended by {account.name}")


def _displaced(state: State, user: str, options: SessionOptions) -> list[Session]:
    """Who has to go: of the same user, else of whom has the most; each time the one not used for longest."""
    remaining = list(state.sessions)
    gone: list[Session] = []
    while remaining:
        counts = Counter(session.user for session in remaining)
        if counts[user] >= options.per_user:
            whose = {user}
        elif len(remaining) >= options.in_all:
            most = max(counts.values())
            whose = {name for name, count in counts.items() if count == most}
        else:
            break
        oldest = min((session for session in remaining if session.user in whose), key=lambda session: session.used)
        remaining.remove(oldest)
        gone.append(oldest)
    return gone


def end(state: State, session: Session, reason: str) -> Change:
    """A session less; nothing if it has ended already."""
    return _ending(Change(), (session,) if state.sessions.get(session.id) is session else (), reason)


def sweep(state: State, now: float, options: SessionOptions) -> Change:
    """The end of all sessions that are over at the monotonic time `now`."""
    over = [(session, session.ending(now, options)) for session in state.sessions]
    ended = tuple((session, reason) for session, reason in over if reason)
    return Change(ended=tuple(session for session, _ in ended), news=tuple(_news(*entry) for entry in ended))


def _ending(change: Change, sessions: Iterable[Session], reason: str) -> Change:
    ended = tuple(sessions)
    news: tuple[Message[Any], ...] = tuple(_news(session, reason) for session in ended)
    return replace(change, ended=ended, news=news + change.news)


def _news(session: Session, reason: str) -> SessionEnd:
    return SessionEnd(id=session.id, user=session.user, reason=reason)
