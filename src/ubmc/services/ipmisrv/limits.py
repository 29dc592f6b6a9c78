"""What one address, one user and all together may have of us, decided before anything is computed.

An attacker can put any address on a datagram, so a limit per address keeps honest hosts apart from each other and a
limit in all keeps us alive; neither holds memory that grows.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of the IPMI door."""

    sessions: int = 160
    """Open at once. A handle has 8 bits (Spec table 22-25), so 254 are the most that could be."""
    per_user: int = 120
    per_address: int = 120
    half_open: int = 256
    """Sessions that are being opened at once; the oldest makes way."""
    half_open_per_address: int = 128
    half_open_seconds: float = 10.0
    """A session must be open by then."""
    idle_seconds: float = 60.0
    """A session that says nothing for so long ends (Spec section 6.12.15)."""
    outside_per_second: float = 200.0
    """Messages outside of sessions that each address may send in the long run."""
    outside_burst: float = 800.0
    outside_in_all_per_second: float = 2000.0
    outside_in_all_burst: float = 4000.0
    forged_per_second: float = 500.0
    """Packets with the number of an open session and a wrong authentication code, for each address."""
    forged_burst: float = 1000.0
    waiting: int = 16
    """Requests of one session that wait for their turn; more are dropped, the client sends them again."""
    asking: int = 64
    """Messages outside of sessions that are being worked on at once."""
    guest_per_second: float = 200.0
    """Requests of one guest in the long run; it waits for the answer to each, so more just takes longer."""
    guest_burst: float = 1000.0
    guest_changes_per_second: float = 5.0
    """Of them: requests that change something, which may end on the flash."""
    guest_changes_burst: float = 200.0


class Buckets:
    """Token buckets by key, as many as fit into a bound.

    Args:
        per_second: so many each gets.
        burst: so many may come at once.
        clock: monotonic seconds.
    """

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # when, and how many were left then

    def take(self, key: str) -> bool:
        """Take one from the bucket of `key`, if there is one left."""
        left = self._left(key)
        enough = left >= 1.0
        self._put(key, left - 1.0 if enough else left)
        return enough

    def empty(self, key: str) -> bool:
        """Whether nothing is left for `key`."""
        return key in self._buckets and self._left(key) < 1.0

    def _left(self, key: str) -> float:
        now = self._clock()
        then, left = self._buckets.get(key, (now, self._burst))
        return min(self._burst, left + (now - then) * self._per_second)

    def _put(self, key: str, left: float) -> None:
        self._buckets[key] = (self._clock(), left)
        self._buckets.move_to_end(key)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)  # the one that was quiet longest


class Patience:
    """For somebody who waits for each answer: nothing is dropped, but what comes too fast is taken up later.

    Args:
        per_second: so many in the long run.
        burst: so many may come at once.
        clock: monotonic seconds.
    """

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._then, self._left = clock(), burst

    @property
    def rested(self) -> bool:
        """Whether half of the burst is there again."""
        return self._now() >= self._burst / 2

    def wait_seconds(self) -> float:
        """Count one; how long to wait before it is taken up."""
        self._left, self._then = self._now() - 1.0, self._clock()
        return max(0.0, -self._left / self._per_second)

    def _now(self) -> float:
        return min(self._burst, self._left + (self._clock() - self._then) * self._per_second)


class Gate:
    """Who may be answered at all."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._outside = Buckets(limits.outside_per_second, limits.outside_burst, clock)
        self._all = Buckets(limits.outside_in_all_per_second, limits.outside_in_all_burst, clock)
        self._forged = Buckets(limits.forged_per_second, limits.forged_burst, clock)

    def outside(self, address: str) -> bool:
        """Count a message outside of sessions; whether it may be looked at."""
        return self._outside.take(address) and self._all.take("")

    def may_be_checked(self, address: str) -> bool:
        """Whether authentication codes of this address are still computed."""
        return not self._forged.empty(address)

    def forged(self, address: str) -> None:
        """Count a packet whose authentication code was wrong."""
        self._forged.take(address)
