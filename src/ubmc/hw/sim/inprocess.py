"""The simulated machine within the running event loop, served by the same code as in its own process.

On a virtual loop (`ubmc.kit.testing`) its time jumps with the loop's. Drivers and controls connect by `dial`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from ubmc.hw.sim.plant import Plant
from ubmc.hw.sim.server import Server
from ubmc.kit.errors import Unavailable


class InProcessMachine:
    """A plant whose clock is the running loop's."""

    def __init__(self, plant: Plant | None = None, *, instance: str = "in-process") -> None:
        self.plant = plant or Plant()
        self._loop = asyncio.get_running_loop()
        self._behind_seconds = self._loop.time() - self.plant.now_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._server = Server(self, self._loop, instance=instance)
        self._reachable = True
        self.acted()

    async def dial(self) -> socket.socket:
        """A new connection to the machine. Raises `Unavailable` while it is unplugged or closed."""
        if not self._reachable:
            raise Unavailable("the simulated machine is unplugged")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._server.adopt(theirs, self._loop.time())
        return ours

    def unplug(self) -> None:
        """Drop all connections and take no new ones; the machine itself goes on."""
        self._reachable = False
        self._server.close()

    def plug(self) -> None:
        """Take connections again."""
        self._reachable = True

    def end(self) -> None:
        """Close as soon as who asked for it has been answered."""
        self._loop.call_soon(self.close)

    def close(self) -> None:
        """Nobody is served any more, time stands still."""
        self.unplug()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def catch_up(self) -> None:
        """Let the plant's time be the loop's."""
        self.plant.advance(self._loop.time() - self._behind_seconds)
        self.acted()

    def act(self, do: Callable[[Plant], None]) -> None:
        """Do something to the plant now; its own methods would do it at the time of its last event."""
        self.catch_up()
        do(self.plant)
        self.acted()

    def acted(self) -> None:
        """Wake up for the plant's next event."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.plant.next_event_seconds()
        if due is not None:
            self._timer = self._loop.call_at(due + self._behind_seconds, self.catch_up)
