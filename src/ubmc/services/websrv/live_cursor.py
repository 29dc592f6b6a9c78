"""One cursor for several streams: where each topic resumes, in one short text. Pure.

`3.a1b2c3d4e5f6:17~7.0f1e2d3c4b5a:99` says that topic 3 resumes at `a1b2c3d4e5f6:17`. Every topic has one place at most,
so it cannot grow; numbers of topics that a later version has are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from protobuf import enum_is_unknown

from ubmc.kit.errors import Invalid, Violation
from ubmc.v1alpha1.live_pb import LiveTopic

_BETWEEN = "~"
_PLACE = re.compile(r"([0-9]{1,3})\.([0-9A-Za-z:_-]{1,64})", re.ASCII)


def pack(places: Mapping[LiveTopic, str]) -> str:
    """The cursor that says all places."""
    return _BETWEEN.join(f"{topic.value}.{places[topic]}" for topic in sorted(places, key=lambda each: each.value))


def unpack(cursor: str) -> dict[LiveTopic, str]:
    """The places that a cursor says.

    Raises:
        Invalid: it is no cursor of WatchLive.
    """
    places: dict[LiveTopic, str] = {}
    for part in cursor.split(_BETWEEN) if cursor else ():
        found = _PLACE.fullmatch(part)
        if found is None:
            text = "cursor: give the cursor of the last message received, or none"
            raise Invalid(text, violations=[Violation("cursor", "cursor", text)])
        topic = LiveTopic(int(found[1]))
        if topic is not LiveTopic.UNSPECIFIED and not enum_is_unknown(topic):
            places[topic] = found[2]
    return places
