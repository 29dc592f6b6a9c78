"""Cipher suites and what they are made of (Spec sections 13.28 to 13.30 and table 22-20).

We speak suite 17, and suite 3 where somebody still needs it. All others lack authentication, integrity or encryption,
or stand on MD5 or RC4.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK = 16
"""Bytes of an AES block, and of the initialization vector (Spec section 13.29)."""


class Auth(IntEnum):
    """Authentication algorithms (Spec table 13-17)."""

    NONE = 0
    HMAC_SHA1 = 1
    HMAC_MD5 = 2
    HMAC_SHA256 = 3


class Integrity(IntEnum):
    """Integrity algorithms (Spec table 13-18)."""

    NONE = 0
    HMAC_SHA1_96 = 1
    HMAC_MD5_128 = 2
    MD5_128 = 3
    HMAC_SHA256_128 = 4


class Confidentiality(IntEnum):
    """Confidentiality algorithms (Spec table 13-19)."""

    NONE = 0
    AES_CBC_128 = 1
    XRC4_128 = 2
    XRC4_40 = 3


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher suite."""

    id: int
    auth: Auth
    integrity: Integrity
    confidentiality: Confidentiality
    digest: str
    """The name of the hash for `hmac`."""
    key_code: int
    """Bytes of the key exchange authentication codes of RAKP 2 and 3 (Spec section 13.28)."""
    code: int
    """Bytes of the authentication code of packets, and of the integrity check value of RAKP 4."""

    @property
    def algorithms(self) -> tuple[int, int, int]:
        """Authentication, integrity, confidentiality."""
        return self.auth, self.integrity, self.confidentiality


SUITES: Mapping[int, Suite] = MappingProxyType(
    {
        suite.id: suite
        for suite in (
            Suite(3, Auth.HMAC_SHA1, Integrity.HMAC_SHA1_96, Confidentiality.AES_CBC_128, "sha1", 20, 12),
            Suite(17, Auth.HMAC_SHA256, Integrity.HMAC_SHA256_128, Confidentiality.AES_CBC_128, "sha256", 32, 16),
        )
    }
)
"""The suites that can be had at all; which are, the owner says."""


def strongest_first(ids: Iterable[int]) -> tuple[Suite, ...]:
    """The suites of these numbers, the stronger ones first.

    Raises:
        KeyError: there is no such suite here.
    """
    return tuple(SUITES[each] for each in sorted(set(ids), reverse=True))


def records(suites: Iterable[Suite]) -> bytes:
    """Cipher suite records (Spec table 22-19): start of record C0h, the number, the tagged algorithms."""
    made = bytearray()
    for suite in suites:
        made += bytes((0xC0, suite.id, suite.auth, 0x40 | suite.integrity, 0x80 | suite.confidentiality))
    return bytes(made)


def algorithms_of(suites: Iterable[Suite]) -> bytes:
    """The algorithms alone, each tagged and named once (Spec table 22-18, "list algorithms")."""
    chosen = tuple(suites)
    tagged = [
        *(suite.auth for suite in chosen),
        *(0x40 | suite.integrity for suite in chosen),
        *(0x80 | suite.confidentiality for suite in chosen),
    ]
    return bytes(dict.fromkeys(int(each) for each in tagged))


class Sealer:
    """Integrity and confidentiality of one session's packets.

    Making a cipher takes ten times as long as using it for one packet, so one for each direction serves all packets.
    Encrypting goes on in one long chain of AES-CBC: before each payload goes a block of random bytes, whose ciphertext
    is as random and is the initialization vector of what follows it. Decrypting needs no chain: CBC is each block
    decrypted by itself, and the block before it added.

    Args:
        suite: how.
        k1: the integrity key (Spec section 13.32).
        k2: the confidentiality key; AES takes its first 16 bytes (Spec section 13.29).
    """

    def __init__(self, suite: Suite, k1: bytes, k2: bytes) -> None:
        self.code = suite.code
        self._begun = hmac.new(k1, b"", suite.digest)  # copied for each packet, which is quicker than a new one
        aes = algorithms.AES(k2[:BLOCK])
        self._encryptor = Cipher(aes, modes.CBC(secrets.token_bytes(BLOCK))).encryptor()
        self._decryptor = Cipher(aes, modes.ECB()).decryptor()  # noqa: S305 - of single blocks, CBC is made of it below

    def sign(self, data: bytes) -> bytes:
        """The authentication code of a packet, from its authentication type to its next header (Spec table 13-8)."""
        mac = self._begun.copy()
        mac.update(data)
        return mac.digest()[: self.code]

    def verify(self, data: bytes, code: bytes) -> bool:
        """Whether an authentication code is that of the data."""
        return hmac.compare_digest(self.sign(data), code)

    def encrypt(self, payload: bytes) -> bytes:
        """Initialization vector and encrypted payload, padded by 01h, 02h, ... and their number (Spec table 13-20)."""
        pad = -(len(payload) + 1) % BLOCK
        return self._encryptor.update(secrets.token_bytes(BLOCK) + payload + _PADS[pad])

    def decrypt(self, data: bytes) -> bytes | None:
        """The payload of what was encrypted; None if its length or its padding is wrong."""
        length = len(data) - BLOCK
        if length < BLOCK or length % BLOCK:
            return None
        blocks = int.from_bytes(self._decryptor.update(data[BLOCK:]), "big")
        plain = (blocks ^ int.from_bytes(data[:length], "big")).to_bytes(length, "big")
        pad = plain[-1]
        if pad >= BLOCK or plain[-pad - 1 :] != _PADS[pad]:
            return None
        return plain[: -pad - 1]


_PADS = tuple(bytes(range(1, pad + 1)) + bytes((pad,)) for pad in range(BLOCK))
