"""A certificate authority for tests."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_PEM = serialization.Encoding.PEM
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key."""

    pem: bytes
    key_pem: bytes


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A key as PEM."""
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general(name: str) -> x509.GeneralName:
    if "@" in name:
        return x509.RFC822Name(name)
    if ":/" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    """A root that signs."""

    def __init__(self, common: str = "test root", *, is_authority: bool = True) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(common)
        self.certificate = self._sign(
            self.name, self.key.public_key(), x509.BasicConstraints(ca=is_authority, path_length=None)
        )
        self.pem = self.certificate.public_bytes(_PEM)

    def issue(
        self,
        common: str,
        *,
        names: Sequence[str] = (),
        usage: x509.ObjectIdentifier | None = SERVER,
        days: tuple[float, float] = (-1, 30),
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> Issued:
        """A certificate for a server (or a client), good from `days[0]` to `days[1]` from now."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        extensions: list[x509.ExtensionType] = []
        if names:
            extensions.append(x509.SubjectAlternativeName([_general(name) for name in names]))
        if usage is not None:
            extensions.append(x509.ExtendedKeyUsage([usage]))
        constraints = x509.BasicConstraints(ca=False, path_length=None)
        certificate = self._sign(_name(common), key.public_key(), constraints, extensions, days)
        return Issued(certificate.public_bytes(_PEM), private_pem(key))

    def sign_request(self, csr_pem: bytes) -> bytes:
        """The certificate (PEM) for a signing request."""
        csr = x509.load_pem_x509_csr(csr_pem)
        public = csr.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        extensions = [each.value for each in csr.extensions]
        constraints = x509.BasicConstraints(ca=False, path_length=None)
        return self._sign(csr.subject, public, constraints, extensions).public_bytes(_PEM)

    def _sign(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        constraints: x509.BasicConstraints,
        extensions: Sequence[x509.ExtensionType] = (),
        days: tuple[float, float] = (-1, 30),
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=days[0]))
            .not_valid_after(now + dt.timedelta(days=days[1]))
            .add_extension(constraints, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256())
