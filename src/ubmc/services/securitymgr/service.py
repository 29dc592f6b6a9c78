"""The service securitymgr: it owns certificates, trust, ACME, the doors' policy and the audit trail."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from protobuf import Message

from ubmc.kit.database import Database
from ubmc.kit.errors import Refused
from ubmc.kit.masks import merged
from ubmc.kit.secrets import DeviceKey
from ubmc.kit.service import Service, lasting, rpc, stream
from ubmc.services.securitymgr import ordering, renewal, selftest, selftest_facts
from ubmc.services.securitymgr.custody import Custody
from ubmc.services.securitymgr.ordering import Ordering
from ubmc.services.securitymgr.selftest_facts import Surroundings
from ubmc.services.securitymgr.store import ACME, DEFAULT_REQUESTS_PER_SECOND, HTTPS, POLICY, Store
from ubmc.services.securitymgr.trail import Trail
from ubmc.v1alpha1.account_rpc import AccountService
from ubmc.v1alpha1.event_rpc import EventService
from ubmc.v1alpha1.security_pb import (
    AcmeFailure,
    AddTrustedCertificateRequest,
    AddTrustedCertificateResponse,
    CertificateChange,
    CertificateExpiry,
    ClientCertificates,
    CreateSigningRequestRequest,
    CreateSigningRequestResponse,
    DeleteTrustedCertificateRequest,
    DeleteTrustedCertificateResponse,
    GetAcmeRequest,
    GetAcmeResponse,
    GetAuditRecordRequest,
    GetAuditRecordResponse,
    GetCertificateRequest,
    GetCertificateResponse,
    GetSecurityPolicyRequest,
    GetSecurityPolicyResponse,
    ListAuditRecordsRequest,
    ListAuditRecordsResponse,
    ListCertificatesRequest,
    ListCertificatesResponse,
    ListTrustedCertificatesRequest,
    ListTrustedCertificatesResponse,
    RenewAcmeRequest,
    RenewAcmeResponse,
    ResetCertificateRequest,
    ResetCertificateResponse,
    RunSelfTestRequest,
    RunSelfTestResponse,
    SecurityPolicyChange,
    UpdateAcmeRequest,
    UpdateAcmeResponse,
    UpdateSecurityPolicyRequest,
    UpdateSecurityPolicyResponse,
    UploadCertificateRequest,
    UploadCertificateResponse,
    VerifyAuditRequest,
    VerifyAuditResponse,
    WatchDoorRequest,
    WatchDoorResponse,
)
from ubmc.v1alpha1.security_rpc import SecurityService
from ubmc.v1alpha1.system_rpc import SystemService
from ubmc.v1alpha1.user_rpc import UserService

CHECK_SECONDS = 3600.0
POLICY_FIELDS = (
    "tls_1_2", "client_certificates", "allowed_origins", "basic_auth", "http3", "requests_per_second",
    "outgoing_to_local",
)  # fmt: skip
ACME_FIELDS = ("enabled", "directory_url", "email", "domains", "challenge", "agree_terms", "ca_pem")


class SecurityManager(Service):
    """Owns what keeps the BMC safe."""

    name = "securitymgr"
    calls = (
        EventService.WatchEvents,
        AccountService.GetAccountPolicy,
        UserService.ListUsers,
        SystemService.GetHealth,
    )
    tells = (CertificateChange, CertificateExpiry, AcmeFailure, SecurityPolicyChange)

    def __init__(
        self,
        database: Database,
        device_key: DeviceKey,
        *,
        dns_hook: Sequence[str] = (),
        shown: Callable[[str], None] = lambda _pem: None,
        around: Surroundings | None = None,
    ) -> None:
        """Make the manager.

        Args:
            database: the precious one; opened and closed by whoever gives it.
            device_key: under which private keys are kept.
            dns_hook: the owner's command for ACME's DNS-01, with its arguments; empty without one.
            shown: told the certificate (PEM) whenever it changes, for clients on this machine; must not raise.
            around: what the self-test compares with what is; it judges less without.
        """
        self._store = Store(database, device_key)
        self._custody = Custody(self._store, self._tell, shown)
        self._dns_hook = tuple(dns_hook)
        self._ordering = Ordering(self._store, self._custody, self._dns_hook, self._tell)
        self._trail = Trail(self._store)
        self._around = around or Surroundings()
        self._changing = asyncio.Lock()
        self._told: tuple[str, int] | None = None

    @property
    def outgoing_to_local(self) -> bool:
        """Policy: whether requests that users can name may go to loopback and link-local addresses."""
        return self._store.kept.policy.outgoing_to_local

    async def setup(self) -> None:
        """Read everything; a device without a certificate makes one."""
        await self._store.load()
        await self._custody.open()
        self._trail.open(self.bus.metrics.registry)

    async def work(self) -> None:
        """Follow the event log, renew the certificate, tell when it is about to end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(lasting(self._trail.follow(self.bus)))
            group.create_task(lasting(self._trail.fold()))
            group.create_task(lasting(self._watch_expiry()))
            group.create_task(lasting(self._ordering.run()))

    async def teardown(self) -> None:
        """Give the metrics back."""
        self._trail.close(self.bus.metrics.registry)

    def _tell(self, news: Message[Any]) -> None:
        self.bus.tell("bmc.0", news)

    async def _watch_expiry(self) -> None:
        while True:
            certificate = self._store.kept.certificate
            if certificate is not None:
                days = renewal.days_left(certificate, dt.datetime.now(dt.UTC))
                step = renewal.step(days)
                if step is not None and self._told != (certificate.fingerprint, step):
                    self._told = (certificate.fingerprint, step)
                    self._tell(CertificateExpiry(name=HTTPS, days=days))
            await asyncio.sleep(CHECK_SECONDS)

    @stream(SecurityService.WatchDoor)
    async def watch_door(self, _request: WatchDoorRequest) -> AsyncIterator[WatchDoorResponse]:
        """Everything a door needs, at once and after every change."""
        async for update in self._custody.watch():
            yield update

    # --- certificates -----------------------------------------------------------------------------------------------

    @rpc(SecurityService.ListCertificates)
    async def list_certificates(self, _request: ListCertificatesRequest) -> ListCertificatesResponse:
        """All certificates."""
        return ListCertificatesResponse(certificates=[self._custody.get(HTTPS)])

    @rpc(SecurityService.GetCertificate)
    async def get_certificate(self, request: GetCertificateRequest) -> GetCertificateResponse:
        """One certificate."""
        return GetCertificateResponse(certificate=self._custody.get(request.name))

    @rpc(SecurityService.CreateSigningRequest)
    async def create_signing_request(self, request: CreateSigningRequestRequest) -> CreateSigningRequestResponse:
        """A signing request for a new key."""
        async with self._changing:
            return CreateSigningRequestResponse(pem=await self._custody.request(request))

    @rpc(SecurityService.UploadCertificate)
    async def upload_certificate(self, request: UploadCertificateRequest) -> UploadCertificateResponse:
        """Take an uploaded certificate into use."""
        async with self._changing:
            certificate = await self._custody.upload(request.name, request.pem, request.key_pem)
        return UploadCertificateResponse(certificate=certificate)

    @rpc(SecurityService.ResetCertificate)
    async def reset_certificate(self, request: ResetCertificateRequest) -> ResetCertificateResponse:
        """Take a new self-signed certificate into use."""
        self._custody.get(request.name)
        async with self._changing:
            return ResetCertificateResponse(certificate=await self._custody.sign_self())

    @rpc(SecurityService.ListTrustedCertificates)
    async def list_trusted(self, _request: ListTrustedCertificatesRequest) -> ListTrustedCertificatesResponse:
        """All trusted authorities."""
        return ListTrustedCertificatesResponse(certificates=list(self._store.kept.trusted.values()))

    @rpc(SecurityService.AddTrustedCertificate)
    async def add_trusted(self, request: AddTrustedCertificateRequest) -> AddTrustedCertificateResponse:
        """Trust one more authority."""
        async with self._changing:
            certificate = await self._custody.trust(request.pem)
        self._tell(SecurityPolicyChange(what=f"the authority {certificate.subject} is trusted"))
        return AddTrustedCertificateResponse(certificate=certificate)

    @rpc(SecurityService.DeleteTrustedCertificate)
    async def delete_trusted(self, request: DeleteTrustedCertificateRequest) -> DeleteTrustedCertificateResponse:
        """Trust an authority no more."""
        async with self._changing:
            kept = self._store.kept
            if kept.policy.client_certificates is ClientCertificates.REQUIRED and [*kept.trusted] == [
                request.fingerprint
            ]:
                raise Refused(
                    "nobody could connect any more: trust another authority, or require no client certificates"
                )
            certificate = await self._custody.distrust(request.fingerprint)
        self._tell(SecurityPolicyChange(what=f"the authority {certificate.subject} is trusted no more"))
        return DeleteTrustedCertificateResponse()

    # --- ACME -------------------------------------------------------------------------------------------------------

    @rpc(SecurityService.GetAcme)
    async def get_acme(self, _request: GetAcmeRequest) -> GetAcmeResponse:
        """From whom certificates are got, and how that went."""
        return GetAcmeResponse(acme=self._ordering.shown())

    @rpc(SecurityService.UpdateAcme)
    async def update_acme(self, request: UpdateAcmeRequest) -> UpdateAcmeResponse:
        """Change from whom certificates are got."""
        assert request.acme is not None  # the door has checked
        async with self._changing:
            acme, _ = merged(self._store.kept.acme, request.acme, request.update_mask, ACME_FIELDS)
            ordering.check(acme, self._dns_hook)
            await self._store.put({ACME: acme.to_binary()})
        self._ordering.wake()
        return UpdateAcmeResponse(acme=self._ordering.shown())

    @rpc(SecurityService.RenewAcme)
    async def renew_acme(self, _request: RenewAcmeRequest) -> RenewAcmeResponse:
        """Order a certificate now."""
        self._ordering.check_enabled()
        self._ordering.wake(order=True)
        return RenewAcmeResponse(acme=self._ordering.shown())

    # --- policy -----------------------------------------------------------------------------------------------------

    @rpc(SecurityService.GetSecurityPolicy)
    async def get_policy(self, _request: GetSecurityPolicyRequest) -> GetSecurityPolicyResponse:
        """The policy of the doors."""
        return GetSecurityPolicyResponse(policy=self._store.kept.policy)

    @rpc(SecurityService.UpdateSecurityPolicy)
    async def update_policy(self, request: UpdateSecurityPolicyRequest) -> UpdateSecurityPolicyResponse:
        """Change the policy of the doors."""
        assert request.policy is not None  # the door has checked
        async with self._changing:
            before = self._store.kept.policy
            policy, _ = merged(before, request.policy, request.update_mask, POLICY_FIELDS)
            policy.requests_per_second = policy.requests_per_second or DEFAULT_REQUESTS_PER_SECOND
            if policy.client_certificates is ClientCertificates.REQUIRED and not self._store.kept.trusted:
                raise Refused("nobody could connect any more: trust an authority for client certificates first")
            await self._store.put({POLICY: policy.to_binary()})
        changed = [name for name in POLICY_FIELDS if getattr(before, name) != getattr(policy, name)]
        if changed:
            self._custody.publish()
            said = ", ".join(f"{name} is {getattr(policy, name)}" for name in changed)
            self._tell(SecurityPolicyChange(what=said))
        return UpdateSecurityPolicyResponse(policy=policy)

    # --- audit ------------------------------------------------------------------------------------------------------

    @rpc(SecurityService.ListAuditRecords)
    async def list_audit(self, request: ListAuditRecordsRequest) -> ListAuditRecordsResponse:
        """One page of the audit trail."""
        return await self._trail.page(request)

    @rpc(SecurityService.GetAuditRecord)
    async def get_audit_record(self, request: GetAuditRecordRequest) -> GetAuditRecordResponse:
        """One record of the audit trail."""
        return GetAuditRecordResponse(record=await self._trail.get(request.id))

    @rpc(SecurityService.VerifyAudit)
    async def verify_audit(self, _request: VerifyAuditRequest) -> VerifyAuditResponse:
        """Whether the audit trail is whole."""
        return await self._trail.verify()

    # --- self-test --------------------------------------------------------------------------------------------------

    @rpc(SecurityService.RunSelfTest)
    async def run_self_test(self, _request: RunSelfTestRequest) -> RunSelfTestResponse:
        """How this BMC stands against the controls of a hardened one."""
        verdict = await self._trail.verify()
        audit = (verdict.intact, self._trail.follows)
        facts = await selftest_facts.gather(self.bus, self._around, self._store.kept, audit)
        return RunSelfTestResponse(controls=selftest.judge(facts))
