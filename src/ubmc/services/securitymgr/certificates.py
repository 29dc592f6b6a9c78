"""What can be done with certificates and keys, as functions of bytes. Loads `cryptography`'s X.509, so import it late.

Sources: RFC 5280 (profile), RFC 2986 (requests), RFC 6125 (names).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import itertools
import re
from collections.abc import Sequence
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from protobuf.wkt import Timestamp

from ubmc.kit.errors import Invalid
from ubmc.v1alpha1.security_pb import Certificate, CertificateSource, KeyType

LONGEST_CHAIN = 8
SMALLEST_RSA_BITS = 2048
CURVES = ("secp256r1", "secp384r1", "secp521r1")
"""Those with which TLS 1.3 signs (RFC 8446, 4.2.3)."""
_BACKDATED = dt.timedelta(days=1)  # a BMC's clock is often wrong at first boot
_SELF_SIGNED_DAYS = 3650
_DNS_NAME = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")  # RFC 1034, 3.5; RFC 6125, 6.4.3
_PEM = serialization.Encoding.PEM
_UNREADABLE = (
    ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)  # fmt: skip
_WORDS = {NameOID.SERIAL_NUMBER: "serialNumber", NameOID.EMAIL_ADDRESS: "emailAddress"}
E = TypeVar("E", bound=x509.ExtensionType)
SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def parse_chain(pem: bytes) -> list[x509.Certificate]:
    """The certificates in a PEM text, in order.

    Raises:
        Invalid: there is none, there are too many, or one cannot be read.
    """
    try:
        chain = x509.load_pem_x509_certificates(pem)
        for each in chain:
            _look_at(each)
    except _UNREADABLE as error:
        raise Invalid(f"this is no certificate in PEM form: {error}") from error
    if len(chain) > LONGEST_CHAIN:
        raise Invalid(f"a chain of {len(chain)} certificates is too long; send at most {LONGEST_CHAIN}")
    return chain


def _shown(name: x509.Name) -> str:
    """A name as text (RFC 4514, with the words of X.520 for what that has none for)."""
    return name.rfc4514_string(_WORDS)


def _look_at(certificate: x509.Certificate) -> None:
    """Read each part that is used here: what is wrong with one is told only when it is looked at."""
    certificate.public_key()
    for each in (certificate.subject, certificate.issuer):
        _shown(each)
    for time in (certificate.not_valid_before_utc, certificate.not_valid_after_utc):
        Timestamp.from_datetime(time)
    for extension in certificate.extensions:
        repr(extension.value)


def parse_key(pem: bytes) -> SigningKey:
    """The private key in a PEM text.

    Raises:
        Invalid: it cannot be read, is protected by a password, or is of a kind that TLS does not take.
    """
    try:
        key: PrivateKeyTypes = serialization.load_pem_private_key(pem, None)
    except TypeError as error:
        raise Invalid("the key is protected by a password; send it without one") from error
    except (ValueError, UnsupportedAlgorithm, InternalError) as error:  # the last for X448 where OpenSSL has none
        # the text of the library may quote the key
        raise Invalid("this is no private key in PEM form (PKCS #8)") from error
    if not isinstance(key, SigningKey):
        raise Invalid("the key must be an EC or RSA key")
    _check_strength(key.public_key())
    return key


def _check_strength(key: PublicKeyTypes) -> None:
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < SMALLEST_RSA_BITS:
        raise Invalid(f"an RSA key of {key.key_size} bits is too weak; use {SMALLEST_RSA_BITS} at least")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in CURVES:
        raise Invalid(f"TLS does not take keys on the curve {key.curve.name}; use P-256, P-384 or P-521")


def check_pair(chain: Sequence[x509.Certificate], keys: Sequence[SigningKey], now: dt.datetime) -> SigningKey:
    """The key that belongs to the first certificate of a chain that can be shown by a server.

    Raises:
        Invalid: no key belongs to it, it is not good now, is an authority's, or the chain does not hold together.
    """
    leaf = chain[0]
    public = _public_bytes(leaf.public_key())
    match = next((key for key in keys if _public_bytes(key.public_key()) == public), None)
    if match is None:
        raise Invalid("no key here belongs to this certificate; send its key, or use the last signing request")
    _check_strength(leaf.public_key())
    if leaf.not_valid_after_utc <= now:
        raise Invalid(f"the certificate expired at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if leaf.not_valid_before_utc > now:
        raise Invalid(
            f"the certificate is not good before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; is the clock right?"
        )
    usage = _extension(leaf, x509.ExtendedKeyUsage)
    if usage is not None and ExtendedKeyUsageOID.SERVER_AUTH not in usage:
        raise Invalid("the certificate is not for servers (its extended key usage lacks serverAuth)")
    constraints = _extension(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise Invalid("this is the certificate of an authority, not of a server")
    for index, (one, signer) in enumerate(itertools.pairwise(chain)):
        try:
            one.verify_directly_issued_by(signer)
        except (*_UNREADABLE, InvalidSignature) as error:
            raise Invalid(f"certificate {index + 2} of the chain did not sign certificate {index + 1}") from error
    return match


def check_authority(certificate: x509.Certificate, now: dt.datetime) -> None:
    """Refuse what cannot be trusted as an authority. Raises `Invalid`."""
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise Invalid("this is no certificate of an authority (its basic constraints do not say CA)")
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise Invalid("this authority may not sign certificates (its key usage lacks keyCertSign)")
    if certificate.not_valid_after_utc <= now:
        raise Invalid("the certificate of this authority has expired")
    _check_strength(certificate.public_key())


def _extension(certificate: x509.Certificate, sort: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(sort).value
    except x509.ExtensionNotFound:
        return None
    except _UNREADABLE as error:
        raise Invalid(f"an extension of the certificate cannot be read: {error}") from error


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def new_key(kind: KeyType) -> SigningKey:
    """A new key; blocks for up to a second with RSA."""
    if kind is KeyType.RSA_3072:
        return rsa.generate_private_key(public_exponent=65537, key_size=3072)
    return ec.generate_private_key(ec.SECP384R1() if kind is KeyType.EC_P384 else ec.SECP256R1())


def key_pem(key: SigningKey) -> bytes:
    """A key as PKCS #8, PEM, without a password."""
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    """DNS names and addresses as X.509 has them. Raises `Invalid` for one that is neither."""
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name.strip("[]"))))
            continue
        except ValueError:
            pass
        try:
            dns = name if name.isascii() else name.encode("idna").decode("ascii")
        except UnicodeError:
            dns = ""
        if not _DNS_NAME.fullmatch(dns):
            raise Invalid(f'"{name[:64]}" is neither a DNS name nor an address')
        found.append(x509.DNSName(dns))
    return found


_SUBJECT = {
    "country": NameOID.COUNTRY_NAME,
    "state_or_province": NameOID.STATE_OR_PROVINCE_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizational_unit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "email": NameOID.EMAIL_ADDRESS,
}
"""What a subject may say besides its common name, from the widest to the narrowest."""


def signing_request(key: SigningKey, common_name: str, names: Sequence[str], **others: str) -> bytes:
    """A signing request (PKCS #10), PEM.

    Args:
        key: of the certificate.
        common_name: of the subject.
        names: what it is good for; without any, the common name.
        others: what else the subject says, by the names of the schema: `organization`, `country`, ...

    Raises:
        Invalid: names that cannot be.
    """
    assert others.keys() <= _SUBJECT.keys(), f"no subject says {sorted(others.keys() - _SUBJECT.keys())}"
    parts = [*((oid, others.get(name, "")) for name, oid in _SUBJECT.items()), (NameOID.COMMON_NAME, common_name)]
    try:
        subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value])
    except ValueError as error:
        raise Invalid(
            "a name of the subject is too long; 64 bytes in UTF-8 are the most, two for the country"
        ) from error
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(x509.SubjectAlternativeName(general_names(names or [common_name])), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return request.public_bytes(_PEM)


def self_signed(host: str) -> tuple[bytes, bytes]:
    """Certificate and key (PEM) for this host name, `localhost` and the loopback addresses."""
    key = new_key(KeyType.EC_P256)
    serial = x509.random_serial_number()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "u-bmc"),
            x509.NameAttribute(NameOID.COMMON_NAME, host[:64] or "u-bmc"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{serial:x}"[:16]),
        ]
    )
    now = dt.datetime.now(dt.UTC)
    known = ["localhost", "127.0.0.1", "::1"]
    try:
        names = general_names([host or "localhost", *known])
    except Invalid:  # a host may be called anything, a certificate may not
        names = general_names(known)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + dt.timedelta(days=_SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(_PEM), key_pem(key)


def describe(name: str, chain: Sequence[x509.Certificate], source: CertificateSource) -> Certificate:
    """A certificate as the API shows it; `chain` is it and those between it and its root."""
    leaf = chain[0]
    names = _extension(leaf, x509.SubjectAlternativeName)
    return Certificate(
        name=name,
        subject=_shown(leaf.subject),
        issuer=_shown(leaf.issuer),
        alternative_names=[] if names is None else [str(each.value) for each in names],
        not_before=Timestamp.from_datetime(leaf.not_valid_before_utc),
        not_after=Timestamp.from_datetime(leaf.not_valid_after_utc),
        serial_number=f"{leaf.serial_number:x}",
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
        key_type=_key_type(leaf.public_key()),
        source=source,
        pem=b"".join(each.public_bytes(_PEM) for each in chain).decode("ascii"),
    )


def _key_type(key: PublicKeyTypes) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC P-{key.curve.key_size}" if key.curve.name.startswith("secp") else f"EC {key.curve.name}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return type(key).__name__.strip("_")
