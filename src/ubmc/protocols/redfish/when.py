"""Times and durations as Redfish writes them (DSP0266, "DateTime values", "Duration values")."""

from __future__ import annotations

import datetime as dt
import re

from protobuf.wkt import Duration, Timestamp

_DURATION = re.compile(
    r"P(?:(?P<days>\d{1,6})D)?(?:T(?:(?P<hours>\d{1,6})H)?(?:(?P<minutes>\d{1,8})M)?(?:(?P<seconds>\d{1,9}(?:\.\d{1,9})?)S)?)?"
)
_UNITS = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}


def stamp(time: Timestamp | None) -> str | None:
    """`2026-11-23T04:43:12Z`, to the second; None of none."""
    if time is None:
        return None
    return time.to_datetime().astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fine_stamp(time: Timestamp | None) -> str | None:
    """The same to the millisecond, where order matters."""
    if time is None:
        return None
    at = time.to_datetime().astimezone(dt.UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"


def duration(span: Duration | None) -> str | None:
    """`PT90S`; None of none."""
    return None if span is None else f"PT{span.to_seconds():.9g}S"


def seconds(text: str) -> float | None:
    """The seconds of a duration such as `P1DT2H3M4.5S`; None if it is none."""
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groupdict().values()):
        return None
    return sum(float(value) * _UNITS[unit] for unit, value in found.groupdict().items() if value)
