"""Run as a module: makes a self-signed certificate, and writes its key (PEM) and then what it is (`Certificate`)."""

from __future__ import annotations

import sys

from ubmc.services.securitymgr.certificates import describe, parse_chain, self_signed
from ubmc.services.securitymgr.store import HTTPS
from ubmc.v1alpha1.security_pb import CertificateSource

if __name__ == "__main__":
    pem, key = self_signed(sys.argv[1])
    certificate = describe(HTTPS, parse_chain(pem), CertificateSource.SELF_SIGNED)
    sys.stdout.buffer.write(key + certificate.to_binary())
