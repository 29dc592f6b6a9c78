"""The certificate of this device: self-signed, made once at first boot, unique. What makes it is in `selfsigned.py`."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

from ubmc.kit.errors import Unavailable

MAKE_SECONDS = 30.0
_BORDER = b"-----END PRIVATE KEY-----\n"


def ensure_certificate(folder: Path) -> tuple[Path, Path]:
    """Paths of certificate and key (PEM) in `folder`; both are made if either is missing. Blocks for up to a second.

    Raises:
        Unavailable: they cannot be made.
    """
    certificate, key = folder / "server.pem", folder / "server.key"
    if not (certificate.exists() and key.exists()):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In a process of its own: what it imports (5 MiB) is needed only now.
        command = [sys.executable, "-P", "-m", "ubmc.services.websrv.selfsigned", socket.gethostname()]
        try:
            made = subprocess.run(command, capture_output=True, timeout=MAKE_SECONDS, check=True).stdout
        except subprocess.SubprocessError as error:
            raise Unavailable(f"the certificate of this device cannot be made: {error}") from error
        key_pem, _, certificate_pem = made.partition(_BORDER)
        _write(key, key_pem + _BORDER)
        _write(certificate, certificate_pem.lstrip())
    return certificate, key


def fingerprint(certificate: Path) -> str:
    """The SHA-256 of the certificate's DER form, in hexadecimal."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write a file that only we can read, whole or not at all."""
    new = path.with_suffix(path.suffix + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.rename(path)
