"""Certificates: what the HTTPS door shows, requests to have it signed, and the authorities of client certificates."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ubmc.protocols.redfish.resource import MANAGER, Action, Body, Resource, known, link, links
from ubmc.protocols.redfish.shape import Prop
from ubmc.protocols.redfish.types import ROOT
from ubmc.protocols.redfish.when import stamp
from ubmc.v1alpha1.security_pb import Certificate, KeyType

SERVICE = f"{ROOT}/CertificateService"
LOCATIONS = f"{SERVICE}/CertificateLocations"
HTTPS = f"{ROOT}/Managers/{{manager}}/NetworkProtocol/HTTPS/Certificates"

_BEGIN = "-----BEGIN CERTIFICATE-----"
_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----.*?-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----\s*", re.DOTALL
)
_ATTRIBUTES = {
    "CN": "CommonName",
    "O": "Organization",
    "OU": "OrganizationalUnit",
    "L": "City",
    "ST": "State",
    "C": "Country",
}
_ESCAPED = re.compile(r"\\(.)")
_PARTS = re.compile(r"(?<!\\),")

ECDSA, RSA = "TPM_ALG_ECDSA", "TPM_ALG_RSA"
P256, P384 = "TPM_ECC_NIST_P256", "TPM_ECC_NIST_P384"


def certificate(of: Certificate, usage: str = "Web") -> Body:
    """One certificate."""
    chain = of.pem.count(_BEGIN) > 1
    return known(
        {
            "Id": of.name or of.fingerprint,
            "Name": "HTTPS Certificate" if usage == "Web" else "Client Certificate Authority",
            "CertificateString": of.pem,
            "CertificateType": "PEMchain" if chain else "PEM",
            "CertificateUsageTypes": [usage],
            "Subject": _identifier(of.subject, of.alternative_names),
            "Issuer": _identifier(of.issuer, ()),
            "ValidNotBefore": stamp(of.not_before),
            "ValidNotAfter": stamp(of.not_after),
            "SerialNumber": _colons(of.serial_number),
            "Fingerprint": _colons(of.fingerprint),
            "FingerprintHashAlgorithm": "TPM_ALG_SHA256",
        }
    )


def _colons(digits: str) -> str:
    """Hexadecimal digits in pairs, as Redfish has them."""
    even = digits.zfill(len(digits) + len(digits) % 2)
    return ":".join(even[at : at + 2] for at in range(0, len(even), 2)).upper()


def _identifier(name: str, alternatives: Iterable[str]) -> Body:
    """A distinguished name (RFC 4514) as Redfish has it."""
    found: Body = {"DisplayString": name}
    for part in _PARTS.split(name):
        key, equals, value = part.strip().partition("=")
        if equals and (attribute := _ATTRIBUTES.get(key.upper())) is not None:
            found.setdefault(attribute, _ESCAPED.sub(r"\1", value))
    if others := list(alternatives):
        found["AlternativeNames"] = others
    return found


def service() -> Body:
    """What can be done with certificates."""
    return {
        "Id": "CertificateService",
        "Name": "Certificate Service",
        "CertificateLocations": link(LOCATIONS),
        "Actions": {
            "#CertificateService.GenerateCSR": {
                "target": f"{SERVICE}/Actions/CertificateService.GenerateCSR",
                "KeyPairAlgorithm@Redfish.AllowableValues": [ECDSA, RSA],
                "KeyCurveId@Redfish.AllowableValues": [P256, P384],
            },
            "#CertificateService.ReplaceCertificate": {
                "target": f"{SERVICE}/Actions/CertificateService.ReplaceCertificate",
                "CertificateType@Redfish.AllowableValues": ["PEM", "PEMchain"],
            },
        },
    }


def locations(paths: Iterable[str]) -> Body:
    """Where certificates are."""
    return {
        "Id": "CertificateLocations",
        "Name": "Certificate Locations",
        "Links": {"Certificates": links(list(paths))},
    }


def key_type(algorithm: str, curve: str, bits: int | None) -> KeyType | None:
    """The kind of key that a signing request asks for; None for one that cannot be made here."""
    if algorithm == RSA:
        return KeyType.RSA_3072 if bits in (None, 3072) and not curve else None
    if algorithm in ("", ECDSA) and bits in (None, 256, 384):
        wanted = curve or (P384 if bits == 384 else P256)
        return {P256: KeyType.EC_P256, P384: KeyType.EC_P384}.get(wanted)
    return None


def without_key(text: str) -> tuple[str, str]:
    """What a client sent, parted into certificates and a private key, which is empty if none came along."""
    key = _KEY.search(text)
    return _KEY.sub("", text), key[0] if key else ""


_TEXT = Prop(longest=64)
RESOURCES = (
    Resource(
        SERVICE,
        "CertificateService",
        lambda _view, _params: service(),
        write=MANAGER,
        actions=(
            Action(
                "CertificateService.GenerateCSR",
                {
                    "CommonName": Prop(required=True, longest=64),
                    "AlternativeNames": Prop("strings", longest=32),
                    "Organization": _TEXT,
                    "OrganizationalUnit": _TEXT,
                    "City": _TEXT,
                    "State": _TEXT,
                    "Country": Prop(pattern="[A-Z]{2}"),
                    "Email": Prop(longest=254, nullable=True),
                    "KeyPairAlgorithm": Prop(nullable=True),
                    "KeyCurveId": Prop(nullable=True),
                    "KeyBitLength": Prop("integer", nullable=True),
                    "KeyUsage": Prop("strings", longest=16),
                    "CertificateCollection": Prop("link", required=True),
                },
                MANAGER,
            ),
            Action(
                "CertificateService.ReplaceCertificate",
                {
                    "CertificateString": Prop(required=True, longest=65536),
                    "CertificateType": Prop(required=True),
                    "CertificateUri": Prop("link", required=True),
                },
                MANAGER,
            ),
        ),
        about="Signing requests, and new certificates.",
    ),
    Resource(LOCATIONS, "CertificateLocations", about="Where certificates are."),
    Resource(HTTPS, "CertificateCollection", about="What the HTTPS door shows."),
    Resource(f"{HTTPS}/{{certificate}}", "Certificate", write=MANAGER, about="One certificate of the HTTPS door."),
)
