"""Our own message registry, made of the event options of the schema: what has been told is what is described.

`Host.StateChanged` is the message `Ubmc.1.0.HostStateChanged`; its arguments are the fields in the order in which the
text names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from protobuf import Message

from ubmc.kit.subjects import kind_of
from ubmc.protocols.redfish.health import OK, SEVERITIES
from ubmc.protocols.redfish.types import odata_type
from ubmc.v1alpha1.event_kind_pb import EventKind, Severity

PREFIX = "Ubmc"
VERSION = "1.0.0"
REGISTRY = f"{PREFIX}.{VERSION}"
_SHORT = f"{PREFIX}.{VERSION.rpartition('.')[0]}"
_UNSPOKEN = {
    "Audit.Recorded": EventKind(domain="audit", text="{user} did {action} {target}: {outcome}", severity=Severity.OK),
    "EventLog.EventsLost": EventKind(domain="event", text="events were lost: {count}", severity=Severity.WARNING),
    "Unknown": EventKind(domain="event", text="something that this program does not know", severity=Severity.OK),
}
"""Messages of log entries that nobody tells over the bus."""
_FIELD = re.compile(r"\{(\w+)\}")
_STRING = "string"
NO_VALUE = "-"
"""An argument that is empty; DMTF's validator takes an empty string for a property that should be left out."""


def message_id(kind: str) -> str:
    """`Host.StateChanged` as Redfish has it: `Ubmc.1.0.HostStateChanged`."""
    return f"{_SHORT}.{kind.replace('.', '')}"


def fields(text: str) -> list[str]:
    """The fields that a text names, in its order, each once."""
    return list(dict.fromkeys(_FIELD.findall(text)))


def message_args(text: str, arguments: Mapping[str, str]) -> list[str]:
    """The arguments of one event, in the order of its registry.

    Args:
        text: of its kind, with `{field}` for what is filled in.
        arguments: the fields of the event.
    """
    return [arguments.get(name) or NO_VALUE for name in fields(text)]


def kinds(events: Iterable[type[Message[Any]]]) -> dict[str, EventKind]:
    """The kinds of news of the schema, by `message_id`."""
    return {kind.message_id: kind for kind in map(kind_of, events)}


def registry(known: Mapping[str, EventKind]) -> dict[str, Any]:
    """The registry as it is served."""
    logged = {**_UNSPOKEN, **{name: kind for name, kind in known.items() if not kind.unlogged}}
    return {
        "@odata.type": odata_type("MessageRegistry"),
        "Id": REGISTRY,
        "Name": "Events of u-bmc",
        "Description": "What the services of this BMC tell.",
        "Language": "en",
        "RegistryPrefix": PREFIX,
        "RegistryVersion": VERSION,
        "OwningEntity": "u-bmc",
        "Messages": {name.replace(".", ""): _message(name, logged[name]) for name in sorted(logged)},
    }


def _message(name: str, kind: EventKind) -> dict[str, Any]:
    names = fields(kind.text)
    severity = SEVERITIES.get(kind.severity, OK)
    body: dict[str, Any] = {
        "Description": f"{name} of the domain {kind.domain}.",
        "Message": _numbered(kind.text, names),
        "MessageSeverity": severity,
        "NumberOfArgs": len(names),
        "Resolution": "None." if severity == OK else "Look at the resource that the event is about.",
    }
    if names:
        body["ParamTypes"] = [_STRING] * len(names)
        body["ArgDescriptions"] = [f"The field {name} of the event." for name in names]
    return body


def _numbered(text: str, names: Sequence[str]) -> str:
    return _FIELD.sub(lambda match: f"%{names.index(match[1]) + 1}", text)
