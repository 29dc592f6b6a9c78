"""Where a new reader begins. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ubmc.services.consolesrv.attachment import Who
from ubmc.services.consolesrv.ring import Ring
from ubmc.v1alpha1.console_pb import ConsoleWriting


@dataclass(frozen=True, slots=True)
class Opening:
    """What a ticket stands for."""

    console: str
    who: Who
    writing: ConsoleWriting
    offset: int | None = None
    epoch: str = ""
    """Of the offset."""
    replay_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """Where it begins."""

    position: int
    """From where on it reads; what is gone of that it is told."""
    shown: int
    """The offset of the first byte that it gets."""
    resumed: str
    """See `ubmc.protocols.console.Hello`."""


def begin(ring: Ring, epoch: str, opening: Opening) -> Start:
    """Where a reader begins."""
    if opening.offset is None:
        if not opening.replay_bytes:
            return Start(ring.end, ring.end, "live")
        place = ring.before(opening.replay_bytes)
        return Start(place, place, "replay")
    if opening.epoch != epoch or opening.offset > ring.end:
        return Start(ring.start, ring.start, "unknown")
    first = ring.read(opening.offset, 1).offset
    return Start(opening.offset, first, "exact" if first == opening.offset else "gap")
