"""usermgr on a real bus: custom roles."""

from __future__ import annotations

from typing import Any

import pytest
from protobuf.wkt import FieldMask
from tests.service.usermgr_house import house

from ubmc.kit.errors import Denied, Exists, Refused, Unauthenticated
from ubmc.services.usermgr.roles import ADMINISTRATOR, READ_ONLY, ROLES
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.account_pb import Ldap, UpdateLdapRequest
from ubmc.v1alpha1.account_rpc import AccountService
from ubmc.v1alpha1.session_pb import (
    SessionEnd,
)
from ubmc.v1alpha1.user_pb import (
    ChangePasswordRequest,
    CreateRoleRequest,
    DeleteRoleRequest,
    DeleteUserRequest,
    ListRolesRequest,
    RemoveTotpRequest,
    ResetIpmiSecretRequest,
    Role,
    RoleChange,
    UpdateRoleRequest,
    UpdateUserRequest,
    User,
)
from ubmc.v1alpha1.user_rpc import UserService


async def test_custom_role_from_making_to_removal() -> None:
    async with house() as made:
        admin = await made.admin()
        role = Role(name="Auditor", privileges=[Privilege.CONFIGURE_MANAGER])
        answer = await made.ask(admin, UserService.CreateRole, CreateRoleRequest(role=role))
        assert answer.role is not None
        assert answer.role.privileges == [Privilege.LOGIN, Privilege.CONFIGURE_MANAGER, Privilege.CONFIGURE_SELF]
        with pytest.raises(Exists):
            again = CreateRoleRequest(role=Role(name="AUDITOR"))
            await made.ask(admin, UserService.CreateRole, again)
        olga = await made.member(admin, "olga", "Auditor")
        await made.restart()
        assert (await made.principal(olga)).privileges == answer.role.privileges
        with pytest.raises(Refused, match="olga has this role"):
            await made.ask(admin, UserService.DeleteRole, DeleteRoleRequest(name="Auditor"))
        role.privileges = [Privilege.LOGIN]
        await made.ask(admin, UserService.UpdateRole, UpdateRoleRequest(role=role))
        await made.keeper.until(SessionEnd, lambda news: (news.user, news.reason) == ("olga", "role changed"))
        with pytest.raises(Unauthenticated):
            await made.exchange(olga)
        await made.ask(admin, UserService.UpdateUser, UpdateUserRequest(user=User(name="olga", role=READ_ONLY)))
        await made.ask(admin, UserService.DeleteRole, DeleteRoleRequest(name="Auditor"))
        names = [each.name for each in (await made.ask(admin, UserService.ListRoles, ListRolesRequest())).roles]
        assert names == list(ROLES)
        await made.keeper.until(RoleChange, lambda news: (news.name, news.what) == ("Auditor", "deleted"))


@pytest.mark.parametrize("name", ROLES)
async def test_built_in_roles_stay(name: str) -> None:
    async with house() as made:
        admin = await made.admin()
        role = Role(name=name, privileges=[Privilege.LOGIN])
        with pytest.raises(Refused, match="built in"):
            await made.ask(admin, UserService.UpdateRole, UpdateRoleRequest(role=role))
        with pytest.raises(Refused, match="built in"):
            await made.ask(admin, UserService.DeleteRole, DeleteRoleRequest(name=name))


async def test_nobody_gives_what_they_do_not_have() -> None:
    async with house() as made:
        admin = await made.admin()
        role = Role(name="Desk", privileges=[Privilege.CONFIGURE_USERS])
        await made.ask(admin, UserService.CreateRole, CreateRoleRequest(role=role))
        desk = await made.member(admin, "desk7", "Desk")
        await made.create(desk, "olga", READ_ONLY)
        raised = Role(name="Desk", privileges=[Privilege.CONFIGURE_USERS, Privilege.CONFIGURE_MANAGER])
        attempts: tuple[tuple[Any, Any], ...] = (
            (UserService.UpdateUser, UpdateUserRequest(user=User(name="desk7", role=ADMINISTRATOR))),
            (UserService.UpdateUser, UpdateUserRequest(user=User(name="admin", role=READ_ONLY))),
            (UserService.DeleteUser, DeleteUserRequest(name="admin")),
            (UserService.ChangePassword, ChangePasswordRequest(name="admin", new_password="taken over for good")),
            (UserService.RemoveTotp, RemoveTotpRequest(name="admin")),
            (UserService.ResetIpmiSecret, ResetIpmiSecretRequest(name="admin")),
            (UserService.UpdateRole, UpdateRoleRequest(role=raised)),
            (UserService.CreateRole, CreateRoleRequest(role=Role(name="More", privileges=raised.privileges))),
            (AccountService.UpdateLdap, UpdateLdapRequest(ldap=Ldap(), update_mask=FieldMask(paths=["servers"]))),
        )
        for what, request in attempts:
            with pytest.raises(Denied, match="privileges that you do not have"):
                await made.ask(desk, what, request)
