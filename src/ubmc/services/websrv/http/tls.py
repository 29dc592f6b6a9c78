"""TLS facts: the server's context, and what a request may know of its connection.

A certificate is renewed by `context.load_cert_chain(cert, key)` on the running context: new handshakes use it, open
connections stay as they are.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

ALPN = ("h2", "http/1.1")
_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """A context for the listener: TLS 1.3 at least, ALPN h2 and http/1.1, neither compression nor renegotiation.

    Raises:
        OSError: a file cannot be read.
        ssl.SSLError: certificate and key do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(list(ALPN))
    context.load_cert_chain(cert, key)
    return context


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
