"""Events as files: CSV that no spreadsheet obeys, and JSON.

A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@` or a tab for a formula, and an event can carry text that
a stranger chose (a user name that somebody tried): such a cell gets a quote before it (OWASP, CSV Injection).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from io import StringIO

from ubmc.cli.terminal import printable
from ubmc.v1alpha1.event_pb import Event
from ubmc.v1alpha1.host_pb import Cause

TITLES = (
    "id", "time", "severity", "component", "message_id", "message", "cause", "user", "trace_id", "ulid", "arguments",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
Put = Callable[[str], None]


def safe_cell(text: str) -> str:
    """The text so that neither a spreadsheet nor a terminal obeys it."""
    quoted = f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
    return printable(quoted)


def _cells(event: Event) -> Sequence[str]:
    cause = event.cause or Cause()
    arguments = json.dumps(dict(event.arguments), sort_keys=True) if event.arguments else ""
    time = json.loads(event.time.to_json()) if event.time is not None else ""
    return (
        str(event.id), time, (event.severity.name or str(event.severity.value)).lower(), event.component,
        event.message_id, event.message, cause.kind, cause.user, cause.trace_id, event.ulid, arguments,
    )  # fmt: skip


def write_csv(events: Iterable[Event], put: Put) -> None:
    """Put the titles, then a line for each event (RFC 4180, but for the ends of lines)."""
    put(_line(TITLES))
    for event in events:
        put(_line([safe_cell(cell) for cell in _cells(event)]))


def _line(cells: Sequence[str]) -> str:
    line = StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def write_json(events: Iterable[Event], put: Put) -> None:
    """Put one JSON document, `{"events": [...]}`, an event a line, in ASCII."""
    put('{"events": [')
    between = ""
    for event in events:
        put(between + json.dumps(json.loads(event.to_json())))
        between = ","
    put("]}")


FORMATS = {"csv": write_csv, "json": write_json}
