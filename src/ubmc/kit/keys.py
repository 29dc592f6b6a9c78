"""Keys of processes on the bus, and the signature of principals.

A process makes its own bus key after it was forked and tells only the public half, so that no other process ever holds
it. The textual form of a public key is that of NATS: prefix byte, 32 bytes, CRC-16/XMODEM little-endian, in base32
without padding (nats-io/nkeys, `KeyPair.PublicKey`); the prefix byte of a user is 20 << 3.
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable, Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ubmc.kit.errors import Unauthenticated
from ubmc.v1alpha1.session_pb import Principal

_USER_PREFIX = 20 << 3
_SIGNATURE_BYTES = 64
_CACHE_SIZE = 256


class BusKey:
    """The key with which one process proves itself to the bus."""

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()

    @property
    def public(self) -> str:
        """The public half in NATS's text form, `U...`."""
        body = bytes([_USER_PREFIX]) + self._private.public_key().public_bytes_raw()
        crc = binascii.crc_hqx(body, 0)
        return base64.b32encode(body + crc.to_bytes(2, "little")).decode().rstrip("=")

    def sign(self, nonce: str) -> bytes:
        """The answer to the server's challenge, in base64."""
        return base64.b64encode(self._private.sign(nonce.encode()))


class PrincipalSigner:
    """Signs principals; only the process that runs usermgr has one."""

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()

    @property
    def public(self) -> bytes:
        """The 32 bytes with which others verify."""
        return self._private.public_key().public_bytes_raw()

    def sign(self, principal: Principal) -> bytes:
        """The principal with its signature in front."""
        body = principal.to_binary()
        return self._private.sign(body) + body


class PrincipalVerifier:
    """Verifies principals; what was verified once is remembered by its bytes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._keys: tuple[Ed25519PublicKey, ...] = ()
        self._known: OrderedDict[bytes, Principal] = OrderedDict()

    def trust(self, keys: Iterable[bytes]) -> None:
        """Trust exactly these public keys (32 bytes each); everything verified before is forgotten."""
        self._keys = tuple(Ed25519PublicKey.from_public_bytes(key) for key in keys)
        self._known.clear()

    def verify(self, signed: bytes, *, expired: bool = False) -> Principal:
        """The principal in `signed`.

        Args:
            signed: signature and principal.
            expired: one that has expired will do.

        Raises:
            Unauthenticated: the signature is not usermgr's, or the principal has expired.
        """
        principal = self._known.get(signed)
        if principal is None:
            principal = self._check(signed)
            self._known[signed] = principal
            if len(self._known) > _CACHE_SIZE:
                self._known.popitem(last=False)
        if not expired and principal.expires < self._clock():
            self._known.pop(signed, None)
            raise Unauthenticated("the proof of who is asking has expired; ask again")
        return principal

    def _check(self, signed: bytes) -> Principal:
        signature, body = signed[:_SIGNATURE_BYTES], signed[_SIGNATURE_BYTES:]
        for key in self._keys:
            try:
                key.verify(signature, body)
            except InvalidSignature:
                continue
            return Principal.from_binary(body)
        raise Unauthenticated("the proof of who is asking is not signed by usermgr")
