"""Who may call what: every RPC of the schema times every role, and every route times odd headers without a login."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from tests.harness.program import Program, until

from ubmc.kit.schema import Method, load
from ubmc.protocols.redfish.tree import TREE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

STREAMS = frozenset(each.token.path for each in load().methods if each.streams)
PASSWORD = "a long enough passphrase"
ROLES = {
    "Administrator": {"LOGIN", "CONFIGURE_COMPONENTS", "CONFIGURE_MANAGER", "CONFIGURE_USERS", "CONFIGURE_SELF"},
    "Operator": {"LOGIN", "CONFIGURE_COMPONENTS", "CONFIGURE_SELF"},
    "ReadOnly": {"LOGIN", "CONFIGURE_SELF"},
}
SILENCE_SECONDS = 3.0
PUBLIC_RPCS = {"SessionService.Login"}
PUBLIC_ROUTES = {"/", "/api/v1alpha1/openapi.json"}
PUBLIC_REDFISH = {"/redfish", "/redfish/v1", "/redfish/v1/odata", "/redfish/v1/$metadata"}  # as DSP0266 has it
HOSTILE: tuple[dict[str, str], ...] = (
    {},
    {"x-server-addr": "127.0.0.1"},
    {"x-forwarded-for": "127.0.0.1"},
    {"forwarded": "for=127.0.0.1;host=localhost;proto=https"},
    {"x-real-ip": "::1"},
    {"x-original-url": "/"},
    {"x-rewrite-url": "/api/v1alpha1/openapi.json"},
    {"x-http-method-override": "GET"},
    {"authorization": "Bearer null"},
    {"authorization": "Basic YWRtaW46YWRtaW4="},
    {"authorization": "Basic Og=="},
    {"cookie": "__Host-ubmc-session=; SESSION=admin; token=1"},
    {"x-auth-token": "admin"},
    {"x-user": "admin", "x-remote-user": "admin", "remote-user": "admin"},
    {"x-ssl-client-verify": "SUCCESS", "x-ssl-client-s-dn": "CN=admin", "x-client-cert": "MII"},
    {"ubmc": "9999999999 00-0-0-00 - 127.0.0.1 -", "ubmc-principal": "admin"},
    {"host": "localhost"},
    {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program(tmp_path_factory.mktemp("access") / "s") as running:
        running.login()
        fast = {"requestsPerSecond": 10000}
        assert running.request("PATCH", "/api/v1alpha1/security-policy", fast).status_code == 200
        yield running


def _client(program: Program, token: str = "") -> httpx.Client:
    return program.client(headers={"authorization": f"Bearer {token}"} if token else {})


def _token(program: Program, role: str) -> str:
    name = f"a-{role.lower()}"
    user = {"user": {"name": name, "role": role}, "password": PASSWORD}
    assert program.request("POST", "/api/v1alpha1/users", user).status_code == 200
    free = program.request("PATCH", f"/api/v1alpha1/users/{name}?updateMask=mustChangePassword", {})
    assert free.status_code == 200, free.text
    answer = program.request("POST", "/api/v1alpha1/sessions:login", {"user": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def _token_of(program: Program, role: str) -> str:
    """The token of an account that is there, or made now."""
    known = program.request("GET", f"/api/v1alpha1/users/a-{role.lower()}").status_code == 200
    if not known:
        return _token(program, role)
    body = {"user": f"a-{role.lower()}", "password": PASSWORD}
    return str(program.request("POST", "/api/v1alpha1/sessions:login", body).json()["token"])


def _call(client: httpx.Client, method: Method, **headers: str) -> int:
    """The status of a call with an empty message; a stream's first words are enough."""
    kind = "application/connect+json" if method.streams else "application/json"
    body = b"\0\0\0\0\2{}" if method.streams else b"{}"
    head = {"content-type": kind, "connect-protocol-version": "1", **headers}
    timeout = httpx.Timeout(20, read=SILENCE_SECONDS if method.streams else 20)
    try:
        with client.stream("POST", method.token.path, content=body, headers=head, timeout=timeout) as answer:
            if not method.streams or answer.status_code != 200:
                return answer.status_code
            first = next(answer.iter_raw(), b"")
    except httpx.ReadTimeout:
        assert method.streams, method.name
        return 200  # it is let in, and there is nothing to tell yet: a refusal comes at once
    found = re.search(rb'"code":\s*"(\w+)"', first)
    return {b"unauthenticated": 401, b"permission_denied": 403}.get(found[1], 400) if found else 200


def test_every_rpc_times_every_role_is_what_the_schema_says(program: Program) -> None:
    methods = [each for each in load().methods if not each.internal]
    assert {each.name for each in methods if each.public} == PUBLIC_RPCS
    wrong: list[str] = []
    for role, privileges in ROLES.items():
        with _client(program, _token(program, role)) as client:
            for method in methods:
                if method.public or method.name == "SessionService.Logout":
                    continue
                allowed = method.privilege is not None and method.privilege.name in privileges
                status = _call(client, method)
                if allowed == (status in (401, 403)):
                    wrong.append(f"{role} {method.name}: {status}")
    assert not wrong


def test_what_the_door_refuses_is_in_the_audit_trail_too(program: Program) -> None:
    def recorded() -> bool:
        found = program.request(
            "GET", "/api/v1alpha1/audit-records?user=a-readonly&newestFirst=true&pageSize=1000"
        ).json()
        return any(
            (each["action"], each["outcome"]) == ("UserService.DeleteUser", "denied") for each in found["records"]
        )

    with _client(program, _token_of(program, "ReadOnly")) as client:
        assert client.delete("/api/v1alpha1/users/admin").status_code == 403
    until(recorded, 10, "the refusal is in the audit trail")


def test_internal_rpcs_do_not_exist_outside(program: Program) -> None:
    internal = [each for each in load().methods if each.internal]
    assert internal
    with _client(program, program.token) as client:
        for method in internal:
            assert _call(client, method) in (403, 404), method.name


def _refused(client: httpx.Client, verb: str, path: str, headers: dict[str, str]) -> bool:
    """Whether a request is answered 401, in the words of its protocol."""
    streams = path in STREAMS
    kind = "application/connect+json" if streams else "application/json"
    sent = {"content-type": kind, **headers}
    answer = client.request(verb, path, content=b"{}" if verb != "GET" else None, headers=sent)
    if "grpc" in sent["content-type"] and path.startswith(
        "/ubmc."
    ):  # says it in a status of its own (16, UNAUTHENTICATED)
        return "16" in (answer.headers.get("grpc-status"), *re.findall(r"grpc-status:\s*(\d+)", answer.text))
    if streams and answer.status_code == 200:
        return b'"unauthenticated"' in answer.content
    return answer.status_code == 401


def test_every_resource_of_redfish_is_closed_without_a_login(program: Program) -> None:
    templates = [resource.template for resource in TREE]
    assert len(templates) > 60
    opened: set[str] = set()
    with _client(program) as client:
        for template in templates:
            path = re.sub(r"\{[^}]*\}", "x", template)
            for verb in ("GET", "HEAD", "PATCH", "POST", "DELETE"):
                status = client.request(verb, path, content=b"{}" if verb in ("PATCH", "POST") else None).status_code
                if status not in (401, 404, 405):
                    opened.add(f"{verb} {template}")
    expected = {f"{verb} {path}" for verb in ("GET", "HEAD") for path in PUBLIC_REDFISH}
    assert opened - expected <= {"POST /redfish/v1/SessionService/Sessions"}
    assert {each for each in expected if each.removeprefix("GET ").removeprefix("HEAD ") in templates} <= opened


def test_every_route_is_closed_without_a_login_whatever_the_headers_say(program: Program) -> None:
    schema = load()
    routes: list[tuple[str, str]] = []
    for method in schema.methods:
        if method.internal or method.public:
            continue
        routes.append(("POST", method.token.path))
        if method.http is not None and method.http.pattern is not None:
            routes.append(
                (method.http.pattern.field.upper(), re.sub(r"\{[^}]*\}", "x", str(method.http.pattern.value)))
            )
    routes.append(("GET", "/metrics"))
    assert len(routes) > 100
    wrong: list[str] = []
    with _client(program) as client:
        for verb, path in routes:
            wrong += [f"{verb} {path} {headers}" for headers in HOSTILE if not _refused(client, verb, path, headers)]
        public = {
            path
            for path in ("/", "/api/v1alpha1/openapi.json", "/metrics", "/api/", "/x")
            if client.get(path).status_code == 200
        }
    assert not wrong
    assert public == PUBLIC_ROUTES
