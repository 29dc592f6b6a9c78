"""Which events never came: the stream on the bus numbers them, so a number that is missing is a lost event. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """How far the event log has read."""

    stream: str
    """Which stream: a stream that was made anew numbers its events from 1 again."""
    sequence: int
    """Number of the last event that was read; 0 before the first."""

    def after(self, sequence: int) -> tuple[Position, int]:
        """The position behind this event, and how many were lost before it; one that comes again changes nothing."""
        if sequence <= self.sequence:
            return self, 0
        return Position(self.stream, sequence), sequence - self.sequence - 1


def begin(known: Position | None, stream: str, newest: int, acknowledged: int) -> Position:
    """Where to begin to count.

    Args:
        known: what was on disk about it, if anything.
        stream: which stream there is now.
        newest: number of the last event that came into it; after a crash it may be below what we have read.
        acknowledged: up to where the consumer has acknowledged; all we have when nothing is known of this stream.
    """
    sequence = known.sequence if known is not None and known.stream == stream else acknowledged
    return Position(stream, min(sequence, newest))
