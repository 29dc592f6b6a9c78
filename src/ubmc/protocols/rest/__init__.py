"""The REST form of the schema (google.api.http), server side: pure functions from bytes to messages and back.

`Router(schema).find(verb, path)` says which call a request means, `decode` makes the request message of path, query
and body, `encode`, `problem` and `event` make what is answered. Nothing here does I/O or knows who is asking.
"""

from ubmc.protocols.rest.decode import decode, resume
from ubmc.protocols.rest.encode import (
    EVENT_STREAM,
    HEARTBEAT,
    JSON,
    comment,
    cursor_of,
    encode,
    error_event,
    event,
    problem,
)
from ubmc.protocols.rest.router import Match, Miss, Route, Router

__all__ = [
    "EVENT_STREAM",
    "HEARTBEAT",
    "JSON",
    "Match",
    "Miss",
    "Route",
    "Router",
    "comment",
    "cursor_of",
    "decode",
    "encode",
    "error_event",
    "event",
    "problem",
    "resume",
]
