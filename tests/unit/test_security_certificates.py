"""How a certificate is shown."""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ubmc.services.securitymgr.certificates import describe
from ubmc.v1alpha1.security_pb import CertificateSource


def _named(serial: str, common: str) -> x509.Name:
    parts = ((NameOID.SERIAL_NUMBER, serial), (NameOID.EMAIL_ADDRESS, "ca@example.org"), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def test_what_a_subject_and_an_issuer_say_has_words() -> None:
    key, start = ec.generate_private_key(ec.SECP256R1()), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(_named("1", "a root"), _named("17", "bmc.example"), key.public_key(), 1)
    made = builder.not_valid_before(start).not_valid_after(start + dt.timedelta(days=1)).sign(key, hashes.SHA256())
    shown = describe("https", [made], CertificateSource.UPLOADED)
    assert shown.subject == "CN=bmc.example,emailAddress=ca@example.org,serialNumber=17"
    assert shown.issuer == "CN=a root,emailAddress=ca@example.org,serialNumber=1"
