"""What all power drivers on GPIO lines share: following inputs, and finding the hardware again when it went away."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable

from ubmc.hw.gpio.port import InputLine, Lines, Release
from ubmc.hw.power.port import BootFirmware, BootTarget, Level, Sight
from ubmc.hw.power.sightings import Sightings, Watcher
from ubmc.kit.errors import UbmcError

_LOG = logging.getLogger("ubmc.hw.power")
_RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

# Called with the new releases when lines had to be requested again; it owns the descriptors.
Reopened = Callable[[tuple[Release, ...]], None]
MainsEpoch = Callable[[], Awaitable[str | None]]


class _Watch(AsyncIterator[Sight]):
    """A watcher that ends with the error that ended the watch, if it was one."""

    def __init__(self, watcher: Watcher, failure: Callable[[], Exception | None]) -> None:
        self._watcher = watcher
        self._failure = failure

    async def __anext__(self) -> Sight:
        try:
            return await anext(self._watcher)
        except StopAsyncIteration:
            failure = self._failure()
            if failure is None:
                raise
        raise failure


class WiredPower(ABC):
    """Lines that are requested together, watched, and requested anew when one of them is lost."""

    def __init__(self, lines: Lines, reopened: Reopened | None, mains_epoch: MainsEpoch | None) -> None:
        self._lines = lines
        self._reopened = reopened
        self._mains_epoch = mains_epoch
        self._seen = Sightings()
        self._turn = asyncio.Lock()  # who holds it drives lines, or requests them anew
        self._lost = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._ready = False  # the lines are open
        self._failure: Exception | None = None  # why they are not followed any more

    @property
    def boot_targets(self) -> frozenset[BootTarget]:
        """None: lines alone have no say in where a host boots from."""
        return frozenset()

    @property
    def boot_firmwares(self) -> frozenset[BootFirmware]:
        """None, for the same reason."""
        return frozenset()

    @property
    def boot_order(self) -> tuple[BootTarget, ...]:
        """Not known, for the same reason."""
        return ()

    @abstractmethod
    async def _request(self) -> None:
        """Request all lines; momentary ones are inactive afterwards."""

    @abstractmethod
    def _releases(self) -> tuple[Release, ...]:
        """A release of every momentary output."""

    @abstractmethod
    def _followers(self) -> list[Awaitable[None]]:
        """What watches inputs; each ends with `Unavailable` when its line is lost."""

    async def open(self) -> tuple[Release, ...]:
        """Request the lines and begin to watch them; see `ubmc.hw.power.port.Power.open`.

        Raises:
            Unavailable: the hardware cannot be reached. It may be called again.
            NotFound: the board has no line of a name that was given.
            Busy: somebody else holds a line.
        """
        async with self._turn:
            try:
                await self._request()
                releases = self._releases()
            except BaseException:
                await self._lines.close()
                raise
            self._ready = True
        self._following = asyncio.create_task(self._follow(), name="power lines")
        return releases

    def watch(self) -> AsyncIterator[Sight]:
        """The level now, then every change and all news. Raises what made it impossible to follow the lines."""
        return _Watch(self._seen.watch(), lambda: self._failure)

    async def mains_epoch(self) -> str | None:
        """What the board says of its mains; None where it cannot. See the source given to the constructor."""
        return None if self._mains_epoch is None else await self._mains_epoch()

    async def close(self) -> None:
        """Give the lines back, once a press that has begun has ended. Never changes the power of the machine."""
        async with self._turn:
            self._ready = False
            if self._following is not None:
                self._following.cancel()
                await asyncio.wait([self._following])
                self._following = None
            await self._lines.close()
        self._seen.end()

    async def _follow(self) -> None:
        """Follow the lines; an error that nobody foresaw ends all watches with it, so that no level freezes unseen."""
        try:
            await self._follow_lines()
        except Exception as error:  # noqa: BLE001 - logged here, and raised to all who watch
            _LOG.exception("the power lines are not followed any more")
            self._failure = error
            self._seen.see(Level.UNKNOWN)
            self._seen.end()

    async def _follow_lines(self) -> None:
        """Watch; when the hardware goes away say so, and come back when it does."""
        while True:
            tasks = [asyncio.ensure_future(one) for one in (*self._followers(), self._loss())]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
            self._seen.see(Level.UNKNOWN)
            why = next((end for end in ends if isinstance(end, Exception)), None)
            if why is not None and not isinstance(why, (UbmcError, OSError)):
                raise why  # the hardware is there, and the guardian holds its lines: they cannot be requested anew
            _LOG.warning("power lines are lost: %s", why or "one of them does not obey")
            await self._come_back()
            _LOG.info("power lines are back")

    async def _come_back(self) -> None:
        for tries in itertools.count():
            async with self._turn:
                self._ready = False
                await self._lines.close()
                try:
                    await self._request()
                    releases = self._releases()
                except (UbmcError, OSError) as error:
                    _LOG.debug("power lines are not back yet: %s", error)
                else:
                    self._lost.clear()
                    self._ready = True
                    self._hand_out(releases)
                    return
            await asyncio.sleep(_RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)])

    def _hand_out(self, releases: tuple[Release, ...]) -> None:
        if self._reopened is not None:
            self._reopened(releases)
            return
        for release in releases:
            os.close(release.fd)

    async def _loss(self) -> None:
        await self._lost.wait()

    async def _follow_good(self, line: InputLine) -> None:
        async for active in line.watch():
            self._seen.see(Level.ON if active else Level.OFF)
