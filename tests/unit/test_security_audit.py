"""Which events belong to the audit trail, and as what."""

from __future__ import annotations

import pytest
from protobuf.wkt import Timestamp

from ubmc.services.securitymgr.audit import entry_of
from ubmc.v1alpha1.event_pb import Event


def event(message_id: str, **arguments: str) -> Event:
    return Event(ulid="U", message_id=message_id, time=Timestamp(seconds=1), arguments=arguments)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (
            event("Audit.Call", method="HostService.X", target="host.0", outcome="denied", user="a", source="s"),
            ("a", "s", "HostService.X", "host.0", "denied"),
        ),
        (event("Session.Login", user="a", source="s", outcome="refused"), ("a", "s", "Session.Login", "", "refused")),
        (
            event("Console.Attached", name="host.0", user="a", door="ssh", source="s"),
            ("a", "s", "Console.Attached", "host.0", "ok"),
        ),
        (
            event("Console.Written", name="host.0", user="a", door="sol", source="s"),
            ("a", "s", "Console.Written", "host.0", "ok"),
        ),
        (
            event("Console.TakenOver", name="host.0", user="a", before="b", source="s"),
            ("a", "s", "Console.TakenOver", "host.0", "ok"),
        ),
    ],
)
def test_what_people_do_is_in_the_trail(told: Event, shown: tuple[str, ...]) -> None:
    entry = entry_of(told)
    assert entry is not None
    assert (entry.user, entry.source, entry.action, entry.target, entry.outcome) == shown


@pytest.mark.parametrize("message_id", ["Console.Seen", "Console.Detached", "Host.StateChanged", "Sensor.StateChanged"])
def test_what_nobody_did_is_not(message_id: str) -> None:
    assert entry_of(event(message_id, name="host.0", user="a")) is None
