"""When to start again what failed. Pure: the clock is an argument.

0.5 s after the first failure, twice as long after each further one up to 30 s, with jitter so that not all come at
once; forgotten after 60 s of calm. It never gives up: after five failures in a row the thing is *degraded*, and is
started again all the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30.0
CALM_SECONDS = 60.0
DEGRADED_AFTER = 5
_JITTER = 0.2
_MOST_DOUBLINGS = 10


@dataclass(slots=True)
class Backoff:
    """The history of failures of one thing."""

    failures: int = 0
    restarts: int = 0
    _started: float = 0.0
    _random: random.Random = field(default_factory=random.Random, repr=False)

    def started(self, now: float) -> None:
        """It was started."""
        self._started = now

    def failed(self, now: float) -> float:
        """It failed; how many seconds to wait before it is started again."""
        if now - self._started >= CALM_SECONDS:
            self.failures = 0
        self.failures += 1
        self.restarts += 1
        delay = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(self.failures - 1, _MOST_DOUBLINGS))
        return delay * (1.0 + _JITTER * (2.0 * self._random.random() - 1.0))

    @property
    def degraded(self) -> bool:
        """It failed five times in a row."""
        return self.failures >= DEGRADED_AFTER
