"""Message registries and schemas: which ones are spoken here, and where they are published."""

from __future__ import annotations

from collections.abc import Mapping

from ubmc.protocols.redfish import bios
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.registry import PREFIX, REGISTRY
from ubmc.protocols.redfish.resource import Body, Params, Resource, members
from ubmc.protocols.redfish.types import ROOT, VERSIONS, json_schema

REGISTRIES = f"{ROOT}/Registries"
SCHEMAS = f"{ROOT}/JsonSchemas"
FILE = f"{REGISTRIES}/{{registry}}/{{file}}"
OWN = f"{REGISTRIES}/{PREFIX}/{REGISTRY}.json"
_PUBLISHED = "https://redfish.dmtf.org/registries"

STANDARD: Mapping[str, tuple[str, str]] = {
    "Base": ("1.22.1", "Base Message Registry"),
    "TaskEvent": ("1.0.5", "Task Event Message Registry"),
}
"""Those of DMTF whose messages are sent here."""


def registries(view: View, _params: Params) -> Body:
    """All registries."""
    return {"Name": "Message Registries", **members(REGISTRIES, [*STANDARD, PREFIX, *bios.names(view)])}


def registry_file(view: View, params: Params) -> Body | None:
    """Where one registry is."""
    name = params["registry"]
    if name == PREFIX:
        return _file(name, "Registry", f"{PREFIX}.1.0", "Events of u-bmc", {"Uri": OWN})
    if name in bios.names(view):
        return _file(name, "Registry", name, "Set-up attributes", {"Uri": bios.REGISTRY.format(registry=name)})
    if name not in STANDARD:
        return None
    version, title = STANDARD[name]
    short = version.rpartition(".")[0]
    location = {"PublicationUri": f"{_PUBLISHED}/{name}.{version}.json"}
    return _file(name, "Registry", f"{name}.{short}", title, location)


def _file(name: str, kind: str, of: str, title: str, location: Mapping[str, str]) -> Body:
    return {
        "Id": name,
        "Name": title,
        "Languages": ["en"],
        kind: of,
        "Location": [{"Language": "en", **location}],
    }


def schemas(_view: View, _params: Params) -> Body:
    """All schemas."""
    return {"Name": "Schemas", **members(SCHEMAS, sorted(VERSIONS))}


def schema_file(_view: View, params: Params) -> Body | None:
    """Where one schema is."""
    name = params["schema"]
    if name not in VERSIONS:
        return None
    of = f"#{name}.{VERSIONS[name]}.{name}"
    return _file(name, "Schema", of, f"{name} Schema", {"PublicationUri": json_schema(name)})


RESOURCES = (
    Resource(REGISTRIES, "MessageRegistryFileCollection", registries, about="Message registries."),
    Resource(f"{REGISTRIES}/{{registry}}", "MessageRegistryFile", registry_file, about="Where one registry is."),
    Resource(FILE, "MessageRegistry", about="The messages of our events."),
    Resource(SCHEMAS, "JsonSchemaFileCollection", schemas, about="Schemas."),
    Resource(f"{SCHEMAS}/{{schema}}", "JsonSchemaFile", schema_file, about="Where one schema is."),
)
