"""GPIO lines of the Linux kernel: the character device, through gpiod 2.

One line request for each line, so that a line's descriptor (and a duplicate of it in the guardian) speaks of that line
alone. The kernel keeps a line taken until *every* duplicate of its descriptor is closed: a guardian that keeps one
keeps the line `Busy` for the next process.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ubmc.hw.gpio.linux_line import Bus, Chip, ChipGone, LineRequest, LinuxInput, LinuxOutput, Place, translate
from ubmc.hw.gpio.port import InputLine, Lines, OutputLine
from ubmc.kit.errors import Busy, Invalid, NotFound, UbmcError, Unavailable

if TYPE_CHECKING:
    from gpiod import LineSettings

_LOG = logging.getLogger("ubmc.gpio")
_CONSUMER = "ubmc"

LineT = TypeVar("LineT", LinuxOutput, LinuxInput)


class LinuxLines(Lines):
    """Lines of all `/dev/gpiochip*`, by the kernel's name or as `chip:offset` (chip by name or label)."""

    def __init__(self, *, devices: Path = Path("/dev"), open_chip: Callable[[str], Chip] | None = None) -> None:
        """Nothing is opened yet.

        Args:
            devices: where the `gpiochip*` devices are.
            open_chip: opens a device; None for `gpiod.Chip`.
        """
        self._devices = devices
        self._open_chip = open_chip
        self._buses: dict[Path, Bus] = {}
        self._lines: dict[str, LinuxOutput | LinuxInput] = {}
        self._scan = asyncio.Lock()

    async def output(self, name: str, *, active_low: bool = False, momentary: bool = True) -> OutputLine:
        """Request an output line.

        A momentary line is made an output that is inactive, in one step and without a glitch. A level-held one is
        requested as it is (direction AS_IS), so that neither its direction nor its level changes; the first `set`
        makes it an output, again in one step. What a line does after its release is the chip driver's to
        decide; gpio-aspeed and most others leave the output as it is.

        Raises:
            NotFound: no line of that name; tells the nearest names.
            Invalid: several chips have a line of that name.
            Busy: somebody else holds the line.
            Unavailable: there is no chip, no permission, or no gpiod.
        """
        _need_gpiod()
        from gpiod import LineSettings
        from gpiod.line import Direction, Value

        if momentary:
            settings = LineSettings(Direction.OUTPUT, active_low=active_low, output_value=Value.INACTIVE)
        else:
            settings = LineSettings(Direction.AS_IS, active_low=active_low)
        place, request = await self._request(name, settings)
        return self._keep(LinuxOutput(place, request, active_low=active_low, momentary=momentary, forget=self._forget))

    async def input(self, name: str, *, active_low: bool = False, debounce_seconds: float = 0.0) -> InputLine:
        """Request an input line with both edges; the kernel debounces. Raises as `output` does."""
        _need_gpiod()
        from gpiod import LineSettings
        from gpiod.line import Direction, Edge

        settings = LineSettings(
            Direction.INPUT,
            edge_detection=Edge.BOTH,
            active_low=active_low,
            debounce_period=timedelta(seconds=debounce_seconds),
        )
        place, request = await self._request(name, settings)
        os.set_blocking(request.fd, False)  # an edge that is gone again must not stop the loop
        return self._keep(LinuxInput(place, request, forget=self._forget))

    async def close(self) -> None:
        """Close all lines that are still open, then the chips."""
        try:
            for line in list(self._lines.values()):
                try:
                    await line.close()
                except UbmcError as error:
                    _LOG.warning("a line could not be given back: %s", error, extra={"line": line.name})
        finally:
            for bus in self._buses.values():
                bus.close()
            self._buses.clear()

    def _keep(self, line: LineT) -> LineT:
        self._lines[line.name] = line
        return line

    def _forget(self, name: str) -> None:
        self._lines.pop(name, None)

    async def _request(self, name: str, settings: LineSettings) -> tuple[Place, LineRequest]:
        if name in self._lines:
            raise Busy(f'GPIO line "{name}" is open already')
        try:
            return await self._take(name, settings)
        except ChipGone:
            return await self._take(name, settings)  # the one that came in its place

    async def _take(self, name: str, settings: LineSettings) -> tuple[Place, LineRequest]:
        place = await self._find(name)
        bus, offset = place.bus, place.offset
        what = f'GPIO line "{name}" ({bus.name}:{offset})'
        try:
            request = await bus.call(what, lambda: bus.chip.request_lines({offset: settings}, consumer=_CONSUMER))
        except Busy:
            info = await bus.call(what, lambda: bus.chip.get_line_info(offset))
            raise Busy(f"{what} is held by {info.consumer or 'somebody else'}") from None
        except ChipGone:
            self._drop(bus.path)
            raise
        return place, request

    async def _find(self, name: str) -> Place:
        async with self._scan:
            place = self._known(name)
            if place is None:
                await self._open_new_chips()  # a chip may have come since, such as one on I2C
                place = self._known(name)
        if place is not None:
            return place
        if not self._buses:
            raise Unavailable(f"there is no GPIO chip in {self._devices}; is the kernel's driver loaded?")
        names = sorted({line for bus in self._buses.values() for line in bus.names if line})
        close = get_close_matches(name, names, n=3)
        chips = ", ".join(f"{bus.name} ({bus.label}, {len(bus.names)} lines)" for bus in self._buses.values())
        hint = (
            f"did you mean {' or '.join(close)}?" if close else f"write chip:offset for lines without a name: {chips}"
        )
        raise NotFound(f'there is no GPIO line "{name}"; {hint}')

    def _known(self, name: str) -> Place | None:
        places = [
            Place(name, bus, offset)
            for bus in self._buses.values()
            for offset, line in enumerate(bus.names)
            if line == name
        ]
        if len(places) > 1:
            where = " and ".join(f"{place.bus.label}:{place.offset}" for place in places)
            raise Invalid(f'several GPIO lines are called "{name}": write {where}')
        if places:
            return places[0]
        chip, _, offset_text = name.rpartition(":")
        if chip and offset_text.isascii() and offset_text.isdigit():
            for bus in self._buses.values():
                if chip in {bus.name, bus.label} and int(offset_text) < len(bus.names):
                    return Place(name, bus, int(offset_text))
        return None

    def _drop(self, path: Path) -> None:
        bus = self._buses.pop(path, None)
        if bus is not None:
            bus.retire()

    async def _open_new_chips(self) -> None:
        opener = self._open_chip
        if opener is None:
            from gpiod import Chip as GpiodChip

            opener = GpiodChip
        failure: UbmcError | None = None
        paths = sorted(self._devices.glob("gpiochip*"))
        for path in set(self._buses).difference(paths):
            self._drop(path)
        for path in paths:
            if path in self._buses:
                continue
            thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=path.name)
            try:
                loop = asyncio.get_running_loop()
                self._buses[path] = await loop.run_in_executor(thread, _open_bus, path, opener, thread)
            except OSError as error:
                failure = translate(f"GPIO chip {path.name}", path, error)
            finally:
                if path not in self._buses:
                    thread.shutdown(wait=False)
        if failure is not None and not self._buses:
            raise failure


def _need_gpiod() -> None:
    try:
        import gpiod  # noqa: F401 - only whether it can be
    except ImportError as error:
        raise Unavailable("GPIO needs the Python package gpiod 2.2 or newer, which is not installed") from error


def _open_bus(path: Path, opener: Callable[[str], Chip], thread: ThreadPoolExecutor) -> Bus:
    chip = opener(str(path))
    try:
        info = chip.get_info()
        names = tuple(chip.get_line_info(offset).name or "" for offset in range(info.num_lines))
    except BaseException:
        chip.close()
        raise
    return Bus(path, chip, thread, info.name, info.label, names)
