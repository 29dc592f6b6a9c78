"""From messages and errors to what goes back: JSON, and server-sent events.

Fields without presence are always printed, also when they are zero: who reads with curl sees `"running":false` and
`"hosts":[]`, and a script need not know the defaults. Messages, optional fields and oneofs which are not set stay out.
Enums are names, 64-bit integers strings, times RFC 3339, as in all proto JSON.
"""

from __future__ import annotations

from typing import Any

import orjson
from protobuf import Message

from ubmc.kit.errors import FACES, UbmcError

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream"
HEARTBEAT = b":\n\n"
"""A comment, which clients ignore; keeps a silent stream from being taken for dead."""

_NOT_IN_ID = frozenset("\r\n\0")


def encode(message: Message[Any]) -> bytes:
    """The JSON form of a message."""
    return message.to_json(always_emit_implicit=True).encode()


def problem(error: UbmcError, trace_id: str) -> tuple[int, bytes]:
    """The HTTP status and the body that answer an error.

    The body is `{"code", "message", "details": [{"field", "rule", "message"}], "traceId"}`; the code is that of the
    Connect protocol.
    """
    face = FACES[error.name]
    details = [{"field": v.field, "rule": v.rule, "message": v.message} for v in error.violations]
    body = {"code": face.connect, "message": error.message, "details": details, "traceId": trace_id}
    return face.http, orjson.dumps(body)


def cursor_of(message: Message[Any]) -> str:
    """The `cursor` of a response of a watch; empty if it has none."""
    return str(getattr(message, "cursor", ""))


def event(message: Message[Any], event_id: str = "") -> bytes:
    """One message of a stream as a server-sent event (HTML Living Standard, section 9.2).

    Args:
        message: JSON has no line breaks, so it is one `data` line.
        event_id: what the client sends as Last-Event-ID when it comes back; empty leaves its last one.

    Raises:
        ValueError: the id has a line break or a NUL.
    """
    data = b"data: " + encode(message) + b"\n\n"
    if not event_id:
        return data
    if not _NOT_IN_ID.isdisjoint(event_id):
        raise ValueError("the id of a server-sent event cannot have line breaks or NUL")
    return b"id: " + event_id.encode() + b"\n" + data


def error_event(error: UbmcError, trace_id: str) -> bytes:
    """The last event of a stream that failed; its name is `error`, its data that of `problem`."""
    return b"event: error\ndata: " + problem(error, trace_id)[1] + b"\n\n"


def comment(text: str) -> bytes:
    """A comment in a stream, one line for each line of the text; clients ignore it."""
    return "".join(f": {line}\n" for line in text.splitlines() or [""]).encode() + b"\n"
