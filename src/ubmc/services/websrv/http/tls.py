"""TLS facts: the server's context, and what a request may know of its connection.

When a certificate is renewed or the policy changes a new context is made: new handshakes use it, open connections stay
as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

ALPN = ("h2", "http/1.1")
# AEAD with forward secrecy only (RFC 9325, 4.2).
_CIPHERS_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"
_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


@dataclass(frozen=True, slots=True)
class Material:
    """What a context is made of: PEM texts, and what the policy says."""

    certificate_pem: str
    key_pem: str
    tls_1_2: bool = False
    client_certificates: ssl.VerifyMode = ssl.CERT_NONE
    trusted_pem: tuple[str, ...] = ()


def server_context(material: Material) -> ssl.SSLContext:
    """A context for the listener: TLS 1.3 at least unless the policy says 1.2, ALPN h2 and http/1.1, no compression.

    Raises:
        ssl.SSLError: certificate and key do not belong together, or a trusted certificate cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if material.tls_1_2 else ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    if material.tls_1_2:
        context.set_ciphers(_CIPHERS_1_2)
    context.set_alpn_protocols(list(ALPN))
    with _in_memory(material.certificate_pem) as certificate, _in_memory(material.key_pem) as key:
        context.load_cert_chain(certificate, key)
    if material.client_certificates is not ssl.CERT_NONE and material.trusted_pem:
        context.load_verify_locations(cadata="\n".join(material.trusted_pem))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # what is trusted may be an intermediate authority
    context.verify_mode = material.client_certificates
    return context


@contextlib.contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """A path that reads as this text and is on no disk; OpenSSL takes keys from files alone."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode("ascii"))
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def tls_extension(transport: asyncio.BaseTransport) -> dict[object, object]:
    """The ASGI TLS extension of one connection; the client's certificate as PEM, if it showed a verified one."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None:
        return {}
    certificate = tls.getpeercert(binary_form=True)
    return {
        "server_cert": None,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(certificate)] if certificate else [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(tls.version() or ""),
        "cipher_suite": None,
    }
