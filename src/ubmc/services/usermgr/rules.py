"""What may change, and what follows from it. Pure: each rule looks at the state and returns a `Change`, or refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from protobuf import Message

from ubmc.kit.errors import Busy, Exhausted, Exists, Invalid, NotFound, Refused, Unauthenticated, Violation
from ubmc.services.usermgr.accounts import LDAP, Account
from ubmc.services.usermgr.roles import ADMINISTRATOR
from ubmc.services.usermgr.sessions import Session, SessionOptions
from ubmc.services.usermgr.store import Change, State
from ubmc.services.usermgr.visits import Visit
from ubmc.v1alpha1.session_pb import CredentialKind, LoginAttempt, SessionEnd
from ubmc.v1alpha1.user_pb import SecondFactorChange, User, UserChange

FIRST_NAME = "admin"
MAX_ACCOUNTS = 256

LOGOUT = "logout"
PASSWORD_CHANGED = "password changed"  # noqa: S105  the reason of news
ACCOUNT_CHANGED = "account changed"
ROLE_CHANGED = "role changed"

CREATED = "created"
UPDATED = "updated"
DELETED = "deleted"
NEW_PASSWORD = "given a new password"  # noqa: S105  the words of news
NEW_ROLE = "given another role"

OK = "ok"
REFUSED = "refused"
LOCKED = "locked"
CODE_USED = "recovery code used"
FACTOR_MISSING = "second factor missing"

UPDATABLE = (
    "role",
    "enabled",
    "must_change_password",
    "certificate_identities",
    "ipmi_disabled",
    "ipmi_privilege_limit",
)


def find(state: State, name: str) -> Account:
    """The account of a name.

    Raises:
        NotFound: there is none.
    """
    account = state.accounts.get(name)
    if account is None:
        raise NotFound(f"there is no account {name}")
    return account


def check_role(state: State, role: str) -> None:
    """Refuse a role that does not exist.

    Raises:
        Invalid: it does not exist.
    """
    if role not in state.roles:
        message = f"is one of {', '.join(sorted(state.roles))}"
        raise Invalid(f"user.role {message}", violations=[Violation("user.role", "known", message)])


def check_identities(state: State, name: str, identities: Iterable[str]) -> None:
    """Refuse certificate identities that are another account's.

    Raises:
        Exists: one of them is.
    """
    for account in state.accounts.values():
        shared = set(account.identities).intersection(identities)
        if account.name != name and shared:
            raise Exists(f"{min(shared)} is {account.name} already; an identity belongs to one account")


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


def has_first_password(account: Account) -> bool:
    """Whether its password is the random one of the first boot still."""
    return account.name == FIRST_NAME and account.must_change and not account.history


def create(state: State, account: Account) -> Change:
    """A new account.

    Raises:
        Exists: there is one of this name.
        Exhausted: there are too many accounts.
    """
    if account.name in state.accounts:
        raise Exists(f"there is an account {account.name} already")
    if len(state.accounts) >= MAX_ACCOUNTS:
        raise Exhausted(f"there are {MAX_ACCOUNTS} accounts already; remove one first", retry_seconds=0)
    check_role(state, account.role)
    check_identities(state, account.name, account.identities)
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
        Refused: it is the last enabled administrator, or the directory decides about this.
        Exists: one of the certificate identities is another account's.
    """
    before = find(state, user.name)
    if not before.local and paths & {"role", "must_change_password"}:
        raise Refused(f"{before.name} comes from the directory, which decides about its role and its password")
    if "role" in paths:
        check_role(state, user.role)
    after = replace(
        before,
        role=user.role if "role" in paths else before.role,
        enabled=bool(user.enabled) if "enabled" in paths else before.enabled,
        must_change=user.must_change_password if "must_change_password" in paths else before.must_change,
        identities=tuple(user.certificate_identities) if "certificate_identities" in paths else before.identities,
        ipmi_off=user.ipmi_disabled if "ipmi_disabled" in paths else before.ipmi_off,
        ipmi_limit=int(user.ipmi_privilege_limit) if "ipmi_privilege_limit" in paths else before.ipmi_limit,
    )
    if after == before:
        return Change()
    check_identities(state, after.name, after.identities)
    if not after.administers:
        _keep_an_administrator(state, before)
    change = Change(account=after, news=(UserChange(name=after.name, what=UPDATED),))
    if after.role != before.role or not after.enabled or (after.must_change and not before.must_change):
        return ending(change, state.sessions_of(after.name), ACCOUNT_CHANGED, state.visits.of(after.name))
    if after.ipmi_off or after.ipmi_limit != before.ipmi_limit:
        change = ending(change, state.ipmi.of(after.name), ACCOUNT_CHANGED)
    if set(before.identities) - set(after.identities):
        by_certificate = [each for each in state.visits.of(after.name) if each.kind is CredentialKind.CERTIFICATE]
        return ending(change, (), ACCOUNT_CHANGED, by_certificate)
    return change


def delete(state: State, name: str) -> Change:
    """An account less.

    Raises:
        NotFound: there is no such account.
        Refused: it is the last enabled administrator.
    """
    account = find(state, name)
    _keep_an_administrator(state, account)
    change = Change(removed=account, revoked=tuple(state.tokens.of(name)), news=(UserChange(name=name, what=DELETED),))
    return ending(change, state.sessions_of(name), ACCOUNT_CHANGED, state.visits.of(name))


def _keep_an_administrator(state: State, account: Account) -> None:
    if account.administers and sum(other.administers for other in state.accounts.values()) == 1:
        raise Refused(f"{account.name} is the last enabled administrator; make or enable another one first")


def new_password(
    state: State, known: Account, password: str, now: float, keep: Session | None, *, own: bool = False
) -> Change:
    """A new password for an account.

    Args:
        state: what is known.
        known: the account as it was when the request was checked.
        password: the hash of the new one.
        now: Unix seconds.
        keep: the session of the account itself that asks, if one does.
        own: the account itself asks, without a session. When neither is so, somebody else does, and the password has to
            be changed at the next login.

    Raises:
        NotFound: the account is gone.
        Busy: it got another password meanwhile.
    """
    account = find(state, known.name)
    if account.password != known.password:
        raise Busy(f"{account.name} was given another password just now; look before you try again")
    account = replace(
        with_password(state, account, password, now), must_change=keep is None and not own, unclaimed=False
    )
    change = Change(account=account, news=(UserChange(name=account.name, what=NEW_PASSWORD),))
    visits = [each for each in state.visits.of(account.name) if each.kind is CredentialKind.BASIC]
    others = (one for one in state.sessions.of(account.name) if one is not keep)
    return ending(change, others, PASSWORD_CHANGED, visits)


def with_password(state: State, account: Account, password: str, now: float) -> Account:
    """The account with the hash of another password; that of the present one goes into its history."""
    history = (account.password, *account.history)[: state.policy.password_history]
    return replace(account, password=password, password_set=now, history=history if account.password else ())


def from_directory(state: State, name: str, role: str, now: float) -> Change:
    """The account of somebody whom the directory let in, new or as it is now.

    Raises:
        Unauthenticated: it is disabled here, or a local account has taken the name.
        Exhausted: there are too many accounts.
    """
    known = state.accounts.get(name)
    if known is not None and (known.local or not known.enabled):
        raise Unauthenticated("wrong user name or password")
    if role not in state.roles:
        raise Unauthenticated("wrong user name or password")
    if known is None:
        removed = None
        if len(state.accounts) >= MAX_ACCOUNTS:
            removed = _not_seen_for_longest(state)
        made = Account(name, role, True, False, False, "", now, now, source=LDAP)
        revoked = tuple(state.tokens.of(removed.name)) if removed is not None else ()
        return Change(account=made, removed=removed, revoked=revoked, news=(UserChange(name=name, what=CREATED),))
    if known.role == role:
        return Change(account=replace(known, password_set=now))
    change = Change(account=replace(known, role=role, password_set=now))
    change = replace(change, news=(UserChange(name=name, what=NEW_ROLE),))
    return ending(change, state.sessions_of(name), ACCOUNT_CHANGED, state.visits.of(name))


def _not_seen_for_longest(state: State) -> Account:
    """Whose account makes room: one of the directory without a session, that logged in the longest time ago.

    None that holds what its owner must not get rid of: that it is disabled here, a second factor, an identity.
    """
    idle = [
        each
        for each in state.accounts.values()
        if not (each.local or not each.enabled or each.totp or each.identities or state.sessions.of(each.name))
    ]
    if not idle:
        raise Exhausted(f"there are {MAX_ACCOUNTS} accounts already; remove one first", retry_seconds=0)
    return min(idle, key=lambda account: account.password_set)


# --- sessions ---------------------------------------------------------------------------------------------------------


def login(
    state: State,
    known: Account,
    session: Session,
    options: SessionOptions,
    *,
    spend: Callable[[Account], Account] | None = None,
    rehashed: str = "",
) -> Change:
    """A new session for an account whose password was right; whoever is displaced by it goes.

    Nobody is ever refused because there are too many sessions: with a right password one gets in.

    Args:
        state: what is known.
        known: the account as it was when the password was checked.
        session: the new one.
        options: the limits.
        spend: takes the code of the second factor from the account; raises if it was spent meanwhile.
        rehashed: a hash of the same password with the parameters of now; empty to keep the one there is.

    Raises:
        Unauthenticated: the account is gone, disabled, or has another password or second factor meanwhile.
    """
    account = state.accounts.get(known.name)
    if account is None or not account.enabled or account.password != known.password or account.totp != known.totp:
        raise Unauthenticated("wrong user name or password")
    after = replace(account, unclaimed=False, password=rehashed or account.password)
    if spend is not None:
        after = spend(after)
    news: tuple[Message[Any], ...] = (LoginAttempt(user=account.name, source=session.source, outcome=OK),)
    if len(after.recovery) < len(account.recovery):
        news += (SecondFactorChange(name=account.name, what=CODE_USED),)
    change = Change(account=after if after != account else None, opened=session, news=news)
    return ending(change, _displaced(state, account.name, options), f"ended by {account.name}")


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
    return ending(Change(), (session,) if state.session(session.id) is session else (), reason)


def sweep(state: State, now: float, options: SessionOptions) -> Change:
    """The end of all sessions that are over at the monotonic time `now`."""
    over = [(session, session.ending(now, options)) for session in (*state.sessions, *state.ipmi)]
    change = Change()
    for session, reason in reversed(over):  # each goes in front of those before
        if reason:
            change = ending(change, (session,), reason)
    return change


def ending(change: Change, sessions: Iterable[Session], reason: str, visits: Iterable[Visit] = ()) -> Change:
    """The change with the end of sessions and visits, and the news of it first: doors forget by them."""
    ended, left = tuple(sessions), tuple(visits)
    news: tuple[Message[Any], ...] = tuple(_news(session, reason) for session in ended)
    news += tuple(SessionEnd(id=visit.id, user=visit.user, reason=reason) for visit in left if visit.kept)
    gone = (*change.left, *(visit.id for visit in left))
    stored = tuple(session for session in ended if not session.level)
    closed = tuple(session for session in ended if session.level)
    return replace(
        change,
        ended=(*change.ended, *stored),
        closed=(*change.closed, *closed),
        left=gone,
        news=news + change.news,
    )


def _news(session: Session, reason: str) -> SessionEnd:
    return SessionEnd(id=session.id, user=session.user, reason=reason)
