"""What a driver saw, given to any number of watchers without ever waiting for one of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from ubmc.hw.power.port import Sight


class _Queue:
    """What one watcher has not read yet."""

    def __init__(self, limit: int) -> None:
        # A full deque drops its oldest entry. Every entry holds the level, so the newest level is never lost.
        self.waiting: deque[Sight] = deque(maxlen=limit)
        self.filled = asyncio.Event()

    def put(self, sight: Sight) -> None:
        """Queue it; of levels in a row that nobody has read, only the last counts."""
        if self.waiting and sight.news is None and self.waiting[-1].news is None:
            self.waiting.pop()
        self.waiting.append(sight)
        self.filled.set()


class Feed:
    """Hands out sights. Each watcher has its own bounded queue."""

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._queues: set[_Queue] = set()
        self._closed = False

    def publish(self, sight: Sight) -> None:
        """Give it to everybody who watches now."""
        for queue in self._queues:
            queue.put(sight)

    def close(self) -> None:
        """End all iterators after what they still have to read."""
        self._closed = True
        for queue in self._queues:
            queue.filled.set()

    async def follow(self, now: Callable[[], Sight]) -> AsyncIterator[Sight]:
        """What `now` says when the first item is asked for, then all that is published, until the feed is closed."""
        queue = _Queue(self._limit)
        queue.put(now())
        self._queues.add(queue)
        try:
            while True:
                while queue.waiting:
                    yield queue.waiting.popleft()
                if self._closed:
                    return
                queue.filled.clear()
                await queue.filled.wait()
        finally:
            self._queues.discard(queue)
