"""FRU storage in use: one user of each at a time, each with a deadline, and a write is done whole or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from ubmc.hw.fru.port import FruStore
from ubmc.kit.errors import TimedOut, UbmcError

log = logging.getLogger("ubmc.inventorymgr")

T = TypeVar("T")

READ_SECONDS = 10.0
"""How long reading a storage may take: 64 KiB at 100 kHz need 7 seconds."""
WRITE_SECONDS = 60.0


class Storage:
    """The FRU storage of all assets.

    Args:
        stores: by the name of the asset.
    """

    def __init__(self, stores: Mapping[str, FruStore]) -> None:
        self._stores = stores
        self._turns = {name: asyncio.Lock() for name in stores}

    def turn(self, name: str) -> asyncio.Lock:
        """To be held by who uses it."""
        return self._turns[name]

    async def read(self, name: str) -> bytes:
        """All bytes. Raises as the port says, and `TimedOut`."""
        async with self._turns[name]:
            return await _within(READ_SECONDS, self._stores[name].read(), name)

    async def change(self, name: str, change: Callable[[bytes], bytes], then: Callable[[], Awaitable[None]]) -> None:
        """Read, write changed. What cannot be written is put back as it was.

        Args:
            name: of the asset.
            change: makes the new bytes of the old ones.
            then: what to do with what is written now, before anybody else has a turn.

        Raises:
            UbmcError: as the port says, `TimedOut`, and what `change` raises.
        """
        store = self._stores[name]
        async with self._turns[name]:
            old = await _within(READ_SECONDS, store.read(), name)
            new = change(old)
            try:
                await _within(WRITE_SECONDS, store.write(new), name)
            except UbmcError:
                await _put_back(store, old, name)
                raise
            await then()


async def _put_back(store: FruStore, old: bytes, name: str) -> None:
    """A write that failed may have been done in part, and half a FRU is worse than the old one."""
    try:
        if await _within(READ_SECONDS, store.read(), name) != old:
            await _within(WRITE_SECONDS, store.write(old), name)
    except UbmcError as error:
        log.warning("FRU storage may be half written", extra={"asset": name, "error": error.message})


async def _within(seconds: float, work: Awaitable[T], name: str) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise TimedOut(f"the FRU storage of {name} did not answer within {seconds:.0f} seconds") from error
