"""What may change among IPMI secrets and user ids, and what somebody may do over IPMI. Pure, as `rules` is.

"Spec" is the IPMI Specification v2.0, revision 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ubmc.kit.errors import Denied, Exhausted, Invalid, NotFound, Refused, Violation
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.roles import READ_ONLY
from ubmc.services.usermgr.rules import CREATED, UPDATED, create, delete, ending, find
from ubmc.services.usermgr.sessions import Session
from ubmc.services.usermgr.store import Change, State
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.user_pb import UserChange

LONG, SHORT = 20, 16
"""Bytes of a secret as it is kept, padded with zeros (Spec section 22.30, Set User Password)."""
LONGEST_NAME = 16
"""Characters of a user name (Spec section 22.28, Set User Name)."""
FIRST_ID, LAST_ID = 2, 15
"""User ids; 1 is that of the user without a name (Spec section 22.28), who is never let in."""

USER, OPERATOR, ADMINISTRATOR = 2, 3, 4
NO_ACCESS = 15
"""Privilege levels and limits (Spec tables 22-23 and 22-27)."""

NEW_SECRET = "given an IPMI secret"  # noqa: S105  the words of news
NO_SECRET = "relieved of its IPMI secret"  # noqa: S105  the words of news
SECRET_CHANGED = "IPMI secret changed"  # noqa: S105  the reason of news
_NAME = re.compile(r"[a-z_][a-z0-9_.-]*")
_AT_LEVEL = {
    USER: frozenset({Privilege.LOGIN}),
    OPERATOR: frozenset({Privilege.LOGIN, Privilege.CONFIGURE_COMPONENTS}),
    ADMINISTRATOR: frozenset(Privilege),
}


def level_of(privileges: Iterable[Privilege]) -> int:
    """The highest IPMI privilege level for somebody who may do this; 0 for nobody (Spec table 22-23, section 6.8)."""
    held = set(privileges)
    if Privilege.LOGIN not in held:
        return 0
    if held & {Privilege.CONFIGURE_MANAGER, Privilege.CONFIGURE_USERS}:
        return ADMINISTRATOR
    return OPERATOR if Privilege.CONFIGURE_COMPONENTS in held else USER


def at_level(privileges: Iterable[Privilege], level: int) -> tuple[Privilege, ...]:
    """What is left of privileges at an IPMI privilege level."""
    return tuple(each for each in privileges if each in _AT_LEVEL[level])


def limit_of(state: State, account: Account, now: float) -> int:
    """The highest level of an account, by role and limit; `NO_ACCESS` if there is none. `now` is in Unix seconds."""
    level = level_of(state.privileges(account, now))
    if not level or account.ipmi_limit == NO_ACCESS:
        return NO_ACCESS
    return min(level, account.ipmi_limit) if account.ipmi_limit else level


def admits(state: State, account: Account, now: float) -> bool:
    """Whether somebody is let in over IPMI who has the secret. `now` is in Unix seconds."""
    allowed = account.enabled and not account.ipmi_off and bool(account.ipmi) and bool(account.ipmi_id)
    return allowed and limit_of(state, account, now) != NO_ACCESS


def by_id(state: State, ipmi_id: int) -> Account | None:
    """Who has a user id."""
    return next((each for each in state.accounts.values() if each.ipmi_id == ipmi_id), None) if ipmi_id else None


def padded(secret: bytes, *, short: bool) -> bytes:
    """A secret as it is kept.

    Raises:
        Invalid: it is too long, or has a zero inside, where it would be cut off.
    """
    size = SHORT if short else LONG
    if len(secret) > size or b"\0" in secret:
        message = f"has at most {size} bytes, none of them zero"
        raise Invalid(f"secret {message}", violations=[Violation("secret", "length", message)])
    return secret.ljust(size, b"\0")


def check_name(name: str) -> None:
    """Refuse a login name that cannot be one in IPMI.

    Raises:
        Invalid: it is too long, or has other characters than small letters, digits, `_`, `.` and `-`.
    """
    if len(name.encode()) > LONGEST_NAME:
        message = f"is longer than the {LONGEST_NAME} characters that IPMI can carry"
        raise Invalid(f"name {message}", violations=[Violation("name", "length", message)])
    if not _NAME.fullmatch(name):
        message = "has small letters, digits, `_`, `.` and `-`, and begins with a letter or `_`"
        raise Invalid(f"name {message}", violations=[Violation("name", "pattern", message)])


def check_account(account: Account) -> None:
    """Refuse an account that IPMI cannot know.

    Raises:
        Invalid: its name cannot be one in IPMI.
        Refused: it comes from the directory.
    """
    check_name(account.name)
    if not account.local:
        raise Refused(f"{account.name} comes from the directory; IPMI knows only local accounts")


# --- secrets ----------------------------------------------------------------------------------------------------------


def set_secret(state: State, name: str, sealed: bytes, keep: Session | None = None) -> Change:
    """Another IPMI secret for an account, or none; its IPMI sessions end, but for the one that asks.

    Raises:
        NotFound: the account is gone.
        Exhausted: there is no user id left for it.
    """
    account = find(state, name)
    if not sealed and not account.ipmi:
        return Change()
    ipmi_id = account.ipmi_id or (_free_id(state) if sealed else 0)
    news = UserChange(name=name, what=NEW_SECRET if sealed else NO_SECRET)
    change = Change(account=replace(account, ipmi=sealed, ipmi_id=ipmi_id), news=(news,))
    return ending(change, (each for each in state.ipmi.of(name) if each is not keep), SECRET_CHANGED)


def _free_id(state: State) -> int:
    taken = {account.ipmi_id for account in state.accounts.values()}
    free = next((each for each in range(FIRST_ID, LAST_ID + 1) if each not in taken), None)
    if free is None:
        raise Exhausted(
            f"IPMI knows {LAST_ID - FIRST_ID + 1} users, and all ids are taken; take one from somebody", retry_seconds=0
        )
    return free


# --- names ------------------------------------------------------------------------------------------------------------


def give_up(state: State, ipmi_id: int) -> Change:
    """A user id less: a service account goes with it, any other account stays without IPMI.

    Raises:
        Refused: the account cannot be removed.
    """
    account = by_id(state, ipmi_id)
    if account is None:
        return Change()
    if account.service:
        return delete(state, account.name)
    change = Change(
        account=replace(account, ipmi=b"", ipmi_id=0, ipmi_off=False, ipmi_limit=0),
        news=(UserChange(name=account.name, what=NO_SECRET),),
    )
    return ending(change, state.ipmi.of(account.name), SECRET_CHANGED)


def give_name(state: State, ipmi_id: int, name: str, now: float, renamed: bytes | None) -> Change:
    """Another name for a user id.

    Args:
        state: what is known.
        ipmi_id: the id.
        name: the name, which `check_name` has seen.
        now: Unix seconds.
        renamed: the secret of who has the id, sealed for the new name.

    Raises:
        Refused: the name or the id is another's.
        Exists, Exhausted: the account cannot be made.
    """
    holder, named = by_id(state, ipmi_id), state.accounts.get(name)
    if holder is not None and holder is named:
        return Change()
    if named is not None:
        if named.ipmi_id:
            raise Refused(f"{name} has the IPMI user id {named.ipmi_id}")
        if holder is not None:
            raise Refused(f"the IPMI user id {ipmi_id} is {holder.name}'s; take it away first")
        check_account(named)
        return Change(account=replace(named, ipmi_id=ipmi_id), news=(UserChange(name=name, what=UPDATED),))
    if holder is not None:
        return _rename(state, holder, name, renamed or b"")
    made = Account(name, READ_ONLY, True, False, False, "", now, now, service=True)
    return create(state, replace(made, ipmi_id=ipmi_id, ipmi_off=True, ipmi_limit=NO_ACCESS))


def _rename(state: State, account: Account, name: str, sealed: bytes) -> Change:
    if not account.service:
        raise Refused(f"{account.name} is somebody's account, which IPMI does not rename; take its IPMI user id away")
    if state.tokens.of(account.name) or state.ssh_keys.get(account.name):
        raise Refused(f"{account.name} has tokens or SSH keys, which name it; delete them first")
    renamed = replace(account, name=name, ipmi=sealed)
    news = UserChange(name=account.name, what=f"renamed to {name}")
    change = Change(removed=account, account=renamed, news=(news, UserChange(name=name, what=CREATED)))
    return ending(change, state.sessions_of(account.name), news.what, state.visits.of(account.name))


def check_level(state: State, account: Account | None, level: int, now: float) -> Account:
    """The account, if it is let in over IPMI with a level.

    Raises:
        NotFound: it is not let in.
        Denied: not with this level.
    """
    if account is None or not admits(state, account, now):
        raise NotFound("there is no such account for IPMI")
    if level > limit_of(state, account, now):
        raise Denied(f"the privilege level is too high for {account.name}")
    return account
