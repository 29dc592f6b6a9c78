"""usermgr on a real bus: lockout, password policy, recovery by the device, and what a kill leaves."""

from __future__ import annotations

import asyncio
import time

import pytest
from argon2 import PasswordHasher
from protobuf.wkt import FieldMask
from tests.service.usermgr_house import FIRST, SOURCE, WRONG, House, house

from ubmc.kit.errors import Denied, Exhausted, Invalid, Refused, Unauthenticated
from ubmc.services.usermgr import recovery
from ubmc.services.usermgr.passwords import Hasher
from ubmc.services.usermgr.policy import AccountPolicy
from ubmc.services.usermgr.recovery import Recovery
from ubmc.services.usermgr.roles import ADMINISTRATOR, OPERATOR
from ubmc.v1alpha1.account_pb import (
    AccountPolicy as PolicyMessage,
)
from ubmc.v1alpha1.account_pb import (
    AccountPolicyChange,
    GetAccountPolicyRequest,
    UpdateAccountPolicyRequest,
)
from ubmc.v1alpha1.account_rpc import AccountService
from ubmc.v1alpha1.session_pb import LoginAttempt, SessionEnd
from ubmc.v1alpha1.user_pb import (
    ChangePasswordRequest,
    CreateUserRequest,
    GetUserRequest,
    SourceLocked,
    UnlockUserRequest,
    UpdateUserRequest,
    User,
    UserChange,
    UserLocked,
    UserUnlocked,
)
from ubmc.v1alpha1.user_rpc import UserService


async def fail(made: House, user: str, times: int, source: str = SOURCE) -> None:
    for _ in range(times):
        with pytest.raises(Unauthenticated, match=WRONG):
            await made.login(user, "not the password", source=source)


async def set_policy(made: House, token: str, *paths: str, **values: object) -> PolicyMessage:
    request = UpdateAccountPolicyRequest(policy=PolicyMessage(**values), update_mask=FieldMask(paths=list(paths)))  # type: ignore[arg-type]
    answer = await made.ask(token, AccountService.UpdateAccountPolicy, request)
    assert answer.policy is not None
    return answer.policy


# --- lockout ----------------------------------------------------------------------------------------------------------


async def test_lockout_is_on_by_default_and_no_oracle_and_ends_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house() as made:
        admin = await made.admin()
        olga = await made.member(admin, "olga", OPERATOR)
        await fail(made, "olga", 5)
        locked = await made.keeper.until(UserLocked, lambda _: True)
        assert (locked.name, locked.source, locked.seconds) == ("olga", SOURCE, 300)
        verified: list[str] = []
        original = Hasher.verify

        async def counting(self: Hasher, hashed: str, password: str) -> bool:
            verified.append(password)
            return await original(self, hashed, password)

        monkeypatch.setattr(Hasher, "verify", counting)
        for password in ("olga password", "still wrong"):
            with pytest.raises(Unauthenticated) as caught:
                await made.login("olga", password)
            assert (caught.value.message, caught.value.violations) == (WRONG, ())
        with pytest.raises(Unauthenticated, match=WRONG):
            await made.basic("olga", "olga password")
        assert verified == ["olga password", "still wrong", "olga password"]
        await made.keeper.until(LoginAttempt, lambda news: news.outcome == "locked")
        assert (await made.principal(olga)).user == "olga"
        shown = (await made.ask(admin, UserService.GetUser, GetUserRequest(name="olga"))).user
        assert shown is not None
        assert shown.locked_until is not None
        assert 290 < shown.locked_until.to_seconds() - time.time() <= 301


async def test_a_restart_opens_no_lock_and_an_administrator_does() -> None:
    async with house() as made:
        admin = await made.admin()
        await made.create(admin, "olga")
        await fail(made, "olga", 5)
        await made.restart()
        with pytest.raises(Unauthenticated, match=WRONG):
            await made.login("olga", "olga password")
        answer = await made.ask(admin, UserService.UnlockUser, UnlockUserRequest(name="olga"))
        assert answer.user is not None
        assert answer.user.locked_until is None
        await made.login("olga", "olga password")
        told = await made.keeper.until(UserUnlocked, lambda _: True)
        assert (told.name, told.reason) == ("olga", "unlocked by admin")
        await made.restart()
        await made.login("olga", "olga password")


async def test_a_lock_ends_by_itself_and_says_so() -> None:
    policy = AccountPolicy(lockout_failures=2, lockout_seconds=0.3, lockout_max_seconds=0.3)
    async with house(policy=policy) as made:
        await fail(made, "admin", 2)
        with pytest.raises(Unauthenticated, match=WRONG):
            await made.login("admin")
        told = await made.keeper.until(UserUnlocked, lambda _: True)
        assert (told.name, told.reason) == ("admin", "time is over")
        await made.login("admin")


async def test_a_success_begins_to_count_anew() -> None:
    async with house(policy=AccountPolicy(lockout_failures=3, source_lockout_failures=0)) as made:
        for _ in range(3):
            await fail(made, "admin", 2)
            await made.login("admin")
        assert made.keeper.of(UserLocked) == []


async def test_guessing_in_parallel_gains_nothing() -> None:
    async with house(policy=AccountPolicy(lockout_failures=3)) as made:
        wrong = [made.login("admin", "not the password") for _ in range(6)]
        outcomes = await asyncio.gather(*wrong, made.login("admin"), return_exceptions=True)
        assert all(isinstance(outcome, Unauthenticated) for outcome in outcomes)


async def test_an_address_that_fails_a_lot_is_refused_whatever_it_says() -> None:
    policy = AccountPolicy(lockout_failures=3, source_lockout_failures=4)
    async with house(policy=policy) as made:
        admin = await made.admin()
        await fail(made, "nobody", 4, source="2001:db8::1")
        told = await made.keeper.until(SourceLocked, lambda _: True)
        assert (told.source, told.seconds) == ("2001:db8::/64", 300)
        for user, password in (("admin", FIRST), ("nobody", "x")):
            with pytest.raises(Exhausted, match="this address") as refused:
                await made.login(user, password, source="2001:db8::ffff")
            assert 200 < refused.value.retry_seconds <= 300
        await made.login("admin", source="192.0.2.99")
        assert (await made.principal(admin)).user == "admin"
        assert made.keeper.of(UserLocked) == []


async def test_wrong_current_passwords_lock_too() -> None:
    async with house(policy=AccountPolicy(lockout_failures=2)) as made:
        token = await made.admin()
        request = ChangePasswordRequest(name="admin", current_password="guess", new_password="quite another one")
        for _ in range(2):
            with pytest.raises(Denied, match="currentPassword is wrong"):
                await made.ask(token, UserService.ChangePassword, request)
        request.current_password = FIRST
        with pytest.raises(Denied, match="currentPassword is wrong"):
            await made.ask(token, UserService.ChangePassword, request)
        assert (await made.principal(token)).user == "admin"


# --- password policy --------------------------------------------------------------------------------------------------


async def test_policy_is_read_by_all_changed_by_administrators_and_kept() -> None:
    async with house() as made:
        admin = await made.admin()
        olga = await made.member(admin, "olga")
        after = await set_policy(made, admin, "min_password_length", "password_history", min_password_length=12)
        assert (after.min_password_length, after.password_history, after.lockout_failures) == (12, 0, 5)
        told = await made.keeper.until(AccountPolicyChange, lambda _: True)
        assert (told.what, told.fields) == ("account policy", "min_password_length, password_history")
        with pytest.raises(Denied, match="ConfigureUsers"):
            await set_policy(made, olga, "min_password_length", min_password_length=8)
        await made.restart()
        seen = await made.ask(olga, AccountService.GetAccountPolicy, GetAccountPolicyRequest())
        assert seen.policy == after
        request = CreateUserRequest(user=User(name="otto", role=OPERATOR), password="elf zeichen")
        with pytest.raises(Invalid, match="12 to 128"):
            await made.ask(admin, UserService.CreateUser, request)


async def test_common_passwords_are_refused_until_the_policy_says_otherwise() -> None:
    async with house() as made:
        admin = await made.admin()
        request = CreateUserRequest(user=User(name="otto", role=OPERATOR), password="Passw0rd!")
        with pytest.raises(Invalid, match="tried first"):
            await made.ask(admin, UserService.CreateUser, request)
        await set_policy(made, admin, "deny_common_passwords")
        await made.ask(admin, UserService.CreateUser, request)


async def test_old_passwords_do_not_come_back() -> None:
    async with house(policy=AccountPolicy(password_history=2)) as made:
        token = await made.admin()
        used = [FIRST, "number two of four", "number three of four", "number four of four"]
        for current, new in zip(used, used[1:], strict=False):
            request = ChangePasswordRequest(name="admin", current_password=current, new_password=new)
            await made.ask(token, UserService.ChangePassword, request)
        await made.restart()
        request = ChangePasswordRequest(name="admin", current_password=used[3])
        for old in (used[2], used[1]):
            request.new_password = old
            with pytest.raises(Invalid, match="used for this account before") as caught:
                await made.ask(token, UserService.ChangePassword, request)
            assert caught.value.violations[0].field == "newPassword"
        request.new_password = used[0]
        await made.ask(token, UserService.ChangePassword, request)


async def test_expired_password_has_to_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(policy=AccountPolicy(password_max_age_days=30)) as made:
        fresh = await made.login("admin")
        assert not fresh.must_change_password
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + 31 * 86400)
        login = await made.login("admin")
        assert login.must_change_password
        assert [each.name for each in (await made.principal(fresh.token)).privileges] == ["CONFIGURE_SELF"]
        basic = made.verified((await made.basic("admin")).principal)
        assert [each.name for each in basic.privileges] == ["CONFIGURE_SELF"]
        request = ChangePasswordRequest(name="admin", current_password=FIRST, new_password="good for a month")
        await made.ask(login.token, UserService.ChangePassword, request)
        assert len((await made.principal(login.token)).privileges) == 5


async def test_a_hash_of_other_parameters_is_made_anew_at_login() -> None:
    async with house() as made:
        weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(FIRST)
        await made.stop()
        made.database.open()
        await made.database.run(lambda connection: connection.execute("UPDATE usermgr_users SET password = ?", (weak,)))
        await made.restart()
        token = (await made.login("admin")).token

        async def stored() -> str:
            query = "SELECT password FROM usermgr_users"
            return str(await made.database.run(lambda connection: connection.execute(query).fetchone()[0]))

        assert (await stored()).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert (await made.principal(token)).user == "admin"
        await made.login("admin")


# --- recovery ---------------------------------------------------------------------------------------------------------


async def outcome(made: House, request: Recovery) -> str:
    async with asyncio.timeout(30):
        while (found := recovery.outcome(made.world.state, request)) is None:
            await asyncio.sleep(0.02)
    return found


async def recovery_of(name: str, password: str, *, remove_second_factor: bool = False) -> Recovery:
    hasher = Hasher()
    try:
        return Recovery(name, await hasher.hash(password), remove_second_factor)
    finally:
        hasher.close()


async def test_whoever_has_the_device_gets_in_while_it_runs() -> None:
    async with house() as made:
        session = await made.admin()
        await fail(made, "admin", 5)
        request = await recovery_of("admin", "found on the device")
        recovery.write(made.world.state, request)
        assert await outcome(made, request) == ""
        login = await made.login("admin", "found on the device")
        assert not login.must_change_password
        with pytest.raises(Unauthenticated):
            await made.login("admin")
        with pytest.raises(Unauthenticated):
            await made.exchange(session)
        await made.keeper.until(UserChange, lambda news: news.what == "recovered on the device")
        await made.keeper.until(SessionEnd, lambda news: news.reason == "recovered on the device")


async def test_whoever_has_the_device_gets_in_at_the_next_start() -> None:
    async with house() as made:
        admin = await made.admin()
        await made.create(admin, "ruth", ADMINISTRATOR, enabled=False)
        await made.stop()
        request = await recovery_of("ruth", "found on the device")
        recovery.write(made.world.state, request)
        await made.start()
        assert recovery.outcome(made.world.state, request) == ""
        await made.login("ruth", "found on the device")
        await made.login("admin")


async def test_recovery_of_nobody_says_so() -> None:
    async with house() as made:
        request = await recovery_of("nobody", "found on the device")
        recovery.write(made.world.state, request)
        assert "no account nobody" in await outcome(made, request)
        service = CreateUserRequest(user=User(name="robot", role=OPERATOR, service_account=True))
        await made.ask(await made.admin(), UserService.CreateUser, service)
        request = await recovery_of("robot", "found on the device")
        recovery.write(made.world.state, request)
        assert "no password" in await outcome(made, request)


async def test_policy_that_would_shut_all_out_is_refused() -> None:
    async with house() as made:
        admin = await made.admin()
        with pytest.raises(Invalid, match="no role Root"):
            await set_policy(made, admin, "second_factor_roles", second_factor_roles=["Root"])
        with pytest.raises(Refused, match="last enabled administrator"):
            mask = FieldMask(paths=["enabled"])
            await made.ask(admin, UserService.UpdateUser, UpdateUserRequest(user=User(name="admin"), update_mask=mask))
