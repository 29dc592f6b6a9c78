"""What the sources said last, and how they are asked. A source that fails or hangs takes nothing of another with it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

from ubmc.hw.fru.port import FruStore
from ubmc.hw.inventory.port import AssetFacts, AssetReader
from ubmc.kit.errors import NotFound, UbmcError, Unavailable
from ubmc.protocols import fru
from ubmc.services.inventorymgr.merge import FruSight, Told
from ubmc.services.inventorymgr.plan import AssetPlan, Sources
from ubmc.services.inventorymgr.storage import READ_SECONDS

log = logging.getLogger("ubmc.inventorymgr")

READER_SECONDS = 5.0
"""How long a reader may take."""
MAX_ASSETS = 2000
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")

Presence = Callable[[], Awaitable[Mapping[str, bool]]]
"""Asks for the presence sensors; gives what is known of them. Raises `UbmcError`."""


class Sight:
    """All that is told now.

    Args:
        plans: the parts that the board file names.
        sources: what tells of parts.
        presence: asks for the presence sensors.
    """

    def __init__(self, plans: Sequence[AssetPlan], sources: Sources, presence: Presence) -> None:
        self._plans = {plan.facts.name: plan for plan in plans}
        self._sources = sources
        self._presence = presence
        self._machine: list[tuple[AssetFacts, ...] | None] = [None] * len(sources.readers)
        self._sensed: Mapping[str, bool] = {}
        self._frus: dict[str, FruSight] = {}
        self._bytes: dict[str, bytes] = {}
        self._failing: dict[str, str] = {}
        self._settled = False

    def settle(self) -> None:
        """The start is over: from now on a source that fails is told; before, what it reads may be starting too."""
        self._settled = True
        for what, text in self._failing.items():
            _log_failure(what, text)

    @property
    def starting(self) -> bool:
        """Whether a source fails: what it reads may be starting, as we are."""
        return bool(self._failing) or any(seen.error and not seen.missing for seen in self._frus.values())

    @property
    def complete(self) -> bool:
        """Every reader has answered at least once: what is not told is not there."""
        return None not in self._machine

    @property
    def senses(self) -> bool:
        """Whether the board file names presence sensors."""
        return any(plan.presence for plan in self._plans.values())

    def told(self) -> dict[str, Told]:
        """By asset. FRU storage alone makes no asset."""
        told: dict[str, Told] = {}
        for name, plan in self._plans.items():
            told[name] = Told(
                board=plan.facts,
                sensed=self._sensed.get(plan.presence),
                has_sensor=bool(plan.presence),
                fru=self._frus.get(name),
            )
        for reader, facts in zip(self._sources.readers, self._machine, strict=True):
            for each in facts or ():
                before = told.get(each.name, Told())
                if each.name not in told and len(told) >= MAX_ASSETS:
                    continue
                told[each.name] = Told(
                    before.board, each, reader.source, before.sensed, before.has_sensor, self._frus.get(each.name)
                )
        return told

    def pending(self, name: str) -> bool:
        """Whether an asset has a storage that was not read yet."""
        return name in self._sources.frus and name not in self._frus

    def silent(self, name: str) -> bool:
        """Whether a storage gave no bytes when it was read last."""
        return name in self._frus and bool(self._frus[name].error)

    # --- asking ---------------------------------------------------------------------------------------------------

    async def look_all(self) -> None:
        """Ask all sources at once."""
        async with asyncio.TaskGroup() as group:
            for index in range(len(self._machine)):
                group.create_task(self.look_machine(index))
            if self.senses:
                group.create_task(self.look_presence())
            for name in self._sources.frus:
                group.create_task(self.look_fru(name))

    async def look_machine(self, index: int) -> bool:
        """Ask a reader; whether it says anything new."""
        reader: AssetReader = self._sources.readers[index]
        what = f"{reader.source.value} {index}"
        try:
            async with asyncio.timeout(READER_SECONDS):
                facts = tuple(await reader.read())
        except (UbmcError, TimeoutError) as error:
            self._fails(what, error)
            return False
        self._works(what)
        named = tuple(each for each in facts if _NAME.fullmatch(each.name))
        if len(named) < len(facts):
            self._fails(f"{what} names", Unavailable(f"{len(facts) - len(named)} parts have names that cannot be used"))
        else:
            self._works(f"{what} names")
        changed = self._machine[index] != named
        self._machine[index] = named
        return changed

    async def look_presence(self) -> bool:
        """Ask for the presence sensors; whether they say anything new."""
        sensed: Mapping[str, bool] = {}
        try:
            sensed = await self._presence()
            self._works("presence sensors")
        except UbmcError as error:
            self._fails("presence sensors", error)
        changed = sensed != self._sensed
        self._sensed = sensed
        return changed

    async def look_fru(self, name: str) -> bool:
        """Read a storage; whether it says anything new. What says the same bytes as before is not parsed again."""
        store: FruStore = self._sources.frus[name]
        writable = store.writable
        before = self._bytes.pop(name, None)
        try:
            async with asyncio.timeout(READ_SECONDS):
                data = await store.read()
            self._bytes[name] = data
            if data == before:
                return False
            sight = FruSight(parsed=fru.parse(data), writable=writable)
        except NotFound as error:
            sight = FruSight(missing=True, error=error.message, writable=writable)
        except TimeoutError:
            sight = FruSight(error=f"no answer within {READ_SECONDS:.0f} seconds", writable=writable)
        except UbmcError as error:
            sight = FruSight(error=error.message, writable=writable)
        changed = self._frus.get(name) != sight
        self._frus[name] = sight
        return changed

    def _fails(self, what: str, error: Exception) -> None:
        if what not in self._failing:
            self._failing[what] = error.message if isinstance(error, UbmcError) else "no answer in time"
            if self._settled:
                _log_failure(what, self._failing[what])

    def _works(self, what: str) -> None:
        if what in self._failing:
            del self._failing[what]
            if self._settled:
                log.info("a source of inventory works again", extra={"source": what})


def _log_failure(what: str, text: str) -> None:
    log.warning("a source of inventory fails", extra={"source": what, "error": text})
