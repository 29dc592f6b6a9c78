"""Whom the client believes to be the BMC: system trust, a CA file, one pinned certificate, or anybody.

A pin is checked inside the TLS handshake of every single connection, so no byte of a request leaves before it. It
names one certificate exactly, as an SSH host key does: neither names nor dates nor issuers matter then, which is right
for the self-signed certificate of a machine whose clock may be wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias
from urllib.parse import urlsplit

from ubmc.kit.errors import Invalid, UbmcError, Unavailable

_PREFIX = re.compile(r"sha-?256(\s+fingerprint)?\s*[:=]\s*", re.IGNORECASE)


class NotTrusted(UbmcError):  # noqa: N818 - the errors of the house are the plain word
    """The other side could not prove that it is the BMC; nothing was sent to it."""

    name: ClassVar[str] = "not_trusted"


@dataclass(frozen=True, slots=True)
class SystemTrust:
    """Certificates that the operating system trusts, with the right host name."""


@dataclass(frozen=True, slots=True)
class CaFile:
    """Certificates signed by one in this PEM file, with the right host name."""

    path: Path


@dataclass(frozen=True, slots=True)
class Pinned:
    """Exactly the certificate whose DER form has this SHA-256."""

    sha256: bytes

    @staticmethod
    def parse(text: str) -> Pinned:
        """A pin of 64 hexadecimal digits, with or without colons, case, or the label that openssl writes before it.

        Raises:
            Invalid: it is none.
        """
        digits = _PREFIX.sub("", text.strip(), count=1).replace(":", "").lower()
        if not re.fullmatch(r"[0-9a-f]{64}", digits):
            raise Invalid("a fingerprint is the SHA-256 of the certificate: 64 hexadecimal digits, colons allowed")
        return Pinned(bytes.fromhex(digits))

    def __str__(self) -> str:
        return format_fingerprint(self.sha256)


@dataclass(frozen=True, slots=True)
class Insecure:
    """Anybody. Whoever sits between can read the password."""


Trust: TypeAlias = SystemTrust | CaFile | Pinned | Insecure


def format_fingerprint(sha256: bytes) -> str:
    """Sixty-four digits in one word, as `ubmc run` shows it: people compare the two by eye, or select it as a whole."""
    return sha256.hex()


class _WrongPin(ssl.SSLCertVerificationError):
    """The certificate is not the pinned one."""


class _PinnedContext(ssl.SSLContext):
    """A context whose sockets end the handshake with an error unless the certificate is the pinned one."""

    pin: bytes


def _check_pin(connection: ssl.SSLSocket | ssl.SSLObject) -> None:
    context = connection.context
    leaf = connection.getpeercert(binary_form=True)
    if (
        not isinstance(context, _PinnedContext)
        or leaf is None
        or not hmac.compare_digest(hashlib.sha256(leaf).digest(), context.pin)
    ):
        raise _WrongPin("the certificate is not the pinned one")


class _PinnedSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        _check_pin(self)


class _PinnedObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        super().do_handshake()
        _check_pin(self)


def tls_context(trust: Trust) -> ssl.SSLContext:
    """The context for connections to whom is trusted.

    Raises:
        Invalid: the CA file cannot be read or holds no certificate.
    """
    match trust:
        case SystemTrust():
            return ssl.create_default_context()
        case CaFile(path):
            try:
                return ssl.create_default_context(cafile=path)
            except ssl.SSLError as error:
                raise Invalid(f"{path} holds no certificate in PEM form") from error
            except OSError as error:
                raise Invalid(f"cannot read {path}: {error.strerror}") from error
        case Pinned(sha256):
            context = _PinnedContext(ssl.PROTOCOL_TLS_CLIENT)
            context.pin = sha256
            context.sslsocket_class = _PinnedSocket
            context.sslobject_class = _PinnedObject
            context.options |= ssl.OP_NO_RENEGOTIATION
            return _unverified(context)
        case Insecure():
            return _unverified(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def _unverified(context: ssl.SSLContext) -> ssl.SSLContext:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def split_url(url: str) -> tuple[str, str, int]:
    """The URL in its plain form `https://host[:port]`, the host, and the port; the scheme may be left out.

    Raises:
        Invalid: it is no such URL.
    """
    text = url.strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise Invalid(f'"{url}" is no URL; write for example https://127.0.0.1:8443') from error
    if parts.scheme != "https":
        raise Invalid(f'"{url}" is not https; passwords and tokens are sent over TLS only')
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if not host or extra or not re.fullmatch(r"[0-9A-Za-z:._%-]+", host):
        raise Invalid(f'"{url}" is no URL of a BMC; write for example https://127.0.0.1:8443')
    place = f"[{host}]" if ":" in host else host
    return f"https://{place}{'' if port in {None, 443} else f':{port}'}", host, port or 443


def why_not_trusted(error: BaseException) -> str | None:
    """What TLS found wrong with the certificate, if that is what is behind the error."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, _WrongPin):
            return "it is not the one that was pinned"
        if isinstance(seen, ssl.SSLCertVerificationError):
            return seen.verify_message
        seen = seen.__cause__ or seen.__context__
    return None


def not_trusted(url: str, reason: str) -> NotTrusted:
    """The error with what a person can do."""
    return NotTrusted(
        f"the certificate of {url} is not trusted: {reason}; if it is right, log in again with "
        "--fingerprint SHA256 (shown by the BMC when it starts) or --cacert FILE"
    )


def fetch_leaf(url: str, trust: Trust, *, timeout_seconds: float = 10.0) -> bytes:
    """The certificate of the server as DER. Only a handshake is made, nothing is sent.

    Raises:
        NotTrusted: the certificate is not trusted.
        Unavailable: nobody answers there, or not with TLS.
        Invalid: the URL or the CA file is wrong.
    """
    plain, host, port = split_url(url)
    context = tls_context(trust)
    try:
        with (
            socket.create_connection((host, port), timeout=timeout_seconds) as raw,
            context.wrap_socket(raw, server_hostname=host) as connection,
        ):
            leaf = connection.getpeercert(binary_form=True)
    except OSError as error:
        if (reason := why_not_trusted(error)) is not None:
            raise not_trusted(plain, reason) from None
        raise Unavailable(f"cannot reach {plain}: {error.strerror or error}; is the BMC running?") from error
    if leaf is None:
        raise Unavailable(f"{plain} showed no certificate")
    return leaf
