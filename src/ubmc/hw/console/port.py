"""The port for the serial line of a host.

A line numbers the bytes of its host from some moment on. One that keeps what it cannot deliver (a virtual machine does,
a wire does not) says so by an identity: as long as that is the same the numbers go on, also for another driver later,
and `open` can go on behind the last byte that was read. A hole in the numbers is what the line lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

BREAK_SECONDS = 0.25
"""The usual length of a BREAK (POSIX tcsendbreak: 0.25 to 0.5 s)."""


class FlowControl(Enum):
    """How both ends keep each other's pace."""

    NONE = "none"
    XON_XOFF = "xon-xoff"
    RTS_CTS = "rts-cts"


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How a line works. A virtual one has no baud rate and takes any."""

    baud_rate: int = 115200
    flow_control: FlowControl = FlowControl.NONE


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a line can do."""

    baud_rate: bool
    """Its baud rate means something, and can be changed."""
    flow_controls: tuple[FlowControl, ...]
    sends_break: bool


@dataclass(frozen=True, slots=True)
class Resume:
    """Where an earlier driver of the same line stopped."""

    identity: str
    place: int
    """The number of the first byte that it has not read."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A line that works."""

    identity: str
    """Empty: the line keeps nothing, and counts from 0 now."""
    place: int
    """The number of the first byte that will be read."""
    end: int
    """The number that the next byte of the host will have."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes that the host wrote."""

    place: int
    """The number of the first of them."""
    data: bytes


class Line(Protocol):
    """One serial line, for one user at a time. `open` may follow `close`."""

    @property
    def kind(self) -> str:
        """What drives it: `tty`, `qemu`, `sim`."""

    @property
    def abilities(self) -> Abilities:
        """What it can do."""

    @property
    def retry_seconds(self) -> float:
        """How long to wait before a line that could not be opened is tried again."""

    async def open(self, settings: LineSettings, resume: Resume | None = None) -> Opened:
        """Begin to read and write.

        Args:
            settings: how it shall work.
            resume: go on there, if it is the same line; else, or None, with the oldest byte that is kept.

        Raises:
            Unavailable: there is no such line now; a person reads why.
            Busy: somebody else has it.
            Invalid: it cannot work so.
        """

    async def read(self) -> Chunk:
        """The next bytes; waits for some. At most 64 KiB.

        Raises:
            Unavailable: the line is lost; close it.
        """

    async def write(self, data: bytes) -> None:
        """Write all of it; waits while the line is full.

        Raises:
            Unavailable: the line is lost; how much was written is not known.
        """

    async def send_break(self, seconds: float = BREAK_SECONDS) -> None:
        """Send a BREAK; a virtual line knows no length.

        Raises:
            Unavailable: the line is lost.
            Refused: it cannot.
        """

    async def configure(self, settings: LineSettings) -> None:
        """Work in another way from now on.

        Raises:
            Invalid: it cannot work so.
            Unavailable: the line is lost.
        """

    async def close(self) -> None:
        """Give the line back. Never fails."""
