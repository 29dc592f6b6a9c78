"""What every request passes at the door: cookies and CSRF, origins, rates, tags, compression, proxies, redirects."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
from pathlib import Path

import httpx
import pyqwest
import pytest
from cryptography import x509
from tests.harness.acme import free_port
from tests.harness.authority import CLIENT, SERVER, Authority
from tests.service.websrv_house import OPTIONS, Events, World, connect, structured, world

import webui
from ubmc.services.websrv import app
from ubmc.services.websrv.peer import CSRF_COOKIE, SESSION_COOKIE
from ubmc.services.websrv.service import DoorOptions
from ubmc.services.websrv.static import MANIFEST, Pages
from ubmc.v1alpha1.host_pb import Host, WatchHostsResponse
from ubmc.v1alpha1.security_pb import (
    AddTrustedCertificateRequest,
    ClientCertificates,
    ResetCertificateRequest,
    SecurityPolicy,
    UpdateSecurityPolicyRequest,
)
from ubmc.v1alpha1.security_rpc import SecurityService

HOST = "/api/v1alpha1/hosts/host.0"
LOGIN = "/api/v1alpha1/sessions:login"


async def _policy(w: World, **values: object) -> None:
    request = UpdateSecurityPolicyRequest(policy=SecurityPolicy(**values))  # type: ignore[arg-type]
    await w.door.forward(SecurityService.UpdateSecurityPolicy, request, w.made.call())


async def test_a_browser_gets_a_cookie_that_no_script_reads_and_must_show_that_the_page_is_ours() -> None:
    async with world() as w:
        browser = w.client("")
        answer = await browser.post(
            LOGIN, json={"user": "olga", "password": "right"}, headers={"x-session-cookie": "1"}
        )
        assert answer.json()["token"] == ""
        set_cookies = {each.partition("=")[0]: each for each in answer.headers.get_list("set-cookie")}
        for flag in ("HttpOnly", "Secure", "SameSite=Strict", "Path=/"):
            assert flag in set_cookies[SESSION_COOKIE]
        assert "HttpOnly" not in set_cookies[CSRF_COOKIE]
        assert "Secure" in set_cookies[CSRF_COOKIE]
        csrf = browser.cookies[CSRF_COOKIE]
        assert (await browser.get(HOST)).status_code == 200
        change = {"action": "HOST_POWER_ACTION_ON"}
        structured(await browser.post(f"{HOST}:changePower", json=change), 403, "permission_denied")
        wrong = {"x-csrf-token": csrf[:-1] + ("0" if csrf[-1] != "0" else "1")}
        structured(await browser.post(f"{HOST}:changePower", json=change, headers=wrong), 403, "permission_denied")
        right = {"x-csrf-token": csrf}
        assert (await browser.post(f"{HOST}:changePower", json=change, headers=right)).status_code == 200
        refused = await browser.post(connect("GetHost"), json={"name": "host.0"})
        structured(refused, 403, "permission_denied")
        assert (await browser.post(connect("GetHost"), json={"name": "host.0"}, headers=right)).status_code == 200
        over_connect = await w.client("").post(
            connect("Login", "SessionService"),
            json={"user": "olga", "password": "right"},
            headers={"x-session-cookie": "1"},
        )
        assert len(over_connect.headers.get_list("set-cookie")) == 2
        assert "token" not in over_connect.json()


async def test_basic_is_for_redfish_only_and_odd_credentials_are_nobody() -> None:
    async with world() as w:
        client = w.client("")
        for shown in (
            "Basic b2xnYTpyaWdodA==",
            "Basic !!",
            "Bearer",
            f"Bearer {'x' * 300}",
            "Digest x",
            "x",
        ):
            answer = await client.get(HOST, headers={"authorization": shown})
            structured(answer, 401, "unauthenticated")
        for cookie in (f"{SESSION_COOKIE}=", f"{SESSION_COOKIE}={'x' * 300}", "="):
            answer = await client.get(HOST, headers={"cookie": cookie})
            structured(answer, 401, "unauthenticated")


async def test_pages_of_others_may_not_call_unless_allowed() -> None:
    async with world() as w:
        client = w.client()
        page = {"origin": "https://console.example"}
        for origin in ("https://console.example", "null", "http://127.0.0.1", "https://127.0.0.1.evil.example", "//"):
            structured(await client.get(HOST, headers={"origin": origin}), 403, "permission_denied")
        own = await client.get(HOST, headers={"origin": w.url})
        assert own.status_code == 200
        assert "access-control-allow-origin" not in own.headers
        await _policy(w, allowed_origins=["https://console.example"])
        async with asyncio.timeout(30):
            while (await client.get(HOST, headers=page)).status_code != 200:
                await asyncio.sleep(0.02)
        answer = await client.get(HOST, headers=page)
        assert answer.headers["access-control-allow-origin"] == "https://console.example"
        assert "access-control-allow-credentials" not in answer.headers
        asked = {**page, "access-control-request-method": "POST"}
        preflight = await w.client("").options(f"{HOST}:changePower", headers=asked)
        assert preflight.status_code == 204
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        other = {"origin": "https://other.example", "access-control-request-method": "POST"}
        structured(await client.options(HOST, headers=other), 403, "permission_denied")


async def test_what_was_read_has_a_tag_and_is_not_sent_twice() -> None:
    async with world() as w:
        client = w.client()
        first = await client.get(HOST)
        tag = first.headers["etag"]
        assert tag.startswith('"')
        again = await client.get(HOST, headers={"if-none-match": f'"other", W/{tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert (await client.get(HOST, headers={"if-none-match": '"other"'})).status_code == 200
        assert (await client.get("/api/v1alpha1/hosts/host.1", headers={"if-none-match": "*"})).status_code != 304
        assert len(first.headers["x-request-id"]) == 32


async def test_large_answers_are_compressed_for_those_who_take_it() -> None:
    async with world() as w:
        client = w.client()
        path = "/api/v1alpha1/openapi.json"
        plain = await client.get(path, headers={"accept-encoding": "identity"})
        small = await client.get(path, headers={"accept-encoding": "br, gzip;q=0.5"})
        assert "content-encoding" not in plain.headers
        assert small.headers["content-encoding"] == "gzip"
        assert small.content == plain.content
        assert int(small.headers["content-length"]) < len(plain.content) // 3
        assert small.headers["etag"] != plain.headers["etag"]
        again = await client.get(path, headers={"if-none-match": small.headers["etag"]})
        assert again.status_code == 304
        refused = await client.get(path, headers={"accept-encoding": "gzip;q=0"})
        assert "content-encoding" not in refused.headers


async def test_who_asks_too_often_waits_and_others_do_not() -> None:
    async with world() as w:
        await _policy(w, requests_per_second=5)
        client = w.client("ReadOnly-of-olga")
        async with asyncio.timeout(30):
            while (answer := await client.get(HOST)).status_code == 200:
                pass
        structured(answer, 429, "resource_exhausted")
        assert answer.headers["retry-after"] == "1"
        transport = httpx.AsyncHTTPTransport(local_address="127.0.0.9", verify=_trusting(w))
        async with httpx.AsyncClient(base_url=w.url, transport=transport) as other:
            headers = {"authorization": "Bearer Administrator-of-admin"}
            assert (await other.get(HOST, headers=headers)).status_code == 200


def _trusting(w: World) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(w.certificate))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


async def test_an_address_is_that_of_the_connection_unless_the_owner_names_the_proxy() -> None:
    forwarded = {"x-forwarded-for": "198.51.100.9, 203.0.113.4", "forwarded": "for=198.51.100.9"}
    change = {"action": "HOST_POWER_ACTION_ON"}
    async with world() as w:
        await w.client(**forwarded).post(f"{HOST}:changePower", json=change)
        assert w.hosts.changed[-1][2] == "127.0.0.1"
    proxied = DoorOptions(OPTIONS.addresses, proxies=(ipaddress.ip_network("127.0.0.0/8"),))
    async with world(proxied) as w:
        await w.client(**forwarded).post(f"{HOST}:changePower", json=change)
        assert w.hosts.changed[-1][2] == "203.0.113.4"
        lines = [("x-forwarded-for", "203.0.113.5"), ("x-forwarded-for", "127.0.0.9")]  # one of each of two proxies
        await w.client().post(f"{HOST}:changePower", json=change, headers=lines)
        assert w.hosts.changed[-1][2] == "203.0.113.5"
        await w.client(**{"x-forwarded-for": "garbage"}).post(f"{HOST}:changePower", json=change)
        assert w.hosts.changed[-1][2] == "127.0.0.1"


async def test_plain_http_sends_to_https_and_nothing_else() -> None:
    port = free_port()
    async with world(DoorOptions(OPTIONS.addresses, redirect=(("127.0.0.1", port),))) as w:
        https = w.url.rpartition(":")[2]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            answer = await client.get("/api/v1alpha1/hosts?x=%0d%0aa", headers={"authorization": "Bearer x"})
            assert answer.status_code == 308
            assert answer.headers["location"] == f"https://127.0.0.1:{https}/api/v1alpha1/hosts?x=%0d%0aa"
            odd = await client.get("/", headers={"host": "a b<script>"})
            assert odd.status_code == 400
            assert (await client.get("/.well-known/acme-challenge/unknown")).status_code == 404
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n")
        async with asyncio.timeout(30):
            assert (await reader.read(100)).startswith(b"HTTP/1.1 4")
        writer.close()


async def test_a_new_certificate_is_shown_at_once_and_open_connections_stay() -> None:
    async with world() as w:
        client = w.client()
        assert (await client.get(HOST)).status_code == 200
        before = await _shown(w)
        call = w.made.call(seconds=30)
        await w.door.forward(SecurityService.ResetCertificate, ResetCertificateRequest(name="https"), call)
        async with asyncio.timeout(30):
            while await _shown(w) == before:
                await asyncio.sleep(0.02)
        assert (await client.get(HOST)).status_code == 200  # over the connection that it has


async def _shown(w: World) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = int(w.url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return found


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_tls_is_refused_unless_the_policy_takes_1_2() -> None:
    async with world() as w:
        for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2):
            with pytest.raises((ssl.SSLError, OSError)):
                await _speak(w, version)
        await _policy(w, tls_1_2=True)
        async with asyncio.timeout(30):
            while True:
                try:
                    assert (await _speak(w, ssl.TLSVersion.TLSv1_2)).startswith("ECDHE-")
                    break
                except (ssl.SSLError, OSError):
                    await asyncio.sleep(0.02)
        with pytest.raises((ssl.SSLError, OSError)):
            await _speak(w, ssl.TLSVersion.TLSv1_1)


async def _speak(w: World, version: ssl.TLSVersion) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = version
    port = int(w.url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    cipher: str = writer.get_extra_info("cipher")[0]
    writer.close()
    return cipher


async def test_a_client_certificate_logs_in_only_exactly(tmp_path: Path) -> None:
    authority, stranger = Authority("ours"), Authority("stranger")
    async with world() as w:
        add = AddTrustedCertificateRequest(pem=authority.pem.decode())
        await w.door.forward(SecurityService.AddTrustedCertificate, add, w.made.call())
        await _policy(w, client_certificates=ClientCertificates.OPTIONAL)
        good = authority.issue("olga", names=["olga@example.org"], usage=CLIENT)
        async with asyncio.timeout(30):
            while await _by_certificate(w, tmp_path, good.pem, good.key_pem) != 200:
                await asyncio.sleep(0.02)
        assert w.users.certificates[-1] == ["email:olga@example.org", "cn:olga"]
        server = authority.issue("olga", names=["olga@example.org"], usage=SERVER)
        anything = authority.issue("olga", names=["olga@example.org"], usage=x509.ObjectIdentifier("2.5.29.37.0"))
        without = authority.issue("olga", names=["olga@example.org"], usage=None)
        other = authority.issue("mallory", names=["olga@example.org.evil.example"], usage=CLIENT)
        foreign = stranger.issue("olga", names=["olga@example.org"], usage=CLIENT)
        old = authority.issue("olga", names=["olga@example.org"], usage=CLIENT, days=(-9, -1))
        for each in (server, anything, without, other, foreign, old):
            assert await _by_certificate(w, tmp_path, each.pem, each.key_pem) in (0, 401)
        staying = w.client()
        assert (await staying.get(HOST)).status_code == 200  # others log in otherwise
        await _policy(w, client_certificates=ClientCertificates.REQUIRED)
        async with asyncio.timeout(30):
            while True:
                try:
                    await w.client().get(HOST)
                except httpx.HTTPError:
                    break
        assert await _by_certificate(w, tmp_path, good.pem, good.key_pem) == 200
        with pytest.raises(httpx.HTTPError):
            await staying.get(HOST)  # who came before has to come again, by the new rules


async def test_a_stream_by_certificate_goes_on_while_the_certificate_is_good(tmp_path: Path) -> None:
    authority = Authority("ours")
    async with world() as w:
        add = AddTrustedCertificateRequest(pem=authority.pem.decode())
        await w.door.forward(SecurityService.AddTrustedCertificate, add, w.made.call())
        await _policy(w, client_certificates=ClientCertificates.OPTIONAL)
        good = authority.issue("olga", names=["olga@example.org"], usage=CLIENT)
        async with asyncio.timeout(30):
            while await _by_certificate(w, tmp_path, good.pem, good.key_pem) != 200:
                await asyncio.sleep(0.02)
        context = _trusting(w)
        context.load_cert_chain(tmp_path / "client.pem")
        async with (
            httpx.AsyncClient(base_url=w.url, verify=context, timeout=10) as client,
            client.stream("GET", "/api/v1alpha1/hosts:watch") as answer,
        ):
            events = Events(answer)
            await events.next()
            forwarder = w.server._forwarder
            assert forwarder is not None
            for _ in range(3):  # each time it is another visit
                await asyncio.sleep(0.25)
                await forwarder.recheck_streams()
            await w.hosts.news.put(WatchHostsResponse(host=Host(name="host.0"), cursor="e:2"))
            await events.next()
            w.users.refused = True
            await forwarder.recheck_streams()
            await w.until(lambda: not w.hosts.open)


async def _by_certificate(w: World, folder: Path, pem: bytes, key: bytes) -> int:
    """The status of a request with this client certificate; 0 when TLS refused it."""
    (folder / "client.pem").write_bytes(pem + key)
    context = _trusting(w)
    context.load_cert_chain(folder / "client.pem")
    try:
        async with httpx.AsyncClient(base_url=w.url, verify=context) as client:
            return (await client.get(HOST)).status_code
    except (httpx.HTTPError, ssl.SSLError):
        return 0


async def test_versions_are_not_told_before_the_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "licences.json").write_text('[{"version": "2.15.1"}]')
    (tmp_path / MANIFEST).write_text(json.dumps(webui.describe(tmp_path)))
    monkeypatch.setattr(app, "Pages", lambda: Pages(tmp_path))
    async with world() as w:
        stranger, olga = w.client(token=""), w.client(token="Operator-of-olga")
        assert (await stranger.get("/")).text == "<!doctype html>"
        for accept in ("*/*", "text/html"):
            refused = await stranger.get("/licences.json", headers={"accept": accept})
            assert "2.15" not in structured(refused, 401, "unauthenticated")["message"]
        assert (await stranger.head("/licences.json")).status_code == 401
        assert (await stranger.get("/licences.json", headers={"cookie": f"{SESSION_COOKIE}=x"})).status_code == 401
        assert (await olga.get("/licences.json")).json() == [{"version": "2.15.1"}]
        browser = {"cookie": f"{SESSION_COOKIE}=Operator-of-olga"}
        assert (await stranger.get("/licences.json", headers=browser)).status_code == 200


async def test_http_3_is_offered_when_wanted_and_is_the_same_api() -> None:
    async with world() as w:
        plain = w.client()
        assert "alt-svc" not in (await plain.get(HOST)).headers
        await _policy(w, http3=True)
        async with asyncio.timeout(30):
            while "alt-svc" not in (answer := await plain.get(HOST)).headers:
                await asyncio.sleep(0.05)
        port = w.url.rpartition(":")[2]
        assert answer.headers["alt-svc"].startswith(f'h3=":{port}"')
        transport = pyqwest.HTTPTransport(
            tls_ca_cert=w.certificate.read_bytes(), http_version=pyqwest.HTTPVersion.HTTP3
        )
        url = f"https://localhost:{port}"
        token = {"authorization": "Bearer Operator-of-olga"}
        async with transport:
            client = pyqwest.Client(transport)
            got = await client.get(url + HOST, headers=token)
            assert (got.status, b'"name":"host.0"' in got.content) == (200, True)
            assert (await client.get(url + HOST)).status == 401
            body = b'{"action": "HOST_POWER_ACTION_ON"}'
            headers = {**token, "content-type": "application/json"}
            changed = await client.post(f"{url}{HOST}:changePower", headers=headers, content=body)
            assert changed.status == 200
            assert w.hosts.changed[-1][0] == "olga"
            answers = await asyncio.gather(*(client.get(url + HOST, headers=token) for _ in range(50)))
            assert {each.status for each in answers} == {200}
            too_much = await client.post(url + LOGIN, headers=headers, content=b"x" * 10_000)
            assert too_much.status == 413
        trust = AddTrustedCertificateRequest(pem=Authority("of the clients").pem.decode())
        await w.door.forward(SecurityService.AddTrustedCertificate, trust, w.made.call())
        await _policy(w, client_certificates=ClientCertificates.REQUIRED)
        async with asyncio.timeout(30):
            while w.server._quic:
                await asyncio.sleep(0.02)
