"""The set-up of a host's firmware: what it is, what the next boot changes, and which attributes there are."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

from ubmc.protocols.redfish.facts import View, given
from ubmc.protocols.redfish.resource import Action, Body, Params, Resource, known, link
from ubmc.protocols.redfish.shape import Prop, Shape
from ubmc.protocols.redfish.types import ROOT
from ubmc.protocols.redfish.when import stamp
from ubmc.v1alpha1.bios_pb import Bios, BiosAttribute, BiosAttributeType

BIOS = f"{ROOT}/Systems/{{system}}/Bios"
SETTINGS = f"{BIOS}/Settings"
REGISTRY = f"{ROOT}/Registries/{{registry}}/AttributeRegistry"
RESET = "Bios.ResetBios"
APPLY_TIMES = ("OnReset",)
_PREFIX = "BiosAttributeRegistry."
_TYPES = {
    BiosAttributeType.ENUMERATION: "Enumeration",
    BiosAttributeType.INTEGER: "Integer",
    BiosAttributeType.BOOLEAN: "Boolean",
    BiosAttributeType.STRING: "String",
}


def _bios(view: View, params: Params) -> Bios | None:
    found: Bios | None = view.table("bios").get(params["system"])
    return found


def _listed(view: View, host: str) -> tuple[BiosAttribute, ...]:
    found: tuple[BiosAttribute, ...] | None = view.table("bios-attributes").get(host)
    return found or ()


def typed(attributes: Iterable[BiosAttribute], values: dict[str, str]) -> dict[str, Any]:
    """The values in the types that their attributes have; services keep them as texts."""
    kinds = {each.name: each.type for each in attributes}
    return {name: _value(kinds.get(name), text) for name, text in sorted(values.items())}


def _value(kind: BiosAttributeType | None, text: str) -> Any:
    if kind is BiosAttributeType.BOOLEAN:
        return text == "true"
    return int(text) if kind is BiosAttributeType.INTEGER else text


def as_text(value: Any) -> str:
    """A value as services keep it."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def names(view: View) -> list[str]:
    """The names of all attribute registries, in the list of registries."""
    return [f"{_PREFIX}{host}" for host in view.table("bios").names()]


def version(view: View, host: str) -> str:
    """The version of a registry, in three numbers: another list of attributes has another one."""
    found: Bios | None = view.table("bios").get(host)
    number = zlib.crc32(found.registry_version.encode()) if found is not None else 0
    return f"1.0.{number}"


def bios(view: View, params: Params) -> Body | None:
    """The set-up as it is."""
    found = _bios(view, params)
    if found is None:
        return None
    host = found.host
    base = BIOS.format(system=host)
    return known(
        {
            "Id": "Bios",
            "Name": f"Set-up of {host}",
            "AttributeRegistry": f"{_PREFIX}{host}",
            "Attributes": typed(_listed(view, host), dict(found.attributes)),
            "@Redfish.Settings": known(
                {
                    "@odata.type": "#Settings.v1_4_0.Settings",
                    "SettingsObject": link(f"{base}/Settings"),
                    "SupportedApplyTimes": list(APPLY_TIMES),
                    "Time": stamp(found.applied_time),
                    "Messages": [],
                }
            ),
            "Actions": {f"#{RESET}": {"target": f"{base}/Actions/{RESET}"}},
        }
    )


def settings(view: View, params: Params) -> Body | None:
    """The set-up as it is after the next boot."""
    found = _bios(view, params)
    if found is None:
        return None
    after = {**found.attributes, **found.pending}
    return {
        "Id": "Settings",
        "Name": f"Set-up of {found.host} after its next boot",
        "AttributeRegistry": f"{_PREFIX}{found.host}",
        "Attributes": typed(_listed(view, found.host), after),
    }


def registry(view: View, params: Params) -> Body | None:
    """Which attributes there are, and what they can be."""
    name = params["registry"]
    if name not in names(view):
        return None
    host = name.removeprefix(_PREFIX)
    return {
        "Id": name,
        "Name": f"Set-up attributes of {host}",
        "Language": "en",
        "RegistryVersion": version(view, host),
        "OwningEntity": "u-bmc",
        "RegistryEntries": {"Attributes": [_entry(each) for each in _listed(view, host)]},
    }


def _entry(each: BiosAttribute) -> Body:
    text = each.type is BiosAttributeType.STRING
    number = each.type is BiosAttributeType.INTEGER
    return known(
        {
            "AttributeName": each.name,
            "Type": _TYPES.get(each.type),
            "DisplayName": each.display_name,
            "HelpText": each.help,
            "MenuPath": each.menu_path,
            "DefaultValue": _value(each.type, each.default_value),
            "ReadOnly": each.read_only,
            "ResetRequired": True,
            "Value": [
                known({"ValueName": value.value, "ValueDisplayName": value.display_name}) for value in each.values
            ]
            or None,
            "LowerBound": given(each, "minimum") if number else None,
            "UpperBound": given(each, "maximum") if number else None,
            "ScalarIncrement": each.step if number and each.step else None,
            "MinLength": each.min_length if text else None,
            "MaxLength": each.max_length if text and each.max_length else None,
        }
    )


PATCH: Shape = {"Attributes": Prop("object")}

RESOURCES = (
    Resource(BIOS, "Bios", bios, actions=(Action(RESET),), about="The set-up of a computer's firmware."),
    Resource(
        SETTINGS,
        "Bios",
        settings,
        patch=PATCH,
        apply_times=APPLY_TIMES,
        about="The set-up after the next boot; PATCH it here.",
    ),
    Resource(REGISTRY, "AttributeRegistry", registry, about="Which set-up attributes there are."),
)
