"""Log services: the event log of the manager, the same as SEL of a system, and the audit trail.

They are read page by page with the caller's own rights, the newest entry first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ubmc.protocols.redfish import layout
from ubmc.protocols.redfish.facts import View
from ubmc.protocols.redfish.health import OK, SEVERITIES
from ubmc.protocols.redfish.query import Query, next_link
from ubmc.protocols.redfish.registry import NO_VALUE, message_args, message_id
from ubmc.protocols.redfish.resource import (
    LOGIN,
    MANAGER,
    Action,
    Body,
    Builder,
    Params,
    Resource,
    known,
    link,
    members,
    uri,
)
from ubmc.protocols.redfish.shape import Prop
from ubmc.protocols.redfish.types import ROOT
from ubmc.protocols.redfish.when import fine_stamp, stamp
from ubmc.v1alpha1.event_kind_pb import EventKind, Severity
from ubmc.v1alpha1.event_pb import Event, EventLogState
from ubmc.v1alpha1.security_pb import AuditRecord

OF_MANAGER = f"{ROOT}/Managers/{{manager}}/LogServices"
OF_SYSTEM = f"{ROOT}/Systems/{{system}}/LogServices"
EVENT_LOG, AUDIT, SEL = "EventLog", "Audit", "SEL"
TOP = 50
"""So many entries come at once where the client does not say."""
MOST = 500
"""So many come at once at most."""

_ALWAYS_FINE = ("Session.Ended",)  # its outcome says why
_NAMES = {EVENT_LOG: "Event Log", AUDIT: "Audit Trail", SEL: "System Event Log"}


def log_service(path: str, state: EventLogState) -> Body:
    """The event log, or the SEL, which is the same log."""
    name = path.rpartition("/")[2]
    return {
        "Id": name,
        "Name": _NAMES[name],
        "Status": {"State": "Enabled", "Health": "OK"},
        "ServiceEnabled": True,
        "LogEntryType": "SEL" if name == SEL else "Event",
        "LogPurposes": ["Operations", "Security"],
        "MaxNumberOfRecords": state.max_count,
        "OverWritePolicy": "WrapsWhenFull",
        "Overflow": state.dropped > 0,
        "Persistency": True,
        "Entries": link(f"{path}/Entries"),
        "Actions": {"#LogService.ClearLog": {"target": f"{path}/Actions/LogService.ClearLog"}},
    }


def audit_service(path: str) -> Body:
    """The audit trail, which nobody can clear."""
    return {
        "Id": AUDIT,
        "Name": _NAMES[AUDIT],
        "Status": {"State": "Enabled", "Health": "OK"},
        "ServiceEnabled": True,
        "LogEntryType": "Event",
        "LogPurposes": ["Security"],
        "OverWritePolicy": "WrapsWhenFull",
        "Persistency": True,
        "Entries": link(f"{path}/Entries"),
    }


def entry(event: Event, kinds: Mapping[str, EventKind], place: Callable[[Event], str | None], *, sel: bool) -> Body:
    """One event.

    Args:
        event: as the log has it.
        kinds: the kinds of news that there are, by their message ids.
        place: the path of the resource that an event is about; None for one that is not there now.
        sel: as a record of the SEL.
    """
    kind = kinds.get(event.message_id)
    severity = SEVERITIES.get(event.severity, OK)
    where = place(event)
    body: Body = {
        "Id": str(event.id),
        "Name": f"Event {event.id}",
        "EntryType": "SEL" if sel else "Event",
        "Created": fine_stamp(event.time),
        "EventTimestamp": fine_stamp(event.time),
        "EventId": event.ulid,
        "Severity": severity,
        "Message": event.message,
        "MessageId": message_id(event.message_id),
        "MessageArgs": message_args(kind.text, event.arguments) if kind is not None else [],
        "Resolved": None,
        "Username": event.cause.user if event.cause is not None and event.cause.user else None,
        "Links": {"OriginOfCondition": link(where)} if where is not None else None,
    }
    if sel:
        body["EntryCode"] = "Assert" if event.severity in (Severity.WARNING, Severity.CRITICAL) else "Deassert"
    return known(body)


def audit_entry(record: AuditRecord) -> Body:
    """One record of the audit trail."""
    severity = "OK" if record.outcome == "ok" or record.action in _ALWAYS_FINE else "Warning"
    target = f" {record.target}" if record.target else ""
    return known(
        {
            "Id": str(record.id),
            "Name": f"Audit Record {record.id}",
            "EntryType": "Event",
            "Created": stamp(record.time),
            "Severity": severity,
            "Message": f"{record.user or 'somebody'} did {record.action}{target}: {record.outcome}",
            "MessageId": message_id("Audit.Recorded"),
            "MessageArgs": [each or NO_VALUE for each in (record.user, record.action, record.target, record.outcome)],
            "Originator": record.source,
            "OriginatorType": "Client" if record.source else "Internal",
            "Username": record.user,
        }
    )


def window(query: Query) -> tuple[int, int]:
    """How many entries are left out at the beginning, and at most how many come then."""
    return query.skip, min(query.top if query.top is not None else TOP, MOST)


def page(base: str, entries: list[Body], total: int, query: Query) -> Body:
    """A part of a log, with where the next part is.

    Args:
        base: the path of the collection.
        entries: with `@odata.id` and type.
        total: how many there are in the whole log, or how many of these the filter lets through.
        query: what was asked for.
    """
    body: Body = {"Name": "Log Entries", "Members": entries, "Members@odata.count": total}
    skip, top = window(query)
    following = skip + len(entries)
    if entries and following < total:
        body["Members@odata.nextLink"] = next_link(base, query, following, top)
    return body


_CLEAR = Action("LogService.ClearLog", {"LogEntriesETag": Prop(nullable=True)}, MANAGER)


def _log(base: str, name: str, about: str) -> tuple[Resource, ...]:
    audit = name == AUDIT
    read = MANAGER if audit else LOGIN
    entries = f"{base}/{name}/Entries"
    return (
        Resource(
            f"{base}/{name}", "LogService", read=read, write=MANAGER, actions=() if audit else (_CLEAR,), about=about
        ),
        Resource(entries, "LogEntryCollection", read=read, write=MANAGER, pages=True, about="Its entries."),
        Resource(f"{entries}/{{entry}}", "LogEntry", read=read, write=MANAGER, delete=not audit, about="One entry."),
    )


def there(view: View, params: Params) -> bool:
    """Whether the manager or system is there whose logs a path names."""
    manager, system = params.get("manager"), params.get("system")
    if manager is not None:
        return layout.controller(view, manager) is not None
    return system is not None and layout.host(view, system) is not None


def _services(base: str, *names: str) -> Builder:
    def build(view: View, params: Params) -> Body | None:
        if not there(view, params):
            return None
        return {"Name": "Log Services", **members(uri(base, params), names)}

    return build


RESOURCES = (
    Resource(OF_MANAGER, "LogServiceCollection", _services(OF_MANAGER, EVENT_LOG, AUDIT), about="Logs of a manager."),
    *_log(OF_MANAGER, EVENT_LOG, "All that happened."),
    *_log(OF_MANAGER, AUDIT, "Who did what."),
    Resource(OF_SYSTEM, "LogServiceCollection", _services(OF_SYSTEM, SEL), about="Logs of a system."),
    *_log(OF_SYSTEM, SEL, "The same events as records of a SEL."),
)
