"""What of the audit trail is only counted: what one account can do as often as it likes, and is worth little. Pure.

The trail is bounded: who could write as many records as they like would push out all that happened before. So who
attaches to a console, and whose calls are refused, is told one by one only for a while; the rest is told together. What
was done by a call always has a record of its own. Nothing is lost by a crash: as long as something is only counted, the
trail remembers no later place of the event log, and reads on from there.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from ubmc.services.securitymgr.audit import OF_CONSOLES, Entry

BURST = 100
"""So many in a row of one account are told for themselves."""
AGAIN_SECONDS = 300.0
"""After these one in so long."""
FOLD_SECONDS = 300.0
"""So often the rest is told, as a number: with what is told one by one that is 576 records a day of one account."""
ACTION, OUTCOME = "Audit.Flood", "exhausted"
_MOST = 256
_NAMED = 3
_ALWAYS = frozenset({"Session.Login", "Session.Ended"})
"""usermgr counts failed logins itself."""


@dataclass(slots=True)
class _Flood:
    last: Entry
    first_us: int
    actions: Counter[str] = field(default_factory=Counter)


class Floods:
    """What was only counted of late; times are those of the events."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[int, float]] = OrderedDict()  # by account: when, and how many then
        self._floods: dict[str, _Flood] = {}

    @property
    def counting(self) -> bool:
        """Whether something was counted that is not told yet."""
        return bool(self._floods)

    def count(self, entry: Entry) -> bool:
        """Count an entry, if it is one too many; whether that was done, so that it needs no record."""
        repeatable = entry.action in OF_CONSOLES or (entry.outcome != "ok" and entry.action not in _ALWAYS)
        if not repeatable or self._take(entry):
            return False
        flood = self._floods.setdefault(entry.user, _Flood(entry, entry.time_us))
        flood.last = entry
        flood.actions[entry.action if entry.outcome == "ok" else f"{entry.action} {entry.outcome}"] += 1
        return True

    def _take(self, entry: Entry) -> bool:
        then, left = self._left.get(entry.user, (entry.time_us, float(BURST)))
        left = min(float(BURST), left + max(entry.time_us - then, 0) / 1e6 / AGAIN_SECONDS)
        enough = left >= 1.0
        self._left[entry.user] = (entry.time_us, left - 1.0 if enough else left)
        self._left.move_to_end(entry.user)
        if len(self._left) > _MOST:
            self._left.popitem(last=False)
        return enough

    def entries(self) -> list[Entry]:
        """One entry for each account of which something was counted."""
        return [_entry(flood) for flood in self._floods.values()]

    def forget(self) -> None:
        """What was counted is told, or will be counted again."""
        self._floods.clear()


def _entry(flood: _Flood) -> Entry:
    last, seconds = flood.last, round((flood.last.time_us - flood.first_us) / 1e6)
    return Entry(
        event=last.event,
        time_us=last.time_us,
        user=last.user,
        source=last.source,
        action=ACTION,
        target=f"{flood.actions.total()} more within {max(seconds, 0)} s: {_named(flood.actions.most_common())}",
        outcome=OUTCOME,
        trace_id=last.trace_id,
    )


def _named(counts: Iterable[tuple[str, int]]) -> str:
    each = [f"{name} {count}" for name, count in counts]
    return ", ".join(each[:_NAMED] if len(each) <= _NAMED else [*each[:_NAMED], "others"])
