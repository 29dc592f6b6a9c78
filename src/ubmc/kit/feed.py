"""What watchers of a resource are told: everything there is, then every change, resumable by cursor.

Nothing is queued for a watcher: it reads from one bounded ring by its own position, so a slow one holds up nobody. If
it falls out of the ring it gets a snapshot again. A cursor is `epoch:sequence`; the epoch is made anew with the feed,
so a cursor of an earlier life of the process gives a snapshot too.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

CAPACITY = 256
_EPOCH_BYTES = 6
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Update(Generic[T]):
    """One item as a watcher gets it."""

    item: T
    cursor: str
    """Where to resume after this update."""
    snapshot: bool
    """It says how things are; it may repeat what the watcher has seen before."""
    complete: bool
    """With it everything there is has been told: no more of a snapshot, or of what was missed, waits behind it."""


@dataclass(frozen=True, slots=True)
class _Change(Generic[T]):
    sequence: int
    key: str
    item: T


class Feed(Generic[T]):
    """The latest item of every key and the last changes, for any number of watchers in one event loop.

    Items are handed out as they are: whoever published one must not change it afterwards.

    Args:
        capacity: how many changes a watcher may lie behind before it gets a snapshot again.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._epoch = secrets.token_hex(_EPOCH_BYTES)
        self._sequence = 0
        self._latest: dict[str, _Change[T]] = {}  # in the order of their last change
        self._ring: deque[_Change[T]] = deque(maxlen=capacity)  # sequences without a gap, the newest last
        self._changed = asyncio.Event()

    def publish(self, key: str, item: T) -> None:
        """Tell all watchers; never waits for one."""
        self._sequence += 1
        change = _Change(self._sequence, key, item)
        self._latest.pop(key, None)
        self._latest[key] = change
        self._ring.append(change)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def forget(self, key: str) -> None:
        """Leave a key out of all later snapshots; does nothing if it is not there."""
        self._latest.pop(key, None)

    def latest(self, key: str) -> T | None:
        """The last item of a key; None if there is none."""
        change = self._latest.get(key)
        return None if change is None else change.item

    def items(self) -> dict[str, T]:
        """The last item of every key, in the order of the keys."""
        return {key: self._latest[key].item for key in sorted(self._latest)}

    async def watch(self, cursor: str = "", key: str = "") -> AsyncGenerator[Update[T], None]:
        """Everything there is (unless the cursor is known: then what was missed since), then every change, without end.

        Args:
            cursor: that of the last update received; empty, unknown or too old gives a snapshot.
            key: only this key; empty means all.
        """
        position = self._position(cursor)
        while True:
            if position is None or position < self._sequence - len(self._ring):
                position = self._sequence
                for update in self._snapshot(key):
                    yield update
            elif position < self._sequence:
                change = self._ring[position - self._sequence]  # counted from the end
                position = change.sequence
                if key in ("", change.key):
                    complete = not self._waits(position, key)
                    yield Update(change.item, self._cursor(position), snapshot=False, complete=complete)
            else:
                await self._changed.wait()

    def _snapshot(self, key: str) -> Iterator[Update[T]]:
        """The latest items in the order of their changes.

        So the cursor of each one says truly that everything up to it was received, and a watcher that leaves in the
        middle misses nothing. That of the last one covers all.
        """
        end = self._sequence
        wanted = [change for change in self._latest.values() if key in ("", change.key)]
        for index, change in enumerate(wanted, 1):
            last = index == len(wanted)
            cursor = self._cursor(end if last else change.sequence)
            yield Update(change.item, cursor, snapshot=True, complete=last)

    def _waits(self, position: int, key: str) -> bool:
        """Whether there is a change behind a position that is in the ring."""
        if not key:
            return position < self._sequence
        return any(change.key == key and change.sequence > position for change in self._ring)

    def _cursor(self, sequence: int) -> str:
        return f"{self._epoch}:{sequence}"

    def _position(self, cursor: str) -> int | None:
        """The sequence in a cursor of this feed; None for any other."""
        epoch, _, digits = cursor.partition(":")
        if epoch != self._epoch or not (digits.isascii() and digits.isdigit()) or len(digits) > _MAX_DIGITS:
            return None
        sequence = int(digits)
        return sequence if sequence <= self._sequence else None
