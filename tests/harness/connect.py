"""A small BMC on another maker's server: connectrpc's own, run by uvicorn over TLS in a thread.

It knows nothing of our web server, so that it proves our client against the protocol and not against ourselves.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import uvicorn
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from protobuf.wkt import Timestamp

from ubmc.v1alpha1 import event_connect, host_connect, session_connect, system_connect, task_connect, user_connect
from ubmc.v1alpha1.deps.buf.validate.validate_pb import FieldPath, FieldPathElement, Violation, Violations
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.event_pb import Event, ListEventsResponse, WatchEventsResponse
from ubmc.v1alpha1.host_pb import (
    ChangeHostPowerResponse,
    GetHostResponse,
    Host,
    HostPowerAction,
    HostState,
    ListHostsResponse,
    UpdateHostResponse,
    WatchHostsResponse,
)
from ubmc.v1alpha1.session_pb import GetCurrentSessionResponse, LoginResponse, LogoutResponse, Session
from ubmc.v1alpha1.system_pb import GetHealthResponse, GetMetricsResponse, ServiceHealth, ServiceState
from ubmc.v1alpha1.task_pb import GetTaskResponse, Task, TaskState
from ubmc.v1alpha1.user_pb import ChangePasswordResponse, CreateUserResponse

TOKEN = "token-of-a-test"
PASSWORD = "correct horse"


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in one PEM file."""

    path: Path
    der: bytes
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def make_certificate(
    path: Path, *, host: str = "127.0.0.1", days: int = 30, issuer: Certificate | None = None
) -> Certificate:
    """Make a certificate: self-signed, or by an issuer; with negative days it has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ubmc {path.stem}")])
    now = dt.datetime.now(dt.UTC)
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        alternative = x509.DNSName(host)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=60))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    certificate = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Certificate(path, certificate.public_bytes(serialization.Encoding.DER), certificate, key)


@dataclass
class Seen:
    """One request as the server saw it."""

    method: str
    headers: dict[str, str]


@dataclass
class Bmc(
    host_connect.HostService,
    session_connect.SessionService,
    task_connect.TaskService,
    event_connect.EventService,
    system_connect.SystemService,
    system_connect.TelemetryService,
    user_connect.UserService,
):
    """What the BMC is made of, for tests to change, and what it was asked."""

    hosts: dict[str, Host] = field(default_factory=lambda: {"host.0": Host(name="host.0", state=HostState.OFF)})
    password: str = PASSWORD
    must_change: bool = False
    task_end: TaskState = TaskState.COMPLETED
    task_asks: int = 2  # how often a task is still running
    events: list[Event] = field(default_factory=list)
    services: list[ServiceHealth] = field(default_factory=list)
    # faults
    failures: deque[ConnectError] = field(default_factory=deque)  # answered instead, one each
    cuts: deque[int] = field(default_factory=deque)  # break the connection after so many parts of a body, one each
    slow_seconds: float = 0.0
    # what was seen
    seen: list[Seen] = field(default_factory=list)
    actions: list[HostPowerAction] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)
    timeouts_ms: list[float | None] = field(default_factory=list)
    updates: list[tuple[Host, list[str]]] = field(default_factory=list)

    async def _begin(self, ctx: Any) -> None:
        self.timeouts_ms.append(ctx.timeout_ms)
        if self.slow_seconds:
            await asyncio.sleep(self.slow_seconds)
        if self.failures:
            raise self.failures.popleft()

    def _host(self, name: str) -> Host:
        if name not in self.hosts:
            raise ConnectError(Code.NOT_FOUND, f'there is no host "{name}"')
        return self.hosts[name]

    async def list_hosts(self, request: Any, ctx: Any) -> ListHostsResponse:
        await self._begin(ctx)
        names = sorted(self.hosts)
        at = names.index(request.page_token) if request.page_token else 0
        following = names[at + 1] if at + 1 < len(names) else ""  # a page is one host
        return ListHostsResponse(hosts=[self.hosts[name] for name in names[at : at + 1]], next_page_token=following)

    async def get_host(self, request: Any, ctx: Any) -> GetHostResponse:
        await self._begin(ctx)
        return GetHostResponse(host=self._host(request.name))

    async def change_host_power(self, request: Any, ctx: Any) -> ChangeHostPowerResponse:
        await self._begin(ctx)
        host = self._host(request.name)
        self.actions.append(request.action)
        host.state = HostState.POWERING_ON
        task = Task(id="t1", title=f"{host.name}: on", state=TaskState.RUNNING)
        return ChangeHostPowerResponse(host=host, task=task)

    async def update_host(self, request: Any, ctx: Any) -> UpdateHostResponse:
        await self._begin(ctx)
        self.updates.append((request.host, list(request.update_mask.paths)))
        return UpdateHostResponse(host=request.host)

    async def watch_hosts(self, request: Any, ctx: Any) -> AsyncIterator[WatchHostsResponse]:
        await self._begin(ctx)
        self.cursors.append(request.cursor)
        start = int(request.cursor) if request.cursor else 0
        for number in range(start + 1, 7):
            yield WatchHostsResponse(
                host=Host(name="host.0", state=HostState.ON), cursor=str(number), snapshot=number == 1
            )

    async def get_task(self, request: Any, ctx: Any) -> GetTaskResponse:
        await self._begin(ctx)
        self.task_asks -= 1
        ended = self.task_asks < 0
        if ended:
            self.hosts["host.0"].state = HostState.ON
        state = self.task_end if ended else TaskState.RUNNING
        return GetTaskResponse(
            task=Task(id=request.id, title="host.0: on", state=state, message="power-good came late")
        )

    async def list_events(self, request: Any, ctx: Any) -> ListEventsResponse:
        await self._begin(ctx)
        ordered = sorted(self.events, key=lambda event: event.id, reverse=request.newest_first)
        wanted = [e for e in ordered if e.severity.value >= (request.filter.severity.value if request.filter else 0)]
        at = int(request.page_token or 0)
        upto = at + min(request.page_size or 100, 100)
        return ListEventsResponse(events=wanted[at:upto], next_page_token=str(upto) if upto < len(wanted) else "")

    async def watch_events(self, request: Any, ctx: Any) -> AsyncIterator[WatchEventsResponse]:
        await self._begin(ctx)
        yield WatchEventsResponse(cursor="c0")
        for event in self.events:
            yield WatchEventsResponse(event=event, cursor=f"c{event.id}")

    async def login(self, request: Any, ctx: Any) -> LoginResponse:
        await self._begin(ctx)
        if request.password != self.password:
            raise ConnectError(Code.UNAUTHENTICATED, "wrong name or password")
        session = Session(id="s1", user=request.user, role="Administrator")
        return LoginResponse(token=TOKEN, session=session, must_change_password=self.must_change)

    async def logout(self, request: Any, ctx: Any) -> LogoutResponse:
        await self._begin(ctx)
        return LogoutResponse()

    async def get_current_session(self, request: Any, ctx: Any) -> GetCurrentSessionResponse:
        await self._begin(ctx)
        return GetCurrentSessionResponse(session=Session(id="s1", user="admin", role="Administrator"))

    async def change_password(self, request: Any, ctx: Any) -> ChangePasswordResponse:
        await self._begin(ctx)
        if request.current_password != self.password:
            raise ConnectError(Code.PERMISSION_DENIED, "the current password is wrong")
        self.password, self.must_change = request.new_password, False
        return ChangePasswordResponse()

    async def create_user(self, request: Any, ctx: Any) -> CreateUserResponse:
        await self._begin(ctx)
        if len(request.password) < 8:
            raise too_short()
        return CreateUserResponse(user=request.user)

    async def get_health(self, request: Any, ctx: Any) -> GetHealthResponse:
        await self._begin(ctx)
        well = all(service.state is ServiceState.READY for service in self.services)
        return GetHealthResponse(health=Severity.OK if well else Severity.WARNING, services=self.services)

    async def get_metrics(self, request: Any, ctx: Any) -> GetMetricsResponse:
        await self._begin(ctx)
        return GetMetricsResponse(text='up{part="a\tb"} 1\n\x1b]0;pwned\x07 2\n# EOF\n')

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application: all services, behind a bearer token."""
        method = scope["path"].rpartition(".")[2]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.seen.append(Seen(method, headers))
        app = self._applications()[scope["path"].split("/")[1]]
        if method != "SessionService/Login" and headers.get("authorization") != f"Bearer {TOKEN}":
            body = b'{"code":"unauthenticated","message":"no session"}'
            start = {"type": "http.response.start", "status": 401, "headers": [(b"content-type", b"application/json")]}
            await send(start)
            await send({"type": "http.response.body", "body": body})
            return
        if method.split("/")[1].startswith("Watch") and self.cuts:
            send = _Cut(send, self.cuts.popleft())
        await app(scope, receive, send)

    def _applications(self) -> dict[str, Any]:
        return {
            app.path.strip("/"): app
            for app in (
                host_connect.HostServiceASGIApplication(self),
                session_connect.SessionServiceASGIApplication(self),
                task_connect.TaskServiceASGIApplication(self),
                event_connect.EventServiceASGIApplication(self),
                system_connect.SystemServiceASGIApplication(self),
                system_connect.TelemetryServiceASGIApplication(self),
                user_connect.UserServiceASGIApplication(self),
            )
        }


class _Cut:
    """Ends a body too early: the rest is swallowed, and the connection closed without its end."""

    def __init__(self, send: Any, parts: int) -> None:
        self._send = send
        self._left = parts

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            self._left -= 1
            if self._left < 0:
                raise ConnectionAbortedError("cut by the test")
        await self._send(message)


def too_short() -> ConnectError:
    """What protovalidate's violations look like."""
    path = FieldPath(elements=[FieldPathElement(field_name="new_password")])
    violation = Violation(field=path, rule_id="string.min_len", message="must be at least 8 characters")
    return ConnectError(Code.INVALID_ARGUMENT, "the request is wrong", [Violations(violations=[violation])])


def event(number: int, *, message: str = "host.0 is on", severity: Severity = Severity.OK) -> Event:
    """An event of the log."""
    return Event(
        id=number, time=Timestamp.from_seconds(1_700_000_000 + number), severity=severity, component="host.0",
        message_id="Host.StateChanged", message=message,
    )  # fmt: skip


class Server:
    """Serves a BMC over TLS from a thread; a context manager."""

    def __init__(self, bmc: Bmc, certificate: Certificate, *, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        path = str(certificate.path)
        config = uvicorn.Config(
            bmc.application, interface="asgi3", ssl_certfile=path, ssl_keyfile=path, log_config=None,
            lifespan="off", ws="none",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve(sockets=[self._socket])

    def _hang_up(self) -> None:
        # uvicorn would leave TLS connections half closed behind when its loop ends.
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self._server.should_exit = True

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all connections and the server."""
        if self._loop is None or not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._hang_up)
        self._thread.join(10)
        self._socket.close()
        assert not self._thread.is_alive()
