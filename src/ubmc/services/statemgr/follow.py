"""Following the wires: the stream of powermgr, begun again whenever it ends.

Nothing that is shown changes for a short while after the stream was lost: powermgr may have been restarted, and the
hardware with its state is still there. Who has not been seen again after that grace is unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

from ubmc.kit.errors import UbmcError
from ubmc.v1alpha1.internal_pb import PowerLevel, WatchPowerResponse

log = logging.getLogger("ubmc.statemgr")

RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
_SURE = frozenset({PowerLevel.ON, PowerLevel.OFF})


class WireFollower:
    """Sees that every component is shown as the wires say."""

    def __init__(
        self,
        names: Iterable[str],
        watch: Callable[[], AsyncGenerator[WatchPowerResponse, None]],
        see: Callable[[WatchPowerResponse], Awaitable[None]],
        lose_sight: Callable[[str], None],
        *,
        grace_seconds: float,
    ) -> None:
        """Make it.

        Args:
            names: of the components that have wires.
            watch: begins the stream.
            see: takes what is seen.
            lose_sight: a component has not been seen for the grace.
            grace_seconds: after the stream was lost.
        """
        self._names = frozenset(names)
        self._watch = watch
        self._see = see
        self._lose_sight = lose_sight
        self._grace_seconds = grace_seconds
        self._missed: dict[str, asyncio.TimerHandle] = {}  # each with the end of its grace

    async def run(self) -> None:
        """Follow until cancelled."""
        failures = 0
        try:
            while True:
                try:
                    async with contextlib.aclosing(self._watch()) as stream:
                        async for seen in stream:
                            if failures:
                                log.info("the wires are seen again")
                                failures = 0
                            await self._take(seen)
                    reason = "the stream ended"
                except UbmcError as error:
                    reason = error.message
                if not failures:
                    log.info("the wires are not seen: %s", reason)  # a warning follows if it lasts
                    self._miss_all()
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
        finally:
            for grace in self._missed.values():
                grace.cancel()

    async def _take(self, seen: WatchPowerResponse) -> None:
        if seen.level in _SURE:
            if (grace := self._missed.pop(seen.name, None)) is not None:
                grace.cancel()
        elif seen.name in self._missed:
            return  # powermgr has just begun and does not see it yet
        await self._see(seen)

    def _miss_all(self) -> None:
        loop = asyncio.get_running_loop()
        for name in self._names - self._missed.keys():
            self._missed[name] = loop.call_later(self._grace_seconds, self._lose, name)

    def _lose(self, name: str) -> None:
        del self._missed[name]
        log.warning("%s has not been seen for %g s: its power is unknown", name, self._grace_seconds)
        self._lose_sight(name)
