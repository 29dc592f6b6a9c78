"""usermgr on a real bus: accounts and passwords, as a door sees them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from protobuf.wkt import FieldMask
from tests.service.usermgr_house import FIRST, WRONG, house

from ubmc.kit.errors import Denied, Exists, Invalid, NotFound, Refused, Unauthenticated
from ubmc.services.usermgr.roles import ADMINISTRATOR, OPERATOR, READ_ONLY, ROLES
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.session_pb import (
    SessionEnd,
)
from ubmc.v1alpha1.user_pb import (
    ChangePasswordRequest,
    CreateUserRequest,
    DeleteUserRequest,
    GetUserRequest,
    ListRolesRequest,
    ListUsersRequest,
    UpdateUserRequest,
    User,
    UserChange,
)
from ubmc.v1alpha1.user_rpc import UserService

# --- first boot -------------------------------------------------------------------------------------------------------


async def test_given_first_password_need_not_be_changed() -> None:
    async with house() as made:
        login = await made.login("admin")
        assert not login.must_change_password
        assert made.announced == []
        assert (await made.principal(login.token)).privileges == list(ROLES[ADMINISTRATOR])
        created = await made.keeper.until(UserChange, lambda news: news.what == "created")
        assert created.name == "admin"


async def test_random_first_password_is_told_anew_until_somebody_logged_in() -> None:
    async with house(given=None) as made:
        await made.restart()
        (name, lost), (_, shown) = made.announced
        assert name == "admin"
        assert lost != shown
        with pytest.raises(Unauthenticated):
            await made.login("admin", lost)
        login = await made.login("admin", shown)
        assert login.must_change_password
        await made.restart()
        assert len(made.announced) == 2
        assert (await made.login("admin", shown)).must_change_password


async def test_the_first_change_of_the_random_password_is_told_and_no_other() -> None:
    async with house(given=None) as made:
        (_, shown) = made.announced[0]
        request = ChangePasswordRequest(name="admin", current_password="wrong password", new_password="second password")
        login = await made.login("admin", shown)
        with pytest.raises(Denied):
            await made.ask(login.token, UserService.ChangePassword, request)
        assert made.first_changes == 0
        request.current_password = shown
        await made.ask(login.token, UserService.ChangePassword, request)
        assert made.first_changes == 1
        request = ChangePasswordRequest(name="admin", current_password="second password", new_password="third password")
        await made.ask(login.token, UserService.ChangePassword, request)
        assert made.first_changes == 1


async def test_first_password_that_cannot_be() -> None:
    with pytest.raises(Invalid, match="8 to 128"):
        async with house(given="short"):
            pass


# --- accounts ---------------------------------------------------------------------------------------------------------


async def test_create_get_and_delete() -> None:
    async with house() as made:
        admin = await made.admin()
        user = await made.create(admin, "olga", OPERATOR)
        assert (user.name, user.role, user.enabled, user.must_change_password) == ("olga", OPERATOR, True, False)
        assert user.create_time is not None
        assert abs(user.create_time.to_seconds() - time.time()) < 10
        assert (await made.ask(admin, UserService.GetUser, GetUserRequest(name="olga"))).user == user
        with pytest.raises(Exists):
            await made.create(admin, "olga")
        olga = (await made.login("olga", "olga password")).token
        await made.restart()
        assert (await made.ask(admin, UserService.GetUser, GetUserRequest(name="olga"))).user == user
        await made.ask(admin, UserService.DeleteUser, DeleteUserRequest(name="olga"))
        with pytest.raises(Unauthenticated):
            await made.exchange(olga)
        with pytest.raises(Unauthenticated):
            await made.login("olga", "olga password")
        attempts: tuple[tuple[Any, Any], ...] = (
            (UserService.GetUser, GetUserRequest(name="olga")),
            (UserService.DeleteUser, DeleteUserRequest(name="olga")),
        )
        for what, request in attempts:
            with pytest.raises(NotFound, match="olga"):
                await made.ask(admin, what, request)
        await made.keeper.until(UserChange, lambda news: (news.name, news.what) == ("olga", "deleted"))
        await made.keeper.until(SessionEnd, lambda news: (news.user, news.reason) == ("olga", "account changed"))


@pytest.mark.parametrize(
    ("user", "password", "field"),
    [
        (User(name="olga", role="Root"), "olga password", "user.role"),
        (User(name="olga"), "olga password", "user.role"),
        (User(role=OPERATOR), "olga password", "user.name"),
        (None, "olga password", "user.name"),
        (User(name="operator1", role=OPERATOR), "Operator1", "password"),
        (User(name="olga", role=OPERATOR), "short", "password"),
    ],
)
async def test_accounts_that_cannot_be(user: User | None, password: str, field: str) -> None:
    async with house() as made:
        with pytest.raises(Invalid) as caught:
            await made.ask(await made.admin(), UserService.CreateUser, CreateUserRequest(user=user, password=password))
        assert caught.value.violations[0].field == field


async def test_others_accounts_need_configure_users() -> None:
    async with house() as made:
        admin = await made.admin()
        olga = await made.member(admin, "olga", OPERATOR)
        own = await made.ask(olga, UserService.GetUser, GetUserRequest(name="olga"))
        assert own.user is not None
        assert own.user.role == OPERATOR
        for name in ("admin", "nobody"):
            with pytest.raises(Denied, match="ConfigureUsers"):
                await made.ask(olga, UserService.GetUser, GetUserRequest(name=name))
            change = ChangePasswordRequest(name=name, current_password=FIRST, new_password="taken over")
            with pytest.raises(Denied, match="ConfigureUsers"):
                await made.ask(olga, UserService.ChangePassword, change)
        attempts: tuple[tuple[Any, Any], ...] = (
            (UserService.ListUsers, ListUsersRequest()),
            (UserService.CreateUser, CreateUserRequest(user=User(name="x", role=ADMINISTRATOR), password="x" * 9)),
            (UserService.UpdateUser, UpdateUserRequest(user=User(name="olga", role=ADMINISTRATOR))),
            (UserService.DeleteUser, DeleteUserRequest(name="admin")),
        )
        for what, request in attempts:
            with pytest.raises(Denied, match="ConfigureUsers"):
                await made.ask(olga, what, request)
        await made.login("admin")


async def test_role_change_ends_sessions() -> None:
    async with house() as made:
        admin = await made.admin()
        olga = await made.member(admin, "olga", OPERATOR)
        answer = await made.ask(
            admin, UserService.UpdateUser, UpdateUserRequest(user=User(name="olga", role=READ_ONLY))
        )
        assert answer.user is not None
        assert (answer.user.role, answer.user.enabled) == (READ_ONLY, True)
        with pytest.raises(Unauthenticated):
            await made.exchange(olga)
        again = (await made.login("olga", "olga password")).token
        assert (await made.principal(again)).privileges == list(ROLES[READ_ONLY])
        await made.keeper.until(UserChange, lambda news: (news.name, news.what) == ("olga", "updated"))


async def test_disabled_account_is_out_until_it_is_enabled() -> None:
    async with house() as made:
        admin = await made.admin()
        olga = await made.member(admin, "olga")
        mask = FieldMask(paths=["enabled"])
        await made.ask(admin, UserService.UpdateUser, UpdateUserRequest(user=User(name="olga"), update_mask=mask))
        with pytest.raises(Unauthenticated):
            await made.exchange(olga)
        with pytest.raises(Unauthenticated, match=WRONG):
            await made.login("olga", "olga password")
        enable = UpdateUserRequest(user=User(name="olga", enabled=True), update_mask=mask)
        await made.ask(admin, UserService.UpdateUser, enable)
        await made.login("olga", "olga password")


async def test_update_that_cannot_be() -> None:
    async with house() as made:
        admin = await made.admin()
        user = User(name="admin", role=OPERATOR)
        for mask, field in ((["name"], "updateMask"), (["role", "passwordTime"], "updateMask")):
            request = UpdateUserRequest(user=user, update_mask=FieldMask(paths=mask))
            with pytest.raises(Invalid, match=mask[-1]) as caught:
                await made.ask(admin, UserService.UpdateUser, request)
            assert caught.value.violations[0].field == field
        with pytest.raises(Invalid, match="updateMask"):
            await made.ask(admin, UserService.UpdateUser, UpdateUserRequest(user=User(name="admin", enabled=True)))
        with pytest.raises(Invalid, match=r"user\.role"):
            await made.ask(admin, UserService.UpdateUser, UpdateUserRequest(user=User(name="admin", role="King")))
        with pytest.raises(NotFound):
            await made.ask(admin, UserService.UpdateUser, UpdateUserRequest(user=User(name="none", role=OPERATOR)))


async def test_last_administrator_stays() -> None:
    async with house() as made:
        admin = await made.admin()
        demote = UpdateUserRequest(user=User(name="admin", role=OPERATOR))
        disable = UpdateUserRequest(user=User(name="admin"), update_mask=FieldMask(paths=["enabled"]))
        attempts: tuple[tuple[Any, Any], ...] = (
            (UserService.UpdateUser, demote),
            (UserService.UpdateUser, disable),
            (UserService.DeleteUser, DeleteUserRequest(name="admin")),
        )
        for what, request in attempts:
            with pytest.raises(Refused, match="last enabled administrator"):
                await made.ask(admin, what, request)
        await made.create(admin, "ruth", ADMINISTRATOR)
        await made.ask(admin, UserService.DeleteUser, DeleteUserRequest(name="admin"))
        await made.login("ruth", "ruth password")
        await made.restart()
        assert made.announced == []


async def test_two_administrators_cannot_remove_each_other_at_once() -> None:
    async with house() as made:
        admin = await made.admin()
        ruth = await made.member(admin, "ruth", ADMINISTRATOR)
        calls = [await made.call(admin), await made.call(ruth)]
        requests = [DeleteUserRequest(name="ruth"), DeleteUserRequest(name="admin")]
        outcomes = await asyncio.gather(
            *(
                made.door.forward(UserService.DeleteUser, request, call)
                for request, call in zip(requests, calls, strict=True)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, (Refused, Unauthenticated)) for outcome in outcomes) == 1


# --- passwords --------------------------------------------------------------------------------------------------------


async def test_own_password_needs_the_current_one_and_ends_the_other_sessions() -> None:
    async with house() as made:
        here, there = await made.admin(), await made.admin()
        request = ChangePasswordRequest(name="admin", new_password="second password")
        with pytest.raises(Invalid, match="currentPassword"):
            await made.ask(here, UserService.ChangePassword, request)
        request.current_password = "wrong password"
        with pytest.raises(Denied, match="currentPassword"):
            await made.ask(here, UserService.ChangePassword, request)
        request.current_password = request.new_password = FIRST
        with pytest.raises(Invalid, match="newPassword"):
            await made.ask(here, UserService.ChangePassword, request)
        await made.exchange(there)
        request.new_password = "second password"
        await made.ask(here, UserService.ChangePassword, request)
        await made.exchange(here)
        with pytest.raises(Unauthenticated):
            await made.exchange(there)
        with pytest.raises(Unauthenticated):
            await made.login("admin")
        assert not (await made.login("admin", "second password")).must_change_password
        await made.keeper.until(SessionEnd, lambda news: news.reason == "password changed")
        await made.keeper.until(UserChange, lambda news: news.what == "given a new password")


async def test_password_given_by_an_administrator_must_be_changed() -> None:
    async with house() as made:
        admin = await made.admin()
        olga = await made.member(admin, "olga", OPERATOR)
        request = ChangePasswordRequest(name="olga", new_password="from the desk")
        await made.ask(admin, UserService.ChangePassword, request)
        with pytest.raises(Unauthenticated):
            await made.exchange(olga)
        with pytest.raises(Unauthenticated):
            await made.login("olga", "olga password")
        login = await made.login("olga", "from the desk")
        assert login.must_change_password
        assert (await made.principal(login.token)).privileges == [Privilege.CONFIGURE_SELF]
        for new in ("OLGA", "olga"):
            bad = ChangePasswordRequest(name="olga", current_password="from the desk", new_password=new)
            with pytest.raises(Invalid):
                await made.ask(login.token, UserService.ChangePassword, bad)
        with pytest.raises(NotFound):
            await made.ask(admin, UserService.ChangePassword, ChangePasswordRequest(name="no", new_password="x" * 9))
        first = ChangePasswordRequest(name="olga", new_password="from the door")
        await made.ask(login.token, UserService.ChangePassword, first)  # it was opened by the password, for this alone
        again = ChangePasswordRequest(name="olga", new_password="from the attic")
        with pytest.raises(Invalid, match="current"):
            await made.ask(login.token, UserService.ChangePassword, again)


async def test_roles_are_listed() -> None:
    async with house() as made:
        admin = await made.admin()
        olga = await made.member(admin, "olga")
        roles = (await made.ask(olga, UserService.ListRoles, ListRolesRequest())).roles
        assert {role.name: tuple(role.privileges) for role in roles} == dict(ROLES)
