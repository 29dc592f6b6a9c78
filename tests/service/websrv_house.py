"""The door of a test: websrv over real TLS before services of the test, on a real bus."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from protobuf import Message
from tests.harness.bus import PRIVILEGES, BusWorld

from ubmc.kit import call as calls
from ubmc.kit import subjects
from ubmc.kit.bus import Bus
from ubmc.kit.database import Database
from ubmc.kit.errors import (
    Busy,
    Exhausted,
    Exists,
    NotFound,
    Refused,
    TimedOut,
    UbmcError,
    Unauthenticated,
    Unavailable,
)
from ubmc.kit.keys import PrincipalSigner
from ubmc.kit.secrets import DeviceKey
from ubmc.kit.service import Service, rpc, stream
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.securitymgr.service import SecurityManager
from ubmc.services.websrv.service import DoorOptions, WebServer
from ubmc.v1alpha1.account_pb import AccountPolicyChange
from ubmc.v1alpha1.event_pb import EventEnvelope
from ubmc.v1alpha1.host_pb import (
    ChangeHostPowerRequest,
    ChangeHostPowerResponse,
    GetHostRequest,
    GetHostResponse,
    Host,
    ListHostsRequest,
    ListHostsResponse,
    WatchHostsRequest,
    WatchHostsResponse,
)
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.session_pb import (
    CredentialKind,
    ExchangeBasicRequest,
    ExchangeBasicResponse,
    ExchangeCertificateRequest,
    ExchangeCertificateResponse,
    ExchangeTokenRequest,
    ExchangeTokenResponse,
    LoginRequest,
    LoginResponse,
    Principal,
    SessionEnd,
)
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.system_pb import GetMetricsRequest, GetMetricsResponse
from ubmc.v1alpha1.system_rpc import TelemetryService
from ubmc.v1alpha1.user_pb import RoleChange, SecondFactorChange, SourceLocked, UserChange, UserLocked

HOST = "/api/v1alpha1/hosts/host.0"
ERRORS: dict[str, type[UbmcError]] = {
    "host.1": NotFound,
    "host.2": Refused,
    "host.3": Busy,
    "host.4": Exhausted,
    "host.5": Unavailable,
    "host.6": TimedOut,
    "host.7": Exists,
}
STATUSES = {
    "host.1": (404, "not_found", 5),
    "host.2": (409, "failed_precondition", 9),
    "host.3": (409, "aborted", 10),
    "host.4": (429, "resource_exhausted", 8),
    "host.5": (503, "unavailable", 14),
    "host.6": (504, "deadline_exceeded", 4),
    "host.7": (409, "already_exists", 6),
    "host.8": (500, "internal", 13),
}


class Hosts(Service):
    name = "statemgr"

    def __init__(self) -> None:
        self.changed: list[tuple[str, str, str]] = []
        self.cursors: list[str] = []
        self.traces: list[str] = []
        self.open = 0
        self.news: asyncio.Queue[WatchHostsResponse | UbmcError | None] = asyncio.Queue()

    @rpc(HostService.ListHosts)
    async def list(self, request: ListHostsRequest) -> ListHostsResponse:
        return ListHostsResponse(hosts=[Host(name="host.0")])

    @rpc(HostService.GetHost)
    async def get(self, request: GetHostRequest) -> GetHostResponse:
        call = calls.current.get()
        assert call is not None
        self.traces.append(call.trace.trace_id)
        if request.name in ERRORS:
            raise ERRORS[request.name](f"{request.name} says no")
        if request.name == "host.8":
            raise RuntimeError("secret detail")
        if request.name == "host.9":
            await asyncio.sleep(30)
        return GetHostResponse(host=Host(name=request.name))

    @rpc(HostService.ChangeHostPower)
    async def change(self, request: ChangeHostPowerRequest) -> ChangeHostPowerResponse:
        call = calls.current.get()
        assert call is not None
        assert call.principal is not None
        self.changed.append((call.principal.user, call.key, call.source))
        return ChangeHostPowerResponse(host=Host(name=request.name))

    @stream(HostService.WatchHosts)
    async def watch(self, request: WatchHostsRequest) -> AsyncIterator[WatchHostsResponse]:
        self.cursors.append(request.cursor)
        self.open += 1
        try:
            if request.name == "host.1":
                raise NotFound("there is no host.1")
            if request.name != "host.2":  # silent at first
                yield WatchHostsResponse(host=Host(name="host.0"), cursor="e:1", snapshot=True)
            while (item := await self.news.get()) is not None:
                if isinstance(item, UbmcError):
                    raise item
                yield item
        finally:
            self.open -= 1


class Users(Service):
    """Tokens of the test: `ROLE-of-USER`."""

    name = "usermgr"
    tells = (
        SessionEnd,
        UserChange,
        UserLocked,
        SecondFactorChange,
        SourceLocked,
        RoleChange,
        AccountPolicyChange,
    )

    def __init__(self, signer: PrincipalSigner) -> None:
        self.signer = signer
        self.passwords = {"olga": "right", "ruth": "Right"}
        self.proven: list[tuple[str, str]] = []
        self.may_prove = asyncio.Event()
        self.may_prove.set()
        self.asked: list[tuple[str, str]] = []
        self.unattended: list[bool] = []
        """Of each that was asked: whether it was no use of the session."""
        self.logins: list[str] = []
        self.certificates: list[list[str]] = []
        self.refused = False
        self.ended: set[str] = set()
        self.keep_seconds = 30.0

    @rpc(SessionService.ExchangeToken)
    async def exchange(self, request: ExchangeTokenRequest) -> ExchangeTokenResponse:
        self.asked.append((request.token, request.source))
        self.unattended.append(request.unattended)
        role, _, user = request.token.partition("-of-")
        if role not in PRIVILEGES or request.token in self.ended:
            raise Unauthenticated("the token is wrong, or its session has ended; log in again")
        principal = Principal(
            user=user, role=role, privileges=PRIVILEGES[role], session=request.token, expires=time.monotonic() + 60
        )
        return ExchangeTokenResponse(principal=self.signer.sign(principal), keep_seconds=self.keep_seconds)

    @rpc(SessionService.ExchangeBasic)
    async def exchange_basic(self, request: ExchangeBasicRequest) -> ExchangeBasicResponse:
        self.proven.append((request.user, request.source))
        await self.may_prove.wait()
        if self.passwords.get(request.user) != request.password:
            raise Unauthenticated("wrong user name or password")
        principal = Principal(
            user=request.user,
            role="Operator",
            privileges=PRIVILEGES["Operator"],
            session=f"visit-{len(self.proven)}",
            source=request.source,
            expires=time.monotonic() + 60,
            kind=CredentialKind.BASIC,
        )
        return ExchangeBasicResponse(principal=self.signer.sign(principal), keep_seconds=self.keep_seconds)

    @rpc(SessionService.ExchangeCertificate)
    async def exchange_certificate(self, request: ExchangeCertificateRequest) -> ExchangeCertificateResponse:
        self.certificates.append(list(request.identities))
        if self.refused or "email:olga@example.org" not in request.identities:
            raise Unauthenticated("nobody")
        now = time.monotonic()
        principal = Principal(
            user="olga",
            role="Operator",
            privileges=PRIVILEGES["Operator"],
            session=f"visit-{len(self.certificates)}",
            expires=now + 60,
        )
        return ExchangeCertificateResponse(principal=self.signer.sign(principal), keep_seconds=0.2)

    @rpc(SessionService.Login)
    async def login(self, request: LoginRequest) -> LoginResponse:
        self.logins.append(request.user)
        if request.password != "right":
            raise Unauthenticated("wrong user name or password")
        return LoginResponse(token=f"Operator-of-{request.user}")


class Metered(Service):
    name = "telemetry"

    @rpc(TelemetryService.GetMetrics)
    async def get(self, request: GetMetricsRequest) -> GetMetricsResponse:
        return GetMetricsResponse(text="# EOF\n")


@dataclass
class World:
    made: BusWorld
    hosts: Hosts
    users: Users
    managers: Bus
    door: Bus
    url: str
    certificate: Path
    server: WebServer
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    def client(self, token: str = "Administrator-of-admin", **headers: str) -> httpx.AsyncClient:
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if token:
            headers["authorization"] = f"Bearer {token}"
        client = httpx.AsyncClient(base_url=self.url, verify=context, timeout=10, headers=headers)
        self.clients.append(client)
        return client

    async def end_session(self, session: str) -> None:
        self.users.ended.add(session)
        envelope = EventEnvelope(component="x", body=SessionEnd(id=session).to_binary())
        await self.managers.link.publish(subjects.event(SessionEnd, "x"), envelope.to_binary())

    async def until(self, what: Any) -> None:
        async with asyncio.timeout(30):
            while not what():
                await asyncio.sleep(0.005)


OPTIONS = DoorOptions((("127.0.0.1", 0),))
SPECS = (
    ProcessSpec("managers", (Hosts, Users, Metered, SecurityManager)),
    ProcessSpec("websrv", (WebServer,), door=True),
)


@contextlib.asynccontextmanager
async def world(options: DoorOptions = OPTIONS) -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as closing, BusWorld(*SPECS) as made:
        hosts, users = Hosts(), Users(made.signer)
        database = Database(made.state / "precious.db")
        database.open()
        closing.callback(database.close)
        shown: list[str] = []
        security = SecurityManager(database, DeviceKey.load(made.state / "device.key"), shown=shown.append)
        managers = await made.place("managers", hosts, users, Metered(), security)
        heard: list[tuple[str, str]] = []
        door = await made.place("websrv")
        server = WebServer(made.schema, options, lambda *what: heard.append(what))
        running = await made.run(door, server)
        w = World(made, hosts, users, managers, door, heard[0][0], made.state / "server.pem", server)
        w.certificate.write_text(shown[-1])
        try:
            yield w
        finally:
            for client in w.clients:
                await client.aclose()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def connect(method: str, service: str = "HostService") -> str:
    return f"/ubmc.v1alpha1.{service}/{method}"


def structured(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body of an error, which every error has."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body["code"] == code
    assert body["message"]
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    return body


def grpc_web(body: bytes) -> tuple[list[bytes], dict[str, str]]:
    """The messages and the trailers of an answer, frame by frame."""
    messages, trailers = [], {}
    while body:
        flags, size = struct.unpack(">BI", body[:5])
        frame, body = body[5 : 5 + size], body[5 + size :]
        if flags & 0x80:
            trailers = dict(line.split(":", 1) for line in frame.decode().strip().split("\r\n"))
            trailers = {name.strip().lower(): value.strip() for name, value in trailers.items()}
        else:
            messages.append(frame)
    return messages, trailers


async def ask_grpc_web(client: httpx.AsyncClient, path: str, message: Message[Any]) -> httpx.Response:
    data = message.to_binary()
    return await client.post(
        path,
        content=struct.pack(">BI", 0, len(data)) + data,
        headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
    )


def grpc_status(answer: httpx.Response) -> tuple[str, str]:
    trailers = grpc_web(answer.content)[1] or {k.lower(): v for k, v in answer.headers.items()}
    return trailers["grpc-status"], trailers.get("grpc-message", "")


class Events:
    """The events of a stream, as a browser reads them."""

    def __init__(self, answer: httpx.Response) -> None:
        self.lines = answer.aiter_lines()
        self.comments = 0

    async def next(self) -> dict[str, str]:
        found: dict[str, str] = {}
        async with asyncio.timeout(30):
            while True:
                line = await anext(self.lines)
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(":")
                    found[name] = found.get(name, "") + value.strip()
                elif found:
                    return found
