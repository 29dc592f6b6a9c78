"""SSH public keys: how they are read, which are good enough, and how they lie in the database."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import sqlite3
import unicodedata
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from ubmc.kit.errors import Invalid, Violation

TABLE = """
CREATE TABLE usermgr_ssh_keys (
    id TEXT PRIMARY KEY,
    user TEXT NOT NULL REFERENCES usermgr_users (name) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    key BLOB NOT NULL,
    comment TEXT NOT NULL,
    created REAL NOT NULL
) STRICT
"""
PER_USER = 16
RSA_BITS = 3072
"""The least for RSA (NIST SP 800-57 part 1: 128 bits of strength)."""
LONGEST_COMMENT = 128
_ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class SshKey:
    """A key with which somebody logs in; `created` is Unix seconds."""

    id: str
    user: str
    kind: str
    """As the line says: `ssh-ed25519`."""
    key: bytes
    """The key itself (RFC 4253, section 6.6)."""
    comment: str
    created: float

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it."""
        digest = hashlib.sha256(self.key).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def parse(line: str, user: str, now: float) -> SshKey:
    """The key of a line as in an `authorized_keys` file.

    Raises:
        Invalid: it cannot be read, has options, or is of a kind that is not good enough.
    """
    parts = line.strip().split(None, 2)
    if "\n" in line.strip() or len(parts) < 2:
        raise _wrong("format", "is one line: the kind, the key and perhaps a comment, as in a .pub file")
    kind, encoded, comment = parts[0], parts[1], parts[2] if len(parts) > 2 else ""
    try:
        key = base64.b64decode(encoded, validate=True)
        public = load_ssh_public_key(f"{kind} {encoded}".encode())
    except (ValueError, binascii.Error, UnsupportedAlgorithm) as error:
        raise _wrong("format", "cannot be read; give a line of a .pub file, without options") from error
    if isinstance(public, rsa.RSAPublicKey):
        if public.key_size < RSA_BITS:
            raise _wrong("strength", f"has {public.key_size} bits; RSA needs {RSA_BITS}, or take ssh-ed25519")
    elif not isinstance(public, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
        raise _wrong("kind", f"is of the kind {kind}; take ssh-ed25519, ECDSA, or RSA with {RSA_BITS} bits")
    plain = "".join(each for each in comment if unicodedata.category(each)[0] != "C")
    return SshKey(secrets.token_hex(_ID_BYTES), user, kind, key, plain[:LONGEST_COMMENT], now)


def _wrong(rule: str, message: str) -> Invalid:
    return Invalid(f"publicKey {message}", violations=[Violation("publicKey", rule, message)])


def read(connection: sqlite3.Connection) -> list[SshKey]:
    """All keys, in the order in which they were added."""
    rows = connection.execute("SELECT id, user, kind, key, comment, created FROM usermgr_ssh_keys ORDER BY rowid")
    return [SshKey(*row) for row in rows]


def write(connection: sqlite3.Connection, key: SshKey) -> None:
    """Store a new key."""
    connection.execute(
        "INSERT INTO usermgr_ssh_keys VALUES (?, ?, ?, ?, ?, ?)",
        (key.id, key.user, key.kind, key.key, key.comment, key.created),
    )


def remove(connection: sqlite3.Connection, key: SshKey) -> None:
    """Remove a key."""
    connection.execute("DELETE FROM usermgr_ssh_keys WHERE id = ?", (key.id,))
