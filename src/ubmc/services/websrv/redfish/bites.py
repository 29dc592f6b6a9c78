"""How one answer works through many resources without keeping everybody else waiting.

The event loop gets its turn after every few resources, and of the answers that one user has expanded at the same time
only one goes on beyond that, so whoever asks for much waits for themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from ubmc.protocols.redfish.messages import Message, RedfishError

MOST_EXPANDED = 5000
BITE = 50
"""Resources, about 4 ms of work on a development machine."""
TURN_SECONDS = 10.0
_BUSY_SECONDS = 5


class Bites:
    """What one answer has expanded so far."""

    def __init__(self, turn: asyncio.Lock) -> None:
        self._turn = turn
        self._taken = 0
        self._held = False

    async def one_more(self) -> None:
        """Before each resource.

        Raises:
            RedfishError: 507 after too many resources, 503 if the same user keeps other large answers busy.
        """
        self._taken += 1
        if self._taken > MOST_EXPANDED:
            raise RedfishError(507, Message("InsufficientStorage"))
        if self._taken % BITE:
            return
        if not self._held:
            await self._begin()
        await asyncio.sleep(0)

    async def _begin(self) -> None:
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            message = Message("ServiceTemporarilyUnavailable", (str(_BUSY_SECONDS),))
            raise RedfishError(503, message, retry_seconds=_BUSY_SECONDS) from None
        self._held = True

    def end(self) -> None:
        """The answer is made, or will not be."""
        if self._held:
            self._held = False
            self._turn.release()


class Turns:
    """Whose turn it is, for each user."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def bites(self, user: str) -> AsyncIterator[Bites]:
        """For one answer to a user; everybody who is not logged in is one user."""
        turn = self._turns.setdefault(user, asyncio.Lock())
        bites = Bites(turn)
        try:
            yield bites
        finally:
            bites.end()
