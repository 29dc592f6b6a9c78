"""How many requests somebody may make: a token bucket for each address and each user, as many as fit into a bound."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from ubmc.kit.errors import Exhausted

REMEMBERED = 1024
BURST_SECONDS = 2.0  # so many seconds' worth may come at once


class Rates:
    """The buckets of one door.

    Args:
        per_second: so many requests each may make in the long run.
        clock: monotonic seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_second = per_second
        self.refused = 0
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # when, and how many were left then

    def take(self, key: str) -> None:
        """Count one request of `key`.

        Raises:
            Exhausted: it has made too many; it says when to come again.
        """
        now = self._clock()
        full = self.per_second * BURST_SECONDS
        then, left = self._buckets.pop(key, (now, full))
        left = min(full, left + (now - then) * self.per_second)
        if left < 1.0:
            self._buckets[key] = (now, left)
            self.refused += 1
            raise Exhausted(f"too many requests; at most {self.per_second:.0f} a second, wait a moment")
        self._buckets[key] = (now, left - 1.0)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)  # the one that was quiet longest, whose bucket is the fullest
