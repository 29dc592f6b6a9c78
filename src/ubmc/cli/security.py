"""`ubmc security`: the self-test, the doors' policy, certificates, ACME, whom to trust, the audit trail."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import click
from protobuf.wkt import FieldMask

from ubmc.cli.exits import FAILED
from ubmc.cli.export import safe_cell
from ubmc.cli.resource import Listing, list_all
from ubmc.cli.settings import Noun, Settings, pass_settings
from ubmc.cli.terminal import emit, printable, printable_lines
from ubmc.cli.text import cell, columns
from ubmc.kit.errors import Invalid, Unavailable
from ubmc.v1alpha1.security_pb import (
    Acme,
    AcmeChallenge,
    AddTrustedCertificateRequest,
    ClientCertificates,
    ControlState,
    CreateSigningRequestRequest,
    DeleteTrustedCertificateRequest,
    GetAcmeRequest,
    GetCertificateRequest,
    GetSecurityPolicyRequest,
    KeyType,
    ListTrustedCertificatesRequest,
    RenewAcmeRequest,
    ResetCertificateRequest,
    RunSelfTestRequest,
    SecurityPolicy,
    UpdateAcmeRequest,
    UpdateSecurityPolicyRequest,
    UploadCertificateRequest,
    VerifyAuditRequest,
)
from ubmc.v1alpha1.security_rpc import SecurityService

HTTPS = "https"
_CONTROLS = columns("id", "state", "control: title", "found: detail")
_POLICY = columns(
    "TLS 1.2: tls_1_2",
    "client certificates: client_certificates",
    "origins: allowed_origins",
    "basic: basic_auth",
    "HTTP/3: http3",
    "requests a second: requests_per_second",
    "outgoing to local: outgoing_to_local",
)
_CERTIFICATE = columns(
    "name",
    "subject",
    "issuer",
    "good for: alternative_names",
    "from: not_before",
    "until: not_after",
    "key: key_type",
    "source",
    "serial number: serial_number",
    "fingerprint",
)
_TRUSTED = columns("fingerprint", "subject", "until: not_after")
_ACME = columns(
    "enabled",
    "directory: directory_url",
    "email",
    "domains",
    "challenge",
    "terms agreed to: agree_terms",
    "state",
    "error",
    "next order: next_time",
)
RECORDS = Listing(
    noun="record",
    list=SecurityService.ListAuditRecords,
    items="records",
    columns=columns("id", "time", "user", "source", "action", "target", "outcome", "trace: trace_id"),
    key="id",
)
_EXPORTED = ("id", "time", "user", "source", "action", "target", "outcome", "trace_id", "hash")
CLIENTS = {each.name.lower(): each for each in ClientCertificates if each.value}
KEYS = {"ec-p256": KeyType.EC_P256, "ec-p384": KeyType.EC_P384, "rsa-3072": KeyType.RSA_3072}
CHALLENGES = {"http-01": AcmeChallenge.HTTP_01, "dns-01": AcmeChallenge.DNS_01}

_FILE = click.Path(dir_okay=False, path_type=Path)

security = Noun("security", help="Security: test it, set it, certificates, whom to trust, who did what.")
policy = Noun("policy", help="What the doors ask for and allow.")
cert = Noun("cert", help="The certificate that the BMC shows.")
trust = Noun("trust", help="Authorities whose client certificates are believed.")
acme = Noun("acme", help="Getting certificates from an authority, and renewing them.")
audit = Noun("audit", help="The audit trail: who did what, in a chain that shows every change.")
for group in (policy, cert, trust, acme, audit):
    security.add_command(group)


@security.command("selftest")
@pass_settings
def selftest(settings: Settings) -> None:
    """Check every control of a hardened BMC; fails if one of them does."""
    with settings.connect() as client:
        answer = client.ask(SecurityService.RunSelfTest, RunSelfTestRequest())
    settings.output.list(answer, _CONTROLS, answer.controls)
    failed = sum(each.state is ControlState.FAIL for each in answer.controls)
    passed = sum(each.state is ControlState.PASS for each in answer.controls)
    if not settings.output.as_json:
        emit(f"\n{passed} hold, {failed} do not, {len(answer.controls) - passed - failed} cannot be judged here")
    if failed or not answer.controls:
        raise SystemExit(FAILED)


# --- policy ---------------------------------------------------------------------------------------------------------


@policy.command("show")
@pass_settings
def show_policy(settings: Settings) -> None:
    """Show the policy."""
    with settings.connect() as client:
        answer = client.ask(SecurityService.GetSecurityPolicy, GetSecurityPolicyRequest())
    settings.output.show(answer, _POLICY, answer.policy or SecurityPolicy())


@policy.command("set")
@click.option("--tls-1-2/--no-tls-1-2", "tls_1_2", default=None, help="Accept TLS 1.2 beside 1.3.")
@click.option("--client-certificates", type=click.Choice(list(CLIENTS)), help="Whether clients show certificates.")
@click.option("--origin", "origins", multiple=True, metavar="URL", help="Pages that may call; may be repeated.")
@click.option("--no-origins", is_flag=True, help="No other page may call.")
@click.option("--basic/--no-basic", "basic_auth", default=None, help="Basic authentication, for Redfish.")
@click.option("--http3/--no-http3", "http3", default=None, help="Offer HTTP/3.")
@click.option("--requests-per-second", type=click.IntRange(0, 10000), help="Of one identity; 0 is the default.")
@click.option("--outgoing-to-local/--no-outgoing-to-local", "outgoing_to_local", default=None,
              help="Requests that users name may go to this machine.")  # fmt: skip
@pass_settings
def set_policy(
    settings: Settings, /, client_certificates: str | None, origins: tuple[str, ...], no_origins: bool, **given: Any
) -> None:
    """Change the policy; it holds at once, and nobody is disconnected."""
    if origins and no_origins:
        raise click.UsageError("--origin and --no-origins exclude each other; give one of them")
    values = {name: value for name, value in given.items() if value is not None}
    if client_certificates is not None:
        values["client_certificates"] = CLIENTS[client_certificates]
    if origins or no_origins:
        values["allowed_origins"] = list(origins)
    if not values:
        raise click.UsageError("nothing to set; say what, for example --no-basic")
    request = UpdateSecurityPolicyRequest(policy=SecurityPolicy(**values), update_mask=FieldMask(paths=sorted(values)))
    with settings.connect() as client:
        answer = client.ask(SecurityService.UpdateSecurityPolicy, request)
    settings.output.show(answer, _POLICY, answer.policy or SecurityPolicy())


def _pem(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except OSError as error:
        raise Unavailable(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{file} is not in PEM form") from error


# --- certificate ----------------------------------------------------------------------------------------------------


@cert.command("show")
@click.option("--pem", is_flag=True, help="Print the certificate itself.")
@pass_settings
def show_certificate(settings: Settings, pem: bool) -> None:
    """Show the certificate."""
    with settings.connect() as client:
        answer = client.ask(SecurityService.GetCertificate, GetCertificateRequest(name=HTTPS))
    if pem and not settings.output.as_json:
        emit(printable_lines(answer.certificate.pem.rstrip("\n") if answer.certificate else ""))
    else:
        settings.output.show(answer, _CERTIFICATE, answer.certificate)


@cert.command("csr")
@click.argument("common_name")
@click.option("--san", "names", multiple=True, metavar="NAME|ADDRESS", help="What it is good for; may be repeated.")
@click.option("--organization", default="", help="Whose it is.")
@click.option("--unit", "organizational_unit", default="", help="Which part of it.")
@click.option("--city", "locality", default="", help="Where it is.")
@click.option("--state", "state_or_province", default="", help="In which state or province.")
@click.option("--country", default="", metavar="XX", help="Two letters.")
@click.option("--email", default="", help="Whom to write to.")
@click.option("--key", "key", type=click.Choice(list(KEYS)), default="ec-p256", show_default=True)
@pass_settings
def request_certificate(
    settings: Settings, /, common_name: str, names: tuple[str, ...], key: str, **subject: str
) -> None:
    """Make a new key in the BMC and print the signing request for it."""
    request = CreateSigningRequestRequest(
        name=HTTPS,
        common_name=common_name,
        alternative_names=list(names),
        key_type=KEYS[key],
        **subject,
    )
    with settings.connect() as client:
        answer = client.ask(SecurityService.CreateSigningRequest, request)
    settings.output.say(answer, printable_lines(answer.pem.rstrip("\n")))


@cert.command("upload")
@click.argument("file", type=_FILE)
@click.option("--key", "key", type=_FILE, help="Its key; left out if the BMC has made it (csr).")
@pass_settings
def upload_certificate(settings: Settings, file: Path, key: Path | None) -> None:
    """Take a certificate into use: FILE holds it and those between it and its root, PEM."""
    request = UploadCertificateRequest(name=HTTPS, pem=_pem(file), key_pem=_pem(key) if key is not None else "")
    with settings.connect() as client:
        answer = client.ask(SecurityService.UploadCertificate, request)
    settings.output.show(answer, _CERTIFICATE, answer.certificate)


@cert.command("reset")
@pass_settings
def reset_certificate(settings: Settings) -> None:
    """Take a new self-signed certificate into use; clients have to compare its fingerprint anew."""
    with settings.connect() as client:
        answer = client.ask(SecurityService.ResetCertificate, ResetCertificateRequest(name=HTTPS))
    settings.output.show(answer, _CERTIFICATE, answer.certificate)


# --- whom to trust --------------------------------------------------------------------------------------------------


@trust.command("list")
@pass_settings
def list_trusted(settings: Settings) -> None:
    """List the authorities."""
    with settings.connect() as client:
        answer = client.ask(SecurityService.ListTrustedCertificates, ListTrustedCertificatesRequest())
    settings.output.list(answer, _TRUSTED, answer.certificates)


@trust.command("add")
@click.argument("file", type=_FILE)
@pass_settings
def add_trusted(settings: Settings, file: Path) -> None:
    """Believe client certificates of the authority whose certificate is in FILE, PEM."""
    with settings.connect() as client:
        answer = client.ask(SecurityService.AddTrustedCertificate, AddTrustedCertificateRequest(pem=_pem(file)))
    settings.output.say(answer, f"trusted: {cell(answer, 'certificate.fingerprint')}")


@trust.command("remove")
@click.argument("authority", metavar="FINGERPRINT")
@pass_settings
def remove_trusted(settings: Settings, authority: str) -> None:
    """Believe an authority no more."""
    with settings.connect() as client:
        request = DeleteTrustedCertificateRequest(fingerprint=authority.replace(":", "").lower())
        answer = client.ask(SecurityService.DeleteTrustedCertificate, request)
    settings.output.say(answer, f"trusted no more: {printable(authority)}")


# --- ACME -----------------------------------------------------------------------------------------------------------


@acme.command("show")
@pass_settings
def show_acme(settings: Settings) -> None:
    """Show from whom certificates are got, and how the last order went."""
    with settings.connect() as client:
        answer = client.ask(SecurityService.GetAcme, GetAcmeRequest())
    settings.output.show(answer, _ACME, answer.acme or Acme())


@acme.command("set")
@click.option("--enable/--disable", "enabled", default=None, help="Get and renew certificates.")
@click.option("--directory", "directory_url", metavar="URL", help="The directory of the authority.")
@click.option("--email", help="Whom the authority may write to.")
@click.option("--domain", "domains", multiple=True, help="A name to get a certificate for; may be repeated.")
@click.option("--challenge", type=click.Choice(list(CHALLENGES)), help="How names are proven.")
@click.option("--agree-terms/--no-agree-terms", "agree_terms", default=None, help="Agree to the authority's terms.")
@click.option("--ca", type=_FILE, help="The authority's own root, PEM, if the system does not know it.")
@pass_settings
def set_acme(
    settings: Settings, /, domains: tuple[str, ...], challenge: str | None, ca: Path | None, **given: str | bool | None
) -> None:
    """Change from whom certificates are got; what is not given stays."""
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if domains:
        values["domains"] = list(domains)
    if challenge is not None:
        values["challenge"] = CHALLENGES[challenge]
    if ca is not None:
        values["ca_pem"] = _pem(ca)
    if not values:
        raise click.UsageError("nothing to set; say what, for example --enable")
    request = UpdateAcmeRequest(acme=Acme(**values), update_mask=FieldMask(paths=sorted(values)))
    with settings.connect() as client:
        answer = client.ask(SecurityService.UpdateAcme, request)
    settings.output.show(answer, _ACME, answer.acme or Acme())


@acme.command("renew")
@pass_settings
def renew_acme(settings: Settings) -> None:
    """Order a certificate now."""
    with settings.connect() as client:
        answer = client.ask(SecurityService.RenewAcme, RenewAcmeRequest())
    settings.output.show(answer, _ACME, answer.acme or Acme())


# --- audit ----------------------------------------------------------------------------------------------------------


@audit.command("list")
@click.option("--user", default="", help="Only of this user.")
@pass_settings
def list_audit(settings: Settings, user: str) -> None:
    """List the audit trail, the oldest first."""
    with settings.connect() as client:
        answer = list_all(client, RECORDS, user=user)
    settings.output.list(answer, RECORDS.columns, answer.records)


@audit.command("verify")
@pass_settings
def verify_audit(settings: Settings) -> None:
    """Check that no record was changed or taken out; fails if one was. Keep the head elsewhere, to prove it later."""
    with settings.connect() as client:
        answer = client.ask(SecurityService.VerifyAudit, VerifyAuditRequest())
    state = "whole" if answer.intact else f"broken at record {answer.first_broken_id}"
    settings.output.say(answer, f"{state}: {answer.count} records, head {printable(answer.head)}")
    if not answer.intact:
        raise SystemExit(FAILED)


@audit.command("export")
@click.option("--format", "kind", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
@pass_settings
def export_audit(settings: Settings, kind: str) -> None:
    """Print the whole trail as CSV, or as JSON, for an archive."""
    with settings.connect() as client:
        answer = list_all(client, RECORDS)
    if kind == "json" or settings.output.as_json:
        settings.output.document(answer)
        return
    _put_row(_EXPORTED)
    for record in answer.records:
        time = json.loads(record.time.to_json()) if record.time is not None else ""
        values = (time if name == "time" else str(getattr(record, name)) for name in _EXPORTED)
        _put_row([safe_cell(value) for value in values])


def _put_row(cells: Any) -> None:
    line = StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    emit(line.getvalue())
