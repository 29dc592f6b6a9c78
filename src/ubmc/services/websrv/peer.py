"""Who is at the other end of a request, as far as the connection tells; and which credential the request shows.

What kind of peer it is follows from listener and connection alone. No header selects a way to log in that the path does
not offer, and no header changes the address unless the connection comes from a proxy that the owner named.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ubmc.kit.errors import Denied, Unauthenticated
from ubmc.services.websrv.http.asgi import Scope
from ubmc.services.websrv.http.gate import Standing

if TYPE_CHECKING:
    from cryptography import x509

SESSION_COOKIE = "__Host-ubmc-session"
CSRF_COOKIE = "__Host-ubmc-csrf"
CSRF_HEADER = "x-csrf-token"
BASIC_PATHS = ("/redfish/",)
"""Where name and password may come with each request (DSP0266, "HTTP Basic authentication")."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_TOKEN_BYTES = 256
_MOST_NAMES = 16
_UPN = "1.3.6.1.4.1.311.20.2.3"  # user principal name, an OtherName that Microsoft defines
_UTF8_STRING = 0x0C
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(slots=True)
class Peer:
    """The other end of one request."""

    source: str
    """Its address."""
    method: str = "GET"
    path: str = "/"
    certificate_pem: str = ""
    """The client certificate that TLS has verified."""
    standing: Standing | None = None
    """Of its connection, where it has one that is counted."""
    user: str = ""
    """Who it turned out to be; for the access log."""

    def is_known(self, user: str) -> None:
        """Take note that it is logged in."""
        self.user = user
        if self.standing is not None:
            self.standing.known = True


@dataclass(frozen=True, slots=True)
class Token:
    """The token of a session, or a personal access token."""

    token: str


@dataclass(frozen=True, slots=True)
class Basic:
    """A name and a password."""

    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Client:
    """A client certificate, PEM."""

    pem: str


Credential = Token | Basic | Client


def peer_of(scope: Scope) -> Peer:
    """The peer of a request; the same one each time it is asked for."""
    known = scope.get("ubmc.peer")
    if isinstance(known, Peer):
        return known
    client = scope.get("client")
    chain = (scope.get("extensions") or {}).get("tls", {}).get("client_cert_chain") or [""]
    peer = Peer(str(client[0]) if client else "", scope.get("method", "GET"), scope["path"], chain[0])
    peer.standing = scope.get("ubmc.standing")
    scope["ubmc.peer"] = peer
    return peer


def forwarded_for(source: str, forwarded: str, proxies: Collection[Network]) -> str:
    """The address that proxies of the owner's say a request came from: the last one that is none of theirs.

    Args:
        source: the peer of the connection.
        forwarded: the header `X-Forwarded-For`.
        proxies: the owner's; without any, the header means nothing.
    """
    found = source
    for hop in reversed(forwarded.split(",")):
        if not _within(found, proxies):
            break
        try:
            # a zone says nothing to others, and may be any text
            found = str(ipaddress.ip_address(hop.strip().partition("%")[0]))
        except ValueError:
            break
    return found


def _within(address: str, networks: Collection[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def credential(headers: Mapping[str, str], peer: Peer, *, basic_allowed: bool) -> Credential:
    """The one credential that counts: the `Authorization` header, else the cookie of a browser, else the certificate.

    Raises:
        Unauthenticated: there is none.
        Denied: a browser's request that changes something lacks the CSRF token.
    """
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme:
        return _authorization(scheme.lower(), value.strip(), peer, basic_allowed=basic_allowed)
    cookie = cookie_of(headers)
    if cookie:
        if peer.method not in _SAFE and not hmac.compare_digest(
            headers.get(CSRF_HEADER, "").encode(), csrf_token(cookie).encode()
        ):
            raise Denied(f"the header {CSRF_HEADER} is missing or wrong; reload the page")
        return Token(cookie)
    if peer.certificate_pem:
        return Client(peer.certificate_pem)
    raise _log_in()


def _log_in() -> Unauthenticated:
    return Unauthenticated("log in first: POST /api/v1alpha1/sessions:login")


def _authorization(scheme: str, value: str, peer: Peer, *, basic_allowed: bool) -> Credential:
    if scheme == "bearer" and 0 < len(value) <= _TOKEN_BYTES:
        return Token(value)
    if scheme == "basic" and basic_allowed and peer.path.startswith(BASIC_PATHS):
        try:
            user, colon, password = base64.b64decode(value, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise _log_in() from None
        if colon:
            return Basic(user, password)
    raise _log_in()


def cookie_of(headers: Mapping[str, str]) -> str:
    """The session token in the cookies of a request; empty without one."""
    # By hand: `http.cookies` undoes quoting that no token has, in a time that grows with the square of its length.
    for each in headers.get("cookie", "").split(";"):
        name, _, value = each.strip().partition("=")
        if name == SESSION_COOKIE:
            return value if len(value) <= _TOKEN_BYTES and value.isascii() and value.isprintable() else ""
    return ""


def csrf_token(session_token: str) -> str:
    """What a page of ours sends along to show that it is one: made of the session's token, which no page can read."""
    return hashlib.sha256(b"csrf:" + session_token.encode()).hexdigest()[:32]


def cookies(session_token: str) -> list[tuple[bytes, bytes]]:
    """The headers that give a browser its session; an empty token takes it away."""
    age = "" if session_token else "; Max-Age=0"
    csrf = csrf_token(session_token) if session_token else ""
    flags = f"; Path=/; Secure; SameSite=Strict{age}"
    return [
        (b"set-cookie", f"{SESSION_COOKIE}={session_token}; HttpOnly{flags}".encode("ascii")),
        (b"set-cookie", f"{CSRF_COOKIE}={csrf}{flags}".encode("ascii")),
    ]


def certificate_identities(pem: str) -> list[str]:
    """Who a client certificate says its owner is, as `User.certificate_identities` has them.

    Loads `cryptography`'s X.509. It counts only if its extended key usage names clientAuth exactly (RFC 5280,
    4.2.1.12: "any" is not enough here). Which kinds of names are believed is usermgr's policy.

    Raises:
        Unauthenticated: it is no certificate for a client, or names nobody.
    """
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        certificate = x509.load_pem_x509_certificate(pem.encode("ascii"))
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        found = _names(certificate)
    except (
        ValueError, x509.ExtensionNotFound, x509.InvalidVersion, x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:  # fmt: skip
        raise Unauthenticated("the client certificate has no extended key usage, or cannot be read") from error
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise Unauthenticated("the client certificate is not for clients (clientAuth)")
    if not found:
        raise Unauthenticated("the client certificate names nobody")
    return found[:_MOST_NAMES]


def _names(certificate: x509.Certificate) -> list[str]:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    found: list[str] = []
    with contextlib.suppress(x509.ExtensionNotFound):
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        kinds: tuple[tuple[str, type[Any]], ...] = (
            ("email", x509.RFC822Name), ("dns", x509.DNSName), ("uri", x509.UniformResourceIdentifier),
        )  # fmt: skip
        for kind, sort in kinds:
            found += [f"{kind}:{value}" for value in names.get_values_for_type(sort)]
        others = names.get_values_for_type(x509.OtherName)
        found += [
            f"upn:{text}" for each in others if each.type_id.dotted_string == _UPN and (text := _utf8(each.value))
        ]
    found += [f"cn:{each.value!s}" for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return found


def _utf8(der: bytes) -> str:
    """The text of a short DER UTF8String; empty for anything else."""
    if len(der) < 2 or der[0] != _UTF8_STRING or der[1] != len(der) - 2:
        return ""
    return der[2:].decode("utf-8", "replace")
