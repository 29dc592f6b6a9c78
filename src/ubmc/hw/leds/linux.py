"""Lights of the kernel's LED class, by sysfs (Documentation/leds/leds-class.rst).

The kernel blinks them by its trigger `timer`, so that they go on when we do not; where it has none, we do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ubmc.hw.leds.blinker import Blinker, Sleep
from ubmc.hw.leds.port import Blink, Led, LedState, Steady
from ubmc.kit.errors import Unavailable

LEDS = Path("/sys/class/leds")
_TIMER = "timer"
_NONE = "none"


class SysfsLed(Led):
    """A light under `/sys/class/leds`, at full brightness when lit."""

    def __init__(self, name: str, device: str, *, root: Path = LEDS, sleep: Sleep = asyncio.sleep) -> None:
        """Nothing is opened yet.

        Args:
            name: as in the board file.
            device: the folder of the light, such as `green:power`.
            root: the folder of all lights.
            sleep: waits this many seconds, where the kernel cannot blink.
        """
        self._name = name
        self._folder = root / device
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"led-{name}")
        self._blinker = Blinker(name, self._drive, sleep=sleep)
        self._turn = asyncio.Lock()

    @property
    def name(self) -> str:
        """The name of the light, as in the board file."""
        return self._name

    async def set(self, state: LedState) -> None:
        """Show this from now on; what blinks so already blinks on.

        Raises:
            Unavailable: there is no such light, or the kernel does not obey.
        """
        async with self._turn:
            if state == self._blinker.state:
                return
            await self._blinker.end()
            loop = asyncio.get_running_loop()
            if not isinstance(state, Blink):
                await self._drive(active=state is Steady.ON)
            elif not await loop.run_in_executor(self._thread, self._kernel_blinks, state):
                await self._drive(active=True)
                self._blinker.begin(state)

    async def _drive(self, *, active: bool) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._steady, active)

    def _kernel_blinks(self, state: Blink) -> bool:
        """Have the kernel blink; whether it can."""
        triggers = self._triggers()
        if _TIMER not in [trigger.strip("[]") for trigger in triggers]:
            return False
        wanted = {"delay_on": round(state.on_seconds * 1000), "delay_off": round(state.off_seconds * 1000)}
        if f"[{_TIMER}]" not in triggers:
            self._write("trigger", _TIMER)  # the kernel makes delay_on and delay_off with it (ledtrig-timer)
        for attribute, milliseconds in wanted.items():
            if self._read(attribute) != str(milliseconds):  # writing would begin the blinking anew
                self._write(attribute, str(milliseconds))
        return True

    def _steady(self, active: bool) -> None:
        triggers = self._triggers()
        if triggers and f"[{_NONE}]" not in triggers:
            self._write("trigger", _NONE)  # nothing else drives the light then
        self._write("brightness", self._read("max_brightness") if active else "0")

    def _triggers(self) -> list[str]:
        """The triggers that there are, the one in use in brackets; none in a kernel without CONFIG_LEDS_TRIGGERS."""
        return self._read("trigger").split() if (self._folder / "trigger").exists() else []

    def _read(self, attribute: str) -> str:
        try:
            return (self._folder / attribute).read_text(encoding="ascii").strip()
        except OSError as error:
            raise self._failure(attribute, error) from error

    def _write(self, attribute: str, value: str) -> None:
        # One write, and no O_CREAT: an attribute that is not there is an error, in a fake tree too.
        try:
            fd = os.open(self._folder / attribute, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
            try:
                os.write(fd, value.encode("ascii"))
            finally:
                os.close(fd)
        except OSError as error:
            raise self._failure(attribute, error) from error

    def _failure(self, attribute: str, error: OSError) -> Unavailable:
        return Unavailable(f'light "{self._name}": {self._folder / attribute}: {error.strerror}')

    async def close(self) -> None:
        """Give the light back as it is; the kernel blinks on, and what we blink goes dark."""
        async with self._turn:
            if await self._blinker.end():
                with contextlib.suppress(Unavailable):
                    await self._drive(active=False)
            self._thread.shutdown(wait=False)
