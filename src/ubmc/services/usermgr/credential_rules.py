"""What may change among second factors, tokens, roles and the directory. Pure, as `rules` is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ubmc.kit.errors import Exhausted, Exists, Invalid, NotFound, Refused, Unauthenticated, Violation
from ubmc.services.usermgr import tokens
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.ldap_settings import LdapSettings
from ubmc.services.usermgr.roles import MAX_ROLES, ROLES, whole
from ubmc.services.usermgr.rules import (
    ACCOUNT_CHANGED,
    CREATED,
    DELETED,
    ROLE_CHANGED,
    UPDATED,
    ending,
    find,
    with_password,
)
from ubmc.services.usermgr.sessions import Session
from ubmc.services.usermgr.store import Change, State
from ubmc.services.usermgr.tokens import Token
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.account_pb import AccountPolicyChange
from ubmc.v1alpha1.token_pb import TokenChange
from ubmc.v1alpha1.user_pb import RoleChange, SecondFactorChange, UserChange, UserUnlocked

SET_UP = "set up"
REMOVED = "removed"
NEW_CODES = "new recovery codes"
FACTOR_SET_UP = "second factor set up"
RECOVERED = "recovered on the device"
FIRST_USE = "used for the first time"
EXPIRED = "expired"
TOKEN_DELETED = "token deleted"  # noqa: S105  the reason of news

# --- second factor ----------------------------------------------------------------------------------------------------


def set_up_factor(state: State, name: str, sealed: bytes, step: int, codes: tuple[str, ...], keep: Session) -> Change:
    """A second factor for an account; its other sessions, which were opened without it, end.

    Raises:
        NotFound: the account is gone.
        Refused: it has one.
    """
    account = find(state, name)
    if account.totp:
        raise Refused(f"{name} has a second factor; remove it first")
    account = replace(account, totp=sealed, totp_step=step, recovery=codes)
    change = Change(account=account, news=(SecondFactorChange(name=name, what=SET_UP),))
    return ending(change, (each for each in state.sessions.of(name) if each is not keep), FACTOR_SET_UP)


def remove_factor(state: State, name: str, spend: Callable[[Account], Account] | None) -> Change:
    """An account without a second factor.

    Args:
        state: what is known.
        name: whose.
        spend: takes the code of whoever removes their own; raises if it is wrong.

    Raises:
        NotFound: the account is gone.
        Refused: it has none.
    """
    account = find(state, name)
    if not account.totp:
        raise Refused(f"{name} has no second factor")
    if spend is not None:
        account = spend(account)
    account = replace(account, totp=b"", totp_step=0, recovery=())
    return Change(account=account, news=(SecondFactorChange(name=name, what=REMOVED),))


def new_codes(state: State, name: str, codes: tuple[str, ...], spend: Callable[[Account], Account]) -> Change:
    """Other recovery codes; `spend` takes the code of the second factor, and raises if it is wrong.

    Raises:
        NotFound: the account is gone.
        Refused: it has no second factor.
    """
    account = find(state, name)
    if not account.totp:
        raise Refused(f"{name} has no second factor; set one up first")
    account = replace(spend(account), recovery=codes)
    return Change(account=account, news=(SecondFactorChange(name=name, what=NEW_CODES),))


# --- tokens -----------------------------------------------------------------------------------------------------------


def make_token(state: State, token: Token) -> Change:
    """A new token.

    Raises:
        NotFound: the account is gone.
        Exhausted: there are too many.
    """
    find(state, token.user)
    if len(state.tokens.of(token.user)) >= tokens.PER_USER:
        raise Exhausted(f"{token.user} has {tokens.PER_USER} tokens already; delete one first", retry_seconds=0)
    if len(state.tokens) >= tokens.IN_ALL:
        raise Exhausted(f"there are {tokens.IN_ALL} tokens already; delete one first", retry_seconds=0)
    return Change(token=token, news=(TokenChange(id=token.id, user=token.user, what=CREATED),))


def use_token(token: Token, hour: float) -> Change:
    """A token is used in another hour than the last time."""
    news = (TokenChange(id=token.id, user=token.user, what=FIRST_USE),) if not token.used else ()
    return Change(used=(token, hour), news=news)


def delete_token(state: State, token: Token, what: str = DELETED) -> Change:
    """A token less; nothing if it is gone already."""
    if state.tokens.get(token.id) is not token:
        return Change()
    change = Change(revoked=(token,), news=(TokenChange(id=token.id, user=token.user, what=what),))
    return ending(change, (), TOKEN_DELETED, state.visits.by_token(token.id))


def expired_tokens(state: State, now: float) -> list[Token]:
    """Tokens that are over at `now`, in Unix seconds."""
    return [token for token in state.tokens if token.expires <= now]


# --- roles ------------------------------------------------------------------------------------------------------------


def make_role(state: State, name: str, privileges: tuple[Privilege, ...]) -> Change:
    """A new role.

    Raises:
        Exists: there is one of this name, in whatever case.
        Exhausted: there are too many.
    """
    if name.casefold() in {each.casefold() for each in state.roles}:
        raise Exists(f"there is a role {name} already")
    if len(state.roles) - len(ROLES) >= MAX_ROLES:
        raise Exhausted(f"there are {MAX_ROLES} roles already; remove one first", retry_seconds=0)
    return Change(role=(name, whole(privileges)), news=(RoleChange(name=name, what=CREATED),))


def change_role(state: State, name: str, privileges: tuple[Privilege, ...]) -> Change:
    """Other privileges for a role; the sessions of its users end.

    Raises:
        NotFound: there is none of this name.
        Refused: it is built in.
    """
    _check_changeable(state, name)
    if whole(privileges) == state.roles[name]:
        return Change()
    change = Change(role=(name, whole(privileges)), news=(RoleChange(name=name, what=UPDATED),))
    for account in state.accounts.values():
        if account.role == name:
            sessions, visits = state.sessions_of(account.name), state.visits.of(account.name)
            change = ending(change, sessions, ROLE_CHANGED, visits)
    return change


def remove_role(state: State, name: str) -> Change:
    """A role less.

    Raises:
        NotFound: there is none of this name.
        Refused: it is built in, or somebody or something needs it.
    """
    _check_changeable(state, name)
    if users := sorted(account.name for account in state.accounts.values() if account.role == name):
        raise Refused(f"{', '.join(users[:5])} has this role; give another one first")
    if name in {role for _, role in state.ldap.role_mappings}:
        raise Refused("a group of the directory means this role; change roleMappings first")
    if name in state.policy.second_factor_roles:
        raise Refused("the account policy names this role; change secondFactorRoles first")
    return Change(removed_role=name, news=(RoleChange(name=name, what=DELETED),))


def _check_changeable(state: State, name: str) -> None:
    if name in ROLES:
        raise Refused(f"{name} is built in and stays as it is; make a role of another name")
    if name not in state.roles:
        raise NotFound(f"there is no role {name}")


# --- policy and directory ---------------------------------------------------------------------------------------------


def check_roles_exist(state: State, roles: tuple[str, ...], field: str) -> None:
    """Refuse roles that do not exist.

    Raises:
        Invalid: one of them does not.
    """
    for role in roles:
        if role not in state.roles:
            message = f"there is no role {role}"
            raise Invalid(f"{field}: {message}", violations=[Violation(field, "known", message)])


def new_ldap(state: State, settings: LdapSettings) -> Change:
    """Other settings of the directory. If it is another one, or none any more, its accounts' sessions end."""
    before = state.ldap
    fields = [name for name in LdapSettings.__dataclass_fields__ if getattr(before, name) != getattr(settings, name)]
    if not fields:
        return Change()
    change = Change(ldap=settings, news=(AccountPolicyChange(what="directory", fields=", ".join(fields)),))
    if set(fields) <= {"bind_password", "timeout_seconds", "ca_pem"}:
        return change
    for account in state.accounts.values():
        if not account.local:
            sessions, visits = state.sessions.of(account.name), state.visits.of(account.name)
            change = ending(change, sessions, ACCOUNT_CHANGED, visits)
    return change


# --- recovery ---------------------------------------------------------------------------------------------------------


def recover(state: State, name: str, password: str, now: float, *, remove_factor: bool) -> Change:
    """A new password for an account by whoever has the device in hands; it is enabled and unlocked by that.

    Raises:
        NotFound: there is no such account.
        Refused: it has no password here.
    """
    account = find(state, name)
    if not account.local or account.service:
        raise Refused(f"{name} has no password on this BMC; name a local account")
    account = with_password(state, account, password, now)
    account = replace(account, enabled=True, must_change=False, unclaimed=False)
    if remove_factor:
        account = replace(account, totp=b"", totp_step=0, recovery=())
    news = (UserChange(name=name, what=RECOVERED), UserUnlocked(name=name, reason=RECOVERED))
    change = Change(account=account, unlocked=(name,), news=news)
    return ending(change, state.sessions_of(name), RECOVERED, state.visits.of(name))


def check_spent(account: Account | None) -> Account:
    """The account after a code was taken from it.

    Raises:
        Unauthenticated: the code is wrong, or was used before.
    """
    if account is None:
        message = "is wrong, or was used before"
        raise Unauthenticated(f"the code {message}", violations=[Violation("oneTimeCode", "right", message)])
    return account
