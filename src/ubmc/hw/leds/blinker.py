"""Blinking by a task of ours, for a light that cannot blink by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from ubmc.hw.leds.port import Blink
from ubmc.kit.errors import UbmcError

_LOG = logging.getLogger("ubmc.leds")

Sleep = Callable[[float], Awaitable[None]]


class Drive(Protocol):
    """Lights a light, or makes it dark; raises a `UbmcError` when it does not obey."""

    async def __call__(self, *, active: bool) -> None:
        """Do it."""


class Blinker:
    """Drives one light in turn; whoever holds it begins with a lit light."""

    def __init__(self, name: str, drive: Drive, *, sleep: Sleep = asyncio.sleep) -> None:
        """Nothing blinks yet.

        Args:
            name: of the light.
            drive: lights it or makes it dark.
            sleep: waits this many seconds.
        """
        self._name = name
        self._drive = drive
        self._sleep = sleep
        self._state: Blink | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> Blink | None:
        """What is blinked; None when nothing is."""
        return self._state if self._task is not None else None

    def begin(self, state: Blink) -> None:
        """Blink from now on; the light is lit already."""
        self._state = state
        self._task = asyncio.create_task(self._blink(state), name=f"blink-{self._name}")

    async def end(self) -> bool:
        """Blink no more; whether it did. The light stays as it is at that moment."""
        task, self._task = self._task, None
        if task is None:
            return False
        task.cancel()
        await asyncio.wait([task])
        return True

    async def _blink(self, state: Blink) -> None:
        """A light that fails is tried again at the next turn, and told of once."""
        lit, failed = True, False
        while True:
            await self._sleep(state.on_seconds if lit else state.off_seconds)
            lit = not lit
            try:
                await self._drive(active=lit)
            except UbmcError as error:
                if not failed:
                    _LOG.warning("light does not blink: %s", error, extra={"led": self._name})
                failed = True
            else:
                if failed:
                    _LOG.info("light blinks again", extra={"led": self._name})
                failed = False
