"""Lights of the kernel's LED class, by sysfs (Documentation/leds/leds-class.rst); the kernel blinks them."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ubmc.hw.leds.port import Blink, Led, LedState, Steady
from ubmc.kit.errors import Unavailable

LEDS = Path("/sys/class/leds")


class SysfsLed(Led):
    """A light under `/sys/class/leds`, at full brightness when lit."""

    def __init__(self, name: str, device: str, *, root: Path = LEDS) -> None:
        """Nothing is opened yet.

        Args:
            name: as in the board file.
            device: the folder of the light, such as `green:power`.
            root: the folder of all lights.
        """
        self._name = name
        self._folder = root / device
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"led-{name}")

    @property
    def name(self) -> str:
        """The name of the light, as in the board file."""
        return self._name

    async def set(self, state: LedState) -> None:
        """Show this from now on. Raises `Unavailable` when there is no such light or the kernel does not obey."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._show, state)

    def _show(self, state: LedState) -> None:
        match state:
            case Blink():
                # The kernel makes delay_on and delay_off when the trigger is set (ledtrig-timer).
                if "timer" not in self._triggers():
                    raise Unavailable(f'light "{self._name}" cannot blink: the kernel lacks the "timer" LED trigger')
                self._write("trigger", "timer")
                self._write("delay_on", str(round(state.on_seconds * 1000)))
                self._write("delay_off", str(round(state.off_seconds * 1000)))
            case Steady.ON:
                self._take_trigger_away()
                self._write("brightness", self._read("max_brightness"))
            case Steady.OFF:
                self._take_trigger_away()
                self._write("brightness", "0")

    def _take_trigger_away(self) -> None:
        """Nothing else drives the light then. A kernel without CONFIG_LEDS_TRIGGERS has no such attribute."""
        if (self._folder / "trigger").exists():
            self._write("trigger", "none")

    def _triggers(self) -> list[str]:
        """The triggers that there are; the kernel puts the one in use in brackets."""
        return [name.strip("[]") for name in self._read("trigger").split()]

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
        """Give the light back as it is; the kernel blinks on."""
        self._thread.shutdown(wait=False)
