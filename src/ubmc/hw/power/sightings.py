"""What power drivers see, told to any number of watchers."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator

from ubmc.hw.power.port import BootStage, Level, News, Sight

_MOST_UNSEEN = 64


class Watcher(AsyncIterator[Sight]):
    """The sights of one watcher; of more than 64 not yet seen, the oldest are forgotten, the latest level never."""

    def __init__(self, first: Sight) -> None:
        self._unseen = deque([first], _MOST_UNSEEN)
        self._news = asyncio.Event()
        self._ended = False

    async def __anext__(self) -> Sight:
        """The next sight; waits for it, and ends when the driver is closed."""
        while not self._unseen:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._unseen.popleft()

    def tell(self, sight: Sight) -> None:
        """Something was seen."""
        self._unseen.append(sight)
        self._news.set()

    def end(self) -> None:
        """Nothing more will be seen."""
        self._ended = True
        self._news.set()


class Sightings:
    """The level as last seen, and who wants to know."""

    def __init__(self) -> None:
        self._level = Level.UNKNOWN
        self._stage: BootStage | None = None
        self._changed = asyncio.Event()
        self._watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()
        self._ended = False

    @property
    def level(self) -> Level:
        """The level as last seen."""
        return self._level

    def see(self, level: Level) -> None:
        """The level is this now; told only if it is new."""
        if level is not self._level:
            self._level = level
            if level is not Level.ON:
                self._stage = None
            self._tell(Sight(level, stage=self._stage))
            self._changed.set()

    def boots(self, stage: BootStage | None) -> None:
        """A boot has come so far; told only if it is new, and not of a host that is off."""
        if stage is not self._stage and self._level is Level.ON:
            self._stage = stage
            self._tell(Sight(self._level, stage=stage))

    def news(self, news: News) -> None:
        """Something happened."""
        self._tell(Sight(self._level, news, self._stage))

    def watch(self) -> Watcher:
        """The level now, then all that is seen. Whoever forgets the watcher has unsubscribed."""
        watcher = Watcher(Sight(self._level, stage=self._stage))
        if self._ended:
            watcher.end()
        self._watchers.add(watcher)
        return watcher

    async def until_not(self, level: Level) -> None:
        """Wait until the level is another one."""
        while self._level is level:
            self._changed.clear()
            await self._changed.wait()

    def end(self) -> None:
        """The driver is closed."""
        self._ended = True
        for watcher in tuple(self._watchers):
            watcher.end()

    def _tell(self, sight: Sight) -> None:
        for watcher in tuple(self._watchers):
            watcher.tell(sight)
