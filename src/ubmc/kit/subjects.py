"""The subjects of the bus. They are derived from the schema here and written by hand nowhere.

`rpc.<Service>.<Method>`               a call on behalf of somebody at a door, with a signed principal unless public
`peer.<Service>.<Method>`              a call of one service of ours to another; who may is decided by bus permissions
`event.<domain>.<component>.<what>`    news that are kept in the event log
`signal.<domain>.<component>.<what>`   news that are only told
`stream.<process>.<id>`                the way back of a stream: credit and cancellation
`_INBOX_<process>.>`                   answers
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from protobuf import Message

from ubmc.rpc import ServerStream, Unary
from ubmc.v1alpha1.event_kind_pb import EventKind, ext_event

Token = Unary[Any, Any] | ServerStream[Any, Any]

EVENTS = "event.>"
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_COMPONENT = "-"
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_COMPONENT = 64


def rpc(token: Token) -> str:
    """Where calls from doors arrive."""
    return f"rpc.{token.short}.{token.method}"


def peer(token: Token) -> str:
    """Where calls from our own services arrive."""
    return f"peer.{token.short}.{token.method}"


def kind_of(event: type[Message[Any]]) -> EventKind:
    """The kind of news that a message carries; not to be changed, since all get the same.

    Raises:
        ValueError: the message has no `event` option, so it is no news.
    """
    hashable: Any = event  # a class, but the protocol of its metaclass hides that
    return _kind_of(hashable)


@cache
def _kind_of(event: Any) -> EventKind:
    """As above, remembered: to read an option is to decode it."""
    options = event.desc().proto.options
    if options is None or ext_event not in options:
        raise ValueError(f"{event.desc().type_name} has no event option")
    kind: EventKind = options[ext_event]
    return kind


def event(kind: type[Message[Any]], component: str = "*") -> str:
    """Where news of this kind about `component` are told; all components by default.

    A component may be whatever somebody asked about, so what cannot stand in a subject becomes a dash.
    """
    option = kind_of(kind)
    root = "signal" if option.unlogged else "event"
    what = _WORD.sub("_", kind.desc().name).lower()
    place = "*" if component == "*" else _UNFIT.sub("-", component[:_LONGEST_COMPONENT]) or _NO_COMPONENT
    return f"{root}.{option.domain}.{place}.{what}"


def stream(process: str, stream_id: str) -> str:
    """Where credit for a stream arrives that `process` writes."""
    return f"stream.{process}.{stream_id}"


def inbox(process: str) -> str:
    """The prefix of all inboxes of a process."""
    return f"_INBOX_{process}"
