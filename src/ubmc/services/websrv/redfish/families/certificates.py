"""The certificate of the HTTPS door: reading it, having it signed, replacing it."""

from __future__ import annotations

from ubmc.kit.errors import NotFound
from ubmc.protocols.redfish import certificates, layout
from ubmc.protocols.redfish.messages import Message, RedfishError
from ubmc.protocols.redfish.query import Query
from ubmc.protocols.redfish.resource import Body, link, members, uri
from ubmc.protocols.redfish.shape import Values
from ubmc.services.websrv.redfish.context import By, Context, Done, Family
from ubmc.services.websrv.redfish.families.blame import blaming
from ubmc.v1alpha1.security_pb import (
    Certificate,
    CreateSigningRequestRequest,
    ListCertificatesRequest,
    UploadCertificateRequest,
)
from ubmc.v1alpha1.security_rpc import SecurityService

_GENERATE = "CertificateService.GenerateCSR"
_REPLACE = "CertificateService.ReplaceCertificate"
_SUBJECT = {
    "organization": "Organization",
    "organizational_unit": "OrganizationalUnit",
    "locality": "City",
    "state_or_province": "State",
    "country": "Country",
    "email": "Email",
}
"""What the subject of a request can say besides its common name."""


async def _certificates(context: Context) -> dict[str, Certificate]:
    found = await context.call(SecurityService.ListCertificates, ListCertificatesRequest())
    return {each.name: each for each in found.certificates}


async def _collection(context: Context, _query: Query) -> Body | None:
    if layout.controller(context.view, context.params["manager"]) is None:
        return None
    base = uri(certificates.HTTPS, context.params)
    return {"Name": "HTTPS Certificates", **members(base, list(await _certificates(context)))}


async def _certificate(context: Context, _query: Query) -> Body | None:
    if layout.controller(context.view, context.params["manager"]) is None:
        return None
    found = (await _certificates(context)).get(context.params["certificate"])
    return certificates.certificate(found) if found is not None else None


async def _locations(context: Context, _query: Query) -> Body:
    managers = context.view.table("controller").names()
    names = list(await _certificates(context))
    paths = [f"{uri(certificates.HTTPS, {'manager': manager})}/{name}" for manager in managers[:1] for name in names]
    return certificates.locations(paths)


async def _of(context: Context, path: str, parameter: str) -> str:
    """The name of the certificate that a path means. Raises `RedfishError`."""
    for manager in context.view.table("controller").names():
        base = uri(certificates.HTTPS, {"manager": manager})
        for name in await _certificates(context):
            if path.rstrip("/") in ((base,) if parameter == "CertificateCollection" else (f"{base}/{name}",)):
                return name
    action = _GENERATE if parameter == "CertificateCollection" else _REPLACE
    message = Message("ActionParameterValueError", (parameter, action), (f"/{parameter}",))
    raise RedfishError(400, message)


async def _generate(context: Context, values: Values) -> Done:
    """Make a key, and ask for a certificate of it; the key is kept here until that comes."""
    path = values["CertificateCollection"]["@odata.id"]
    name = await _of(context, path, "CertificateCollection")
    kind = certificates.key_type(
        values.get("KeyPairAlgorithm") or "", values.get("KeyCurveId") or "", values.get("KeyBitLength")
    )
    if kind is None:
        parameter = "KeyPairAlgorithm"
        raise RedfishError(400, Message("ActionParameterNotSupported", (parameter, _GENERATE), (f"/{parameter}",)))
    request = CreateSigningRequestRequest(
        name=name,
        common_name=values["CommonName"],
        alternative_names=values.get("AlternativeNames", []),
        key_type=kind,
        **{field: values.get(name) or "" for field, name in _SUBJECT.items()},
    )
    names = {"common_name": "CommonName", "alternative_names": "AlternativeNames", **_SUBJECT}
    with blaming(context.path, names):
        answer = await context.call(SecurityService.CreateSigningRequest, request)
    return Done(
        {
            "@odata.type": "#CertificateService.v1_2_1.GenerateCSRResponse",
            "CSRString": answer.pem,
            "CertificateCollection": link(path),
        }
    )


async def _replace(context: Context, values: Values) -> Done:
    """Show another certificate: of the key of the last request, or of the key that comes along."""
    path = values["CertificateUri"]["@odata.id"]
    name = await _of(context, path, "CertificateUri")
    pem, key = certificates.without_key(values["CertificateString"])
    request = UploadCertificateRequest(name=name, pem=pem, key_pem=key)
    with blaming(context.path, {"pem": "CertificateString", "keyPem": "CertificateString"}, ("CertificateString",)):
        answer = await context.call(SecurityService.UploadCertificate, request)
    if answer.certificate is None:
        raise NotFound("the certificate is not there any more")
    return Done(headers=(("location", path),))


FAMILY = Family(
    loads={
        certificates.LOCATIONS: _locations,
        certificates.HTTPS: _collection,
        f"{certificates.HTTPS}/{{certificate}}": _certificate,
    },
    actions={
        (certificates.SERVICE, _GENERATE): By(_generate, SecurityService.CreateSigningRequest),
        (certificates.SERVICE, _REPLACE): By(_replace, SecurityService.UploadCertificate),
    },
)
