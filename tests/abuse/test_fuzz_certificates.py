"""Mangled certificates, keys, names and addresses: each is read, or refused in words."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import socket
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from tests.abuse.fuzzing import INPUTS, TURNS, fuzz
from tests.harness.authority import CLIENT, Authority

from ubmc.kit import outgoing
from ubmc.kit.errors import Refused, Unauthenticated
from ubmc.services.securitymgr import certificates
from ubmc.services.websrv.peer import certificate_identities
from ubmc.services.websrv.validation import validate
from ubmc.v1alpha1.security_pb import CertificateSource, CreateSigningRequestRequest, KeyType

# Of `cryptography`, for what it will refuse in times to come, such as negative serial numbers.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
NOW = dt.datetime.now(dt.UTC)
DER = serialization.Encoding.DER
KEYS, SIGNED = 2_500, 2_000
"""Checking an RSA key, and signing, take too long for more."""
turns = pytest.mark.parametrize("turns", TURNS)


def armoured(kind: str, der: bytes) -> bytes:
    """PEM around any bytes, so that they get past the armour."""
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN {kind}-----\n{text}-----END {kind}-----\n".encode()


def der_of(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(DER)


@cache
def made() -> tuple[list[bytes], list[bytes]]:
    """Certificates and keys, DER."""
    authority = Authority("ours")
    names = ["olga@example.org", "uri://example.org/olga", "olga.example.org", "192.0.2.1"]
    client = authority.issue("olga", names=names, usage=CLIENT)
    server = authority.issue("bmc.example", names=["bmc.example", "192.0.2.1"])
    signed, _ = certificates.self_signed("bmc.example")
    found = [der_of(each) for each in (authority.pem, client.pem, server.pem, signed)]
    keys: list[Any] = [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ed25519.Ed25519PrivateKey.generate(),
    ]
    form = (DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return found, [key.private_bytes(*form) for key in keys]


@turns
def test_certificates(turns: int) -> None:
    """As for an upload and for the trust store."""
    key = certificates.new_key(KeyType.EC_P256)

    def read(der: bytes) -> None:
        chain = certificates.parse_chain(armoured("CERTIFICATE", der))
        certificates.describe("https", chain, CertificateSource.UPLOADED).to_binary()
        certificates.check_authority(chain[0], NOW)
        certificates.check_pair(chain, [key], NOW)

    fuzz(read, made()[0], INPUTS * turns)


@turns
def test_the_certificates_of_clients(turns: int) -> None:
    good = made()[0]
    named = certificate_identities(armoured("CERTIFICATE", good[1]).decode())
    assert named[0] == "email:olga@example.org"

    def read(der: bytes) -> None:
        found = certificate_identities(armoured("CERTIFICATE", der).decode())
        assert found
        assert all(each.split(":")[0] in {"email", "dns", "uri", "upn", "cn"} for each in found)

    assert fuzz(read, [good[1]], INPUTS * turns) < INPUTS * turns * 0.99


@turns
def test_pem(turns: int) -> None:
    good = [armoured("CERTIFICATE", each) for each in made()[0]]

    def read(pem: bytes) -> None:
        certificates.parse_chain(pem)

    assert fuzz(read, [*good, b"".join(good)], INPUTS * turns) < INPUTS * turns


@turns
def test_keys(turns: int) -> None:
    def read(der: bytes) -> None:
        certificates.key_pem(certificates.parse_key(armoured("PRIVATE KEY", der)))

    # each that passes is an RSA key to be checked, or a point to be multiplied
    assert fuzz(read, made()[1], KEYS * turns) < KEYS * turns


@turns
def test_names(turns: int) -> None:
    good = [
        b"bmc.example",
        b"*.example.org",
        b"192.0.2.1",
        b"[2001:db8::1]",
        b"fe80::1%eth0",
        "b\u00fccher.example".encode(),
    ]

    def read(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        names = certificates.general_names([text, text, "localhost"])
        assert len(names) in (1, 2)

    assert fuzz(read, good, INPUTS * turns) < INPUTS * turns


@turns
def test_signing_requests(turns: int) -> None:
    key = certificates.new_key(KeyType.EC_P256)
    good = [b"bmc.example|192.0.2.1|u-bmc|DE", "b\u00fc.example|b\u00fc.example|\u00dcber|AT".encode()]

    def read(data: bytes) -> None:
        parts = [*data.decode("utf-8", "replace").split("|"), "", "", ""]
        asked = CreateSigningRequestRequest(
            name="https", common_name=parts[0], alternative_names=[parts[1]], organization=parts[2], country=parts[3]
        )
        validate(asked)
        pem = certificates.signing_request(
            key, asked.common_name, asked.alternative_names, organization=asked.organization, country=asked.country
        )
        assert x509.load_pem_x509_csr(pem).is_signature_valid

    assert fuzz(read, good, SIGNED * turns) < SIGNED * turns


# --- addresses --------------------------------------------------------------------------------------------------------


def numeric(host: str, port: int, **options: Any) -> Any:
    """As the system's, without asking a name service."""
    return _resolve(host, port, flags=socket.AI_NUMERICHOST, **options)


_resolve: Callable[..., Any] = socket.getaddrinfo
URLS = [
    b"https://192.0.2.1:14000/dir", b"https://[2001:db8::1]/x?y#z", b"https://0300.0.2.1/", b"https://[::ffff:192.0.2.1]:8443/",
    b"https://3221225985/", b"https://user:password@192.0.2.1/", b"https://bmc.example/",
]  # fmt: skip


@turns
def test_urls_that_users_name(turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", numeric)

    def read(data: bytes) -> None:
        host = outgoing.check_url(data.decode("utf-8", "replace"), ("https",))
        for *_, place in numeric(host, 443):
            found = ipaddress.ip_address(place[0].partition("%")[0])
            mapped = getattr(found, "ipv4_mapped", None) or found
            local = mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified
            assert not local, host

    assert fuzz(read, URLS, INPUTS * turns) < INPUTS * turns


LOCAL = (
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "0", "0.0.0.0", "[::]", "169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200", "2852039166",
)  # fmt: skip


@pytest.mark.parametrize("host", LOCAL)
def test_no_spelling_of_a_local_address_passes(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", numeric)
    with pytest.raises(Refused):
        outgoing.check_url(f"https://{host}/", ("https",))


def test_what_is_no_certificate_logs_nobody_in() -> None:
    for text in ("", "x", "\u00fc", armoured("CERTIFICATE", b"").decode()):
        with pytest.raises(Unauthenticated):
            certificate_identities(text)
