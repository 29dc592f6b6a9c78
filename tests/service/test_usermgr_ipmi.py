"""usermgr on a real bus: IPMI user ids, secrets and sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from protobuf.wkt import FieldMask
from tests.service.usermgr_house import IPMISRV, SOURCE, House, house

from ubmc.kit.bus import Bus
from ubmc.kit.errors import Denied, Exhausted, Invalid, NotFound, Refused, Unauthenticated
from ubmc.services.usermgr import attempts
from ubmc.services.usermgr.policy import AccountPolicy
from ubmc.services.usermgr.roles import ADMINISTRATOR, OPERATOR, READ_ONLY, ROLES
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.session_pb import (
    CredentialKind,
    DeleteSessionRequest,
    EndIpmiSessionRequest,
    ExchangeIpmiRequest,
    ExchangeIpmiResponse,
    ListSessionsRequest,
    LoginAttempt,
    LoginFlood,
    Principal,
    ReportIpmiFailureRequest,
    Session,
    SessionEnd,
)
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.user_pb import (
    DeleteIpmiSecretRequest,
    DeleteUserRequest,
    GetIpmiKeyRequest,
    GetUserRequest,
    IpmiPrivilege,
    IpmiSecretTest,
    IpmiUser,
    ListIpmiUsersRequest,
    ResetIpmiSecretRequest,
    SetIpmiSecretRequest,
    SetIpmiUserNameRequest,
    SourceLocked,
    TestIpmiSecretRequest,
    UpdateUserRequest,
    User,
    UserLocked,
)
from ubmc.v1alpha1.user_rpc import UserService

TestIpmiSecretRequest.__test__ = False  # type: ignore[attr-defined]  # a message, no test
SECRET = b"a chosen secret"


class Ipmi:
    """The IPMI door of a house, and an administrator at the other door."""

    def __init__(self, made: House, bus: Bus, admin: str) -> None:
        self.made, self.bus, self.admin = made, bus, admin

    async def users(self) -> dict[int, IpmiUser]:
        answer = await self.bus.ask(UserService.ListIpmiUsers, ListIpmiUsersRequest())
        return {user.id: user for user in answer.users}

    async def name(self, ipmi_id: int, name: str) -> None:
        request = SetIpmiUserNameRequest(ipmi_user_id=ipmi_id, name=name)
        await self.made.ask(self.admin, UserService.SetIpmiUserName, request)

    async def secret(self, name: str, secret: bytes = SECRET, *, short: bool = False) -> None:
        request = SetIpmiSecretRequest(name=name, secret=secret, short=short)
        await self.made.ask(self.admin, UserService.SetIpmiSecret, request)

    async def level(self, name: str) -> int:
        answer = await self.bus.ask(UserService.GetIpmiKey, GetIpmiKeyRequest(name=name, source=SOURCE))
        return answer.privilege_level

    async def update(self, user: User, *paths: str) -> None:
        request = UpdateUserRequest(user=user, update_mask=FieldMask(paths=list(paths)))
        await self.made.ask(self.admin, UserService.UpdateUser, request)

    async def exchange(self, name: str, level: int = 2, session: str = "") -> ExchangeIpmiResponse:
        request = ExchangeIpmiRequest(name=name, privilege_level=level, source=SOURCE, session=session)
        return await self.bus.ask(SessionService.ExchangeIpmi, request)

    async def principal(self, name: str, level: int) -> Principal:
        return self.made.verified((await self.exchange(name, level)).principal)

    async def sessions(self) -> list[Session]:
        answer = await self.made.ask(self.admin, SessionService.ListSessions, ListSessionsRequest())
        return [each for each in answer.sessions if each.kind is CredentialKind.IPMI]


@asynccontextmanager
async def ipmi_house(policy: AccountPolicy | None = None) -> AsyncIterator[Ipmi]:
    async with house(policy=policy) as made:
        bus = await made.world.place("ipmisrv", *(service() for service in IPMISRV.services))
        yield Ipmi(made, bus, await made.admin())


# --- user ids ---------------------------------------------------------------------------------------------------------


async def test_an_id_comes_with_the_first_secret_and_stays() -> None:
    async with ipmi_house() as ipmi:
        await ipmi.made.create(ipmi.admin, "olga", OPERATOR)
        await ipmi.secret("olga")
        await ipmi.secret("admin")
        assert {id_: (user.name, user.privilege_level) for id_, user in (await ipmi.users()).items()} == {
            2: ("olga", 3),
            3: ("admin", 4),
        }
        await ipmi.made.ask(ipmi.admin, UserService.DeleteIpmiSecret, DeleteIpmiSecretRequest(name="olga"))
        await ipmi.made.restart()
        users = await ipmi.users()
        assert (users[2].name, users[2].has_secret, users[2].enabled) == ("olga", False, False)
        assert (users[3].has_secret, users[3].enabled) == (True, True)
        user = (await ipmi.made.ask(ipmi.admin, UserService.GetUser, GetUserRequest(name="olga"))).user
        assert user is not None
        assert user.ipmi_user_id == 2
        await ipmi.made.ask(ipmi.admin, UserService.DeleteUser, DeleteUserRequest(name="olga"))
        await ipmi.made.create(ipmi.admin, "piet")
        await ipmi.secret("piet")
        assert (await ipmi.users())[2].name == "piet"


async def test_a_user_made_over_ipmi_is_a_service_account_that_may_nothing_yet() -> None:
    async with ipmi_house() as ipmi:
        await ipmi.name(4, "svc")
        user = (await ipmi.users())[4]
        assert (user.name, user.service_account, user.disabled, user.privilege_level) == ("svc", True, True, 15)
        await ipmi.secret("svc")
        with pytest.raises(NotFound):
            await ipmi.level("svc")
        await ipmi.update(User(name="svc", role=OPERATOR), "role", "ipmi_privilege_limit", "ipmi_disabled")
        assert await ipmi.level("svc") == 3
        with pytest.raises(Unauthenticated):
            await ipmi.made.login("svc", SECRET.decode())
        await ipmi.name(4, "renamed")
        assert await ipmi.level("renamed") == 3
        with pytest.raises(NotFound):
            await ipmi.level("svc")
        await ipmi.name(4, "")
        assert await ipmi.users() == {}
        with pytest.raises(NotFound):
            await ipmi.made.ask(ipmi.admin, UserService.GetUser, GetUserRequest(name="renamed"))


async def test_an_id_given_up_takes_nobody_else_away() -> None:
    async with ipmi_house() as ipmi:
        await ipmi.made.create(ipmi.admin, "olga")
        await ipmi.name(9, "olga")
        assert (await ipmi.users())[9].name == "olga"
        await ipmi.secret("olga")
        with pytest.raises(Refused, match="IPMI user id 9"):
            await ipmi.name(5, "olga")
        with pytest.raises(Refused, match="does not rename"):
            await ipmi.name(9, "other")
        await ipmi.made.create(ipmi.admin, "piet")
        with pytest.raises(Refused, match="is olga's"):
            await ipmi.name(9, "piet")
        await ipmi.name(9, "")
        user = (await ipmi.made.ask(ipmi.admin, UserService.GetUser, GetUserRequest(name="olga"))).user
        assert user is not None
        assert (user.ipmi_user_id, user.ipmi_enabled) == (0, False)
        for name in ("Upper", "a b", "seventeen_letters"):
            with pytest.raises(Invalid):
                await ipmi.name(5, name)
        with pytest.raises(Invalid):
            await ipmi.name(1, "nobody")


async def test_there_are_fourteen_ids() -> None:
    async with ipmi_house() as ipmi:
        for number in range(2, 16):
            await ipmi.name(number, f"svc{number}")
        with pytest.raises(Exhausted, match="14 users"):
            await ipmi.secret("admin")


async def test_the_level_is_the_lower_of_role_and_limit() -> None:
    async with ipmi_house() as ipmi:
        await ipmi.secret("admin")
        for limit, level in ((IpmiPrivilege.OPERATOR, 3), (IpmiPrivilege.UNSPECIFIED, 4), (IpmiPrivilege.USER, 2)):
            await ipmi.update(User(name="admin", ipmi_privilege_limit=limit), "ipmi_privilege_limit")
            assert await ipmi.level("admin") == level
        await ipmi.update(User(name="admin", ipmi_privilege_limit=IpmiPrivilege.NO_ACCESS), "ipmi_privilege_limit")
        with pytest.raises(NotFound):
            await ipmi.level("admin")
        await ipmi.made.create(ipmi.admin, "olga", READ_ONLY)
        await ipmi.secret("olga")
        await ipmi.update(User(name="olga", ipmi_privilege_limit=IpmiPrivilege.ADMINISTRATOR), "ipmi_privilege_limit")
        assert await ipmi.level("olga") == 2
        await ipmi.update(User(name="olga", ipmi_disabled=True), "ipmi_disabled")
        with pytest.raises(NotFound):
            await ipmi.level("olga")


# --- secrets ----------------------------------------------------------------------------------------------------------


async def test_a_chosen_secret_is_kept_in_its_size_and_is_no_password() -> None:
    async with ipmi_house() as ipmi:
        await ipmi.secret("admin", b"sixteen chars ok", short=True)

        async def test(secret: bytes, *, short: bool) -> IpmiSecretTest:
            request = TestIpmiSecretRequest(ipmi_user_id=2, secret=secret, short=short)
            return (await ipmi.bus.ask(UserService.TestIpmiSecret, request)).outcome

        assert await test(b"sixteen chars ok", short=True) is IpmiSecretTest.SAME
        assert await test(b"sixteen chars no", short=True) is IpmiSecretTest.OTHER
        assert await test(b"sixteen chars ok", short=False) is IpmiSecretTest.OTHER_SIZE
        await ipmi.secret("admin", b"twenty characters !!")
        assert await test(b"twenty characters !!", short=False) is IpmiSecretTest.SAME
        key = await ipmi.bus.ask(UserService.GetIpmiKey, GetIpmiKeyRequest(name="admin"))
        assert (key.key, key.ipmi_user_id) == (b"twenty characters !!", 2)
        with pytest.raises(Unauthenticated):
            await ipmi.made.login("admin", "twenty characters !!")
        for wrong in (b"short", b"a zero\0 inside", b"longer than twenty bytes", b"password1"):
            with pytest.raises(Invalid):
                await ipmi.secret("admin", wrong)


async def test_only_who_may_sets_anothers_secret() -> None:
    async with ipmi_house() as ipmi:
        olga = await ipmi.made.member(ipmi.admin, "olga", OPERATOR)
        request = SetIpmiSecretRequest(name="admin", secret=SECRET)
        with pytest.raises(Denied):
            await ipmi.made.ask(olga, UserService.SetIpmiSecret, request)
        own = SetIpmiSecretRequest(name="olga", secret=SECRET)
        await ipmi.made.ask(olga, UserService.SetIpmiSecret, own)
        assert await ipmi.level("olga") == 3


# --- sessions ---------------------------------------------------------------------------------------------------------


async def test_a_principal_is_limited_to_its_level() -> None:
    async with ipmi_house() as ipmi:
        await ipmi.secret("admin")
        assert set((await ipmi.principal("admin", 2)).privileges) == {Privilege.LOGIN}
        assert set((await ipmi.principal("admin", 3)).privileges) == {Privilege.LOGIN, Privilege.CONFIGURE_COMPONENTS}
        assert set((await ipmi.principal("admin", 4)).privileges) == set(ROLES[ADMINISTRATOR])
        low, high = await ipmi.exchange("admin", 3), await ipmi.exchange("admin", 4)
        name = SetIpmiUserNameRequest(ipmi_user_id=7, name="svc")
        with pytest.raises(Denied):
            await ipmi.made.ask_as(low.principal, UserService.SetIpmiUserName, name)
        await ipmi.made.ask_as(high.principal, UserService.SetIpmiUserName, name)
        assert (await ipmi.users())[7].name == "svc"
        await ipmi.made.create(ipmi.admin, "olga", OPERATOR)
        await ipmi.secret("olga")
        with pytest.raises(Denied, match="too high"):
            await ipmi.exchange("olga", 4)


async def test_a_session_is_listed_goes_on_and_ends() -> None:
    async with ipmi_house() as ipmi:
        await ipmi.secret("admin")
        first, second = await ipmi.exchange("admin"), await ipmi.exchange("admin", 4)
        assert (await ipmi.exchange("admin", 3, first.session)).session == first.session
        assert {(each.id, each.user, each.source) for each in await ipmi.sessions()} == {
            (first.session, "admin", SOURCE),
            (second.session, "admin", SOURCE),
        }
        await ipmi.bus.ask(SessionService.EndIpmiSession, EndIpmiSessionRequest(session=second.session))
        assert [each.id for each in await ipmi.sessions()] == [first.session]
        await ipmi.made.ask(ipmi.admin, SessionService.DeleteSession, DeleteSessionRequest(id=first.session))
        assert await ipmi.sessions() == []
        await ipmi.made.keeper.until(SessionEnd, lambda news: news.id == first.session)
        for ended in (first, second):
            with pytest.raises(Unauthenticated):
                await ipmi.exchange("admin", 2, ended.session)
        with pytest.raises(Unauthenticated):
            await ipmi.made.ask_as(second.principal, SessionService.ListSessions, ListSessionsRequest())


async def test_a_session_goes_on_after_usermgr_was_restarted_under_another_id() -> None:
    async with ipmi_house() as ipmi:
        await ipmi.secret("admin")
        before = await ipmi.exchange("admin")
        await ipmi.made.restart()
        assert await ipmi.sessions() == []
        after = await ipmi.exchange("admin", 2, before.session)
        assert after.session != before.session
        assert [each.id for each in await ipmi.sessions()] == [after.session]


async def test_sessions_end_with_what_they_stand_on() -> None:
    async with ipmi_house() as ipmi:
        await ipmi.made.create(ipmi.admin, "olga", OPERATOR)

        async def ends(user: User, *paths: str) -> None:
            opened = await ipmi.exchange("olga", 2)
            await ipmi.update(user, *paths)
            await ipmi.made.keeper.until(SessionEnd, lambda news: news.id == opened.session)

        await ipmi.secret("olga")
        await ends(User(name="olga", ipmi_privilege_limit=IpmiPrivilege.USER), "ipmi_privilege_limit")
        await ends(User(name="olga", role=READ_ONLY), "role")
        await ends(User(name="olga", ipmi_disabled=True), "ipmi_disabled")
        await ipmi.update(User(name="olga", ipmi_disabled=False), "ipmi_disabled")
        opened = await ipmi.exchange("olga", 2)
        await ipmi.secret("olga", b"another secret")
        ended = await ipmi.made.keeper.until(SessionEnd, lambda news: news.id == opened.session)
        assert ended.reason == "IPMI secret changed"


async def test_who_changes_the_own_secret_over_ipmi_stays() -> None:
    async with ipmi_house() as ipmi:
        await ipmi.secret("admin")
        mine, other = await ipmi.exchange("admin", 4), await ipmi.exchange("admin", 4)
        request = SetIpmiSecretRequest(name="admin", secret=b"chosen over IPMI")
        await ipmi.made.ask_as(mine.principal, UserService.SetIpmiSecret, request)
        assert [each.id for each in await ipmi.sessions()] == [mine.session]
        await ipmi.made.keeper.until(SessionEnd, lambda news: news.id == other.session)
        reset = ResetIpmiSecretRequest(name="admin")
        assert (await ipmi.made.ask_as(mine.principal, UserService.ResetIpmiSecret, reset)).secret
        low = await ipmi.exchange("admin", 3)
        with pytest.raises(Denied):
            await ipmi.made.ask_as(low.principal, UserService.SetIpmiSecret, request)


async def test_failures_lock_the_account_as_wrong_passwords_do() -> None:
    async with ipmi_house(AccountPolicy(lockout_failures=3)) as ipmi:
        await ipmi.secret("admin")
        assert await ipmi.level("admin") == 4
        for _ in range(3):
            await ipmi.bus.ask(SessionService.ReportIpmiFailure, ReportIpmiFailureRequest(name="admin", source=SOURCE))
        await ipmi.made.keeper.until(UserLocked, lambda news: news.name == "admin")
        with pytest.raises(NotFound):
            await ipmi.level("admin")
        with pytest.raises(Unauthenticated):
            await ipmi.made.login("admin")


async def test_a_flood_of_failures_does_not_fill_the_event_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that is locked can go on failing over IPMI, where no secret comes to us."""
    monkeypatch.setattr(attempts, "FOLD_SECONDS", 0.3)
    async with ipmi_house() as ipmi:
        report = ReportIpmiFailureRequest(source=SOURCE)
        for _ in range(120):
            await ipmi.bus.ask(SessionService.ReportIpmiFailure, report)
        keeper = ipmi.made.keeper
        await keeper.until(LoginFlood, lambda news: True)
        assert len(keeper.of(SourceLocked)) == 1
        await ipmi.made.stop()
        told, floods = keeper.of(LoginAttempt), keeper.of(LoginFlood)
        refused = [news for news in told if news.outcome == "refused"]
        assert len(refused) == attempts.BURST
        assert {news.source for news in floods} == {SOURCE}
        await keeper.until(LoginFlood, lambda _: sum(each.attempts for each in keeper.of(LoginFlood)) == 100)
        assert len(floods) < 10
        await ipmi.made.start()


async def test_an_address_from_which_too_much_failed_gets_no_key() -> None:
    async with ipmi_house(AccountPolicy(source_lockout_failures=2)) as ipmi:
        await ipmi.secret("admin")
        for _ in range(2):
            await ipmi.bus.ask(SessionService.ReportIpmiFailure, ReportIpmiFailureRequest(name="nobody", source=SOURCE))
        with pytest.raises(NotFound):
            await ipmi.level("admin")
        elsewhere = GetIpmiKeyRequest(name="admin", source="198.51.100.1")
        assert (await ipmi.bus.ask(UserService.GetIpmiKey, elsewhere)).key == SECRET
        assert {news.user for news in ipmi.made.keeper.of(LoginAttempt) if news.outcome == "refused"} <= {""}
