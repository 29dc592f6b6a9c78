"""usermgr on a real bus: logins, principals and the life of sessions."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from dataclasses import replace
from typing import Any

import pytest
from tests.harness.bus import BusWorld
from tests.service.usermgr_house import FIRST, MANAGERS, SOURCE, WEBSRV, WRONG, House, Keeper, house

from ubmc.kit.call import Call
from ubmc.kit.errors import Denied, Exhausted, Invalid, NotFound, Unauthenticated, Unavailable
from ubmc.kit.service import Service, on
from ubmc.kit.tracing import Trace
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.usermgr.passwords import Hasher
from ubmc.services.usermgr.roles import ADMINISTRATOR, OPERATOR, ROLES
from ubmc.services.usermgr.service import UserManager
from ubmc.services.usermgr.sessions import SessionOptions
from ubmc.v1alpha1.access_pb import Privilege
from ubmc.v1alpha1.session_pb import (
    DeleteSessionRequest,
    GetCurrentSessionRequest,
    ListSessionsRequest,
    LoginAttempt,
    LoginRequest,
    LoginResponse,
    LogoutRequest,
    SessionEnd,
)
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.system_pb import AuditedCall
from ubmc.v1alpha1.user_pb import (
    ChangePasswordRequest,
    CreateUserRequest,
    DeleteUserRequest,
    ListRolesRequest,
    ListUsersRequest,
    User,
)
from ubmc.v1alpha1.user_rpc import UserService

# --- login and principals ---------------------------------------------------------------------------------------------


async def test_login_and_who_am_i() -> None:
    async with house() as made:
        login = await made.login("admin")
        assert login.session is not None
        assert (login.session.user, login.session.role, login.session.source) == ("admin", ADMINISTRATOR, SOURCE)
        answer = await made.ask(login.token, SessionService.GetCurrentSession, GetCurrentSessionRequest())
        assert answer.session is not None
        assert answer.session.id == login.session.id != login.token
        assert answer.privileges == list(ROLES[ADMINISTRATOR])
        assert not answer.must_change_password
        assert answer.session.expire_time is not None
        assert answer.session.create_time is not None
        length = answer.session.expire_time.to_seconds() - answer.session.create_time.to_seconds()
        assert length == pytest.approx(12 * 3600, abs=2)
        attempt = await made.keeper.until(LoginAttempt, lambda news: news.outcome == "ok")
        assert (attempt.user, attempt.source) == ("admin", SOURCE)


async def test_all_failed_logins_are_alike_and_a_typed_name_is_not_told() -> None:
    async with house() as made:
        admin = await made.admin()
        await made.create(admin, "olga", enabled=False)
        for user, password in (("admin", "wrong"), ("olga", "olga password"), ("my secret", "admin")):
            with pytest.raises(Unauthenticated) as caught:
                await made.login(user, password)
            assert caught.value.message == WRONG
        last = await made.keeper.until(LoginAttempt, lambda news: news.user == "" and news.outcome == "refused")
        assert last.source == SOURCE
        refused = [news.user for news in made.keeper.of(LoginAttempt) if news.outcome == "refused"]
        assert list(dict.fromkeys(refused)) == ["admin", "olga", ""]  # news may come twice
        assert not any(b"my secret" in news.to_binary() for news in made.keeper.news)


async def test_a_known_idempotency_key_neither_logs_in_nor_tries_passwords_for_nothing() -> None:
    async with house() as made:
        call = replace(made.public(), key="k1")
        request = LoginRequest(user="admin", password=FIRST)
        first = await made.door.forward(SessionService.Login, request, call)
        assert (await made.door.forward(SessionService.Login, request, call)).token != first.token
        with pytest.raises(Unauthenticated, match=WRONG):
            await made.door.forward(SessionService.Login, LoginRequest(user="admin", password="a guess"), call)


async def test_unknown_user_costs_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house() as made:
        hashes: list[str] = []
        original = Hasher.verify

        async def counting(self: Hasher, hashed: str, password: str) -> bool:
            hashes.append(hashed.rpartition("$")[0].rpartition("$")[0])
            return await original(self, hashed, password)

        monkeypatch.setattr(Hasher, "verify", counting)
        for user in ("admin", "nobody"):
            with pytest.raises(Unauthenticated):
                await made.login(user, "wrong password")
        assert hashes == ["$argon2id$v=19$m=19456,t=2,p=1"] * 2


async def test_principal_is_signed_short_lived_and_bound_to_the_role() -> None:
    async with house() as made:
        admin = await made.admin()
        token = await made.member(admin, "olga", OPERATOR)
        principal = await made.principal(token)
        assert (principal.user, principal.role, principal.source) == ("olga", OPERATOR, SOURCE)
        assert principal.privileges == [Privilege.LOGIN, Privilege.CONFIGURE_COMPONENTS, Privilege.CONFIGURE_SELF]
        assert 25 < principal.expires - time.monotonic() <= 30
        assert (await made.exchange(token)).keep_seconds == 15
        for wrong in (token + "x", token[:-1], "nonsense"):
            with pytest.raises(Unauthenticated):
                await made.exchange(wrong)


async def test_principal_ends_with_its_session() -> None:
    async with house(SessionOptions(idle_seconds=5, absolute_seconds=5)) as made:
        token = await made.admin()
        assert (await made.principal(token)).expires - time.monotonic() <= 5
        assert (await made.exchange(token)).keep_seconds <= 5


async def test_a_door_without_leave_cannot_exchange() -> None:
    async with BusWorld(MANAGERS, ProcessSpec("websrv", (), door=True)) as world:
        made = House(world, SessionOptions())
        try:
            made.managers = await world.place("managers", made.keeper)
            await made.start()
            made.door = await world.place("websrv")
            token = await made.admin()
            with pytest.raises(Unavailable, match="forbids"):
                await made.exchange(token)
        finally:
            await made.stop()


async def test_password_that_must_be_changed_allows_nothing_else() -> None:
    async with house(given=None) as made:
        token = (await made.login("admin", made.announced[0][1])).token
        assert (await made.principal(token)).privileges == [Privilege.CONFIGURE_SELF]
        assert (await made.exchange(token)).keep_seconds == 0
        with pytest.raises(Denied, match="ConfigureUsers"):
            await made.ask(token, UserService.ListUsers, ListUsersRequest())
        with pytest.raises(Denied, match="Login"):
            await made.ask(token, UserService.ListRoles, ListRolesRequest())
        current = await made.ask(token, SessionService.GetCurrentSession, GetCurrentSessionRequest())
        assert current.must_change_password
        change = ChangePasswordRequest(
            name="admin", current_password=made.announced[0][1], new_password="a better password"
        )
        await made.ask(token, UserService.ChangePassword, change)
        assert (await made.principal(token)).privileges == list(ROLES[ADMINISTRATOR])
        assert len((await made.ask(token, UserService.ListUsers, ListUsersRequest())).users) == 1


# --- the life of sessions ---------------------------------------------------------------------------------------------


async def test_logout_ends_the_session_for_good() -> None:
    async with house() as made:
        token, other = await made.admin(), await made.admin()
        call = await made.call(token)
        await made.door.forward(SessionService.Logout, LogoutRequest(), call)
        ended = await made.keeper.until(SessionEnd, lambda news: news.reason == "logout")
        assert ended.user == "admin"
        with pytest.raises(Unauthenticated):
            await made.exchange(token)
        again = Call(time.monotonic() + 5, Trace.new(), signed=call.signed)  # the principal itself is still fresh
        attempts: tuple[tuple[Any, Any], ...] = (
            (UserService.ListUsers, ListUsersRequest()),
            (UserService.CreateUser, CreateUserRequest(user=User(name="late", role=ADMINISTRATOR), password="x" * 9)),
            (SessionService.GetCurrentSession, GetCurrentSessionRequest()),
        )
        for what, request in attempts:
            with pytest.raises(Unauthenticated):
                await made.door.forward(what, request, again)
        await made.restart()
        with pytest.raises(Unauthenticated):
            await made.exchange(token)
        assert (await made.principal(other)).user == "admin"


async def test_restart_keeps_sessions() -> None:
    async with house() as made:
        login = await made.login("admin")
        await made.restart()
        assert login.session is not None
        assert (await made.principal(login.token)).session == login.session.id
        answer = await made.ask(login.token, SessionService.GetCurrentSession, GetCurrentSessionRequest())
        assert answer.session is not None
        assert answer.session.source == SOURCE
        assert answer.session.create_time == login.session.create_time
        raw = b"".join(path.read_bytes() for path in made.world.state.glob("precious.db*"))
        assert login.token.encode() not in raw
        assert FIRST.encode() not in raw


async def test_idle_session_ends_by_itself_and_a_used_one_does_not() -> None:
    async with house(SessionOptions(idle_seconds=0.6, absolute_seconds=60, keep_seconds=0)) as made:
        idle, used = await made.login("admin"), await made.login("admin")
        assert idle.session is not None

        async def keep_using() -> None:
            while True:
                await made.exchange(used.token)
                await asyncio.sleep(0.05)

        using = asyncio.create_task(keep_using())
        ended = await made.keeper.until(SessionEnd, lambda news: news.reason == "idle")
        assert ended.id == idle.session.id
        with pytest.raises(Unauthenticated):
            await made.exchange(idle.token)
        await made.exchange(used.token)
        using.cancel()
        await asyncio.gather(using, return_exceptions=True)


async def test_session_ends_at_its_absolute_limit_even_while_usermgr_is_away() -> None:
    async with house(SessionOptions(idle_seconds=0.5, absolute_seconds=0.5, keep_seconds=0)) as made:
        token = await made.admin()
        await made.stop()
        await asyncio.sleep(0.5)
        await made.start()
        with pytest.raises(Unauthenticated):
            await made.exchange(token)
        assert (await made.keeper.until(SessionEnd, lambda _: True)).reason == "expired"


async def test_last_use_is_written_rarely_and_at_the_end() -> None:
    async with house() as made:
        token = await made.admin()

        def used() -> float:
            with contextlib.closing(sqlite3.connect(made.database.path)) as other:
                return float(other.execute("SELECT used FROM usermgr_sessions").fetchone()[0])

        opened = used()
        for _ in range(50):
            await made.exchange(token)
        await made.create(token, "olga")  # the database's thread has seen all that came before
        assert used() == opened
        await made.stop()
        assert used() > opened
        made.database.open()


async def test_last_use_is_written_in_the_end_while_running() -> None:
    async with house(SessionOptions(write_seconds=0.2)) as made:
        token = await made.admin()
        query = "SELECT used FROM usermgr_sessions"
        with contextlib.closing(sqlite3.connect(made.database.path)) as other:
            opened = other.execute(query).fetchone()
            await asyncio.sleep(0.01)
            await made.exchange(token)
            async with asyncio.timeout(30):
                while other.execute(query).fetchone() == opened:
                    await asyncio.sleep(0.02)


async def test_with_a_right_password_one_always_gets_in() -> None:
    async with house(SessionOptions(per_user=2, in_all=3)) as made:
        tokens = [await made.admin() for _ in range(2)]
        await made.exchange(tokens[0])
        tokens.append(await made.admin())
        with pytest.raises(Unauthenticated):
            await made.exchange(tokens[1])
        await made.exchange(tokens[0])
        assert (await made.keeper.until(SessionEnd, lambda _: True)).reason == "ended by admin"


async def test_sessions_are_listed_and_ended_by_their_owner_or_an_administrator() -> None:
    async with house() as made:
        admin = await made.admin()
        olga = await made.member(admin, "olga", OPERATOR)
        own = (await made.ask(olga, SessionService.ListSessions, ListSessionsRequest())).sessions
        every = (await made.ask(admin, SessionService.ListSessions, ListSessionsRequest())).sessions
        assert [session.user for session in own] == ["olga"]
        assert sorted(session.user for session in every) == ["admin", "olga"]
        assert [session.id for session in every] == sorted(session.id for session in every)
        (foreign,) = (session.id for session in every if session.user == "admin")
        with pytest.raises(NotFound):
            await made.ask(olga, SessionService.DeleteSession, DeleteSessionRequest(id=foreign))
        await made.exchange(admin)
        second = await made.login("olga", "olga password")
        assert second.session is not None
        await made.ask(olga, SessionService.DeleteSession, DeleteSessionRequest(id=second.session.id))
        await made.ask(admin, SessionService.DeleteSession, DeleteSessionRequest(id=own[0].id))
        await made.keeper.until(SessionEnd, lambda news: news.reason == "ended by olga")
        ended = await made.keeper.until(SessionEnd, lambda news: news.reason == "ended by admin")
        assert ended.id == own[0].id
        for token in (olga, second.token):
            with pytest.raises(Unauthenticated):
                await made.exchange(token)


async def test_lists_have_pages() -> None:
    async with house() as made:
        admin = await made.admin()
        for name in ("zoe", "bob", "olga"):
            await made.member(admin, name)
        names: list[str] = []
        ids: list[str] = []
        request = ListUsersRequest(page_size=3)
        first = await made.ask(admin, UserService.ListUsers, request)
        names += [user.name for user in first.users]
        rest = ListUsersRequest(page_size=3, page_token=first.next_page_token)
        second = await made.ask(admin, UserService.ListUsers, rest)
        names += [user.name for user in second.users]
        assert names == ["admin", "bob", "olga", "zoe"]
        assert (len(first.users), second.next_page_token) == (3, "")
        token = ""
        for _ in range(4):
            page = await made.ask(
                admin, SessionService.ListSessions, ListSessionsRequest(page_size=1, page_token=token)
            )
            ids += [session.id for session in page.sessions]
            token = page.next_page_token
        assert token == ""
        assert ids == sorted(set(ids))
        assert len(ids) == 4
        with pytest.raises(Invalid, match="pageToken"):
            await made.ask(admin, UserService.ListUsers, ListUsersRequest(page_token="made up"))


# --- under load -------------------------------------------------------------------------------------------------------


async def test_many_logins_at_once_do_not_hold_up_the_others() -> None:
    async with house() as made:
        token = await made.admin()
        logins = asyncio.gather(*(made.login("admin") for _ in range(30)), return_exceptions=True)
        answered = 0
        while not logins.done():
            await made.exchange(token)
            answered += 1
        outcomes = await logins
        assert answered > 20
        assert all(isinstance(outcome, (LoginResponse, Exhausted)) for outcome in outcomes)
        assert sum(isinstance(outcome, Exhausted) for outcome in outcomes) >= 1
        assert sum(isinstance(outcome, LoginResponse) for outcome in outcomes) >= 2


async def test_change_is_finished_and_told_when_its_caller_gives_up() -> None:
    async with house() as made:
        admin = await made.admin()
        olga = await made.member(admin, "olga")
        hold = asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(_connection: sqlite3.Connection) -> None:
            asyncio.run_coroutine_threadsafe(hold.wait(), loop).result(10)

        blocking = asyncio.create_task(made.database.run(slow))
        await asyncio.sleep(0.05)
        call = await made.call(admin)
        call = Call(time.monotonic() + 0.2, call.trace, signed=call.signed)
        with pytest.raises(Exception, match="in time"):
            await made.door.forward(UserService.DeleteUser, DeleteUserRequest(name="olga"), call)
        hold.set()
        await blocking
        await made.keeper.until(SessionEnd, lambda news: (news.user, news.reason) == ("olga", "account changed"))
        with pytest.raises(Unauthenticated):
            await made.exchange(olga)


async def test_changes_are_audited() -> None:
    told: asyncio.Queue[AuditedCall] = asyncio.Queue()

    class Auditor(Service):
        name = "auditor"

        @on(AuditedCall)
        async def follow(self, call: AuditedCall) -> None:
            await told.put(call)

    async with BusWorld(ProcessSpec("managers", (UserManager, Keeper, Auditor)), WEBSRV) as world:
        made = House(world, SessionOptions())
        try:
            await made.open()
            await world.run(made.managers, Auditor())
            await made.create(await made.admin(), "olga")
            async with asyncio.timeout(30):
                audited = await told.get()
            assert (audited.method, audited.user, audited.target) == ("UserService.CreateUser", "admin", "olga")
        finally:
            await made.stop()
