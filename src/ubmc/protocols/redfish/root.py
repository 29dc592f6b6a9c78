"""What a client sees first: /redfish, the service root, and the two documents of OData."""

from __future__ import annotations

from collections.abc import Iterable

from ubmc.protocols.redfish import layout
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.query import MAX_LEVELS
from ubmc.protocols.redfish.resource import PUBLIC, Body, Params, Resource, known, link
from ubmc.protocols.redfish.types import ROOT, SCHEMAS, VERSIONS

REDFISH_VERSION = "1.20.1"
METADATA = f"{ROOT}/$metadata"
ODATA = f"{ROOT}/odata"
VERSIONS_URI = "/redfish"
_SERVICES = (
    ("AccountService", "AccountService"),
    ("CertificateService", "CertificateService"),
    ("Chassis", "Chassis"),
    ("EventService", "EventService"),
    ("JsonSchemas", "JsonSchemas"),
    ("Managers", "Managers"),
    ("Registries", "Registries"),
    ("SessionService", "SessionService"),
    ("Systems", "Systems"),
    ("Tasks", "TaskService"),
    ("TelemetryService", "TelemetryService"),
    ("UpdateService", "UpdateService"),
)


def service_root(view: View, _params: Params) -> Body:
    """The root; it is public, so it says no version and no serial number of ours."""
    controllers = view.table("controller").names()
    provider = controllers[0] if controllers else ""
    return known(
        {
            "Id": "RootService",
            "Name": "Root Service",
            "RedfishVersion": REDFISH_VERSION,
            "UUID": layout.identity(view, provider),
            "Vendor": layout.system(view).vendor,
            "Product": "u-bmc",
            "ProtocolFeaturesSupported": {
                "DeepOperations": {"DeepPATCH": False, "DeepPOST": False},
                "ExcerptQuery": True,
                "ExpandQuery": {
                    "ExpandAll": True,
                    "Levels": True,
                    "Links": True,
                    "MaxLevels": MAX_LEVELS,
                    "NoLinks": True,
                },
                "FilterQuery": True,
                "FilterQueryComparisonOperations": True,
                "FilterQueryCompoundOperations": True,
                "MultipleHTTPRequests": True,
                "OnlyMemberQuery": True,
                "SelectQuery": True,
                "TopSkipQuery": True,
            },
            **{name: view.link(f"{ROOT}/{path}") for name, path in _SERVICES},
            "Links": known(
                {
                    "ManagerProvidingService": link(f"{ROOT}/Managers/{provider}") if provider else None,
                    "Sessions": link(f"{ROOT}/SessionService/Sessions"),
                }
            ),
        }
    )


def versions() -> Body:
    """The body of /redfish: which versions of the protocol there are."""
    return {"v1": f"{ROOT}/"}


def service_document(served: Iterable[str]) -> Body:
    """The OData service document (DSP0266, "OData service document")."""
    there = frozenset(served)
    places = [("Service", f"{ROOT}/")]
    places += [(name, f"{ROOT}/{path}") for name, path in _SERVICES if f"{ROOT}/{path}" in there]
    places.append(("Sessions", f"{ROOT}/SessionService/Sessions"))
    values = [{"name": name, "kind": "Singleton", "url": url} for name, url in places]
    return {"@odata.context": METADATA, "value": values}


_REFERENCED = (
    "IPAddresses",
    "Message",
    "Redundancy",
    "Resource",
    "Settings",
    "Schedule",
    "Privileges",
    "PhysicalContext",
)


def metadata(types: Iterable[str]) -> str:
    """The OData metadata document: of which schemas our resources are, and where these are published."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="4.0">',
    ]
    for name in sorted({*types, *_REFERENCED}):
        lines.append(f'  <edmx:Reference Uri="{SCHEMAS}/{name}_v1.xml">')
        lines.append(f'    <edmx:Include Namespace="{name}"/>')
        if name in VERSIONS:
            lines.append(f'    <edmx:Include Namespace="{name}.{VERSIONS[name]}"/>')
        lines.append("  </edmx:Reference>")
    lines += [
        f'  <edmx:Reference Uri="{SCHEMAS}/RedfishExtensions_v1.xml">',
        '    <edmx:Include Namespace="RedfishExtensions.v1_0_0" Alias="Redfish"/>',
        "  </edmx:Reference>",
        "  <edmx:DataServices>",
        '    <Schema xmlns="http://docs.oasis-open.org/odata/ns/edm" Namespace="Service">',
        f'      <EntityContainer Name="Service" Extends="ServiceRoot.{VERSIONS["ServiceRoot"]}.ServiceContainer"/>',
        "    </Schema>",
        "  </edmx:DataServices>",
        "</edmx:Edmx>",
        "",
    ]
    return "\n".join(lines)


RESOURCES = (Resource(ROOT, "ServiceRoot", service_root, read=PUBLIC, about="Where clients begin."),)
