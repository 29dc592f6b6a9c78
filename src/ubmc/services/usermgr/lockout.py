"""Who may not log in for a while: after some failures, for a time that doubles. Pure; time is monotonic seconds.

A lock never ends a session, and nothing that is tried during a lock makes it longer: otherwise anybody could keep
somebody out for ever. Failures are counted in a bounded table, so that an attacker cannot fill memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

_MOST = 1024
_MOST_DOUBLINGS = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """When something is locked, and for how long."""

    failures: int
    """So many lock it; 0 means never."""
    window_seconds: float
    first_seconds: float
    most_seconds: float


@dataclass(slots=True)
class _Record:
    failures: list[float] = field(default_factory=list)
    until: float = 0.0
    level: int = 0  # how often it was locked in a row
    locked: bool = False  # and nobody has been told yet that it is over


class Lockouts:
    """The failures of accounts, or of addresses."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def left(self, key: str, now: float) -> float:
        """For how many more seconds it is locked; 0 if it is not."""
        record = self._records.get(key)
        return max(0.0, record.until - now) if record is not None else 0.0

    def level(self, key: str) -> int:
        """How often it was locked in a row."""
        record = self._records.get(key)
        return record.level if record is not None else 0

    def fail(self, key: str, now: float, limits: Limits) -> float:
        """Note a failure; if that locks it, for how many seconds, else 0. While it is locked nothing is noted."""
        if not limits.failures or self.left(key, now):
            return 0.0
        record = self._records.setdefault(key, _Record())
        self._records.move_to_end(key)
        self._bound(now)
        if record.level and now - record.until > limits.most_seconds:
            record.level = 0
        record.failures = [at for at in record.failures if at > now - limits.window_seconds] + [now]
        if len(record.failures) < limits.failures:
            return 0.0
        seconds: float = min(limits.most_seconds, limits.first_seconds * 2.0 ** min(record.level, _MOST_DOUBLINGS))
        record.failures.clear()
        record.level += 1
        record.until = now + seconds
        record.locked = True
        return seconds

    def restore(self, key: str, until: float, level: int) -> None:
        """Take a lock in that was stored."""
        self._records[key] = _Record(until=until, level=level, locked=True)

    def clear(self, key: str) -> bool:
        """Forget all about it; True if it was locked."""
        record = self._records.pop(key, None)
        return record is not None and record.locked

    def over(self, now: float) -> list[str]:
        """Those whose lock has ended since the last time this was asked."""
        ended = [key for key, record in self._records.items() if record.locked and record.until <= now]
        for key in ended:
            self._records[key].locked = False
        return ended

    def ends(self) -> Iterator[float]:
        """When the locks end."""
        return (record.until for record in self._records.values() if record.locked)

    def _bound(self, now: float) -> None:
        while len(self._records) > _MOST:
            free = (key for key, record in self._records.items() if record.until <= now)
            del self._records[next(free, next(iter(self._records)))]
