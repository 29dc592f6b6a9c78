"""Which sensors changed since when, for any number of watchers.

Of each sensor only its latest change counts, so this is as large as the board has sensors, and a watcher that comes
back learns exactly which sensors changed while it was away. A cursor is `epoch:sequence`; the epoch is made anew with
the process, so a cursor of an earlier one gives a snapshot.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable

_EPOCH_BYTES = 6
_MAX_DIGITS = 18


class Changes:
    """The sequence of changes."""

    def __init__(self) -> None:
        self._epoch = secrets.token_hex(_EPOCH_BYTES)
        self._latest: dict[str, int] = {}  # in the order of the sequences
        self._changed = asyncio.Event()
        self.sequence = 0
        """That of the latest change."""

    def mark(self, names: Iterable[str]) -> None:
        """These changed now."""
        before = self.sequence
        for name in names:
            self.sequence += 1
            self._latest.pop(name, None)
            self._latest[name] = self.sequence
        if self.sequence != before:
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def since(self, sequence: int) -> list[tuple[str, int]]:
        """The sensors that changed after that, each with its latest change, the oldest first."""
        found = []
        for name in reversed(self._latest):
            latest = self._latest[name]
            if latest <= sequence:
                break
            found.append((name, latest))
        found.reverse()
        return found

    async def after(self, sequence: int) -> None:
        """Wait until something changed after that."""
        while self.sequence <= sequence:
            await self._changed.wait()

    def cursor(self, sequence: int) -> str:
        """Where to resume after that."""
        return f"{self._epoch}:{sequence}"

    def position(self, cursor: str) -> int | None:
        """The sequence in a cursor of this process; None for any other."""
        epoch, _, digits = cursor.partition(":")
        if epoch != self._epoch or not (digits.isascii() and digits.isdigit()) or len(digits) > _MAX_DIGITS:
            return None
        sequence = int(digits)
        return sequence if sequence <= self.sequence else None
