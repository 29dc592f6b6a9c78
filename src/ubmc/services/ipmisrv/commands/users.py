"""Channels and users (Spec sections 22.22 to 22.30, 24.6, 24.7). Users are accounts of the BMC; usermgr owns them."""

from __future__ import annotations

from collections.abc import Iterable

from protobuf.wkt import FieldMask

from ubmc.kit.errors import Denied
from ubmc.protocols.ipmi import app
from ubmc.protocols.ipmi.app import NewAccess, PasswordChange
from ubmc.protocols.ipmi.codes import LAN_CHANNEL, SYSTEM_INTERFACE, Code, Completion, Level, NetFn
from ubmc.services.ipmisrv.commands.ground import Ground, check_channel
from ubmc.services.ipmisrv.commands.own import changing
from ubmc.services.ipmisrv.dispatch import Command, Context
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.user_pb import (
    IpmiPrivilege,
    IpmiSecretTest,
    IpmiUser,
    ListIpmiUsersRequest,
    SetIpmiSecretRequest,
    SetIpmiUserNameRequest,
    TestIpmiSecretRequest,
    UpdateUserRequest,
    User,
)
from ubmc.v1alpha1.user_rpc import UserService

CALLS = (
    UserService.ListIpmiUsers,
    UserService.TestIpmiSecret,
    UserService.UpdateUser,
    UserService.SetIpmiSecret,
    UserService.SetIpmiUserName,
)
_ROLES = {Level.USER: "ReadOnly", Level.OPERATOR: "Operator", Level.ADMINISTRATOR: "Administrator"}
_SOL = 1 << 1  # standard payload 1 (Spec table 24-8)
_SET_PAYLOAD, _SET_PASSWORD = "Set User Payload Access", "Set User Password"
NO_SOL = "payload_access"
"""The section of the settings that says which user ids may not open SOL."""


class UserCommands:
    """The commands.

    Args:
        ground: what all stand on.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def commands(self) -> Iterable[Command]:
        """The table of them (Spec table G-1)."""
        op, admin, net = Level.OPERATOR, Level.ADMINISTRATOR, NetFn.APP
        users, update = "UserService.ListIpmiUsers", "UserService.UpdateUser"
        secret = "UserService.SetIpmiSecret, UserService.TestIpmiSecret, UserService.UpdateUser"  # noqa: S105  names
        return (
            Command(net, 0x40, "Set Channel Access", admin, self._set_channel_access, 3),
            Command(net, 0x41, "Get Channel Access", Level.USER, self._channel_access, 2, inband=True),
            Command(net, 0x42, "Get Channel Info", Level.USER, self._channel_info, 1, inband=True),
            Command(net, 0x43, "Set User Access", admin, self._set_access, 3, 4, calls=update),
            Command(net, 0x44, "Get User Access", op, self._access, 2, calls=users),
            Command(net, 0x45, "Set User Name", admin, self._set_name, 17, calls="UserService.SetIpmiUserName"),
            Command(net, 0x46, "Get User Name", op, self._name, 1, calls=users),
            Command(net, 0x47, _SET_PASSWORD, admin, self._password, 2, 22, calls=secret),
            Command(net, 0x56, "Set Channel Security Keys", admin, self._security_keys, 3, 23),
            Command(net, 0x4C, _SET_PAYLOAD, admin, self._set_payload_access, 6),
            Command(net, 0x4D, "Get User Payload Access", op, self._payload_access, 2),
        )

    # --- channels -------------------------------------------------------------------------------------------------

    def _channel_info(self, context: Context, data: bytes) -> bytes:
        channel = check_channel(data[0] & 0x0F, context.channel, LAN_CHANNEL, SYSTEM_INTERFACE)
        if channel == LAN_CHANNEL:
            return app.lan_channel_info(channel, len(self._ground.sessions.active()))
        return app.system_channel_info(channel)

    def _channel_access(self, context: Context, data: bytes) -> bytes:
        channel = check_channel(data[0] & 0x0F, context.channel, LAN_CHANNEL, SYSTEM_INTERFACE)
        if data[1] >> 6 not in (1, 2):  # kept, or in force: both are the same
            raise Completion(Code.INVALID_FIELD)
        if channel != LAN_CHANNEL:
            raise Completion(app.SET_NOT_SUPPORTED)
        return app.channel_access(app.ALWAYS_AVAILABLE, Level.ADMINISTRATOR)

    def _set_channel_access(self, context: Context, data: bytes) -> bytes:
        """The channel is always open, for all levels; what each user may do is set with the user."""
        channel = check_channel(data[0] & 0x0F, context.channel, LAN_CHANNEL, SYSTEM_INTERFACE)
        if channel != LAN_CHANNEL:
            raise Completion(app.SET_NOT_SUPPORTED)
        if data[1] >> 6 and data[1] & 0x3F != app.channel_access(app.ALWAYS_AVAILABLE, Level.NONE)[0]:
            raise Completion(app.ACCESS_MODE_NOT_SUPPORTED)
        if data[2] >> 6 and data[2] & 0x0F != Level.ADMINISTRATOR:
            raise Completion(Code.INVALID_FIELD)
        return b""

    def _security_keys(self, context: Context, data: bytes) -> bytes:
        check_channel(data[0] & 0x0F, context.channel, LAN_CHANNEL)
        return app.security_key(data[1] & 0x03, data[2])

    # --- users ----------------------------------------------------------------------------------------------------

    async def _users(self) -> dict[int, IpmiUser]:
        answer = await self._ground.bus.ask(UserService.ListIpmiUsers, ListIpmiUsersRequest())
        return {user.id: user for user in answer.users}

    async def _user(self, user_id: int) -> IpmiUser:
        """The user of an id.

        Raises:
            Completion: CCh, there is none.
        """
        users = await self._users()
        if user_id not in users:
            raise Completion(Code.INVALID_FIELD, f"no account has the user id {user_id}")
        return users[user_id]

    async def _access(self, context: Context, data: bytes) -> bytes:
        check_channel(data[0] & 0x0F, context.channel, LAN_CHANNEL)
        user_id = _user_id(data[1])
        users = await self._users()
        user = users.get(user_id, IpmiUser(privilege_level=app.NO_ACCESS))
        return app.user_access(
            (each.id for each in users.values() if each.enabled),
            enabled=user.enabled,
            messaging=user.privilege_level != app.NO_ACCESS,
            limit=user.privilege_level,
        )

    async def _set_access(self, context: Context, data: bytes) -> bytes:
        """The level of a service account is its role; that of a person's account is only limited here."""
        wanted = NewAccess.parse(data)
        check_channel(wanted.channel, context.channel, LAN_CHANNEL)
        user = await self._user(_user_id(wanted.user))
        limit = app.NO_ACCESS if wanted.messaging is False else wanted.limit
        if limit == Level.CALLBACK:
            raise Completion(Code.INVALID_FIELD)
        changed, fields = User(name=user.name), ["ipmi_privilege_limit"]
        if limit == app.NO_ACCESS:
            changed.ipmi_privilege_limit = IpmiPrivilege.NO_ACCESS
        elif user.service_account:
            changed.role = _ROLES[Level(limit)]
            fields.append("role")
        else:
            changed.ipmi_privilege_limit = IpmiPrivilege(limit)
        await self._update(context, changed, *fields)
        return b""

    @staticmethod
    async def _update(context: Context, user: User, *fields: str) -> None:
        request = UpdateUserRequest(user=user, update_mask=FieldMask(paths=list(fields)))
        await context.ask(UserService.UpdateUser, request)

    async def _name(self, context: Context, data: bytes) -> bytes:
        """Spec table G-1 lets an operator ask; that of another account needs the privilege that the API asks for."""
        user_id = _user_id(data[0])
        if context.session is not None and user_id != context.session.user_id:
            principal = (await context.call()).principal
            if principal is None or Privilege.CONFIGURE_USERS not in principal.privileges:
                raise Denied("this needs the privilege ConfigureUsers, as it is the name of another account")
        user = (await self._users()).get(user_id)
        return app.name_field(user.name if user is not None else "")

    async def _set_name(self, context: Context, data: bytes) -> bytes:
        name = app.name_of(data[1:])
        user_id = _user_id(data[0])
        if user_id == 1:
            if name:
                raise Completion(Code.INVALID_FIELD, "user 1 is the one without a name")
            return b""
        await context.ask(UserService.SetIpmiUserName, SetIpmiUserNameRequest(ipmi_user_id=user_id, name=name))
        return b""

    async def _password(self, context: Context, data: bytes) -> bytes:
        """Set, test, enable, disable: only ever the IPMI secret, never the password of the account."""
        wanted = PasswordChange.parse(data)
        user_id = _user_id(wanted.user)
        if user_id == 1:
            if wanted.operation == app.DISABLE:
                return b""
            raise Completion(Code.INVALID_FIELD, "user 1 is the one without a name, and never let in")
        if wanted.operation == app.TEST_PASSWORD:  # guesses, which no lockout counts
            async with changing(context, _SET_PASSWORD, Privilege.CONFIGURE_USERS, f"user id {user_id}"):
                await self._test(await self._user(user_id), wanted)
            return b""
        user = await self._user(user_id)
        match wanted.operation:
            case app.SET_PASSWORD:
                secret = SetIpmiSecretRequest(name=user.name, secret=wanted.password, short=wanted.short)
                await context.ask(UserService.SetIpmiSecret, secret)
            case operation:
                changed = User(name=user.name, ipmi_disabled=operation == app.DISABLE)
                await self._update(context, changed, "ipmi_disabled")
        return b""

    async def _test(self, user: IpmiUser, wanted: PasswordChange) -> None:
        request = TestIpmiSecretRequest(ipmi_user_id=user.id, secret=wanted.password, short=wanted.short)
        outcome = (await self._ground.bus.ask(UserService.TestIpmiSecret, request)).outcome
        if outcome is IpmiSecretTest.OTHER_SIZE:
            raise Completion(app.TEST_WRONG_SIZE)
        if outcome is not IpmiSecretTest.SAME:
            raise Completion(app.TEST_FAILED)

    # --- payloads -------------------------------------------------------------------------------------------------

    def _without_sol(self) -> set[int]:
        return {each for each in self._ground.settings.section(NO_SOL).get("no_sol", []) if isinstance(each, int)}

    def _payload_access(self, context: Context, data: bytes) -> bytes:
        check_channel(data[0] & 0x0F, context.channel, LAN_CHANNEL)
        return app.payload_access(sol=_user_id(data[1]) not in self._without_sol())

    async def _set_payload_access(self, context: Context, data: bytes) -> bytes:
        """Only SOL can be taken away; messages are what Set User Access is about (Spec table 24-8)."""
        check_channel(data[0] & 0x0F, context.channel, LAN_CHANNEL)
        user_id, enable = _user_id(data[1] & 0x3F), data[1] >> 6 == 0
        if not data[2] & _SOL or enable is (user_id not in self._without_sol()):
            return b""
        async with changing(context, _SET_PAYLOAD, Privilege.CONFIGURE_USERS, f"user id {user_id}"):
            without = self._without_sol()
            without = without - {user_id} if enable else without | {user_id}
            await self._ground.settings.keep(NO_SOL, {"no_sol": sorted(without)})
        return b""


def _user_id(value: int) -> int:
    """The user id in the low bits.

    Raises:
        Completion: CCh, there are no such ids.
    """
    user_id = value & 0x3F
    if not 1 <= user_id <= app.MOST_USERS:
        raise Completion(Code.INVALID_FIELD)
    return user_id
