"""Certificates as Redfish shows them, and what a signing request may ask for."""

from __future__ import annotations

import datetime as dt

import pytest
from protobuf.wkt import Timestamp
from tests.harness.authority import Authority
from tests.unit.redfish_world import check_golden

from ubmc.protocols.redfish import certificates
from ubmc.v1alpha1.security_pb import Certificate, KeyType

BEGIN = "-----BEGIN CERTIFICATE-----"


def at(year: int) -> Timestamp:
    return Timestamp.from_datetime(dt.datetime(year, 1, 2, 3, 4, 5, tzinfo=dt.UTC))


def test_certificates() -> None:
    own = Certificate(
        name="https",
        subject="CN=bmc.example.org,O=Example\\, Inc.,C=DE",
        issuer="CN=Example CA",
        alternative_names=["bmc.example.org", "192.0.2.1"],
        not_before=at(2026),
        not_after=at(2027),
        serial_number="abc",
        fingerprint="00ff10",
        pem=f"{BEGIN}\nMII\n-----END CERTIFICATE-----\n{BEGIN}\nMII\n-----END CERTIFICATE-----\n",
    )
    made = certificates.certificate(own)
    check_golden("certificates", {"own": made, "authority": certificates.certificate(own, "User")})
    assert made["SerialNumber"] == "0A:BC"
    assert made["Subject"]["Organization"] == "Example, Inc."
    assert made["CertificateType"] == "PEMchain"


@pytest.mark.parametrize(
    ("algorithm", "curve", "bits", "kind"),
    [
        ("", "", None, KeyType.EC_P256),
        ("TPM_ALG_ECDSA", "TPM_ECC_NIST_P384", None, KeyType.EC_P384),
        ("TPM_ALG_ECDSA", "", 384, KeyType.EC_P384),
        ("TPM_ALG_RSA", "", 3072, KeyType.RSA_3072),
        ("TPM_ALG_RSA", "", 1024, None),
        ("TPM_ALG_RSA", "TPM_ECC_NIST_P256", None, None),
        ("TPM_ALG_ECDSA", "TPM_ECC_BN_P256", None, None),
        ("TPM_ALG_SM2", "", None, None),
    ],
)
def test_kinds_of_keys(algorithm: str, curve: str, bits: int | None, kind: KeyType | None) -> None:
    assert certificates.key_type(algorithm, curve, bits) is kind


def test_a_key_is_parted_from_its_certificate() -> None:
    issued = Authority().issue("bmc.example.org", names=["bmc.example.org"])
    pem, key = issued.pem.decode(), issued.key_pem.decode()
    for sent in (pem + key, key + pem):
        assert certificates.without_key(sent) == (pem, key)
    assert certificates.without_key(pem) == (pem, "")
