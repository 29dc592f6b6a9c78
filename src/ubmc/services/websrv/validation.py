"""Whether a request keeps the rules of the schema, and what is wrong with it in words that people know."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import protovalidate
from protobuf import Message

from ubmc.kit.errors import Invalid, Violation

_DOTTED = "letters, digits, `_`, `-` and `.`, 64 at most"
_ATTRIBUTE = "the name of an LDAP attribute, such as `uid`: letters, digits and `-`"
_LABEL = "letters, digits and `-`, neither first nor last a `-`, 63 at most"

FORMS: Mapping[str, str] = MappingProxyType(
    {
        r"^host[.][0-9]{1,3}$": "the name of a host, such as `host.0`",
        r"^[a-z_][a-z0-9_.-]{0,31}$": "small letters, digits, `_`, `-` and `.`, the first a letter or `_`, 32 at most",
        r"^[A-Za-z][A-Za-z0-9_-]{0,31}$": "letters, digits, `_` and `-`, the first a letter, 32 at most",
        r"^(email|upn|uri|dns|cn):[ -~]{1,250}$": "`email:`, `upn:`, `uri:`, `dns:` or `cn:`, and a name behind it",
        r"^[0-9]{6}$": "six digits",
        r"^[0-9a-z]$": "one small letter or digit",
        r"^[0-9a-f]{64}$": "the SHA-256 fingerprint of a certificate: 64 digits and small letters, without colons",
        r"^([A-Z]{2})?$": "two capital letters, such as `DE`",
        r"^([!-~]+@[!-~]+)?$": "an address of e-mail, such as `olga@example.org`",
        r"^([A-Za-z][A-Za-z0-9-]{0,63})?$": _ATTRIBUTE,
        r"^([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?$": (
            "`HOST` or `HOST:PORT`; an IPv6 address stands in brackets"
        ),
        r"^https?://[A-Za-z0-9.:\[\]-]{1,253}$": "an origin, such as `https://ops.example.org`, with no path behind it",
        r"^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)?$": f"a name without a dot: {_LABEL}",
        r"^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?([.][a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*)?$": (
            f"a domain, such as `example.org`; each part of it {_LABEL}"
        ),
        r"^([0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3})?$": "an IPv4 address, such as `192.0.2.1`",
        r"^[0-9a-fA-F:.]{0,45}$": "an IPv6 address, such as `2001:db8::1`",
        r"^([0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5})?$": "a MAC address, such as `02:00:00:00:00:01`",
        r"^[a-zA-Z0-9._:-]+$": "the name or address of a server",
        r"^[A-Za-z0-9_.-]{0,64}$": _DOTTED,
        r"^[A-Za-z0-9_.*?-]{1,64}$": f"{_DOTTED}; `*` stands for any of them, `?` for one",
        r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$": "the name of an HTTP header, such as `X-Token`",
    }
)
"""What the patterns in the schema mean."""


def validate(request: Message[Any]) -> None:
    """Check a message against the rules of the schema.

    Raises:
        Invalid: it breaks some; names each field.
    """
    found = protovalidate.collect_violations(request)
    if not found:
        return
    violations = []
    for each in found:
        elements = each.proto.field.elements if each.proto.field is not None else []
        path = ".".join(_camel(element.field_name) for element in elements)
        violations.append(Violation(path, each.proto.rule_id, f"{path}: {_message(each)}"))
    raise Invalid("; ".join(violation.message for violation in violations), violations=violations)


def _message(violation: protovalidate.Violation) -> str:
    if violation.proto.rule_id == "string.pattern" and (form := FORMS.get(str(violation.rule_value))) is not None:
        return f"must be {form}"
    return violation.proto.message


def _camel(name: str) -> str:
    """The JSON name of a field, as people wrote it."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
