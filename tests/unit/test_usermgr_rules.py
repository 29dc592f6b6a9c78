"""What may change among accounts and sessions, and what follows: pure rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ubmc.kit.errors import Busy, Exhausted, Exists, Invalid, NotFound, Refused, Unauthenticated
from ubmc.services.usermgr import rules
from ubmc.services.usermgr.accounts import LDAP, Account
from ubmc.services.usermgr.roles import ADMINISTRATOR, OPERATOR, READ_ONLY, ROLES
from ubmc.services.usermgr.sessions import Moment, Session, SessionOptions, open_session
from ubmc.services.usermgr.store import Change, State
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.session_pb import SessionEnd
from ubmc.v1alpha1.user_pb import User, UserChange

OPTIONS = SessionOptions(per_user=3, in_all=5)


def account(name: str, role: str = READ_ONLY, *, enabled: bool = True) -> Account:
    return Account(name, role, enabled, False, False, f"hash-of-{name}", 1000.0, 1000.0)


def state_of(*accounts: Account) -> State:
    return State({one.name: one for one in accounts})


def log_in(state: State, name: str, monotonic: float, options: SessionOptions = OPTIONS) -> Session:
    session, _token = open_session(name, "192.0.2.1", Moment(monotonic, 1e9), options)
    state.apply(rules.login(state, state.accounts[name], session, options))
    return session


def reasons(change: Change) -> list[tuple[str, str]]:
    return [(news.user, news.reason) for news in change.news if isinstance(news, SessionEnd)]


def what(change: Change) -> list[tuple[str, str]]:
    return [(news.name, news.what) for news in change.news if isinstance(news, UserChange)]


def test_roles_are_those_of_redfish() -> None:
    names = {role: {privilege.name for privilege in held} for role, held in ROLES.items()}
    assert names == {
        "Administrator": {"LOGIN", "CONFIGURE_COMPONENTS", "CONFIGURE_MANAGER", "CONFIGURE_USERS", "CONFIGURE_SELF"},
        "Operator": {"LOGIN", "CONFIGURE_COMPONENTS", "CONFIGURE_SELF"},
        "ReadOnly": {"LOGIN", "CONFIGURE_SELF"},
    }


@pytest.mark.parametrize("role", ROLES)
def test_who_must_change_the_password_may_do_only_that(role: str) -> None:
    fresh = account("olga", role)
    state = state_of(fresh)
    assert state.privileges(replace(fresh, must_change=True), 2000.0) == (Privilege.CONFIGURE_SELF,)
    assert state.privileges(fresh, 2000.0) == ROLES[role]


# --- first boot -------------------------------------------------------------------------------------------------------


def test_first_boot_with_a_random_password_is_unclaimed() -> None:
    state = State()
    change = rules.first(state, "h1", 5.0, given=False)
    assert change.account == Account("admin", ADMINISTRATOR, True, True, True, "h1", 5.0, 5.0)
    assert what(change) == [("admin", "created")]
    state.apply(change)
    again = rules.first(state, "h2", 6.0, given=False)
    assert again.account == Account("admin", ADMINISTRATOR, True, True, True, "h2", 5.0, 6.0)
    assert what(again) == [("admin", "given a new password")]


def test_a_given_first_password_is_final() -> None:
    state = State()
    state.apply(rules.first(state, "h1", 5.0, given=True))
    assert not state.accounts["admin"].must_change
    assert rules.first(state, "h2", 6.0, given=True).empty


def test_a_password_given_later_replaces_the_random_one() -> None:
    state = State()
    state.apply(rules.first(state, "h1", 5.0, given=False))
    state.apply(rules.first(state, "h2", 6.0, given=True))
    assert state.accounts["admin"] == Account("admin", ADMINISTRATOR, True, False, False, "h2", 5.0, 6.0)
    assert rules.first(state, "h3", 7.0, given=False).empty


def test_the_first_login_claims_the_account() -> None:
    state = State()
    state.apply(rules.first(state, "h1", 5.0, given=False))
    log_in(state, "admin", 0.0)
    assert not state.accounts["admin"].unclaimed
    assert state.accounts["admin"].must_change
    assert rules.first(state, "h2", 6.0, given=False).empty


# --- accounts ---------------------------------------------------------------------------------------------------------


def test_names_are_unique_and_accounts_bounded() -> None:
    state = state_of(*(account(f"u{n}") for n in range(rules.MAX_ACCOUNTS - 1)))
    with pytest.raises(Exists, match="u7"):
        rules.create(state, account("u7"))
    state.apply(rules.create(state, account("last")))
    with pytest.raises(Exhausted, match="remove one"):
        rules.create(state, account("more"))


def test_the_directory_drives_out_nobody_who_is_disabled_or_has_a_second_factor() -> None:
    full = {f"u{n}": account(f"u{n}") for n in range(rules.MAX_ACCOUNTS - 3)}
    shut_out = replace(account("shut_out", enabled=False), source=LDAP, password_set=1.0)
    factor = replace(account("factor"), source=LDAP, totp=b"sealed", password_set=2.0)
    plain = replace(account("plain"), source=LDAP, password_set=3.0)
    state = state_of(*full.values(), shut_out, factor, plain)
    change = rules.from_directory(state, "new", READ_ONLY, 9.0)
    assert change.removed == plain
    state.apply(change)
    state.accounts["new"] = replace(state.accounts["new"], enabled=False)
    with pytest.raises(Exhausted):
        rules.from_directory(state, "newer", READ_ONLY, 9.0)


@pytest.mark.parametrize(
    ("mask", "role", "expected"),
    [
        (["enabled"], "Operator", {"enabled"}),
        (["role", "must_change_password"], "", {"role", "must_change_password"}),
        ([], "Operator", {"role"}),
    ],
)
def test_mask_says_what_to_take(mask: list[str], role: str, expected: set[str]) -> None:
    assert rules.paths_of(User(role=role), mask) == expected


@pytest.mark.parametrize("mask", [["name"], ["role", "create_time"], ["user.role"], []])
def test_mask_that_cannot_be(mask: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        rules.paths_of(User(), mask)
    assert caught.value.violations[0].field == "updateMask"
    for path in set(mask) - {"role"}:
        assert path in caught.value.message


@pytest.mark.parametrize("role", ["", "administrator", "Root"])
def test_unknown_role(role: str) -> None:
    with pytest.raises(Invalid, match="Administrator, Operator, ReadOnly"):
        rules.check_role(state_of(), role)


@pytest.mark.parametrize(
    ("user", "path"),
    [(User(name="root", role=OPERATOR, enabled=True), "role"), (User(name="root", role=ADMINISTRATOR), "enabled")],
)
def test_the_last_administrator_stays(user: User, path: str) -> None:
    alone = state_of(account("root", ADMINISTRATOR), account("off", ADMINISTRATOR, enabled=False), account("olga"))
    with pytest.raises(Refused, match="last enabled administrator"):
        rules.update(alone, user, frozenset({path}))
    with pytest.raises(Refused, match="last enabled administrator"):
        rules.delete(alone, "root")
    two = state_of(account("root", ADMINISTRATOR), account("second", ADMINISTRATOR))
    assert rules.update(two, user, frozenset({path})).account is not None
    assert rules.delete(two, "root").removed is not None
    assert rules.delete(alone, "off").removed is not None


@pytest.mark.parametrize(
    ("user", "path", "ends"),
    [
        (User(name="olga", role=OPERATOR), "role", True),
        (User(name="olga", enabled=False), "enabled", True),
        (User(name="olga", must_change_password=True), "must_change_password", True),
        (User(name="olga", role=READ_ONLY), "role", False),
        (User(name="olga", enabled=True), "enabled", False),
    ],
)
def test_sessions_end_when_the_account_changes(user: User, path: str, ends: bool) -> None:
    state = state_of(account("olga"), account("other"))
    mine = log_in(state, "olga", 0.0)
    log_in(state, "other", 0.0)
    change = rules.update(state, user, frozenset({path}))
    assert change.ended == ((mine,) if ends else ())
    assert reasons(change) == ([("olga", "account changed")] if ends else [])
    assert change.empty is not ends
    assert what(change) == ([("olga", "updated")] if ends else [])


def test_only_what_the_mask_names_is_taken() -> None:
    state = state_of(account("olga"))
    change = rules.update(state, User(name="olga", role=OPERATOR), frozenset({"role"}))
    assert change.account == replace(account("olga"), role=OPERATOR)


def test_deleted_account_takes_its_sessions_along() -> None:
    state = state_of(account("olga"), account("other"))
    log_in(state, "olga", 0.0)
    log_in(state, "other", 0.0)
    change = rules.delete(state, "olga")
    state.apply(change)
    assert (reasons(change), what(change)) == ([("olga", "account changed")], [("olga", "deleted")])
    assert {session.user for session in state.sessions} == {"other"}
    with pytest.raises(NotFound, match="olga"):
        rules.delete(state, "olga")


def test_own_new_password_keeps_only_the_asking_session() -> None:
    state = state_of(replace(account("olga"), must_change=True))
    keep = log_in(state, "olga", 0.0)
    other = log_in(state, "olga", 1.0)
    change = rules.new_password(state, state.accounts["olga"], "new", 7.0, keep)
    expected = replace(account("olga"), password="new", password_set=7.0, history=("hash-of-olga",))
    assert change.account == expected
    assert change.ended == (other,)
    assert reasons(change) == [("olga", "password changed")]


def test_new_password_by_another_ends_all_and_must_be_changed() -> None:
    state = state_of(account("olga"))
    log_in(state, "olga", 0.0)
    known = state.accounts["olga"]
    change = rules.new_password(state, known, "new", 7.0, None)
    state.apply(change)
    assert state.accounts["olga"].must_change
    assert len(state.sessions) == 0
    with pytest.raises(Busy):
        rules.new_password(state, known, "newer", 8.0, None)


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_login_sees_what_changed_while_the_password_was_checked() -> None:
    known = account("olga")
    session, _ = open_session("olga", "", Moment(0.0, 1e9), OPTIONS)
    for state in (state_of(), state_of(replace(known, enabled=False)), state_of(replace(known, password="other"))):
        with pytest.raises(Unauthenticated, match="wrong user name or password"):
            rules.login(state, known, session, OPTIONS)


def test_too_many_own_sessions_end_the_own_one_not_used_for_longest() -> None:
    state = state_of(account("olga"), account("root", ADMINISTRATOR))
    log_in(state, "root", 0.0)
    sessions = [log_in(state, "olga", n) for n in (1.0, 2.0, 3.0)]
    sessions[0].used = 9.0
    log_in(state, "olga", 10.0)
    assert state.sessions.get(sessions[1].id) is None
    assert len(state.sessions.of("olga")) == 3
    assert len(state.sessions.of("root")) == 1


def test_too_many_sessions_in_all_end_one_of_whom_has_the_most() -> None:
    state = state_of(account("olga"), account("otto"), account("root", ADMINISTRATOR))
    admin = log_in(state, "root", 0.0)
    first = log_in(state, "olga", 1.0)
    for name in ("olga", "olga", "otto"):
        log_in(state, name, 2.0)
    assert len(state.sessions) == OPTIONS.in_all
    session, _ = open_session("otto", "", Moment(3.0, 1e9), OPTIONS)
    change = rules.login(state, account("otto"), session, OPTIONS)
    assert change.ended == (first,)
    assert reasons(change) == [("olga", "ended by otto")]
    assert state.sessions.get(admin.id) is admin


def test_lowered_limits_are_met_at_the_next_login() -> None:
    state = state_of(account("olga"))
    for n in range(3):
        log_in(state, "olga", float(n))
    log_in(state, "olga", 4.0, SessionOptions(per_user=1, in_all=1))
    assert [session.used for session in state.sessions] == [4.0]


def test_a_session_ends_once() -> None:
    state = state_of(account("olga"))
    session = log_in(state, "olga", 0.0)
    change = rules.end(state, session, "logout")
    assert reasons(change) == [("olga", "logout")]
    state.apply(change)
    assert rules.end(state, session, "logout") == Change()


def test_sweep_ends_what_is_over() -> None:
    state = state_of(account("idle"), account("old"), account("fresh"))
    options = SessionOptions(idle_seconds=10, absolute_seconds=100)
    log_in(state, "idle", 80.0, options)
    old = log_in(state, "old", 0.0, options)
    old.used = 99.0
    log_in(state, "fresh", 95.0, options)
    assert reasons(rules.sweep(state, 100.0, options)) == [("idle", "idle"), ("old", "expired")]
    assert rules.sweep(state, 89.0, options).empty
