"""One component's wires: opened, watched, driven, and opened again when the hardware was away.

Whatever can hold the BMC up (a virtual machine that does not answer, a line that is gone) holds up this component only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from ubmc.hw.gpio.port import Release
from ubmc.hw.power.port import Action, Boot, BootFirmware, BootTarget, Level, Power, Sight
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
    def level(self) -> Level:
        """What power-good said last."""
        return self._last.level

    @property
    def actions(self) -> frozenset[Action]:
        """What these wires can do."""
        return self._power.actions

    @property
    def boot_targets(self) -> frozenset[BootTarget]:
        """Where these wires can make the next boot come from."""
        return self._power.boot_targets

    @property
    def boot_firmwares(self) -> frozenset[BootFirmware]:
        """The firmware interfaces that these wires can ask for."""
        return self._power.boot_firmwares

    @property
    def boot_order(self) -> tuple[BootTarget, ...]:
        """From where the host boots by itself, if that is known."""
        return self._power.boot_order

    async def run(self) -> None:
        """Watch until cancelled; then give the wires back.

        An error that is none of ours is logged and raised: without an end the level would stay as it was last seen.
        """
        self._told(self.name, self._last, "")
        try:
            while True:
                try:
                    await self._watch()
                    reason = "its watch ended"
                except UbmcError as error:
                    reason = error.message
                except Exception:
                    # The lines cannot be opened again while the guardian holds them: the process has to end for that.
                    log.exception("the wires of %s have failed", self.name)
                    raise
                if not self._failing:
                    log.warning("the wires of %s cannot be used: %s", self.name, reason)
                    self._failing = True
                self._tell(Sight(Level.UNKNOWN))
                if self._open.is_set():  # a driver that was opened comes back by itself; one that gave up cannot
                    raise Unavailable(f"the wires of {self.name} have failed: {reason}")
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
        tasks = [asyncio.create_task(self._follow_sights()), asyncio.create_task(self._follow_mains())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _follow_sights(self) -> None:
        async for sight in self._power.watch():
            with contextlib.suppress(UbmcError):
                self._mains = await self._power.mains_epoch() or ""
            self._tell(sight)

    async def _follow_mains(self) -> None:
        while True:
            await asyncio.sleep(MAINS_SECONDS)
            with contextlib.suppress(UbmcError):
                epoch = await self._power.mains_epoch() or ""
                if epoch and epoch != self._mains:
                    self._mains = epoch
                    self._tell(Sight(self._last.level, stage=self._last.stage))

    def _tell(self, sight: Sight) -> None:
        self._last = sight
        self._told(self.name, sight, self._mains)

    async def do(self, action: Action, *, boot: Boot | None = None) -> None:
        """Drive the wires; see `ubmc.hw.power.port.Power.do`.

        Raises:
            Unavailable: they cannot be reached now.
            Refused: they cannot do this.
        """
        if not self._open.is_set():
            raise Unavailable(f"the wires of {self.name} cannot be reached now")
        await self._power.do(action, boot=boot)
