"""The thermal trip as the holder of the wires obeys it: cut at once, cut again while power stays, and stay latched.

The latch is a small file, so that neither a restart of ours nor a lost bus lets a policy power on what was too hot.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import orjson

from ubmc.hw.power.port import Action, Level
from ubmc.kit.errors import Refused, UbmcError, Unavailable
from ubmc.kit.files import replace
from ubmc.kit.readings import Trip
from ubmc.services.powermgr.wire import Wire

log = logging.getLogger("ubmc.powermgr")

AGAIN_SECONDS = 1.0
"""Between attempts to cut."""
LOOK_SECONDS = 0.5
SETTLE_SECONDS = 5.0
"""After the start: a host that is latched and on is not judged before temperatures are known."""


class TripLatch:
    """Obeys the trip of some hosts.

    Args:
        trip: pulled by who watches temperatures.
        file: where the latch is kept.
        hosts: the names of the hosts.
        wires: of the hosts, by name, as soon as there are any.
        changed: a host was tripped, cleared, or has cooled down.
    """

    def __init__(
        self,
        trip: Trip,
        file: Path,
        hosts: Iterable[str],
        wires: Callable[[], Mapping[str, Wire]],
        changed: Callable[[str], None],
    ) -> None:
        self._trip = trip
        self._file = file
        self._hosts = frozenset(hosts)
        self._wires = wires
        self._changed = changed
        self._latched: dict[str, str] = {}
        self._shown: dict[str, bool] = {}
        self._cutting: dict[str, asyncio.Task[None]] = {}
        self._guessed: set[str] = set()  # latched only because the file could not be read
        self._began = False
        self._unkept = False
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()

    def load(self) -> None:
        """Latch what was latched in an earlier life; everything, if the file cannot be read: then nobody knows."""
        try:
            kept = orjson.loads(self._file.read_bytes())
            reasons = {str(host): str(reason) for host, reason in kept["tripped"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.error("the thermal latch cannot be read", extra={"file": str(self._file), "error": str(error)})
            reasons = dict.fromkeys(self._hosts, "what was latched could not be read")
            self._guessed |= self._hosts
        for host in self._hosts & reasons.keys():
            self._latched[host] = reasons[host]
            self._trip.latch(host, reasons[host])

    def reason(self, host: str) -> str:
        """Why a host is latched off; empty if it is not."""
        return self._latched.get(host, "")

    def too_hot(self, host: str) -> bool:
        """Whether it is latched, and still too hot to be powered on."""
        return host in self._latched and self._trip.hot(host)

    async def allow(self, host: str, action: Action, *, asked: bool) -> None:
        """Judge an action; powering on by somebody who asks for it, when it has cooled, ends the latch.

        Raises:
            Refused: the latch forbids it.
            Unavailable: the end of the latch cannot be stored, so it does not end.
        """
        reason = self._latched.get(host)
        if reason is None or action is Action.FORCE_OFF:
            return
        if action is not Action.ON:
            raise Refused(f"{host} is latched off by the thermal trip ({reason}): power it on first")
        if not asked:
            raise Refused(f"{host} is latched off by the thermal trip ({reason}): only a person may power it on")
        if self._trip.hot(host):
            raise Refused(f"{host} is still too hot to be powered on ({reason}): wait until it is below warning")
        await self._clear(host)

    async def run(self) -> None:
        """Obey until cancelled."""
        began = asyncio.get_running_loop().time()
        self._trip.obeyed_by(self._obey)  # repeats what is known from the file: no reason to cut; see `_look`
        self._began = True
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._wake.wait()
                self._wake.clear()
                settled = asyncio.get_running_loop().time() - began >= SETTLE_SECONDS
                for host in tuple(self._latched):
                    await self._look(host, settled=settled)
                if self._unkept:
                    await self._keep()
        finally:
            self._trip.obeyed_by(None)
            for task in self._cutting.values():
                task.cancel()
            await asyncio.gather(*self._cutting.values(), return_exceptions=True)
            self._cutting.clear()

    def _obey(self, host: str, reason: str) -> None:
        new = self._latched.get(host) != reason
        if new:
            log.critical("%s is cut: %s", host, reason)
            self._latched[host] = reason
            self._shown[host] = True
            self._unkept = True
            self._wake.set()
            self._changed(host)
        if new or self._began:
            self._guessed.discard(host)
            self._cut(host)

    def _cut(self, host: str) -> None:
        if host not in self._cutting:
            task = asyncio.create_task(self._cut_until_off(host), name=f"trip of {host}")
            self._cutting[host] = task
            task.add_done_callback(lambda _: self._cutting.pop(host, None))

    async def _cut_until_off(self, host: str) -> None:
        failing = False
        while (wire := self._wires().get(host)) is None or wire.level is not Level.OFF:
            try:
                if wire is not None:
                    await wire.do(Action.FORCE_OFF)
                    if wire.level is Level.UNKNOWN:
                        return  # driven, and nobody can tell: another press could do the opposite
            except UbmcError as error:
                if not failing:
                    log.error("%s cannot be cut: %s", host, error.message)
                failing = True
            await asyncio.sleep(AGAIN_SECONDS)
        log.warning("%s is off", host)

    async def _look(self, host: str, *, settled: bool) -> None:
        hot = self._trip.hot(host)
        if self._shown.get(host) != hot:
            self._shown[host] = hot
            self._changed(host)
        wire = self._wires().get(host)
        if wire is None or wire.level is not Level.ON or host in self._cutting or not settled:
            return
        if hot and host not in self._guessed:
            log.critical("%s is on although it is latched off and still hot: it is cut again", host)
            self._cut(host)
            return
        if host in self._guessed:
            log.warning("%s is on, so it was not latched off", host)
        else:
            log.warning("%s was powered on at the machine itself after it cooled down", host)
        try:
            await self._clear(host)
        except Unavailable as error:
            log.debug("not stored: %s", error.message)

    async def _clear(self, host: str) -> None:
        reason = self._latched.pop(host, None)
        try:
            await self._write()
        except OSError as error:
            if reason is not None:
                self._latched.setdefault(host, reason)
            raise Unavailable(f"the thermal latch of {host} cannot be stored: {error}") from error
        self._guessed.discard(host)
        self._trip.clear(host)
        self._changed(host)

    async def _keep(self) -> None:
        self._unkept = False
        try:
            await self._write()
        except OSError as error:
            self._unkept = True
            log.debug("the thermal latch cannot be stored: %s", error)

    async def _write(self) -> None:
        async with self._writing:  # two at once could end in the wrong order
            await asyncio.to_thread(replace, self._file, orjson.dumps({"tripped": self._latched}))
