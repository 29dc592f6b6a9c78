"""usermgr on a real bus, for its tests: a door, somebody who takes the news, restarts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import orjson
from protobuf import Message
from tests.harness.bus import BusWorld

from ubmc.kit.bus import Bus
from ubmc.kit.call import Call
from ubmc.kit.database import Database
from ubmc.kit.errors import Unavailable
from ubmc.kit.keys import PrincipalVerifier
from ubmc.kit.secrets import DeviceKey
from ubmc.kit.service import Service, on
from ubmc.kit.tracing import Trace
from ubmc.rpc import Req, Res, Unary
from ubmc.services.ipc.permissions import EVENTS_STREAM, ProcessSpec
from ubmc.services.usermgr.policy import AccountPolicy
from ubmc.services.usermgr.roles import READ_ONLY
from ubmc.services.usermgr.service import UserManager
from ubmc.services.usermgr.sessions import SessionOptions
from ubmc.v1alpha1.account_pb import AccountPolicyChange
from ubmc.v1alpha1.session_pb import (
    ExchangeBasicRequest,
    ExchangeBasicResponse,
    ExchangeCertificateRequest,
    ExchangeCertificateResponse,
    ExchangeTokenRequest,
    ExchangeTokenResponse,
    LoginAttempt,
    LoginFlood,
    LoginRequest,
    LoginResponse,
    Principal,
    SessionEnd,
)
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.token_pb import TokenChange
from ubmc.v1alpha1.user_pb import (
    CreateUserRequest,
    RoleChange,
    SecondFactorChange,
    SourceLocked,
    User,
    UserChange,
    UserLocked,
    UserUnlocked,
)
from ubmc.v1alpha1.user_rpc import UserService

T = TypeVar("T", bound=Message[Any])

FIRST = "first password"
SOURCE = "192.0.2.7"
WRONG = "wrong user name or password"


class Door(Service):
    """A door may ask who a token is."""

    name = "websrv"
    calls = (SessionService.ExchangeToken, SessionService.ExchangeBasic, SessionService.ExchangeCertificate)


class Keeper(Service):
    """Takes all news, as the event log does."""

    name = "eventlog"
    keeps_log = True

    def __init__(self) -> None:
        self.news: list[Message[Any]] = []
        self._arrived = asyncio.Condition()

    async def setup(self) -> None:
        config = {"name": EVENTS_STREAM, "subjects": ["event.>"], "storage": "memory", "max_bytes": 1 << 20}
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(Unavailable):  # a server that learns of a key may end what has just begun
                answer = await self._create(orjson.dumps(config))
                assert "error" not in answer, answer
                return
            assert time.monotonic() < deadline, "the bus does not come back"
            await asyncio.sleep(0.05)

    async def _create(self, config: bytes) -> Any:
        call = Call(time.monotonic() + 5, Trace.new())
        subject = f"$JS.API.STREAM.CREATE.{EVENTS_STREAM}"
        return orjson.loads(await self.bus.request(subject, config, call, "the stream"))

    async def _keep(self, news: Message[Any]) -> None:
        async with self._arrived:
            self.news.append(news)
            self._arrived.notify_all()

    @on(UserChange)
    async def user_change(self, news: UserChange) -> None:
        await self._keep(news)

    @on(SessionEnd)
    async def session_end(self, news: SessionEnd) -> None:
        await self._keep(news)

    @on(LoginAttempt)
    async def login_attempt(self, news: LoginAttempt) -> None:
        await self._keep(news)

    @on(LoginFlood)
    async def login_flood(self, news: LoginFlood) -> None:
        await self._keep(news)

    @on(UserLocked)
    async def user_locked(self, news: UserLocked) -> None:
        await self._keep(news)

    @on(UserUnlocked)
    async def user_unlocked(self, news: UserUnlocked) -> None:
        await self._keep(news)

    @on(SourceLocked)
    async def source_locked(self, news: SourceLocked) -> None:
        await self._keep(news)

    @on(SecondFactorChange)
    async def second_factor_change(self, news: SecondFactorChange) -> None:
        await self._keep(news)

    @on(RoleChange)
    async def role_change(self, news: RoleChange) -> None:
        await self._keep(news)

    @on(TokenChange)
    async def token_change(self, news: TokenChange) -> None:
        await self._keep(news)

    @on(AccountPolicyChange)
    async def account_policy_change(self, news: AccountPolicyChange) -> None:
        await self._keep(news)

    def of(self, kind: type[T]) -> list[T]:
        return [news for news in self.news if isinstance(news, kind)]

    async def until(self, kind: type[T], condition: Callable[[T], bool]) -> T:
        async with asyncio.timeout(30), self._arrived:
            while not (found := [news for news in self.of(kind) if condition(news)]):
                await self._arrived.wait()
            return found[-1]


class IpmiDoor(Service):
    """A door may ask for an IPMI secret."""

    name = "ipmisrv"
    calls = (
        UserService.GetIpmiKey,
        UserService.ListIpmiUsers,
        UserService.TestIpmiSecret,
        SessionService.ExchangeIpmi,
        SessionService.EndIpmiSession,
        SessionService.ReportIpmiFailure,
    )


class SshDoor(Service):
    """A door may ask who has an SSH key."""

    name = "sshsrv"
    calls = (SessionService.CheckSshKey, SessionService.LoginSshKey, SessionService.ExchangeToken)


def allow_all(_connected: socket.socket) -> None:
    """The directory of a test runs on loopback."""


MANAGERS = ProcessSpec("managers", (UserManager, Keeper))
WEBSRV = ProcessSpec("websrv", (Door,), door=True)
IPMISRV = ProcessSpec("ipmisrv", (IpmiDoor,), door=True)
SSHSRV = ProcessSpec("sshsrv", (SshDoor,), door=True)


class House:
    """A bus, a door and usermgr, which can be stopped and started again."""

    def __init__(self, world: BusWorld, options: SessionOptions, policy: AccountPolicy | None = None) -> None:
        self.world = world
        self.options = options
        self.policy = policy
        self.database = Database(world.state / "precious.db")
        self.keeper = Keeper()
        self.announced: list[tuple[str, str]] = []
        self.first_changes = 0
        self.given: str | None = FIRST
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self.managers = await self.world.place("managers", self.keeper)
        self.door: Bus = await self.world.place("websrv", Door())
        await self.start()

    async def start(self) -> None:
        self.database.open()
        users = UserManager(
            self.database,
            self.world.signer,
            DeviceKey.load(self.world.state / "device.key"),
            first_password=lambda: self.given,
            announce=self.announce,
            first_changed=self.count_first_change,
            options=self.options,
            policy=self.policy,
            state=self.world.state,
            check_peer=allow_all,
        )
        self._task = await self.world.run(self.managers, users)

    def count_first_change(self) -> None:
        self.first_changes += 1

    def announce(self, name: str, password: str) -> None:
        with contextlib.closing(sqlite3.connect(self.database.path)) as other:  # it is on disk before it is told
            assert other.execute("SELECT unclaimed FROM usermgr_users WHERE name = ?", (name,)).fetchone() == (1,)
        self.announced.append((name, password))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.database.close()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def public(self, source: str = SOURCE) -> Call:
        return Call(time.monotonic() + 5, Trace.new(), source=source)

    async def login(self, user: str, password: str = FIRST, code: str = "", source: str = SOURCE) -> LoginResponse:
        request = LoginRequest(user=user, password=password, one_time_code=code)
        return await self.door.forward(SessionService.Login, request, self.public(source))

    async def basic(self, user: str, password: str = FIRST) -> ExchangeBasicResponse:
        request = ExchangeBasicRequest(user=user, password=password, source=SOURCE)
        return await self.door.ask(SessionService.ExchangeBasic, request)

    async def certificate(self, *identities: str) -> ExchangeCertificateResponse:
        request = ExchangeCertificateRequest(identities=list(identities), source=SOURCE)
        return await self.door.ask(SessionService.ExchangeCertificate, request)

    def verified(self, signed: bytes) -> Principal:
        verifier = PrincipalVerifier(time.monotonic)
        verifier.trust([self.world.signer.public])
        return verifier.verify(signed)

    async def ask_as(self, signed: bytes, what: Unary[Req, Res], request: Req) -> Res:
        call = Call(time.monotonic() + 5, Trace.new(), source=SOURCE, signed=signed)
        return await self.door.forward(what, request, call)

    async def exchange(self, token: str) -> ExchangeTokenResponse:
        return await self.door.ask(SessionService.ExchangeToken, ExchangeTokenRequest(token=token, source=SOURCE))

    async def principal(self, token: str) -> Principal:
        return self.verified((await self.exchange(token)).principal)

    async def call(self, token: str) -> Call:
        signed = (await self.exchange(token)).principal
        return Call(time.monotonic() + 5, Trace.new(), source=SOURCE, signed=signed)

    async def ask(self, token: str, what: Unary[Req, Res], request: Req) -> Res:
        return await self.door.forward(what, request, await self.call(token))

    async def admin(self) -> str:
        return (await self.login("admin")).token

    async def create(self, token: str, name: str, role: str = READ_ONLY, *, enabled: bool = True) -> User:
        user = User(name=name, role=role, enabled=enabled)
        answer = await self.ask(
            token, UserService.CreateUser, CreateUserRequest(user=user, password=f"{name} password")
        )
        assert answer.user is not None
        return answer.user

    async def member(self, token: str, name: str, role: str = READ_ONLY) -> str:
        await self.create(token, name, role)
        return (await self.login(name, f"{name} password")).token


@contextlib.asynccontextmanager
async def house(
    options: SessionOptions | None = None, given: str | None = FIRST, policy: AccountPolicy | None = None
) -> AsyncIterator[House]:
    async with BusWorld(MANAGERS, WEBSRV, IPMISRV, SSHSRV) as world:
        made = House(world, options or SessionOptions(), policy)
        made.given = given
        try:
            await made.open()
            yield made
        finally:
            await made.stop()
