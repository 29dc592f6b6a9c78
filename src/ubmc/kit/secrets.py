"""Secrets at rest: encrypted under the key of this device, each bound to what it is for.

The key is 32 random bytes in a file of its own, made at first boot. A board with a TPM or a sealed store gives the
path of the unsealed key instead; then the file in the state directory is not made. Without the key the databases hold
nothing that can be used elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ubmc.kit.errors import Unavailable

FILE_NAME = "device.key"
KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = b"\x01"


class DeviceKey:
    """The key of this device."""

    def __init__(self, key: bytes) -> None:
        """Take these 32 bytes. Raises `Unavailable` for any other number of them."""
        if len(key) != KEY_BYTES:
            raise Unavailable(f"the device key has {len(key)} bytes and must have {KEY_BYTES}")
        self._aead = AESGCM(key)

    @classmethod
    def load(cls, path: Path, *, make: bool = True) -> Self:
        """The key in a file; a file that is not there is made, if it may be.

        Raises:
            Unavailable: it cannot be read or made, or is not 32 bytes long.
        """
        try:
            return cls(path.read_bytes())
        except FileNotFoundError:
            if not make:
                raise Unavailable(f"there is no device key at {path}; unseal it before the start") from None
        except OSError as error:
            raise Unavailable(f"the device key cannot be read: {error}") from error
        try:
            _write(path, secrets.token_bytes(KEY_BYTES))
            return cls(path.read_bytes())
        except OSError as error:
            raise Unavailable(f"the device key cannot be made: {error}") from error

    def seal(self, data: bytes, context: str) -> bytes:
        """Encrypt something (AES-256-GCM); it can be opened only for the same context, such as `totp:admin`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._aead.encrypt(nonce, data, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt what `seal` made.

        Raises:
            Unavailable: it was sealed under another key or for something else, or is damaged.
        """
        start = len(_VERSION) + _NONCE_BYTES
        if not sealed.startswith(_VERSION):
            raise Unavailable("a stored secret has a form that this program does not know")
        try:
            return self._aead.decrypt(sealed[len(_VERSION) : start], sealed[start:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise Unavailable("a stored secret cannot be opened: the device key is another one") from error


def _write(path: Path, content: bytes) -> None:
    """Make a file that only we can read, whole or not at all; one that is there already stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
