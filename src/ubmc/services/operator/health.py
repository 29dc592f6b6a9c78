"""What is known of every service of every process. Pure.

Changes that somebody should hear of are numbered and kept until the managers have told them, because the process that
tells may itself be the one that fell.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

MAX_NEWS = 64
READY, STARTING, FAILED, DEGRADED, STOPPED = "READY", "STARTING", "FAILED", "DEGRADED", "STOPPED"
_WEIGHT = MappingProxyType({READY: 0, FAILED: 1, DEGRADED: 2})


@dataclass(slots=True)
class Entry:
    """One service."""

    name: str
    process: str
    state: str = STARTING
    since: float = 0.0  # Unix seconds
    restarts: int = 0
    reason: str = ""
    told: str = READY  # what people were told last


@dataclass(slots=True)
class HealthBook:
    """All services."""

    entries: dict[str, Entry] = field(default_factory=dict)
    news: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_NEWS))
    _seq: int = 0
    _process_restarts: dict[str, int] = field(default_factory=dict)

    def expect(self, process: str, services: Iterable[str], now: float) -> None:
        """These services belong to the process."""
        for name in services:
            self.entries[name] = Entry(name, process, since=now)

    def report(self, name: str, state: str, now: float, *, restarts: int = 0, reason: str = "") -> bool:
        """Take what a process says of a service; whether anything changed."""
        entry = self.entries.get(name)
        if entry is None:
            return False
        restarts += self._process_restarts.get(entry.process, 0)
        if (entry.state, entry.restarts, entry.reason) == (state, restarts, reason):
            return False
        changed = entry.state != state
        entry.restarts, entry.reason = restarts, reason
        if changed:
            entry.state, entry.since = state, now
            self._tell(entry)
        return True

    def process_ended(self, process: str, reason: str, now: float, *, degraded: bool) -> None:
        """A process ended that should not have."""
        self._process_restarts[process] = self._process_restarts.get(process, 0) + 1
        for entry in self.entries.values():
            if entry.process == process:
                entry.restarts += 1
                entry.state, entry.reason, entry.since = (DEGRADED if degraded else FAILED), reason, now
                self._tell(entry)

    def _tell(self, entry: Entry) -> None:
        """Number the change, unless nobody need hear of it: a service that fails again and again fails once."""
        if entry.state not in _WEIGHT or entry.state == entry.told:
            return
        if entry.state != READY and _WEIGHT[entry.state] < _WEIGHT[entry.told]:
            return
        entry.told = entry.state
        self._seq += 1
        self.news.append({"seq": self._seq, "name": entry.name, "state": entry.state, "reason": entry.reason})

    def told(self, seq: int) -> None:
        """The news up to this number have been told."""
        while self.news and self.news[0]["seq"] <= seq:
            self.news.popleft()

    def all_ready(self) -> bool:
        """Every service does its work."""
        return all(entry.state == READY for entry in self.entries.values())

    def snapshot(self) -> list[dict[str, Any]]:
        """All services, as sent to the children."""
        return [
            {
                "name": entry.name,
                "process": entry.process,
                "state": entry.state,
                "since": entry.since,
                "restarts": entry.restarts,
                "reason": entry.reason,
            }
            for entry in sorted(self.entries.values(), key=lambda each: each.name)
        ]
