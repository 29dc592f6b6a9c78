"""What a sensor has measured: a bounded history and the statistics. Pure.

300 sensors with 3,600 points each take 8.3 MiB when all rings are full: 4 bytes for the time, 4 for the value (8 for
energy, which counts up beyond what 4 can tell).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator

SPACING_SECONDS = 0.95
"""Points come no closer, unless a reading is lost or comes back."""
_TICK_SECONDS = 0.1


class History:
    """The last points of one sensor, the oldest going first.

    While the value stays the same only the first and the last point of that time are kept, so a steady sensor
    remembers for longer.

    Args:
        capacity: how many points.
        start: monotonic seconds; nothing comes before.
        precise: keep values to 16 digits, not 7.
    """

    __slots__ = ("_before", "_capacity", "_head", "_last", "_last_time", "_precise", "_start", "_times", "_values")

    def __init__(self, capacity: int, start: float, *, precise: bool = False) -> None:
        self._capacity = capacity
        self._start = start
        self._precise = precise
        self._times = array("I")
        self._values = array("d" if precise else "f")
        self._head = 0  # where the oldest point is
        self._last_time = -math.inf
        self._last: float | None = None
        self._before: float | None = None

    def __len__(self) -> int:
        return len(self._times)

    def add(self, now: float, value: float) -> None:
        """Keep a point; NaN for a time without a good reading."""
        lost = value != value  # noqa: PLR0124  NaN, and cheaper than a call
        if now - self._last_time < SPACING_SECONDS and self._last is not None and lost == math.isnan(self._last):
            return
        self._last_time = now
        ticks = int((now - self._start) / _TICK_SECONDS)
        if _same(self._last, value) and _same(self._before, value):
            self._times[self._head - 1] = ticks
            return
        self._before, self._last = self._last, value
        if len(self._times) < self._capacity:
            self._times.append(ticks)
            self._values.append(value)
        else:
            self._times[self._head] = ticks
            self._values[self._head] = value
            self._head = (self._head + 1) % self._capacity

    def points(self, since: float = -math.inf) -> Iterator[tuple[float, float]]:
        """Times (monotonic seconds, to a tenth) and values not before `since`, the oldest first."""
        size = len(self._times)
        for index in range(size):
            at = (self._head + index) % size
            time = self._start + self._times[at] * _TICK_SECONDS
            if time >= since:
                value = self._values[at]
                yield time, value if self._precise or math.isnan(value) else float(f"{value:.7g}")


def _same(one: float | None, other: float) -> bool:
    return one == other or (one is not None and math.isnan(one) and math.isnan(other))


class Tally:
    """Least, most and average of all good readings.

    Args:
        since: monotonic seconds at which it begins.
    """

    __slots__ = ("average", "count", "maximum", "minimum", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.count = 0
        self.minimum = math.inf
        self.maximum = -math.inf
        self.average = 0.0

    def add(self, value: float) -> None:
        """Count a reading."""
        self.count += 1
        self.minimum = min(self.minimum, value)
        self.maximum = max(self.maximum, value)
        self.average += (value - self.average) / self.count
