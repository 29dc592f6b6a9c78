"""The loop that orders certificates from an ACME server and renews them."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
from collections.abc import Callable
from typing import Any

from protobuf import Message
from protobuf.wkt import Timestamp

from ubmc.kit import outgoing
from ubmc.kit.errors import Internal, Invalid, Refused, UbmcError
from ubmc.services.securitymgr import renewal
from ubmc.services.securitymgr.custody import Custody
from ubmc.services.securitymgr.store import ACME_ACCOUNT, Store
from ubmc.v1alpha1.security_pb import Acme, AcmeChallenge, AcmeFailure, AcmeState, CertificateSource, KeyType

log = logging.getLogger("ubmc.securitymgr")

THERE_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 3600.0  # the clock may be set meanwhile


def check(acme: Acme, dns_hook: tuple[str, ...]) -> None:
    """Refuse settings that cannot work. Raises `Invalid`."""
    if not acme.enabled:
        return
    if not acme.directory_url.startswith("https://"):
        raise Invalid("directoryUrl must begin with https://")
    if not acme.domains:
        raise Invalid("domains: name at least one")
    if not acme.agree_terms:
        raise Invalid("agreeTerms: the authority gives certificates only to those who agree to its terms")
    if acme.challenge is AcmeChallenge.DNS_01 and not dns_hook:
        raise Invalid("DNS-01 needs a command: set security.acme_dns_hook in the owner's file")


class Ordering:
    """Orders when there is something to order.

    Args:
        store: what is kept.
        custody: takes the certificate into use.
        dns_hook: the owner's command for DNS-01.
        tell: tells news.
    """

    def __init__(
        self, store: Store, custody: Custody, dns_hook: tuple[str, ...], tell: Callable[[Message[Any]], None]
    ) -> None:
        self._store = store
        self._custody = custody
        self._dns_hook = dns_hook
        self._tell = tell
        self._woken = asyncio.Event()
        self._forced = False
        self._failures = 0
        self._next: dt.datetime | None = None
        self._state = AcmeState.UNSPECIFIED
        self._error = ""

    def shown(self) -> Acme:
        """The settings, and how the last order went."""
        acme = Acme.from_binary(self._store.kept.acme.to_binary())
        acme.state, acme.error = self._state, self._error
        acme.next_time = None if self._next is None or not acme.enabled else Timestamp.from_datetime(self._next)
        return acme

    def wake(self, *, order: bool = False) -> None:
        """Look again at what is to be done; with `order`, order now."""
        self._forced = self._forced or order
        self._failures = 0
        self._next = None
        self._woken.set()

    def check_enabled(self) -> None:
        """Refuse to order where nothing is to be ordered. Raises `Refused`."""
        if not self._store.kept.acme.enabled:
            raise Refused("no certificates are got; enable ACME first")

    async def run(self) -> None:
        """Order and renew, for ever."""
        while True:
            self._woken.clear()
            wait = await self._look(dt.datetime.now(dt.UTC))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._woken.wait()

    async def _look(self, now: dt.datetime) -> float:
        """Do what is due; for how long nothing else is."""
        acme, certificate = self._store.kept.acme, self._store.kept.certificate
        if not acme.enabled or certificate is None:
            self._state, self._next = AcmeState.UNSPECIFIED, None
            return LONGEST_WAIT_SECONDS
        due = self._next or renewal.renew_at(certificate, acme)
        if now < due and not self._forced:
            if not self._failures:
                self._state, self._error = AcmeState.VALID, ""
            self._next = due
            return min((due - now).total_seconds(), LONGEST_WAIT_SECONDS)
        self._forced = False
        await self._order(acme)
        return 0.0

    async def _order(self, acme: Acme) -> None:
        self._state = AcmeState.ORDERING
        try:
            await self._obtain(acme)
        except UbmcError as error:
            self._failed(acme, error)
        except Exception:
            log.exception("a bug: ordering a certificate failed")
            self._failed(acme, Internal("something went wrong; the log of the BMC has it"))
        else:
            log.info("a certificate was got", extra={"directory": acme.directory_url})
            self._failures, self._state, self._error, self._next = 0, AcmeState.VALID, "", None

    def _failed(self, acme: Acme, error: UbmcError) -> None:
        self._failures += 1
        seconds = renewal.retry_seconds(self._failures)
        self._state, self._error = AcmeState.FAILED, error.message
        self._next = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
        log.warning("no certificate was got", extra={"reason": error.message, "retry_seconds": seconds})
        self._tell(AcmeFailure(directory_url=acme.directory_url, reason=error.message))

    async def _obtain(self, acme: Acme) -> None:
        from ubmc.services.securitymgr import acme as protocol
        from ubmc.services.securitymgr import certificates

        check(acme, self._dns_hook)
        local = self._store.kept.policy.outgoing_to_local
        await asyncio.to_thread(outgoing.check_url, acme.directory_url, ("https",), allow_local=local)
        account = self._store.kept.acme_account
        if not account:
            account = await asyncio.to_thread(protocol.new_account_key)
            await self._store.put({ACME_ACCOUNT: account})
        key = await asyncio.to_thread(certificates.new_key, KeyType.EC_P256)
        order = protocol.Order(
            directory_url=acme.directory_url,
            account_key=account,
            email=acme.email,
            csr=certificates.signing_request(key, acme.domains[0][:64], acme.domains),
            ca_pem=acme.ca_pem,
            dns_hook=self._dns_hook if acme.challenge is AcmeChallenge.DNS_01 else (),
            allow_local=local,
        )
        loop = asyncio.get_running_loop()
        answers = protocol.Answers(
            put=lambda token, answer: _there(loop, self._custody.put_challenge, token, answer),
            take=lambda token: _there(loop, self._custody.take_challenge, token),
        )
        pem = await asyncio.to_thread(protocol.obtain, order, answers)
        await self._custody.install(pem, [certificates.key_pem(key)], CertificateSource.ACME)


def _there(loop: asyncio.AbstractEventLoop, do: Callable[..., None], *arguments: str) -> None:
    """Do something in the loop, from a thread, and wait until it is done."""
    asyncio.run_coroutine_threadsafe(_call(do, *arguments), loop).result(THERE_SECONDS)


async def _call(do: Callable[..., None], *arguments: str) -> None:
    do(*arguments)
