"""The calls of UserService about accounts, passwords and roles."""

from __future__ import annotations

import time
from dataclasses import replace

from ubmc.kit import pages
from ubmc.kit.errors import Denied, Violation
from ubmc.kit.service import rpc
from ubmc.services.usermgr import credential_rules, rules, shapes
from ubmc.services.usermgr.accounts import Account
from ubmc.services.usermgr.asker import Asker, asking
from ubmc.services.usermgr.core import Core, invalid
from ubmc.services.usermgr.roles import whole
from ubmc.services.usermgr.store import Change, State
from ubmc.v1alpha1.user_pb import (
    ChangePasswordRequest,
    ChangePasswordResponse,
    CreateRoleRequest,
    CreateRoleResponse,
    CreateUserRequest,
    CreateUserResponse,
    DeleteRoleRequest,
    DeleteRoleResponse,
    DeleteUserRequest,
    DeleteUserResponse,
    GetUserRequest,
    GetUserResponse,
    ListRolesRequest,
    ListRolesResponse,
    ListUsersRequest,
    ListUsersResponse,
    Role,
    UnlockUserRequest,
    UnlockUserResponse,
    UpdateRoleRequest,
    UpdateRoleResponse,
    UpdateUserRequest,
    UpdateUserResponse,
    User,
    UserUnlocked,
)
from ubmc.v1alpha1.user_rpc import UserService


class UserCalls(Core):
    """What `UserManager` answers about accounts and roles."""

    def _shape(self, account: Account) -> User:
        state = self._store.state
        locked = self._locks.left(account.name, time.monotonic())
        return shapes.user(account, state.policy, locked, len(state.ssh_keys.get(account.name, ())))

    @rpc(UserService.ListUsers)
    async def list_users(self, request: ListUsersRequest) -> ListUsersResponse:
        """One page of all accounts."""
        asking(self._store.state, users=True)
        accounts = self._store.state.accounts.values()
        shown, following = pages.page(accounts, request.page_size, request.page_token, key=lambda account: account.name)
        return ListUsersResponse(users=[self._shape(account) for account in shown], next_page_token=following)

    @rpc(UserService.GetUser)
    async def get_user(self, request: GetUserRequest) -> GetUserResponse:
        """The own account, or any."""
        if request.name != asking(self._store.state).account.name:
            asking(self._store.state, users=True)
        return GetUserResponse(user=self._shape(rules.find(self._store.state, request.name)))

    @rpc(UserService.CreateUser)
    async def create_user(self, request: CreateUserRequest) -> CreateUserResponse:
        """Make an account."""
        asker = asking(self._store.state, users=True)
        user = _required(request.user)
        rules.check_role(self._store.state, user.role)
        asker.check_covers(self._store.state.roles[user.role])
        if user.service_account:
            if request.password:
                raise invalid("password", "none", "must be left out: a service account has none")
        else:
            self._check_password(user.name, request.password, "password")
        now = time.time()
        account = Account(
            name=user.name,
            role=user.role,
            enabled=user.enabled or not user.has_field("enabled"),
            must_change=user.must_change_password and not user.service_account,
            unclaimed=False,
            password="",
            created=now,
            password_set=now,
            service=user.service_account,
            identities=tuple(user.certificate_identities),
        )
        rules.create(self._store.state, account)  # refuse before the work of hashing
        if not account.service:
            account = replace(account, password=await self._hasher.hash(request.password))

        def decide(state: State) -> Change:
            rules.check_role(state, account.role)
            asking(state, users=True).check_covers(state.roles[account.role])
            return rules.create(state, account)

        await self._change(decide)
        return CreateUserResponse(user=self._shape(account))

    @rpc(UserService.UpdateUser)
    async def update_user(self, request: UpdateUserRequest) -> UpdateUserResponse:
        """Change what `rules.UPDATABLE` names."""
        asking(self._store.state, users=True)
        user = _required(request.user)
        paths = rules.paths_of(user, request.update_mask.paths if request.update_mask is not None else ())

        def decide(state: State) -> Change:
            asker = asking(state, users=True)
            asker.check_covers(state.held(rules.find(state, user.name)))
            change = rules.update(state, user, paths)
            if change.account is not None:
                asker.check_covers(state.held(change.account))
            return change

        change = await self._change(decide)
        return UpdateUserResponse(user=self._shape(change.account or rules.find(self._store.state, user.name)))

    @rpc(UserService.DeleteUser)
    async def delete_user(self, request: DeleteUserRequest) -> DeleteUserResponse:
        """Remove an account."""

        def decide(state: State) -> Change:
            asker = asking(state, users=True)
            asker.check_covers(state.held(rules.find(state, request.name)))
            return rules.delete(state, request.name)

        await self._change(decide)
        self._locks.clear(request.name)
        self._pending.pop(request.name, None)
        return DeleteUserResponse()

    @rpc(UserService.UnlockUser)
    async def unlock_user(self, request: UnlockUserRequest) -> UnlockUserResponse:
        """Let an account log in again at once."""

        def decide(state: State) -> Change:
            asker = asking(state, users=True)
            account = rules.find(state, request.name)
            asker.check_covers(state.held(account))
            told = UserUnlocked(name=account.name, reason=f"unlocked by {asker.account.name}")
            locked = self._locks.left(account.name, time.monotonic()) > 0
            return Change(unlocked=(account.name,), news=(told,) if locked else ())

        await self._change(decide)
        return UnlockUserResponse(user=self._shape(rules.find(self._store.state, request.name)))

    # --- passwords ------------------------------------------------------------------------------------------------

    @rpc(UserService.ChangePassword)
    async def change_password(self, request: ChangePasswordRequest) -> ChangePasswordResponse:
        """Change the own password, or give another account a new one."""
        asker, own = about(self._store.state, request.name)
        account = rules.find(self._store.state, request.name)
        if not account.local or account.service:
            raise invalid("name", "password", "is an account that has no password on this BMC")
        self._check_password(account.name, request.new_password, "newPassword")
        if own and not self._just_proved(asker, request):
            await self._prove_password(asker, request)
        await self._check_history(account, request.new_password, "newPassword")
        hashed = await self._hasher.hash(request.new_password)

        def decide(state: State) -> Change:
            asker, _ = about(state, request.name)
            keep = asker.session if own else None
            return rules.new_password(state, account, hashed, time.time(), keep, own=own)

        await self._change(decide)
        if rules.has_first_password(account):
            self._first_changed()
        return ChangePasswordResponse()

    @staticmethod
    def _just_proved(asker: Asker, request: ChangePasswordRequest) -> bool:
        """Whether the password was shown to open a session that can do nothing but change it.

        Redfish clients send only the new one then (DSP0266, password management). When an account is told to change its
        password, its sessions end; so this one was opened since.
        """
        by_password = asker.session is not None and not asker.session.ssh_key
        return by_password and asker.account.must_change and not request.current_password

    async def _prove_password(self, asker: Asker, request: ChangePasswordRequest) -> None:
        if not await self._prove(asker, request.current_password, "currentPassword"):
            message = "is wrong"
            raise Denied(f"currentPassword {message}", violations=[Violation("currentPassword", "right", message)])
        if request.new_password == request.current_password:
            raise invalid("newPassword", "new", "must differ from the current one")

    # --- roles ----------------------------------------------------------------------------------------------------

    @rpc(UserService.ListRoles)
    async def list_roles(self, request: ListRolesRequest) -> ListRolesResponse:
        """All roles."""
        return ListRolesResponse(roles=shapes.roles(self._store.state))

    @rpc(UserService.CreateRole)
    async def create_role(self, request: CreateRoleRequest) -> CreateRoleResponse:
        """Make a role."""
        role = _named(request.role)

        def decide(state: State) -> Change:
            asking(state, users=True).check_covers(whole(role.privileges))
            return credential_rules.make_role(state, role.name, tuple(role.privileges))

        await self._change(decide)
        return CreateRoleResponse(role=shapes.role(self._store.state, role.name))

    @rpc(UserService.UpdateRole)
    async def update_role(self, request: UpdateRoleRequest) -> UpdateRoleResponse:
        """Change the privileges of a role."""
        role = _named(request.role)
        paths = request.update_mask.paths if request.update_mask is not None else ("privileges",)
        if set(paths) != {"privileges"}:
            raise invalid("updateMask", "known", "names privileges; nothing else of a role can be changed")

        def decide(state: State) -> Change:
            asker = asking(state, users=True)
            asker.check_covers({*state.roles.get(role.name, ()), *whole(role.privileges)})
            return credential_rules.change_role(state, role.name, tuple(role.privileges))

        await self._change(decide)
        return UpdateRoleResponse(role=shapes.role(self._store.state, role.name))

    @rpc(UserService.DeleteRole)
    async def delete_role(self, request: DeleteRoleRequest) -> DeleteRoleResponse:
        """Remove a role."""

        def decide(state: State) -> Change:
            asking(state, users=True)
            return credential_rules.remove_role(state, request.name)

        await self._change(decide)
        return DeleteRoleResponse()


def _required(user: User | None) -> User:
    if user is None or not user.name:
        raise invalid("user.name", "required", "is needed")
    return user


def _named(role: Role | None) -> Role:
    if role is None or not role.name:
        raise invalid("role.name", "required", "is needed")
    return role


def about(state: State, name: str) -> tuple[Asker, bool]:
    """Who asks about the credentials of an account, and whether it is their own, which no token may touch.

    Raises:
        Unauthenticated: nobody asks.
        Denied: it is another's, and they may not; or it is their own, and they use a token.
        NotFound: there is no such account.
    """
    own = name == asking(state).account.name
    asker = asking(state, users=not own, in_person=own)
    if not own:
        asker.check_covers(state.held(rules.find(state, name)))
    return asker, own
