"""A light on a GPIO line, of whatever world the line is. Blinking is a task here, since a line knows no timer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from ubmc.hw.gpio.port import OutputLine
from ubmc.hw.leds.port import Blink, Led, LedState, Steady
from ubmc.kit.errors import UbmcError, Unavailable

_LOG = logging.getLogger("ubmc.leds")

OpenLine = Callable[[], Awaitable[OutputLine]]
Sleep = Callable[[float], Awaitable[None]]


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
        self._sleep = sleep
        self._blinking: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    @property
    def name(self) -> str:
        """The name of the light, as in the board file."""
        return self._name

    async def set(self, state: LedState) -> None:
        """Show this from now on.

        Raises:
            Unavailable: the line does not obey.
            NotFound: there is no such line.
            Busy: somebody else holds it.
        """
        async with self._turn:
            await self._stop_blinking()
            await self._drive(active=state is not Steady.OFF)
            if isinstance(state, Blink):
                self._blinking = asyncio.create_task(self._blink(state), name=f"blink-{self._name}")

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

    async def _blink(self, state: Blink) -> None:
        """Begins lit. A line that fails is tried again at the next turn, and told of once."""
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

    async def _stop_blinking(self) -> bool:
        task, self._blinking = self._blinking, None
        if task is None:
            return False
        task.cancel()
        await asyncio.wait([task])
        return True

    async def close(self) -> None:
        """Give the line back. A steady light stays as it is; a blinking one goes dark, since nobody blinks it now."""
        async with self._turn:
            try:
                if await self._stop_blinking() and self._line is not None:
                    with contextlib.suppress(Unavailable):
                        await self._drive(active=False)
            finally:
                await self._let_go()
