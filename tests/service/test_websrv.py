"""The door, call by call: statuses in every language, sizes, identity, deadlines."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.service.websrv_house import (
    ERRORS,
    HOST,
    STATUSES,
    ask_grpc_web,
    connect,
    grpc_status,
    grpc_web,
    structured,
    world,
)

from ubmc.kit.keys import PrincipalSigner
from ubmc.rpc import ServerStream
from ubmc.v1alpha1.host_pb import (
    GetHostRequest,
    GetHostResponse,
    Host,
)

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


async def test_calls_that_arrive_while_a_service_ends_are_answered() -> None:
    """Those that the server sent before it heard of the end would else wait for their deadline in vain."""
    async with world() as w:
        client = w.client()
        await client.get(HOST)
        for _ in range(10):
            asking = [asyncio.create_task(client.get(HOST)) for _ in range(10)]
            await asyncio.sleep(0.003)
            await w.managers.answerer.withdraw(w.hosts)
            async with asyncio.timeout(8):  # a lost one would be answered after ten
                answers = await asyncio.gather(*asking)
            assert {answer.status_code for answer in answers} <= {200, 503}
            await w.managers.answerer.serve(w.hosts)


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
