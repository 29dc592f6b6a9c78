"""One component's wires: opened, watched, driven, and opened again when the hardware was away.

Whatever can hold the BMC up (a virtual machine that does not answer, a line that is gone) holds up this component only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from ubmc.hw.gpio.port import Release
from ubmc.hw.power.port import Action, BootTarget, Level, Power, Sight
from ubmc.kit.errors import UbmcError, Unavailable

log = logging.getLogger("ubmc.powermgr")

RETRY_SECONDS = 1.0
MAINS_SECONDS = 1.0

Keep = Callable[[Release], None]
Told = Callable[[str, Sight, str], None]  # component, what is seen, mains epoch


class Wire:
    """The power of one component."""

    def __init__(self, name: str, power: Power, keep: Keep, told: Told) -> None:
        self.name = name
        self._power = power
        self._keep = keep
        self._told = told
        self._open = asyncio.Event()
        self._last = Sight(Level.UNKNOWN)
        self._mains = ""
        self._failing = False

    @property
    def actions(self) -> frozenset[Action]:
        """What these wires can do."""
        return self._power.actions

    @property
    def boot_targets(self) -> frozenset[BootTarget]:
        """Where these wires can make the next boot come from."""
        return self._power.boot_targets

    async def run(self) -> None:
        """Watch until cancelled; then give the wires back."""
        self._told(self.name, self._last, "")
        try:
            while True:
                try:
                    await self._watch()
                    reason = "its watch ended"
                except UbmcError as error:
                    reason = error.message
                if not self._failing:
                    log.warning("the wires of %s cannot be used: %s", self.name, reason)
                    self._failing = True
                if self._open.is_set():
                    self._open.clear()
                    await self._power.close()
                self._tell(Sight(Level.UNKNOWN))
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._open.clear()
            await self._power.close()

    async def _watch(self) -> None:
        for release in await self._power.open():
            self._keep(release)
        self._open.set()
        if self._failing:
            log.info("the wires of %s can be used again", self.name)
            self._failing = False
        mains = asyncio.create_task(self._follow_mains())
        try:
            async for sight in self._power.watch():
                with contextlib.suppress(UbmcError):
                    self._mains = await self._power.mains_epoch() or ""
                self._tell(sight)
        finally:
            mains.cancel()
            await asyncio.gather(mains, return_exceptions=True)

    async def _follow_mains(self) -> None:
        while True:
            await asyncio.sleep(MAINS_SECONDS)
            with contextlib.suppress(UbmcError):
                epoch = await self._power.mains_epoch() or ""
                if epoch and epoch != self._mains:
                    self._mains = epoch
                    self._tell(Sight(self._last.level))

    def _tell(self, sight: Sight) -> None:
        self._last = sight
        self._told(self.name, sight, self._mains)

    async def do(self, action: Action, *, boot: BootTarget | None = None) -> None:
        """Drive the wires; see `ubmc.hw.power.port.Power.do`.

        Raises:
            Unavailable: they cannot be reached now.
            Refused: they cannot do this.
        """
        if not self._open.is_set():
            raise Unavailable(f"the wires of {self.name} cannot be reached now")
        await self._power.do(action, boot=boot)
