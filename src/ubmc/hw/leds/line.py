"""A light on a GPIO line, of whatever world the line is. Blinking is a task of ours, since a line knows no timer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from ubmc.hw.gpio.port import OutputLine
from ubmc.hw.leds.blinker import Blinker, Sleep
from ubmc.hw.leds.port import Blink, Led, LedState, Steady
from ubmc.kit.errors import Unavailable

OpenLine = Callable[[], Awaitable[OutputLine]]


class LineLed(Led):
    """A light on a level-held output line, which stays as it is when this process ends."""

    def __init__(self, name: str, open_line: OpenLine, *, sleep: Sleep = asyncio.sleep) -> None:
        """Nothing is opened yet.

        Args:
            name: as in the board file.
            open_line: requests the line, with `momentary=False`; again after it was lost. It is closed with the light.
            sleep: waits this many seconds.
        """
        self._name = name
        self._open_line = open_line
        self._line: OutputLine | None = None
        self._blinker = Blinker(name, self._drive, sleep=sleep)
        self._turn = asyncio.Lock()

    @property
    def name(self) -> str:
        """The name of the light, as in the board file."""
        return self._name

    async def set(self, state: LedState) -> None:
        """Show this from now on; what blinks so already blinks on.

        Raises:
            Unavailable: the line does not obey.
            NotFound: there is no such line.
            Busy: somebody else holds it.
        """
        async with self._turn:
            if state == self._blinker.state:
                return
            await self._blinker.end()
            await self._drive(active=state is not Steady.OFF)
            if isinstance(state, Blink):
                self._blinker.begin(state)

    async def _drive(self, *, active: bool) -> None:
        if self._line is None:
            self._line = await self._open_line()
        try:
            await self._line.set(active=active)
        except Unavailable:
            await self._let_go()
            raise

    async def _let_go(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            with contextlib.suppress(Unavailable):  # a line that is lost cannot be given back in order
                await line.close()

    async def close(self) -> None:
        """Give the line back. A steady light stays as it is; a blinking one goes dark, since nobody blinks it now."""
        async with self._turn:
            try:
                if await self._blinker.end() and self._line is not None:
                    with contextlib.suppress(Unavailable):
                        await self._drive(active=False)
            finally:
                await self._let_go()
