"""When a board was made: minutes since 1996-01-01 00:00 UTC in 24 bits (section 11); 0 is "unspecified"."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ubmc.kit.errors import Invalid

EPOCH = datetime(1996, 1, 1, tzinfo=UTC)
MAX_MINUTES = 0xFFFFFF


def from_minutes(minutes: int) -> datetime | None:
    """The time; None for 0."""
    return EPOCH + timedelta(minutes=minutes) if minutes else None


def to_minutes(time: datetime | None) -> int:
    """The minutes, rounded down; 0 for None.

    Raises:
        Invalid: the format cannot say this time.
    """
    if time is None:
        return 0
    minutes = (time - EPOCH) // timedelta(minutes=1)
    if not 1 <= minutes <= MAX_MINUTES:
        last = EPOCH + timedelta(minutes=MAX_MINUTES)
        raise Invalid(f"a FRU can say times from {EPOCH:%Y-%m-%d} to {last:%Y-%m-%d}; this is {time:%Y-%m-%d}")
    return minutes
