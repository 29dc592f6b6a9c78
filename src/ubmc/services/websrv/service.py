"""The service websrv."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from ubmc.kit.errors import UbmcError, Unavailable
from ubmc.kit.schema import Schema
from ubmc.kit.service import Service, lasting, on
from ubmc.services.websrv.app import Door
from ubmc.services.websrv.console import ConsoleSocket
from ubmc.services.websrv.forward import Forwarder
from ubmc.services.websrv.front import Front, FrontOptions
from ubmc.services.websrv.http.limits import Counts, Limits
from ubmc.services.websrv.http.listener import Listener
from ubmc.services.websrv.http.redirect import RedirectListener
from ubmc.services.websrv.http.tls import Material, server_context
from ubmc.services.websrv.peer import Network
from ubmc.services.websrv.rates import Rates
from ubmc.services.websrv.redfish.feeds import CALLS as REDFISH_CALLS
from ubmc.services.websrv.redfish.mount import Redfish
from ubmc.v1alpha1.account_pb import AccountPolicyChange
from ubmc.v1alpha1.console_rpc import ConsoleService
from ubmc.v1alpha1.management_controller_pb import ManagementControllerRestart
from ubmc.v1alpha1.security_pb import ClientCertificates, SecurityPolicy, WatchDoorRequest, WatchDoorResponse
from ubmc.v1alpha1.security_rpc import SecurityService
from ubmc.v1alpha1.session_pb import SessionEnd
from ubmc.v1alpha1.session_rpc import SessionService
from ubmc.v1alpha1.system_pb import ServiceHealthChange
from ubmc.v1alpha1.user_pb import RoleChange, SecondFactorChange, SourceLocked, UserChange, UserLocked

if TYPE_CHECKING:
    from ubmc.services.websrv.http.http3 import Http3Listener

log = logging.getLogger("ubmc.websrv")

STOP_SECONDS = 1.0
RECHECK_SECONDS = 30.0
FIRST_SECONDS = 30.0
RETRY_SECONDS = 0.2
_CLIENTS = {
    ClientCertificates.OPTIONAL: ssl.CERT_OPTIONAL,
    ClientCertificates.REQUIRED: ssl.CERT_REQUIRED,
}
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class DoorOptions:
    """How the owner wants the door."""

    addresses: tuple[Address, ...]
    """Where HTTPS listens, host and port."""
    redirect: tuple[Address, ...] = ()
    """Where HTTP listens to send people to HTTPS, and to answer ACME challenges."""
    proxies: tuple[Network, ...] = ()
    """Whose `X-Forwarded-For` is believed."""
    access_log: bool = True
    absent: Mapping[str, str] = field(default_factory=dict)
    """The services of the schema that nobody answers on this board (`LedService`), and why."""


class WebServer(Service):
    """The HTTPS door."""

    name = "websrv"
    after = ("usermgr", "securitymgr")
    calls = (
        SessionService.ExchangeToken,
        SessionService.ExchangeBasic,
        SessionService.ExchangeCertificate,
        SecurityService.WatchDoor,
        ConsoleService.OpenConsole,
        *REDFISH_CALLS,
    )

    def __init__(self, schema: Schema, options: DoorOptions, listening: Callable[[str, str], None]) -> None:
        """Make the door.

        Args:
            schema: what is forwarded.
            options: how the owner wants it.
            listening: told each URL and the certificate's fingerprint, once somebody can connect.
        """
        self._schema = schema
        self._options = options
        self._listening = listening
        self._listeners: list[Listener] = []
        self._redirects: list[RedirectListener] = []
        self._bound: list[Address] = []
        self._quic: list[Http3Listener] = []
        self._forwarder: Forwarder | None = None
        self._redfish: Redfish | None = None
        self._front: Front | None = None
        self._rates = Rates(0.0)
        self._told = WatchDoorResponse()
        self._port = 443

    async def setup(self) -> None:
        """Open the door, as soon as securitymgr has told what to show there."""
        self._forwarder = Forwarder(self._schema, self.bus, self._rates, self._options.absent)
        front = FrontOptions(proxies=self._options.proxies, access_log=self._options.access_log)
        self._redfish = Redfish(self._schema, self._forwarder, self.bus, self._options.absent)
        sockets = ConsoleSocket(self._schema, self._forwarder, self.bus)
        door = Door(self._schema, self._forwarder, redfish=self._redfish, sockets=sockets)
        self._front = Front(door, self._rates, front)
        told = await self._first()
        context = self._take(told)
        shown = hashlib.sha256(ssl.PEM_cert_to_DER_cert(_first_pem(told.certificate_pem))).hexdigest()
        for host, port in self._options.addresses:
            listener = Listener(self._front, limits=Limits())
            self._listeners.append(listener)
            address, self._port = await _bound(partial(listener.start, context=context), host, port)
            self._bound.append((address, self._port))
            self._listening(f"https://{_in_url(address)}:{self._port}", shown)
        await self._offer_http3()
        for host, port in self._options.redirect:
            redirect = RedirectListener(self._challenges, lambda: self._port)
            self._redirects.append(redirect)
            await _bound(redirect.start, host, port)

    async def work(self) -> None:
        """Follow what securitymgr tells; look now and then whether the sessions of open streams still live."""
        async with asyncio.TaskGroup() as group:
            group.create_task(lasting(self._follow_policy()))
            group.create_task(lasting(self._recheck()))

    async def teardown(self) -> None:
        """Close the door; what is being answered gets a second to end."""
        redirects, self._redirects = self._redirects, []
        listeners, self._listeners = self._listeners, []
        self._bound.clear()
        self._stop_http3()
        if self._redfish is not None:
            await self._redfish.close()
        for redirect in redirects:
            await redirect.stop()
        for listener in listeners:
            await listener.stop(STOP_SECONDS)

    async def _recheck(self) -> None:
        assert self._forwarder is not None
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            await self._forwarder.recheck_streams()

    # --- what securitymgr tells -----------------------------------------------------------------------------------

    async def _first(self) -> WatchDoorResponse:
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                while True:
                    with contextlib.suppress(UbmcError):
                        watch = self.bus.watch(SecurityService.WatchDoor, WatchDoorRequest())
                        async with contextlib.aclosing(watch) as updates:
                            async for update in updates:
                                return update
                    await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError as error:
            raise Unavailable("securitymgr does not tell which certificate to show") from error

    async def _follow_policy(self) -> None:
        while True:
            with contextlib.suppress(UbmcError):
                async for update in self.bus.watch(SecurityService.WatchDoor, WatchDoorRequest()):
                    await self._use(update)
            await asyncio.sleep(RETRY_SECONDS)

    async def _use(self, told: WatchDoorResponse) -> None:
        before = self._told
        if (told.certificate_pem, told.key_pem, told.policy, told.trusted_pem) == (
            before.certificate_pem, before.key_pem, before.policy, before.trusted_pem,
        ):  # fmt: skip
            self._told = told  # only the challenges are others
            return
        try:
            context = self._take(told)
        except (ssl.SSLError, OSError, ValueError) as error:
            log.error("the new certificate or policy cannot be used; the old one stays", extra={"error": str(error)})
            return
        stricter = _is_stricter(before, told)
        for listener in self._listeners:
            listener.use(context)
            if stricter:
                listener.renew()
        await self._offer_http3()
        log.info("the door shows what it was told", extra={"certificates": len(told.trusted_pem) + 1})

    def _take(self, told: WatchDoorResponse) -> ssl.SSLContext:
        policy = told.policy or SecurityPolicy()
        context = server_context(
            Material(
                certificate_pem=told.certificate_pem,
                key_pem=told.key_pem,
                tls_1_2=policy.tls_1_2,
                client_certificates=_CLIENTS.get(policy.client_certificates, ssl.CERT_NONE),
                trusted_pem=tuple(told.trusted_pem),
            )
        )
        self._told = told
        self._rates.per_second = float(policy.requests_per_second)
        assert self._front is not None
        assert self._forwarder is not None
        self._forwarder.basic_allowed = policy.basic_auth is not False
        self._front.options = replace(self._front.options, allowed_origins=frozenset(policy.allowed_origins))
        return context

    # --- HTTP/3 -----------------------------------------------------------------------------------------------------

    async def _offer_http3(self) -> None:
        """Listen for HTTP/3 as the policy says; without it the door works all the same."""
        policy = self._told.policy or SecurityPolicy()
        wanted = policy.http3 is True and policy.client_certificates is not ClientCertificates.REQUIRED
        if wanted and not self._quic:
            try:
                await self._start_http3()
            except (ImportError, OSError) as error:
                self._stop_http3()
                log.error("HTTP/3 cannot be offered", extra={"error": str(error)})
        elif wanted:
            for listener in self._quic:
                listener.use(self._told.certificate_pem, self._told.key_pem)
        elif self._quic:
            self._stop_http3()
        assert self._front is not None
        offer = f'h3=":{self._port}"; ma=3600'.encode() if self._quic else b""
        self._front.options = replace(self._front.options, alt_svc=offer)

    async def _start_http3(self) -> None:
        from ubmc.services.websrv.http.http3 import Http3Listener

        assert self._front is not None
        for host, port in self._bound:
            listener = Http3Listener(self._front, limits=Limits(), counts=Counts())
            await listener.start(host, port, self._told.certificate_pem, self._told.key_pem)
            self._quic.append(listener)

    def _stop_http3(self) -> None:
        listeners, self._quic = self._quic, []
        for listener in listeners:
            listener.stop()

    def _challenges(self) -> dict[str, str]:
        return {each.token: each.answer for each in self._told.challenges}

    # --- news that no stream tells to the Redfish model -----------------------------------------------------------

    @on(ServiceHealthChange)
    async def follow_health(self, _change: ServiceHealthChange) -> None:
        """A service failed, or works again."""
        self._refresh("health")

    @on(AccountPolicyChange)
    async def follow_policy_of_accounts(self, _change: AccountPolicyChange) -> None:
        """The rules for accounts and sessions changed."""
        self._refresh("policy")
        self._prove_again()

    @on(ManagementControllerRestart)
    async def follow_restart(self, _restart: ManagementControllerRestart) -> None:
        """The services are about to restart."""
        self._refresh("controller")

    def _refresh(self, kind: str) -> None:
        if self._redfish is not None:
            self._redfish.model.refresh(kind)

    @on(SessionEnd)
    async def follow_session_end(self, end: SessionEnd) -> None:
        """Forget a session at once."""
        if self._forwarder is not None:
            self._forwarder.end_session(end.id)

    # --- news after which a password has to be proven again ---------------------------------------------------------

    @on(UserChange)
    async def follow_account(self, change: UserChange) -> None:
        """An account has another password or role, was disabled, deleted, or is new."""
        self._prove_again(user=change.name)

    @on(UserLocked)
    async def follow_lock(self, lock: UserLocked) -> None:
        """An account is locked."""
        self._prove_again(user=lock.name)

    @on(SecondFactorChange)
    async def follow_second_factor(self, change: SecondFactorChange) -> None:
        """A password alone may not do any more."""
        self._prove_again(user=change.name)

    @on(SourceLocked)
    async def follow_locked_address(self, lock: SourceLocked) -> None:
        """Nobody may log in from an address."""
        self._prove_again(address=lock.source)

    @on(RoleChange)
    async def follow_role(self, _change: RoleChange) -> None:
        """A role means something else."""
        self._prove_again()

    def _prove_again(self, *, user: str = "", address: str = "") -> None:
        if self._forwarder is not None:
            self._forwarder.identities.forget_passwords(user=user, address=address)


def _is_stricter(before: WatchDoorResponse, now: WatchDoorResponse) -> bool:
    """Whether connections that were let in before might not be let in now."""
    old, new = before.policy or SecurityPolicy(), now.policy or SecurityPolicy()
    distrusted = not set(before.trusted_pem) <= set(now.trusted_pem)
    asked = new.client_certificates is not old.client_certificates
    return distrusted or asked or (old.tls_1_2 and not new.tls_1_2)


def _first_pem(chain: str) -> str:
    end = "-----END CERTIFICATE-----"
    return chain.partition(end)[0] + end


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _bound(start: Callable[[str, int], Awaitable[Address]], host: str, port: int) -> Address:
    try:
        return await start(host, port)
    except OSError as error:
        raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
