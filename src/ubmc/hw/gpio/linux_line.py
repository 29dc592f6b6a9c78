"""One GPIO line of the Linux kernel, as `linux.py` opens it, and the thread on which its chip is spoken to."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from ubmc.hw.gpio.port import How, InputLine, OutputLine, Release
from ubmc.kit.errors import Busy, Refused, UbmcError, Unavailable

if TYPE_CHECKING:
    from gpiod import ChipInfo, EdgeEvent, LineInfo, LineSettings
    from gpiod.line import Value

# Edges that wait for a slow watcher; the kernel's own buffer holds 16 for each line (linux/gpio.h, event_buffer_size).
_MOST_PENDING = 64
# How often a watched line is read without an edge. Kernels before 6.7 wake nobody when a chip goes away.
LOOK_SECONDS = 1.0

T = TypeVar("T")


class LineRequest(Protocol):
    """The part of `gpiod.LineRequest` that is used here."""

    @property
    def fd(self) -> int:
        """The descriptor of the line request (GPIO_V2_GET_LINE_IOCTL), not of the chip."""

    def get_value(self, line: int) -> Value:
        """The logical value."""

    def set_value(self, line: int, value: Value) -> None:
        """Drive the line."""

    def reconfigure_lines(self, config: dict[Iterable[int | str] | int | str, LineSettings | None]) -> None:
        """Change how the line is requested, without letting go of it."""

    def read_edge_events(self) -> list[EdgeEvent]:
        """Edges that wait."""

    def release(self) -> None:
        """Give the line back."""


class Chip(Protocol):
    """The part of `gpiod.Chip` that is used here; tests put a chip of their own in the kernel's place."""

    def get_info(self) -> ChipInfo:
        """Name, label and number of lines."""

    def get_line_info(self, line: int) -> LineInfo:
        """Name, use and consumer of a line."""

    def request_lines(
        self,
        config: dict[Iterable[int | str] | int | str, LineSettings | None],
        consumer: str | None = None,
    ) -> LineRequest:
        """Take lines."""

    def close(self) -> None:
        """Close the chip; its requests stay."""


@dataclass(frozen=True, slots=True)
class Bus:
    """One chip with the one thread on which all its calls run, in order."""

    path: Path
    chip: Chip
    thread: ThreadPoolExecutor
    name: str
    label: str
    names: tuple[str, ...]  # by offset; "" where the kernel knows none

    async def call(self, what: str, function: Callable[[], T]) -> T:
        """Run a blocking call; what the kernel says becomes an error of ours."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self.thread, function)
        except OSError as error:
            raise translate(what, self.path, error) from error

    def retire(self) -> None:
        """Close a chip that went away. The thread stays for the lines that are still open, and ends with the last."""
        self.thread.submit(self.chip.close)

    def close(self) -> None:
        """Close the chip once the calls that were begun are done; waits for nothing."""
        self.thread.submit(self.chip.close)
        self.thread.shutdown(wait=False)


class ChipGone(Unavailable):
    """The chip of a line went away; one that comes back is another chip for the kernel."""


def translate(what: str, path: Path, error: OSError) -> UbmcError:
    """What the kernel said, as an error of ours that says what a person can do."""
    match error.errno:
        case errno.EBUSY:
            return Busy(f"{what}: somebody else holds it")
        case errno.EPERM | errno.EACCES:
            return Unavailable(f"{what}: no permission for {path}; run as root or join the group that owns it")
        case errno.ENXIO:
            return Unavailable(f"{what}: the chip has no interrupt for this line, so its changes cannot be seen")
        case errno.ENODEV:
            return ChipGone(f"{what}: {error.strerror}")
    return Unavailable(f"{what}: {error.strerror or error}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line is, under the name that the board file gives it."""

    name: str
    bus: Bus
    offset: int


@dataclass(slots=True)
class _Line:
    """What both directions have in common: a request, and an end."""

    place: Place
    request: LineRequest
    forget: Callable[[str], None] = field(kw_only=True)
    closed: bool = field(default=False, kw_only=True)

    @property
    def name(self) -> str:
        """As in the board file."""
        return self.place.name

    async def _call(self, function: Callable[[], T]) -> T:
        if self.closed:
            raise Unavailable(f'GPIO line "{self.name}" is closed')
        return await self.place.bus.call(f'GPIO line "{self.name}"', function)

    async def _give_back(self, *before: Callable[[], None]) -> None:
        """Run `before`, then release whatever happened; no cancellation comes between."""
        if self.closed:
            return
        self.closed = True
        self.forget(self.name)
        request = self.request

        def finish() -> None:
            try:
                for step in before:
                    step()
            finally:
                request.release()

        await asyncio.shield(self.place.bus.call(f'GPIO line "{self.name}"', finish))


@dataclass(slots=True)
class LinuxOutput(_Line, OutputLine):
    """A line that we drive."""

    active_low: bool = field(kw_only=True)
    momentary: bool = field(kw_only=True)
    is_output: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_output = self.momentary

    async def set(self, *, active: bool) -> None:
        """Drive the line. Raises `Unavailable` when the hardware does not obey."""
        await self._call(lambda: self._drive(active=active))

    def _drive(self, *, active: bool) -> None:
        from gpiod import LineSettings
        from gpiod.line import Direction, Value

        value = Value.ACTIVE if active else Value.INACTIVE
        offset = self.place.offset
        if self.is_output:
            self.request.set_value(offset, value)
            return
        settings = LineSettings(Direction.OUTPUT, active_low=self.active_low, output_value=value)
        self.request.reconfigure_lines({offset: settings})
        self.is_output = True

    def release(self) -> Release:
        """A duplicate of the descriptor, for the guardian to keep. The caller owns (and closes) its `fd`.

        Raises:
            Refused: the line is level-held and follows nobody's death.
            Unavailable: the line is closed.
        """
        if not self.momentary:
            raise Refused(f'GPIO line "{self.name}" holds its level; nobody else may let go of it')
        if self.closed:
            raise Unavailable(f'GPIO line "{self.name}" is closed')
        return Release(self.name, How.GPIO_V2, os.dup(self.request.fd))

    async def close(self) -> None:
        """Give the line back; a momentary line is driven inactive first."""
        if self.momentary:
            await self._give_back(lambda: self._drive(active=False))
        else:
            await self._give_back()


@dataclass(slots=True)
class LinuxInput(_Line, InputLine):
    """A line that we read."""

    pending: deque[bool] = field(default_factory=lambda: deque(maxlen=_MOST_PENDING), init=False)
    failure: OSError | None = field(default=None, init=False)
    wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    watched: bool = field(default=False, init=False)

    async def get(self) -> bool:
        """Whether the line is active now. Raises `Unavailable` when it cannot be read."""
        return bool(await self._call(lambda: self.request.get_value(self.place.offset)))

    async def watch(self) -> AsyncIterator[bool]:
        """The level now, then every change after debounce; ends when the line is closed.

        After the edges, and once a second without any, the level is read again: a lost edge (a full buffer) never
        leaves a wrong level, and a chip that went away is noticed.

        Raises:
            Busy: somebody watches this line already.
            Unavailable: the hardware went away.
        """
        if self.watched:
            raise Busy(f'GPIO line "{self.name}" is watched already')
        loop, fd = asyncio.get_running_loop(), self.request.fd
        self.watched = True
        loop.add_reader(fd, self._on_readable)
        try:
            last: bool | None = None
            while not self.closed:
                self.wake.clear()
                for level in await self._levels():
                    if level is not last:
                        last = level
                        yield level
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self.wake.wait()
        finally:
            if not self.closed:  # closed: done there, and the number may be somebody else's by now
                loop.remove_reader(fd)
            self.watched = False

    async def _levels(self) -> list[bool]:
        """The edges that wait and the level after them; nothing when the line is closed meanwhile."""
        if self.failure is not None:
            raise Unavailable(f'GPIO line "{self.name}": {self.failure.strerror or self.failure}') from self.failure
        edges = list(self.pending)
        self.pending.clear()
        try:
            return [*edges, await self.get()]
        except Unavailable:
            if self.closed:
                return []
            raise

    def _on_readable(self) -> None:
        """Take the edges out of the kernel's buffer; it never blocks and touches no hardware."""
        from gpiod import EdgeEvent

        try:
            events = self.request.read_edge_events()
        except BlockingIOError:
            return
        except OSError as error:
            self.failure = error
            asyncio.get_running_loop().remove_reader(self.request.fd)
            events = []
        self.pending.extend(event.event_type is EdgeEvent.Type.RISING_EDGE for event in events)
        self.wake.set()

    async def close(self) -> None:
        """Give the line back; whoever watches it comes to the end."""
        if not self.closed and self.watched:
            asyncio.get_running_loop().remove_reader(self.request.fd)
        await self._give_back()
        self.wake.set()
