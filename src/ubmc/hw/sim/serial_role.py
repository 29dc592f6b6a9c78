"""The connection is the serial line of the simulated host.

What the client has not acknowledged stays in the host's ring, so a client that stops reading stops nobody, and one that
comes later reads on where it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from ubmc.hw.sim.plant import Plant
from ubmc.hw.sim.protocol import (
    SERIAL_CHUNK_BYTES,
    SERIAL_WINDOW_BYTES,
    SERIAL_WINDOW_FRAMES,
    serial_inputs,
    serial_output,
)


class Wire(Protocol):
    """The connection."""

    closed: bool

    def send(self, data: bytes) -> None:
        """Send all of it now, or drop the connection."""


class Powered(Protocol):
    """Who keeps the plant's time."""

    @property
    def plant(self) -> Plant:
        """The plant."""

    def acted(self) -> None:
        """Something was done to the plant."""


class SerialRole:
    """Reads and writes the serial line for one client."""

    def __init__(self, link: Wire, world: Powered, place: int | None, *, ended: Callable[[], None]) -> None:
        self._link = link
        self._world = world
        self._console = world.plant.host.console
        self._ended = ended
        self._rest = bytearray()
        self._under_way: deque[int] = deque()  # the ends of the frames that are not acknowledged
        oldest, end = self._console.oldest, self._console.total_bytes
        self.place = oldest if place is None else min(max(place, oldest), end)
        self.end_place = end
        self._acked = self.place
        self._stop = self._console.listen(self.push)

    def receive(self, data: bytes) -> None:
        """Input, BREAK and acknowledgements."""
        self._rest += data
        for frame in serial_inputs(self._rest):
            if frame is None:
                self._world.plant.shell.receive_break()
            elif isinstance(frame, bytes):
                self._world.plant.shell.receive(frame)
            else:
                self._acked = max(frame, self._acked)
                while self._under_way and self._under_way[0] <= frame:
                    self._under_way.popleft()
        self._world.acted()
        self.push()

    def push(self) -> None:
        """Send what the window has room for."""
        while not self._link.closed and self.place < self._console.total_bytes:
            room = self._acked + SERIAL_WINDOW_BYTES - self.place
            if room <= 0 or len(self._under_way) >= SERIAL_WINDOW_FRAMES:
                return
            place, data = self._console.since(self.place, min(room, SERIAL_CHUNK_BYTES))
            self._acked += place - self.place  # what the ring has lost need not be acknowledged
            self.place = place + len(data)
            self._under_way.append(self.place)
            self._link.send(serial_output(place, data))

    def end(self) -> None:
        """Somebody else may have it."""
        self._stop()
        self._ended()
