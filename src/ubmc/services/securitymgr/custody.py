"""The certificate, its key and whom the doors trust: what changes them, and what the doors are told.

Everything that reads X.509 runs in a thread, and loads the library only then.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from protobuf import Message

from ubmc.kit.errors import Exhausted, Exists, NotFound, Unavailable
from ubmc.kit.feed import Feed
from ubmc.services.securitymgr.store import CERTIFICATE, HTTPS, KEY, PENDING_KEY, TRUSTED, Store
from ubmc.v1alpha1.security_pb import (
    Certificate,
    CertificateChange,
    CertificateSource,
    CreateSigningRequestRequest,
    DoorChallenge,
    WatchDoorResponse,
)

MAKE_SECONDS = 30.0
MOST_TRUSTED = 32
_BORDER = b"-----END PRIVATE KEY-----\n"
Tell = Callable[[Message[Any]], None]


class Custody:
    """Keeps what doors show and trust.

    Args:
        store: where it is kept.
        tell: tells news.
        shown: told the certificate (PEM) whenever it changes, for clients on this machine.
    """

    def __init__(self, store: Store, tell: Tell, shown: Callable[[str], None]) -> None:
        self._store = store
        self._tell = tell
        self._shown = shown
        self._door: Feed[WatchDoorResponse] = Feed(capacity=4)
        self._challenges: dict[str, str] = {}

    async def open(self) -> None:
        """Make a certificate if there is none, and tell the doors.

        Raises:
            Unavailable: it cannot be made or stored.
        """
        if self._store.kept.certificate is None:
            await self.sign_self()
        else:
            await self._show(self._store.kept.certificate)
            self.publish()

    def publish(self) -> None:
        """Tell the doors everything."""
        kept = self._store.kept
        certificate = kept.certificate
        if certificate is None:
            return
        challenges = [DoorChallenge(token=token, answer=answer) for token, answer in self._challenges.items()]
        self._door.publish(
            "door",
            WatchDoorResponse(
                certificate_pem=certificate.pem,
                key_pem=kept.key.decode("ascii"),
                policy=kept.policy,
                trusted_pem=[each.pem for each in kept.trusted.values()],
                challenges=challenges,
            ),
        )

    async def _show(self, certificate: Certificate) -> None:
        await asyncio.to_thread(self._shown, certificate.pem)

    async def watch(self) -> AsyncIterator[WatchDoorResponse]:
        """Everything that doors are told, at once and after every change."""
        async for update in self._door.watch():
            yield update.item

    def put_challenge(self, token: str, answer: str) -> None:
        """Have the doors answer an ACME challenge."""
        self._challenges[token] = answer
        self.publish()

    def take_challenge(self, token: str) -> None:
        """Have them answer it no more."""
        self._challenges.pop(token, None)
        self.publish()

    # --- the certificate ------------------------------------------------------------------------------------------

    def get(self, name: str) -> Certificate:
        """The certificate of that name. Raises `NotFound`."""
        certificate = self._store.kept.certificate
        if name != HTTPS or certificate is None:
            raise NotFound(f'there is no certificate "{name}"; there is {HTTPS}')
        return certificate

    async def sign_self(self) -> Certificate:
        """Take a new self-signed certificate into use. Raises `Unavailable`."""
        # In a process of its own: what it imports (5 MiB) is needed only now.
        command = [sys.executable, "-P", "-m", "ubmc.services.securitymgr.selfsigned", socket.gethostname()]

        def make() -> bytes:
            return subprocess.run(command, capture_output=True, timeout=MAKE_SECONDS, check=True).stdout

        try:
            made = await asyncio.to_thread(make)
        except subprocess.SubprocessError as error:
            raise Unavailable(f"no certificate of this device can be made: {type(error).__name__}") from error
        key, border, certificate = made.partition(_BORDER)
        return await self._use(Certificate.from_binary(certificate), key + border, {PENDING_KEY: None})

    async def upload(self, name: str, pem: str, key_pem: str) -> Certificate:
        """Take an uploaded certificate into use; without a key, with that of the last request or the one in use.

        Raises:
            NotFound: there is no such certificate.
            Invalid: it cannot be used.
            Unavailable: it cannot be stored; the old one stays.
        """
        self.get(name)
        kept = self._store.kept
        keys = [key_pem.encode()] if key_pem else [key for key in (kept.pending_key, kept.key) if key]
        return await self.install(pem.encode(), keys, CertificateSource.UPLOADED, {PENDING_KEY: None})

    async def install(
        self,
        pem: bytes,
        keys: Sequence[bytes],
        source: CertificateSource,
        besides: Mapping[str, bytes | None] | None = None,
    ) -> Certificate:
        """Take a certificate into use with the one of these keys (PEM) that belongs to it; raises as `upload`."""

        def look() -> tuple[Certificate, bytes]:
            from ubmc.services.securitymgr import certificates

            chain = certificates.parse_chain(pem)
            parsed = [certificates.parse_key(key) for key in keys]
            key = certificates.check_pair(chain, parsed, dt.datetime.now(dt.UTC))
            return certificates.describe(HTTPS, chain, source), certificates.key_pem(key)

        certificate, key = await asyncio.to_thread(look)
        return await self._use(certificate, key, besides or {})

    async def _use(self, certificate: Certificate, key: bytes, besides: Mapping[str, bytes | None]) -> Certificate:
        await self._store.put({CERTIFICATE: certificate.to_binary(), KEY: key, **besides})
        await self._show(certificate)
        self.publish()
        end = certificate.not_after
        self._tell(
            CertificateChange(
                name=HTTPS,
                source=certificate.source,
                not_after="" if end is None else end.to_datetime().isoformat(timespec="seconds"),
                fingerprint=certificate.fingerprint,
            )
        )
        return certificate

    async def request(self, asked: CreateSigningRequestRequest) -> str:
        """A signing request (PEM) for a new key, which is kept for the answer. Raises as `upload`."""
        self.get(asked.name)

        def make() -> tuple[bytes, bytes]:
            from ubmc.services.securitymgr import certificates

            key = certificates.new_key(asked.key_type)
            pem = certificates.signing_request(
                key,
                asked.common_name,
                asked.alternative_names,
                organization=asked.organization,
                country=asked.country,
                organizational_unit=asked.organizational_unit,
                locality=asked.locality,
                state_or_province=asked.state_or_province,
                email=asked.email,
            )
            return pem, certificates.key_pem(key)

        pem, key = await asyncio.to_thread(make)
        await self._store.put({PENDING_KEY: key})
        return pem.decode("ascii")

    # --- whom it trusts -------------------------------------------------------------------------------------------

    async def trust(self, pem: str) -> Certificate:
        """Trust one more authority.

        Raises:
            Invalid: it is none.
            Exists: it is trusted already.
            Exhausted: there are too many.
            Unavailable: it cannot be stored.
        """

        def look() -> Certificate:
            from ubmc.services.securitymgr import certificates

            chain = certificates.parse_chain(pem.encode())
            certificates.check_authority(chain[0], dt.datetime.now(dt.UTC))
            found = certificates.describe("", chain[:1], CertificateSource.UPLOADED)
            found.name = found.fingerprint
            return found

        certificate = await asyncio.to_thread(look)
        trusted = self._store.kept.trusted
        if certificate.fingerprint in trusted:
            raise Exists("this authority is trusted already")
        if len(trusted) >= MOST_TRUSTED:
            raise Exhausted(f"{MOST_TRUSTED} authorities are trusted; remove one first", retry_seconds=0)
        await self._store.put({TRUSTED + certificate.fingerprint: certificate.to_binary()})
        self.publish()
        return certificate

    async def distrust(self, fingerprint: str) -> Certificate:
        """Trust an authority no more; gives which. Raises `NotFound`, `Unavailable`."""
        certificate = self._store.kept.trusted.get(fingerprint)
        if certificate is None:
            raise NotFound("no authority with this fingerprint is trusted")
        await self._store.put({TRUSTED + fingerprint: None})
        self.publish()
        return certificate
