"""The door over real TLS, with a real bus behind it and services of the test at its end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from protobuf import Message
from tests.harness.bus import PRIVILEGES, BusWorld

from ubmc.kit import call as calls
from ubmc.kit import subjects
from ubmc.kit.bus import Bus
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
from ubmc.kit.service import Service, rpc, stream
from ubmc.rpc import ServerStream
from ubmc.services.ipc.permissions import ProcessSpec
from ubmc.services.websrv import rest
from ubmc.services.websrv.service import WebServer
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
    tells = (SessionEnd,)

    def __init__(self, signer: PrincipalSigner) -> None:
        self.signer = signer
        self.asked: list[tuple[str, str]] = []
        self.logins: list[str] = []
        self.ended: set[str] = set()
        self.keep_seconds = 30.0

    @rpc(SessionService.ExchangeToken)
    async def exchange(self, request: ExchangeTokenRequest) -> ExchangeTokenResponse:
        self.asked.append((request.token, request.source))
        role, _, user = request.token.partition("-of-")
        if role not in PRIVILEGES or request.token in self.ended:
            raise Unauthenticated("the token is wrong, or its session has ended; log in again")
        principal = Principal(
            user=user, role=role, privileges=PRIVILEGES[role], session=request.token, expires=time.monotonic() + 60
        )
        return ExchangeTokenResponse(principal=self.signer.sign(principal), keep_seconds=self.keep_seconds)

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
        async with asyncio.timeout(5):
            while not what():
                await asyncio.sleep(0.005)


SPECS = (ProcessSpec("managers", (Hosts, Users, Metered)), ProcessSpec("websrv", (WebServer,), door=True))


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with BusWorld(*SPECS) as made:
        hosts, users = Hosts(), Users(made.signer)
        managers = await made.place("managers", hosts, users, Metered())
        heard: list[tuple[str, str]] = []
        door = await made.place("websrv")
        server = WebServer(made.schema, made.state / "tls", (("127.0.0.1", 0),), lambda *what: heard.append(what))
        running = await made.run(door, server)
        w = World(made, hosts, users, managers, door, heard[0][0], made.state / "tls" / "server.pem")
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


# --- errors -------------------------------------------------------------------------------------------------------


async def test_every_error_has_its_status_in_every_language(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as w:
        client = w.client()
        for name, (status, code, number) in STATUSES.items():
            body = structured(await client.get(f"/api/v1alpha1/hosts/{name}"), status, code)
            assert len(body["traceId"]) == 32
            answer = await client.post(connect("GetHost"), json={"name": name})
            structured(answer, *CONNECT_STATUS[code])
            assert len(answer.headers["trace-id"]) == 32
            answer = await ask_grpc_web(client, connect("GetHost"), GetHostRequest(name=name))
            assert answer.status_code == 200
            assert grpc_status(answer)[0] == str(number)
            if name in ERRORS:
                assert f"{name} says no" in body["message"]
        assert "secret detail" in caplog.text


# Connect's own table (connectrpc.com/docs/protocol, error codes).
CONNECT_STATUS = {
    "not_found": (404, "not_found"),
    "failed_precondition": (400, "failed_precondition"),
    "aborted": (409, "aborted"),
    "resource_exhausted": (429, "resource_exhausted"),
    "unavailable": (503, "unavailable"),
    "deadline_exceeded": (504, "deadline_exceeded"),
    "already_exists": (409, "already_exists"),
    "internal": (500, "internal"),
}


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer nonsense", "Basic YWRtaW46YWRtaW4=", "Bearer " + "x" * 5000]
)
async def test_who_is_not_known(authorization: str) -> None:
    async with world() as w:
        client = w.client("", **({"authorization": authorization} if authorization else {}))
        answer = await client.get(HOST)
        structured(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        structured(await client.post(connect("GetHost"), json={"name": "host.0"}), 401, "unauthenticated")
        assert grpc_status(await ask_grpc_web(client, connect("GetHost"), GetHostRequest(name="host.0")))[0] == "16"
        structured(await client.get("/metrics"), 401, "unauthenticated")


async def test_who_may_not() -> None:
    async with world() as w:
        client = w.client("ReadOnly-of-olga")
        on = {"action": "HOST_POWER_ACTION_ON"}
        body = structured(await client.post(HOST + ":changePower", json=on), 403, "permission_denied")
        assert "ConfigureComponents" in body["message"]
        answer = await client.post(connect("ChangeHostPower"), json={"name": "host.0", **on})
        structured(answer, 403, "permission_denied")
        assert w.hosts.changed == []


async def test_without_a_privilege_nothing_opens() -> None:
    """Every route of the schema, asked by nobody: deny by default."""
    async with world() as w:
        client = w.client("")
        document = (await client.get("/api/v1alpha1/openapi.json")).json()
        tried = 0
        public = {"/api/v1alpha1/sessions:login"}
        for path, verbs in document["paths"].items():
            for verb in verbs:
                if verb in {"get", "post", "patch", "put", "delete"} and path not in public:
                    filled = path.replace("{", "").replace("}", "")
                    answer = await client.request(verb.upper(), filled, json={} if verb != "get" else None)
                    assert answer.status_code == 401, (verb, path, answer.text)
                    tried += 1
        assert tried > 25
        for method in w.made.schema.methods:
            kind = "application/connect+json" if isinstance(method.token, ServerStream) else "application/json"
            framed = struct.pack(">BI", 0, 2) + b"{}" if isinstance(method.token, ServerStream) else b"{}"
            answer = await client.post(method.token.path, content=framed, headers={"content-type": kind})
            if method.internal:
                assert answer.status_code == 404, method.name
            elif isinstance(method.token, ServerStream):
                assert b"unauthenticated" in answer.content, method.name
            elif not method.public:
                structured(answer, 401, "unauthenticated")
        assert w.users.logins == []


async def test_internal_calls_do_not_exist_from_outside() -> None:
    async with world() as w:
        client = w.client()
        internal = [method for method in w.made.schema.methods if method.internal]
        for method in internal:
            assert (await client.post(method.token.path, json={})).status_code == 404
            assert (await client.post("/api/v1alpha1" + method.token.path, json={})).status_code == 404
        assert w.users.asked == []


async def test_bad_requests_say_which_field() -> None:
    async with world() as w:
        client = w.client()
        change = HOST + ":changePower"
        for content in (b"{", b"[]", b'"x"', b'{"action": {}}', b"\xff\xfe", b'{"action": 1e999}', b"[" * 50_000):
            structured(await client.post(change, content=content), 400, "invalid_argument")
            answer = await client.post(
                connect("ChangeHostPower"), content=content, headers={"content-type": "application/json"}
            )
            structured(answer, 400, "invalid_argument")
        for body, wanted in (
            ({"action": "NONSENSE"}, "action"),
            ({"nonsense": 1}, "nonsense"),
            ({}, "action"),
            ({"action": "HOST_POWER_ACTION_UNSPECIFIED"}, "action"),
        ):
            assert wanted in structured(await client.post(change, json=body), 400, "invalid_argument")["message"]
        answer = await client.post(connect("ChangeHostPower"), json={"name": "host.0"})
        (detail,) = structured(answer, 400, "invalid_argument")["details"]
        assert detail["type"] == "buf.validate.Violations"
        assert b"action" in base64.b64decode(detail["value"] + "==")
        answer = await client.post(
            connect("GetHost"), content=b"\xff\xff\xff", headers={"content-type": "application/proto"}
        )
        structured(answer, 400, "invalid_argument")
        structured(await client.get("/api/v1alpha1/hosts?pageSize=nine"), 400, "invalid_argument")
        structured(await client.get("/api/v1alpha1/hosts?nonsense=1"), 400, "invalid_argument")
        structured(await client.get(HOST, headers={"idempotency-key": "a b"}), 400, "invalid_argument")
        assert w.hosts.changed == []


async def test_paths_and_methods() -> None:
    async with world() as w:
        client = w.client()
        for path in ("/nonsense", "/api/v1alpha1/nonsense", "/api/v2/hosts", "/ubmc.v1alpha1.HostService/Nonsense"):
            answer = await client.get(path)
            assert answer.status_code == 404, path
        for verb, path, allow in (
            ("DELETE", HOST, "GET"),
            ("PUT", HOST, "PATCH"),
            ("GET", HOST + ":changePower", "POST"),
            ("POST", "/", "GET"),
            ("DELETE", "/api/v1alpha1/openapi.json", "GET"),
            ("POST", "/metrics", "GET"),
        ):
            answer = await client.request(verb, path)
            assert answer.status_code == 405, (verb, path)
            assert allow in answer.headers["allow"]
            assert answer.json()["code"] == "unimplemented"


# --- sizes --------------------------------------------------------------------------------------------------------


async def chunks(size: int) -> AsyncIterator[bytes]:
    yield b'{"user": "'
    for _ in range(size // 1000):
        yield b"x" * 1000
    yield b'"}'


@pytest.mark.parametrize("path", ["/api/v1alpha1/sessions:login", connect("Login", "SessionService")])
@pytest.mark.parametrize("declared", [True, False])
async def test_before_authentication_a_body_is_small(path: str, declared: bool) -> None:
    async with world() as w:
        client = w.client("")
        content: Any = b'{"user": "' + b"x" * 4200 + b'"}' if declared else chunks(5000)
        answer = await client.post(path, content=content, headers={"content-type": "application/json"})
        structured(answer, 413, "resource_exhausted")
        answer = await client.post(path, json={"user": "olga", "password": "right"})
        assert answer.json()["token"] == "Operator-of-olga"
        assert w.users.logins == ["olga"]


async def test_a_large_body_of_nobody_is_not_even_read() -> None:
    async with world() as w:
        answer = await w.client("").post(HOST + ":changePower", content=b"x" * 100_000)
        structured(answer, 401, "unauthenticated")


@pytest.mark.parametrize("path", [HOST + ":changePower", connect("ChangeHostPower")])
async def test_after_authentication_it_may_be_larger_but_not_without_end(path: str) -> None:
    async with world() as w:
        client = w.client()
        content = json.dumps({"name": "x" * 129 * 1024}).encode()
        answer = await client.post(path, content=content, headers={"content-type": "application/json"})
        structured(answer, 413, "resource_exhausted")
        answer = await client.post(path, content=chunks(200_000), headers={"content-type": "application/json"})
        assert answer.status_code in {413, 429}
        assert w.hosts.changed == []


# --- what passes --------------------------------------------------------------------------------------------------


async def test_the_same_call_in_every_language() -> None:
    async with world() as w:
        client = w.client("ReadOnly-of-olga")
        answer = await client.get(HOST)
        assert (answer.status_code, answer.json()["host"]["name"]) == (200, "host.0")
        answer = await client.post(connect("GetHost"), json={"name": "host.0"})
        assert answer.json()["host"]["name"] == "host.0"
        answer = await client.post(
            connect("GetHost"),
            content=GetHostRequest(name="host.0").to_binary(),
            headers={"content-type": "application/proto"},
        )
        assert GetHostResponse.from_binary(answer.content).host == Host(name="host.0")
        query = {"connect": "v1", "encoding": "json", "message": '{"name":"host.0"}'}
        answer = await client.get(connect("GetHost"), params=query)
        assert answer.json()["host"]["name"] == "host.0"
        answer = await client.get(connect("ChangeHostPower"), params=query)
        assert answer.status_code == 405, "what has side effects cannot be a link"
        answer = await ask_grpc_web(client, connect("GetHost"), GetHostRequest(name="host.0"))
        (message,), trailers = grpc_web(answer.content)
        assert GetHostResponse.from_binary(message).host == Host(name="host.0")
        assert trailers["grpc-status"] == "0"


async def test_identity_key_and_source_arrive_and_no_header_can_change_them() -> None:
    async with world() as w:
        spoofed = {
            "x-forwarded-for": "203.0.113.9",
            "forwarded": "for=203.0.113.9",
            "x-real-ip": "203.0.113.9",
            "x-forwarded-user": "admin",
            "x-auth-token": "Administrator-of-admin",
            "x-http-method-override": "DELETE",
            "cookie": "session=Administrator-of-admin",
        }
        client = w.client("Operator-of-olga", **spoofed)
        on = {"action": "HOST_POWER_ACTION_ON"}
        for _ in range(2):
            answer = await client.post(HOST + ":changePower", json=on, headers={"idempotency-key": "k1"})
            assert answer.status_code == 200
        assert w.hosts.changed == [("olga", "k1", "127.0.0.1")]
        assert w.users.asked == [("Operator-of-olga", "127.0.0.1")], "asked once, and kept"
        assert (await w.client("", **spoofed).get(HOST)).status_code == 401


async def test_the_trace_of_the_client_goes_through() -> None:
    async with world() as w:
        client = w.client()
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        parent = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        assert (await client.get(HOST, headers=parent)).headers["trace-id"] == trace
        answer = await client.post(connect("GetHost"), json={"name": "host.0"}, headers=parent)
        assert answer.headers["trace-id"] == trace
        assert w.hosts.traces == [trace, trace]
        assert (await client.get("/api/v1alpha1/hosts/host.1", headers=parent)).json()["traceId"] == trace
        answer = await client.get(HOST, headers={"traceparent": "nonsense"})
        assert answer.headers["trace-id"] not in {trace, "", "0" * 32}


async def test_head_is_get_without_a_body() -> None:
    async with world() as w:
        client = w.client()
        for path in ("/", "/api/v1alpha1/openapi.json", HOST, "/metrics", "/api/v1alpha1/hosts"):
            get, head = await client.get(path), await client.head(path)
            assert (head.status_code, head.content) == (200, b""), path
            for name in ("content-type", "content-length", "cache-control"):
                assert get.headers[name] == head.headers[name], path
        assert (await client.head("/api/v1alpha1/hosts/host.1")).status_code == 404


async def test_every_answer_has_the_headers_that_browsers_need() -> None:
    async with world() as w:
        client = w.client()
        answers = [
            await client.get("/"),
            await client.get(HOST),
            await client.get("/nonsense"),
            await client.get("/metrics"),
            await client.post(connect("GetHost"), json={"name": "host.0"}),
            await client.post(connect("GetHost"), json={"name": "host.1"}),
        ]
        for answer in answers:
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "strict-transport-security" in answer.headers
            assert "access-control-allow-origin" not in answer.headers
            assert "server" not in answer.headers
        assert answers[3].headers["content-type"].startswith("application/openmetrics-text")
        tag = (await client.get("/api/v1alpha1/openapi.json")).headers["etag"]
        answer = await client.get("/api/v1alpha1/openapi.json", headers={"if-none-match": tag})
        assert (answer.status_code, answer.content) == (304, b"")


async def test_calls_have_the_deadline_of_the_client() -> None:
    async with world() as w:
        began = time.monotonic()
        answer = await w.client().post(
            connect("GetHost"), json={"name": "host.9"}, headers={"connect-timeout-ms": "200"}
        )
        assert answer.status_code == 504
        assert answer.json()["code"] == "deadline_exceeded"
        assert time.monotonic() - began < 3


async def test_while_a_service_or_the_bus_is_away_it_is_503_at_once() -> None:
    async with world() as w:
        client = w.client()
        await client.get(HOST)
        await w.managers.answerer.withdraw(w.hosts)
        structured(await client.get(HOST), 503, "unavailable")
        structured(await w.client("Operator-of-other").get("/api/v1alpha1/hosts/host.0"), 503, "unavailable")
        w.made.server.stop(5)
        await w.until(lambda: not w.door.link.connected.is_set())
        began = time.monotonic()
        structured(await client.get(HOST), 503, "unavailable")
        structured(await w.client("Operator-of-third").get(HOST), 503, "unavailable")
        assert time.monotonic() - began < 1
        w.made.server.start()


async def test_a_restart_of_usermgr_goes_unnoticed() -> None:
    """It signs with a new key from then on; what the door has kept is signed with the old one."""
    async with world() as w:
        client = w.client("Operator-of-olga")
        assert (await client.get(HOST)).status_code == 200
        for ask in ("unary", "stream"):
            w.users.signer = PrincipalSigner()
            for bus in (w.door, w.managers):
                bus.verifier.trust([w.users.signer.public])
            if ask == "unary":
                assert (await client.get(HOST)).status_code == 200
            else:
                async with client.stream("GET", "/api/v1alpha1/hosts:watch") as answer:
                    assert answer.status_code == 200
                    assert "host.0" in await anext(answer.aiter_text())
        assert len(w.users.asked) == 3


# --- streams ------------------------------------------------------------------------------------------------------


class Events:
    """The events of a stream, as a browser reads them."""

    def __init__(self, answer: httpx.Response) -> None:
        self.lines = answer.aiter_lines()
        self.comments = 0

    async def next(self) -> dict[str, str]:
        found: dict[str, str] = {}
        async with asyncio.timeout(10):
            while True:
                line = await anext(self.lines)
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(":")
                    found[name] = found.get(name, "") + value.strip()
                elif found:
                    return found


def update(number: int) -> WatchHostsResponse:
    return WatchHostsResponse(host=Host(name=f"host.{number}"), cursor=f"e:{number}")


async def test_a_stream_is_events_that_resume() -> None:
    async with world() as w:
        client = w.client("ReadOnly-of-olga")
        async with client.stream("GET", "/api/v1alpha1/hosts:watch") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert len(answer.headers["trace-id"]) == 32
            events = Events(answer)
            assert (await events.next())["id"] == "e:1"
            w.hosts.news.put_nowait(update(2))
            second = await events.next()
            assert second["id"] == "e:2"
            assert json.loads(second["data"])["host"]["name"] == "host.2"
        await w.until(lambda: not w.hosts.open)
        async with client.stream("GET", "/api/v1alpha1/hosts:watch", headers={"last-event-id": "e:2"}) as answer:
            await Events(answer).next()
        assert w.hosts.cursors == ["", "e:2"]


async def test_a_stream_ends_in_order_or_with_an_error_event() -> None:
    async with world() as w:
        client = w.client("ReadOnly-of-olga")
        for last in (None, Unavailable("the wires are away")):
            async with client.stream("GET", "/api/v1alpha1/hosts:watch") as answer:
                events = Events(answer)
                await events.next()
                w.hosts.news.put_nowait(last)
                if last is None:
                    with pytest.raises(StopAsyncIteration):
                        await events.next()
                    continue
                ended = await events.next()
                assert ended["event"] == "error"
                body = json.loads(ended["data"])
                assert body["code"] == "unavailable"
                assert body["message"] == "the wires are away"
                assert body["traceId"] == answer.headers["trace-id"]


async def test_a_stream_that_is_refused_is_an_ordinary_error() -> None:
    async with world() as w:
        client = w.client("ReadOnly-of-olga")
        structured(await client.get("/api/v1alpha1/hosts:watch?name=host.1"), 404, "not_found")
        structured(await client.get("/api/v1alpha1/hosts:watch?name=" + "x" * 40), 400, "invalid_argument")
        structured(await w.client("").get("/api/v1alpha1/hosts:watch"), 401, "unauthenticated")
        assert w.hosts.open == 0


async def test_a_silent_stream_begins_and_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "FIRST_HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(rest, "HEARTBEAT_SECONDS", 0.1)
    async with world() as w:
        client = w.client("ReadOnly-of-olga")
        async with client.stream("GET", "/api/v1alpha1/hosts:watch?name=host.2") as answer:
            assert answer.status_code == 200
            events = Events(answer)
            asyncio.get_running_loop().call_later(0.5, lambda: w.hosts.news.put_nowait(update(7)))
            assert (await events.next())["id"] == "e:7"
            assert events.comments >= 3
        await w.until(lambda: not w.hosts.open)


async def test_the_end_of_a_session_ends_its_streams_and_calls_at_once() -> None:
    async with world() as w:
        olga, other = w.client("Operator-of-olga"), w.client("Operator-of-other")
        async with (
            olga.stream("GET", "/api/v1alpha1/hosts:watch") as answer,
            other.stream("GET", "/api/v1alpha1/hosts:watch") as others,
        ):
            events, theirs = Events(answer), Events(others)
            await events.next()
            await theirs.next()
            assert (await w.client("Operator-of-olga").get(HOST)).status_code == 200
            await w.end_session("Operator-of-olga")
            ended = await events.next()
            assert json.loads(ended["data"])["code"] == "unauthenticated"
            structured(await w.client("Operator-of-olga").get(HOST), 401, "unauthenticated")
            w.hosts.news.put_nowait(update(5))
            w.hosts.news.put_nowait(update(5))
            assert (await theirs.next())["id"] == "e:5"
            assert (await w.client("Operator-of-other").get(HOST)).status_code == 200


async def test_a_session_whose_end_was_not_heard_of_is_found_by_looking() -> None:
    async with world() as w:
        w.users.keep_seconds = 0.0
        async with w.client("Operator-of-olga").stream("GET", "/api/v1alpha1/hosts:watch") as answer:
            events = Events(answer)
            await events.next()
            w.users.ended.add("Operator-of-olga")
            server = next(service for service in w.door.answerer._serving if isinstance(service, WebServer))
            assert server._forwarder is not None
            await server._forwarder.recheck_streams()
            assert json.loads((await events.next())["data"])["code"] == "unauthenticated"


async def test_streams_over_connect() -> None:
    async with world() as w:
        w.hosts.news.put_nowait(update(2))
        w.hosts.news.put_nowait(Unavailable("the wires are away"))
        answer = await w.client("ReadOnly-of-olga").post(
            connect("WatchHosts"),
            content=struct.pack(">BI", 0, 2) + b"{}",
            headers={"content-type": "application/connect+json"},
        )
        assert answer.status_code == 200
        assert len(answer.headers["trace-id"]) == 32
        frames, body = [], answer.content
        while body:
            flags, size = struct.unpack(">BI", body[:5])
            frames.append((flags, json.loads(body[5 : 5 + size])))
            body = body[5 + size :]
        assert [frame["cursor"] for flags, frame in frames if not flags] == ["e:1", "e:2"]
        assert frames[-1][0] == 2
        assert frames[-1][1]["error"]["code"] == "unavailable"


async def test_who_is_disconnected_leaves_nothing_behind() -> None:
    async with world() as w:
        client = w.client("ReadOnly-of-olga")
        for _ in range(5):
            async with client.stream("GET", "/api/v1alpha1/hosts:watch") as answer:
                await Events(answer).next()
        await w.until(lambda: not w.hosts.open)
        await w.until(lambda: not w.door._reading)
        asking = asyncio.create_task(client.get("/api/v1alpha1/hosts/host.9"))
        await asyncio.sleep(0.2)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert (await client.get(HOST)).status_code == 200


async def test_a_body_length_that_no_number_is() -> None:
    async with world() as w:
        port = int(w.url.rpartition(":")[2])
        for length in ("9" * 5000, "9" * 19, "-1", "1e3", "\u00b2", ""):
            context = ssl.create_default_context(cafile=str(w.certificate))
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            head = f"POST {HOST}:changePower HTTP/1.1\r\nhost: x\r\nauthorization: Bearer Operator-of-olga\r\n"
            writer.write((head + f"content-length: {length}\r\n\r\n").encode("latin-1"))
            async with asyncio.timeout(10):
                status = int((await reader.readline()).split()[1])
            assert 400 <= status < 500, length
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def test_an_address_that_is_taken_is_said(tmp_path: Path) -> None:
    async with world() as w:
        port = int(w.url.rpartition(":")[2])
        second = WebServer(w.made.schema, tmp_path / "tls", (("127.0.0.1", 0), ("127.0.0.1", port)), lambda *_: None)
        second.bus = w.door
        with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{port}"):
            await second.run(lambda: None)
        assert second._listeners == []
