"""Which failed logins are told one by one: those of people, and of a flood only how many. Pure; monotonic seconds.

Each told one is a row of the event log, which is bounded: who could write as many as they like would push out all that
happened before. Those at accounts that exist are counted for themselves, so that nobody hides them in a flood.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass

BURST = 20
"""So many in a row are told, of one account or of one address."""
BURST_IN_ALL = 100
"""Of all addresses together."""
AGAIN_SECONDS = 300.0
"""After these one in so long, of each."""
FOLD_SECONDS = 60.0
"""So often the rest is told, as a number."""
_MOST = 256


@dataclass(frozen=True, slots=True)
class Flood:
    """Failed logins that were not told one by one."""

    attempts: int
    source: str
    """From where the most came; empty if that is not known."""
    seconds: float
    """Since the first of them."""


class _Allowance:
    """So many at once by key, and one more in a while; of the keys only the latest are remembered."""

    def __init__(self, burst: int) -> None:
        self._burst = burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # when, and how many were left then

    def take(self, key: str, now: float) -> bool:
        then, left = self._left.get(key, (now, float(self._burst)))
        left = min(float(self._burst), left + (now - then) / AGAIN_SECONDS)
        enough = left >= 1.0
        self._left[key] = (now, left - 1.0 if enough else left)
        self._left.move_to_end(key)
        if len(self._left) > _MOST:
            self._left.popitem(last=False)
        return enough


class Attempts:
    """The failed logins of late."""

    def __init__(self) -> None:
        self._accounts, self._sources, self._all = _Allowance(BURST), _Allowance(BURST), _Allowance(BURST_IN_ALL)
        self._folded: Counter[str] = Counter()
        self._since = 0.0

    def tell(self, account: str, source: str, now: float) -> bool:
        """Whether a failure is told for itself; if not it is counted.

        Args:
            account: empty if there is none of that name.
            source: the address, or the network that counts as one.
            now: monotonic seconds.
        """
        if account:
            told = self._accounts.take(account, now)
        else:
            told = self._sources.take(source, now) and self._all.take("", now)
        if not told:
            if not self._folded:
                self._since = now
            self._folded[source if source in self._folded or len(self._folded) < _MOST else ""] += 1
        return told

    def due(self) -> float | None:
        """When those that were counted are to be told; None if there are none."""
        return self._since + FOLD_SECONDS if self._folded else None

    def folded(self, now: float) -> Flood | None:
        """Those that were counted; they are told by that. None if there are none."""
        if not self._folded:
            return None
        ((source, _),) = self._folded.most_common(1)
        flood = Flood(self._folded.total(), source, now - self._since)
        self._folded.clear()
        return flood
