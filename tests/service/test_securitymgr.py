"""Certificates, trust, policy and the audit trail on a real bus."""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
import sys
from pathlib import Path

import pytest
from cryptography import x509
from protobuf.wkt import FieldMask
from tests.harness.acme import AcmeServer, acme_server, free_port
from tests.harness.authority import CLIENT, Authority
from tests.service.securitymgr_house import House, house, until

from ubmc.kit.errors import Exists, Invalid, NotFound, Refused, UbmcError
from ubmc.services.securitymgr import floods, trail
from ubmc.v1alpha1.event_pb import EventFilter, ListEventsRequest
from ubmc.v1alpha1.event_rpc import EventService
from ubmc.v1alpha1.security_pb import (
    Acme,
    AcmeChallenge,
    AcmeState,
    AddTrustedCertificateRequest,
    CertificateSource,
    ClientCertificates,
    CreateSigningRequestRequest,
    DeleteTrustedCertificateRequest,
    GetAcmeRequest,
    GetAuditRecordRequest,
    GetCertificateRequest,
    GetSecurityPolicyRequest,
    ListAuditRecordsRequest,
    ListTrustedCertificatesRequest,
    RenewAcmeRequest,
    ResetCertificateRequest,
    SecurityPolicy,
    UpdateAcmeRequest,
    UpdateSecurityPolicyRequest,
    UploadCertificateRequest,
    VerifyAuditRequest,
)
from ubmc.v1alpha1.security_rpc import SecurityService

HTTPS = GetCertificateRequest(name="https")


async def test_a_new_device_has_a_certificate_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        first = (await h.ask(SecurityService.GetCertificate, HTTPS)).certificate
        assert first is not None
        assert first.source is CertificateSource.SELF_SIGNED
        assert "localhost" in first.alternative_names
        await until(lambda: h.listening.seen)
        told = h.listening.seen[-1]
        _pair(tmp_path, told.certificate_pem, told.key_pem)
        assert h.shown[-1] == told.certificate_pem
    async with house(tmp_path) as h:
        assert (await h.ask(SecurityService.GetCertificate, HTTPS)).certificate == first
        await until(lambda: h.listening.seen)
        assert h.listening.seen[-1].key_pem == told.key_pem
    assert told.key_pem.splitlines()[1].encode() not in (tmp_path / "precious.db").read_bytes()


def _pair(folder: Path, certificate: str, key: str) -> None:
    """Refused by OpenSSL itself unless they belong together."""
    (folder / "c.pem").write_text(certificate)
    (folder / "k.pem").write_text(key)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(folder / "c.pem", folder / "k.pem")


async def test_a_signing_request_and_the_certificate_that_answers_it(tmp_path: Path) -> None:
    authority = Authority()
    async with house(tmp_path) as h:
        asked = CreateSigningRequestRequest(
            name="https",
            common_name="bmc.example",
            alternative_names=["bmc.example", "192.0.2.7"],
            country="DE",
            state_or_province="Bayern",
            locality="Fürth",
            organization="Example",
            organizational_unit="Rack 7",
            email="rack7@example.org",
        )
        csr = (await h.ask(SecurityService.CreateSigningRequest, asked)).pem
        said = [(each.rfc4514_attribute_name, each.value) for each in x509.load_pem_x509_csr(csr.encode()).subject]
        assert said == [
            ("C", "DE"),
            ("ST", "Bayern"),
            ("L", "Fürth"),
            ("O", "Example"),
            ("OU", "Rack 7"),
            ("1.2.840.113549.1.9.1", "rack7@example.org"),
            ("CN", "bmc.example"),
        ]
        names = x509.load_pem_x509_csr(csr.encode()).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert [str(each.value) for each in names.value] == ["bmc.example", "192.0.2.7"]
        pem = authority.sign_request(csr.encode()).decode() + authority.pem.decode()
        answer = await h.ask(SecurityService.UploadCertificate, UploadCertificateRequest(name="https", pem=pem))
        assert answer.certificate is not None
        assert answer.certificate.source is CertificateSource.UPLOADED
        assert "emailAddress=rack7@example.org" in answer.certificate.subject
        await until(lambda: h.listening.seen and h.listening.seen[-1].certificate_pem == pem)
        _pair(tmp_path, pem, h.listening.seen[-1].key_pem)
        with pytest.raises(NotFound, match="there is https"):
            await h.ask(SecurityService.GetCertificate, GetCertificateRequest(name="http"))
        back = await h.ask(SecurityService.ResetCertificate, ResetCertificateRequest(name="https"))
        assert back.certificate is not None
        assert back.certificate.source is CertificateSource.SELF_SIGNED
        assert back.certificate.pem != pem


async def test_certificates_that_cannot_be_used_are_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    authority, stranger = Authority(), Authority("stranger")
    good = authority.issue("bmc.example", names=["bmc.example"])
    other = authority.issue("bmc.example", names=["bmc.example"])
    client = authority.issue("x", names=["x@example"], usage=CLIENT)
    expired = authority.issue("bmc.example", names=["bmc.example"], days=(-9, -1))
    early = authority.issue("bmc.example", names=["bmc.example"], days=(1, 9))
    cases = [
        ("garbage", "", "no certificate"),
        (good.pem.decode(), "", "no key here belongs"),
        (good.pem.decode(), other.key_pem.decode(), "no key here belongs"),
        (good.pem.decode(), "garbage", "no private key"),
        (client.pem.decode(), client.key_pem.decode(), "serverAuth"),
        (expired.pem.decode(), expired.key_pem.decode(), "expired"),
        (early.pem.decode(), early.key_pem.decode(), "is the clock right"),
        (good.pem.decode() + stranger.pem.decode(), good.key_pem.decode(), "did not sign"),
    ]
    async with house(tmp_path) as h:
        before = (await h.ask(SecurityService.GetCertificate, HTTPS)).certificate
        for pem, key, reason in cases:
            with pytest.raises(Invalid, match=reason) as caught:
                request = UploadCertificateRequest(name="https", pem=pem, key_pem=key)
                await h.ask(SecurityService.UploadCertificate, request)
            assert "PRIVATE" not in caught.value.message
        assert (await h.ask(SecurityService.GetCertificate, HTTPS)).certificate == before


async def test_whom_to_trust(tmp_path: Path) -> None:
    authority = Authority("root of the clients")
    async with house(tmp_path) as h:
        add = AddTrustedCertificateRequest(pem=authority.pem.decode())
        added = (await h.ask(SecurityService.AddTrustedCertificate, add)).certificate
        assert added is not None
        assert added.subject == "CN=root of the clients"
        with pytest.raises(Exists):
            await h.ask(SecurityService.AddTrustedCertificate, add)
        leaf = AddTrustedCertificateRequest(pem=authority.issue("x").pem.decode())
        with pytest.raises(Invalid, match="authority"):
            await h.ask(SecurityService.AddTrustedCertificate, leaf)
        await until(lambda: h.listening.seen and h.listening.seen[-1].trusted_pem == [authority.pem.decode()])
    async with house(tmp_path) as h:
        listed = await h.ask(SecurityService.ListTrustedCertificates, ListTrustedCertificatesRequest())
        assert [each.fingerprint for each in listed.certificates] == [added.fingerprint]
        delete = DeleteTrustedCertificateRequest(fingerprint=added.fingerprint)
        await h.ask(SecurityService.DeleteTrustedCertificate, delete)
        with pytest.raises(NotFound):
            await h.ask(SecurityService.DeleteTrustedCertificate, delete)
        await until(lambda: h.listening.seen and not h.listening.seen[-1].trusted_pem)


async def test_nobody_is_shut_out_by_requiring_certificates_that_no_authority_signs(tmp_path: Path) -> None:
    required = UpdateSecurityPolicyRequest(policy=SecurityPolicy(client_certificates=ClientCertificates.REQUIRED))
    add = AddTrustedCertificateRequest(pem=Authority("the only one").pem.decode())
    async with house(tmp_path) as h:
        with pytest.raises(Refused, match="authority"):
            await h.ask(SecurityService.UpdateSecurityPolicy, required)
        added = (await h.ask(SecurityService.AddTrustedCertificate, add)).certificate
        assert added is not None
        await h.ask(SecurityService.UpdateSecurityPolicy, required)
        with pytest.raises(Refused, match="authority"):
            await h.ask(
                SecurityService.DeleteTrustedCertificate,
                DeleteTrustedCertificateRequest(fingerprint=added.fingerprint),
            )


async def test_policy_is_strict_by_default_and_a_change_reaches_the_doors_and_stays(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        policy = (await h.ask(SecurityService.GetSecurityPolicy, GetSecurityPolicyRequest())).policy
        assert policy is not None
        assert (policy.tls_1_2, policy.allowed_origins, policy.outgoing_to_local) == (False, [], False)
        assert policy.client_certificates is ClientCertificates.OFF
        change = UpdateSecurityPolicyRequest(
            policy=SecurityPolicy(tls_1_2=True, basic_auth=False),
            update_mask=FieldMask(paths=["tls_1_2", "basic_auth"]),
        )
        await h.ask(SecurityService.UpdateSecurityPolicy, change)
        await until(lambda: any(each.policy and each.policy.tls_1_2 for each in h.listening.seen))
        with pytest.raises(Invalid, match="updateMask"):
            wrong = UpdateSecurityPolicyRequest(policy=SecurityPolicy(), update_mask=FieldMask(paths=["nothing"]))
            await h.ask(SecurityService.UpdateSecurityPolicy, wrong)
    async with house(tmp_path) as h:
        policy = (await h.ask(SecurityService.GetSecurityPolicy, GetSecurityPolicyRequest())).policy
        assert policy is not None
        assert (policy.tls_1_2, policy.basic_auth, policy.http3) == (True, False, False)


async def test_every_audited_call_is_in_the_trail_and_a_forged_record_shows(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await h.ask(SecurityService.ResetCertificate, ResetCertificateRequest(name="https"))
        with pytest.raises(NotFound):
            await h.ask(SecurityService.ResetCertificate, ResetCertificateRequest(name="other"), user="mallory")
        await _until_recorded(h, 2)
        listed = await h.ask(SecurityService.ListAuditRecords, ListAuditRecordsRequest())
        seen = [(each.user, each.action, each.target, each.outcome) for each in listed.records]
        assert seen == [
            ("admin", "SecurityService.ResetCertificate", "https", "ok"),
            ("mallory", "SecurityService.ResetCertificate", "other", "not_found"),
        ]
        assert all(each.trace_id and each.source == "192.0.2.1" and each.time for each in listed.records)
        only = ListAuditRecordsRequest(user="mallory", newest_first=True)
        mine = await h.ask(SecurityService.ListAuditRecords, only)
        assert ([each.id for each in mine.records], mine.total_size, listed.total_size) == ([2], 1, 2)
        behind = await h.ask(SecurityService.ListAuditRecords, ListAuditRecordsRequest(skip=1, page_size=1))
        assert (behind.records, behind.next_page_token) == (listed.records[1:], "")
        one = await h.ask(SecurityService.GetAuditRecord, GetAuditRecordRequest(id=2))
        assert one.record == listed.records[1]
        with pytest.raises(NotFound, match="no audit record 9"):
            await h.ask(SecurityService.GetAuditRecord, GetAuditRecordRequest(id=9))
        assert (await h.ask(SecurityService.VerifyAudit, VerifyAuditRequest())).intact
    async with house(tmp_path) as h:  # a restart doubles nothing
        await h.ask(SecurityService.ResetCertificate, ResetCertificateRequest(name="https"))
        await _until_recorded(h, 3)
        verdict = await h.ask(SecurityService.VerifyAudit, VerifyAuditRequest())
        assert (verdict.intact, verdict.count) == (True, 3)
    forge = sqlite3.connect(tmp_path / "precious.db")
    with forge:
        forge.execute("UPDATE securitymgr_audit SET user = 'nobody' WHERE id = 2")
    forge.close()
    async with house(tmp_path) as h:
        verdict = await h.ask(SecurityService.VerifyAudit, VerifyAuditRequest())
        assert (verdict.intact, verdict.first_broken_id) == (False, 2)


async def test_what_one_account_repeats_is_counted_and_a_restart_loses_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floods, "BURST", 5)
    wrong = ResetCertificateRequest(name="other")

    async def refused(h: House, count: int) -> None:
        for _ in range(count):
            with pytest.raises(NotFound):
                await h.ask(SecurityService.ResetCertificate, wrong, user="mallory")

    async with house(tmp_path) as h:
        await refused(h, 9)
        await h.ask(SecurityService.ResetCertificate, ResetCertificateRequest(name="https"))
        await _until_recorded(h, 6)  # five of them, and what was done; four are only counted
    monkeypatch.setattr(trail, "FOLD_SECONDS", 1.0)
    async with house(tmp_path) as h:
        await _until_recorded(h, 10)  # nothing was told of the four yet: they come again
        await refused(h, 30)
        async with asyncio.timeout(30):
            while (told := await _repeated(h))[1] < 29:
                await asyncio.sleep(0.05)
        assert told == (10, 29)
        assert (await h.ask(SecurityService.VerifyAudit, VerifyAuditRequest())).intact


async def _repeated(h: House) -> tuple[int, int]:
    """How many refused calls are in the trail for themselves, and how many as numbers."""
    listed = await h.ask(SecurityService.ListAuditRecords, ListAuditRecordsRequest(user="mallory", page_size=100))
    counts = [int(each.target.split()[0]) for each in listed.records if each.action == floods.ACTION]
    return len(listed.records) - len(counts), sum(counts)


async def _until_recorded(h: House, count: int) -> None:
    async with asyncio.timeout(20):
        while (await h.ask(SecurityService.VerifyAudit, VerifyAuditRequest())).count < count:
            await asyncio.sleep(0.05)


# --- ACME -------------------------------------------------------------------------------------------------------------


async def _answer_http(h: House, port: int) -> asyncio.Server:
    """Answer HTTP-01 as a door would."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readline()).split(b" ")[1].decode()
        while (await reader.readline()).strip():
            pass
        told = {each.token: each.answer for each in h.listening.seen[-1].challenges}
        body = told.get(path.rpartition("/")[2], "").encode()
        status = b"200 OK" if body else b"404 Not Found"
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body))
        await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", port)


def _settings(server: AcmeServer, **besides: object) -> Acme:
    values: dict[str, object] = {
        "enabled": True, "directory_url": server.directory_url, "email": "ops@example.com", "domains": ["bmc.example"],
        "agree_terms": True, "ca_pem": server.ca_pem, "challenge": AcmeChallenge.HTTP_01, **besides,
    }  # fmt: skip
    return Acme(**values)  # type: ignore[arg-type]


async def _allow_loopback(h: House) -> None:
    change = UpdateSecurityPolicyRequest(policy=SecurityPolicy(outgoing_to_local=True))
    await h.ask(SecurityService.UpdateSecurityPolicy, change)


async def _acme(h: House) -> Acme:
    acme = (await h.ask(SecurityService.GetAcme, GetAcmeRequest())).acme
    assert acme is not None
    return acme


async def _until_acme(h: House, state: AcmeState) -> Acme:
    async with asyncio.timeout(60):
        while (acme := await _acme(h)).state is not state:
            await asyncio.sleep(0.1)
    return acme


async def test_a_certificate_by_http_01_and_its_renewal(tmp_path: Path) -> None:
    port = free_port()
    with acme_server(tmp_path / "acme", port, validity_seconds=15, bad_nonces=15) as server:
        async with house(tmp_path) as h:
            await until(lambda: h.listening.seen)
            answering = await _answer_http(h, port)
            async with answering:
                await _allow_loopback(h)
                await h.ask(SecurityService.UpdateAcme, UpdateAcmeRequest(acme=_settings(server)))
                await _until_acme(h, AcmeState.VALID)
                first = (await h.ask(SecurityService.GetCertificate, HTTPS)).certificate
                assert first is not None
                assert (first.source, first.alternative_names) == (CertificateSource.ACME, ["bmc.example"])
                _pair(tmp_path, h.listening.seen[-1].certificate_pem, h.listening.seen[-1].key_pem)
                assert h.listening.seen[-1].challenges == []
                # two thirds of its life later the next one comes by itself
                await until(lambda: h.listening.seen[-1].certificate_pem != first.pem, seconds=60)
                await _until_acme(h, AcmeState.VALID)


async def test_a_certificate_by_dns_01_with_the_command_of_the_owner(tmp_path: Path) -> None:
    with acme_server(tmp_path / "acme", free_port()) as server:
        hook = tmp_path / "hook.py"
        hook.write_text(
            "import json, sys, urllib.request\n"
            "action, name, value = sys.argv[1:]\n"
            "path = '/set-txt' if action == 'present' else '/clear-txt'\n"
            "body = json.dumps({'host': name + '.', 'value': value}).encode()\n"
            f"urllib.request.urlopen({server.dns_management!r} + path, body, timeout=5).close()\n"
        )
        async with house(tmp_path, dns_hook=(sys.executable, str(hook))) as h:
            await _allow_loopback(h)
            acme = _settings(server, challenge=AcmeChallenge.DNS_01, domains=["bmc.example", "*.bmc.example"])
            await h.ask(SecurityService.UpdateAcme, UpdateAcmeRequest(acme=acme))
            await _until_acme(h, AcmeState.VALID)
            certificate = (await h.ask(SecurityService.GetCertificate, HTTPS)).certificate
            assert certificate is not None
            assert set(certificate.alternative_names) == {"bmc.example", "*.bmc.example"}


async def test_an_order_that_fails_says_why_and_the_old_certificate_stays(tmp_path: Path) -> None:
    with acme_server(tmp_path / "acme", free_port()) as server:
        async with house(tmp_path) as h:
            with pytest.raises(Refused, match="enable"):
                await h.ask(SecurityService.RenewAcme, RenewAcmeRequest())
            cases: list[tuple[dict[str, object], str]] = [
                ({"agree_terms": False}, "terms"),
                ({"domains": []}, "domains"),
                ({"directory_url": "http://localhost/"}, "https"),
                ({"challenge": AcmeChallenge.DNS_01}, "acme_dns_hook"),
            ]
            for wrong, reason in cases:
                with pytest.raises(UbmcError, match=reason):
                    request = UpdateAcmeRequest(acme=_settings(server, **wrong))
                    await h.ask(SecurityService.UpdateAcme, request)
            await h.ask(SecurityService.UpdateAcme, UpdateAcmeRequest(acme=_settings(server)))
            assert "loopback" in (await _until_acme(h, AcmeState.FAILED)).error  # the guard of outgoing requests
            await _allow_loopback(h)
            await h.ask(SecurityService.RenewAcme, RenewAcmeRequest())
            async with asyncio.timeout(60):  # nobody answers the challenge
                while "could not check the names" not in (await _acme(h)).error:
                    await asyncio.sleep(0.1)
            certificate = (await h.ask(SecurityService.GetCertificate, HTTPS)).certificate
            assert certificate is not None
            assert certificate.source is CertificateSource.SELF_SIGNED
            async with asyncio.timeout(20):
                while not (await h.ask(EventService.ListEvents, _failures())).events:
                    await asyncio.sleep(0.05)


def _failures() -> ListEventsRequest:
    return ListEventsRequest(filter=EventFilter(message_id="Security.AcmeFailed"))
