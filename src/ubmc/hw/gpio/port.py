"""The port for GPIO lines. Values are logical: True is active, whatever the polarity of the wire.

A line that a button press drives must go inactive when the process that drives it dies. So every output line can give a
`Release`: a duplicate of its descriptor and what to do with it, which another process (the guardian) keeps and uses.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

# _IOWR(0xB4, 0x0F, struct gpio_v2_line_values) of linux/gpio.h: two u64, bits and mask.
_GPIO_V2_LINE_SET_VALUES = 0xC010B40F


class How(Enum):
    """The way in which a descriptor is told to make its line inactive."""

    GPIO_V2 = "gpio-v2"  # ioctl GPIO_V2_LINE_SET_VALUES on a line request; offset 0 of the request
    WRITE = "write"  # write the bytes b"0" to the descriptor


@dataclass(frozen=True, slots=True)
class Release:
    """How to make one output line inactive without the driver that owns it. The receiver of `fd` closes it."""

    name: str
    how: How
    fd: int

    def drive_inactive(self) -> None:
        """Make the line inactive.

        Raises:
            OSError: the kernel or the peer refused.
        """
        if self.how is How.GPIO_V2:
            fcntl.ioctl(self.fd, _GPIO_V2_LINE_SET_VALUES, struct.pack("=QQ", 0, 1))
        else:
            os.write(self.fd, b"0")


class OutputLine(Protocol):
    """A line that we drive."""

    @property
    def name(self) -> str:
        """The name of the line, as in the board file."""

    async def set(self, *, active: bool) -> None:
        """Drive the line. Raises `Unavailable` when the hardware does not obey."""

    def release(self) -> Release:
        """A duplicate of the descriptor, for the guardian to keep. The caller owns (and closes) its `fd`."""

    async def close(self) -> None:
        """Give the line back; a momentary line is driven inactive first."""


class InputLine(Protocol):
    """A line that we read."""

    @property
    def name(self) -> str:
        """The name of the line, as in the board file."""

    async def get(self) -> bool:
        """Whether the line is active now. Raises `Unavailable` when it cannot be read."""

    def watch(self) -> AsyncIterator[bool]:
        """The level now, then every change after debounce. Ends with `Unavailable` when the hardware goes away."""

    async def close(self) -> None:
        """Give the line back."""


class Lines(Protocol):
    """Opens lines by name."""

    async def output(self, name: str, *, active_low: bool = False, momentary: bool = True) -> OutputLine:
        """Request an output line.

        A momentary line starts inactive and is driven inactive on close; a level-held one keeps whatever level it has
        until it is set, and follows nobody's death.

        Raises:
            NotFound: no line of that name.
            Busy: somebody else holds the line.
            Unavailable: the hardware cannot be reached.
        """

    async def input(self, name: str, *, active_low: bool = False, debounce_seconds: float = 0.0) -> InputLine:
        """Request an input line. Raises as `output` does."""

    async def close(self) -> None:
        """Close all lines that are still open."""
