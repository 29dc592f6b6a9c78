"""The service inventorymgr: says what the machine is made of, and tells when that changes.

Everything is answered from memory; the sources are asked on their own time. Only ReadFru, WriteFru and a change that
goes into FRU storage touch hardware.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from ubmc.hw.fru.port import FruStore
from ubmc.kit import pages
from ubmc.kit.database import Database
from ubmc.kit.errors import Invalid, NotFound, Refused, UbmcError
from ubmc.kit.feed import Feed
from ubmc.kit.service import Service, lasting, on, rpc, stream
from ubmc.protocols import fru
from ubmc.services.inventorymgr import content, merge, news
from ubmc.services.inventorymgr.memory import Known, Memory
from ubmc.services.inventorymgr.plan import AssetPlan, Options, Sources
from ubmc.services.inventorymgr.sight import Sight
from ubmc.services.inventorymgr.storage import Storage
from ubmc.v1alpha1 import inventory_pb as wire
from ubmc.v1alpha1.inventory_rpc import InventoryService
from ubmc.v1alpha1.sensor_pb import (
    ListSensorsRequest,
    SensorKind,
    SensorQuality,
    SensorQualityChange,
    SensorStateChange,
)
from ubmc.v1alpha1.sensor_rpc import SensorService

log = logging.getLogger("ubmc.inventorymgr")

PAGE_BYTES = 160 * 1024
"""A page is cut before it gets too large for the bus (256 KiB)."""
HINT_SECONDS = 0.2
"""Between news of a sensor and looking at the parts."""
FINISH_SECONDS = 1.0
_FIRST_RETRY_SECONDS = 0.2
_MAX_FAULTS = 3


class InventoryManager(Service):
    """The parts of the machine.

    Args:
        plans: the parts that the board file names.
        open_sources: opens FRU storage and readers.
        expendable: the database for how the assets were.
        precious: the database for the asset tags that the owner gave.
        options: how often is looked.
    """

    name = "inventorymgr"
    calls = (SensorService.ListSensors,)
    tells = (wire.AssetAdded, wire.AssetRemoved, wire.AssetChanged)

    def __init__(
        self,
        plans: Sequence[AssetPlan],
        open_sources: Callable[[], Sources],
        expendable: Database,
        precious: Database,
        *,
        options: Options | None = None,
    ) -> None:
        self._plans = tuple(plans)
        self._open_sources = open_sources
        self._memory = Memory(expendable, precious)
        self._options = options or Options()
        self._sources: Sources | None = None
        self._begun: set[asyncio.Task[None]] = set()

    # --- life -----------------------------------------------------------------------------------------------------

    async def setup(self) -> None:
        """Read what is remembered, and look once at everything."""
        self._feed: Feed[wire.Asset] = Feed()
        self._assets: dict[str, wire.Asset] = {}
        self._merging = asyncio.Lock()
        await self._memory.load()
        self._known = dict(self._memory.known)
        self._first = not self._known
        self._storing = True
        self._sources = self._open_sources()
        self._hint = asyncio.Event()
        self._wake = {name: asyncio.Event() for name in self._sources.frus}
        self._storage = Storage(self._sources.frus)
        self._sight = Sight(self._plans, self._sources, self._presence)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.first_seconds):
                await self._sight.look_all()
                while self._sight.starting:
                    await asyncio.sleep(_FIRST_RETRY_SECONDS)
                    await self._sight.look_all()
        self._sight.settle()
        await self._merge()

    async def work(self) -> None:
        """Look at everything again and again, each source on its own."""
        sources, options = self._opened(), self._options
        async with asyncio.TaskGroup() as group:
            for index in range(len(sources.readers)):
                group.create_task(lasting(self._poll(partial(self._sight.look_machine, index), options.poll_seconds)))
            if self._sight.senses:
                group.create_task(lasting(self._poll(self._sight.look_presence, options.presence_seconds)))
            for name in sources.frus:
                group.create_task(lasting(self._follow_fru(name)))
            group.create_task(lasting(asyncio.Event().wait()))

    async def teardown(self) -> None:
        """Let writes end that were begun, and give the sources back."""
        if self._begun:
            await asyncio.wait(tuple(self._begun), timeout=FINISH_SECONDS)
        if self._sources is not None:
            await self._sources.close()
            self._sources = None

    def _opened(self) -> Sources:
        if self._sources is None:
            raise NotFound("the inventory is not open")
        return self._sources

    async def _poll(self, look: Callable[[], Awaitable[bool]], seconds: float) -> None:
        while True:
            hint = self._hint
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await hint.wait()
                    await asyncio.sleep(HINT_SECONDS)  # the sensors of one part change together
            if await look():
                await self._merge()

    @on(SensorStateChange)
    async def follow_state(self, _change: SensorStateChange) -> None:
        """A part may have been plugged or pulled."""
        self._look_now()

    @on(SensorQualityChange)
    async def follow_quality(self, _change: SensorQualityChange) -> None:
        """The sensor of a part that was pulled cannot be read any more."""
        self._look_now()

    def _look_now(self) -> None:
        hint, self._hint = self._hint, asyncio.Event()
        hint.set()

    async def _follow_fru(self, name: str) -> None:
        late = self._sight.pending(name)
        while True:
            if not late:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._fru_pause(name)):
                        await self._wake[name].wait()
            late = False
            self._wake[name].clear()
            await self._look_at_fru(name)

    async def _look_at_fru(self, name: str) -> None:
        async with self._storage.turn(name):
            changed = await self._sight.look_fru(name)
        if changed:
            await self._merge()

    def _fru_pause(self, name: str) -> float:
        """A storage that does not answer may be plugged or mended soon, and asking costs little."""
        options = self._options
        return min(options.poll_seconds, options.fru_seconds) if self._sight.silent(name) else options.fru_seconds

    async def _presence(self) -> Mapping[str, bool]:
        """What the presence sensors say, by sensor."""
        wanted = {plan.presence for plan in self._plans if plan.presence}
        found: dict[str, bool] = {}
        token = ""
        while True:
            request = ListSensorsRequest(kind=SensorKind.STATE, page_token=token)
            answer = await self.bus.ask(SensorService.ListSensors, request)
            for sensor in answer.sensors:
                if sensor.name in wanted and sensor.quality == SensorQuality.GOOD and sensor.states:
                    found[sensor.name] = sensor.state != sensor.states[0]
            token = answer.next_page_token
            if not token:
                return found

    # --- what is, and what was ------------------------------------------------------------------------------------

    async def _merge(self) -> None:
        """Make the assets anew of all that is told; tell and remember what is not as it was."""
        async with self._merging:
            told = self._sight.told()
            known: dict[str, Known] = {}
            for name, each in told.items():
                known[name] = self._take(name, each)
            for name, before in self._known.items():
                if name in told:
                    continue
                if self._sight.complete:
                    self._tell(name, before, None)
                else:
                    known[name] = before  # who would tell of it has not answered yet
            for name in self._assets.keys() - told.keys():
                gone = copy.deepcopy(self._assets.pop(name))
                gone.present = False
                self._feed.publish(name, gone)
                self._feed.forget(name)
            self._known, self._first = known, False
            await self._remember()

    def _take(self, name: str, told: merge.Told) -> Known:
        before = self._known.get(name)
        remembered = before.present if before is not None else None
        present = told.present if told.present is not None else remembered
        there = present is not False
        asset = merge.compose(name, told, present=there, tag=self._memory.tags.get(name))
        if there and before is not None and self._sight.pending(name):
            now = replace(before, present=present)  # its storage has not been read yet: nothing new is known
        else:
            serial = asset.serial_number or (before.serial_number if before is not None and there else "")
            faults = "; ".join(asset.faults[:_MAX_FAULTS])
            now = Known(present, merge.describe(asset), serial, faults)
        self._tell(name, before, now)
        old = self._assets.get(name)
        if asset.present and old is not None and not old.present and name in self._wake:
            self._wake[name].set()
        if old is None or old.to_binary() != asset.to_binary():
            self._assets[name] = asset
            self._feed.publish(name, asset)
        return now

    def _tell(self, name: str, before: Known | None, now: Known | None) -> None:
        if self._first:
            return  # there is nothing to compare with
        for event in news.events(name, before, now):
            self.bus.tell(name, event.news, severity=event.severity)

    async def _remember(self) -> None:
        try:
            await self._memory.remember(self._known)
            self._storing = True
        except UbmcError as error:
            if self._storing:
                log.warning("the inventory cannot be remembered", extra={"error": error.message})
            self._storing = False

    # --- reading --------------------------------------------------------------------------------------------------

    @rpc(InventoryService.ListAssets)
    async def list_assets(self, request: wire.ListAssetsRequest) -> wire.ListAssetsResponse:
        """One page of all assets."""
        found = [
            asset
            for asset in self._assets.values()
            if request.kind in (wire.AssetKind.UNSPECIFIED, asset.kind) and request.parent in ("", asset.parent)
        ]
        shown, following = pages.page(found, request.page_size, request.page_token, key=_name)
        total = 0
        for count, asset in enumerate(shown):
            total += len(asset.to_binary())
            if count and total > PAGE_BYTES:
                shown, following = pages.page(found, count, request.page_token, key=_name)
                break
        return wire.ListAssetsResponse(assets=shown, next_page_token=following)

    @rpc(InventoryService.GetAsset)
    async def get_asset(self, request: wire.GetAssetRequest) -> wire.GetAssetResponse:
        """One asset."""
        return wire.GetAssetResponse(asset=pages.find(self._assets, request.name))

    @stream(InventoryService.WatchAssets)
    async def watch_assets(self, request: wire.WatchAssetsRequest) -> AsyncIterator[wire.WatchAssetsResponse]:
        """Every change of an asset."""
        if request.name:
            pages.find(self._assets, request.name)
        async for update in self._feed.watch(request.cursor, request.name):
            yield wire.WatchAssetsResponse(
                asset=update.item, cursor=update.cursor, snapshot=update.snapshot, complete=update.complete
            )

    @rpc(InventoryService.ReadFru)
    async def read_fru(self, request: wire.ReadFruRequest) -> wire.ReadFruResponse:
        """The bytes of a storage."""
        self._store(request.name)
        return wire.ReadFruResponse(data=await self._storage.read(request.name))

    # --- writing --------------------------------------------------------------------------------------------------

    @rpc(InventoryService.UpdateAsset)
    async def update_asset(self, request: wire.UpdateAssetRequest) -> wire.UpdateAssetResponse:
        """Change the asset tag, or fields of a storage."""
        if request.asset is None:
            raise Invalid("asset: say which asset, and its new values")
        name = request.asset.name
        pages.find(self._assets, name)
        paths = request.update_mask.paths if request.update_mask is not None else ()
        change = content.change_of(request.asset, paths)
        await self._finish(self._update(name, change))
        return wire.UpdateAssetResponse(asset=pages.find(self._assets, name))

    @rpc(InventoryService.WriteFru)
    async def write_fru(self, request: wire.WriteFruRequest) -> wire.WriteFruResponse:
        """Replace the bytes of a storage."""
        parsed = fru.parse(request.data)
        if parsed.blank or parsed.damaged or not parsed.layout:
            faults = "; ".join(str(fault) for fault in parsed.faults[:_MAX_FAULTS])
            raise Invalid(f"data: this is not a whole FRU: {faults}")
        self._writable(request.name)
        await self._finish(self._write(request.name, lambda _: request.data, "its FRU storage was written"))
        return wire.WriteFruResponse(asset=pages.find(self._assets, request.name))

    async def _finish(self, work: Awaitable[None]) -> None:
        """Do it to its end even if the caller gives up: storage, memory and watchers must agree."""
        task = asyncio.ensure_future(work)
        self._begun.add(task)
        task.add_done_callback(self._ended)
        await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._begun.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may have given up and not hear of it

    async def _update(self, name: str, change: content.Change) -> None:
        values = content.differing(change.fru, self._assets[name].fru)
        if change.fru:
            self._writable(name)
        tag = change.tag if change.tag != self._assets[name].asset_tag else None
        if tag is not None and await self._tag_storage(name, tag, values):
            return
        if values:
            await self._write(name, lambda data: fru.update(data, values), news.written(values))
        if tag is not None:
            await self._memory.tag(name, tag, self._assets[name].serial_number)
            await self._merge()
            self.bus.tell(name, wire.AssetChanged(name=name, what=news.tagged(tag)))

    async def _tag_storage(self, name: str, tag: str, values: Mapping[str, object]) -> bool:
        """Write a tag, and what else is to be changed, into the storage: both or nothing; whether it takes the tag."""
        all_of_it = {**values, content.STORED_TAG: tag}
        try:
            self._writable(name)
            whats = (news.written(values), news.tagged(tag)) if values else (news.tagged(tag),)
            await self._write(name, lambda data: fru.update(data, all_of_it), *whats, own_tag=False)
        except (Refused, Invalid, NotFound):  # no storage, or none that takes it: the BMC keeps it
            return False
        return True

    async def _write(self, name: str, change: Callable[[bytes], bytes], *whats: str, own_tag: bool = True) -> None:
        """Read a storage, write it changed, look at it again.

        Args:
            name: of the asset.
            change: makes the new bytes of the old ones.
            whats: what happened, for the events.
            own_tag: an asset tag that the BMC keeps stays; False: the storage has it now.
        """

        async def look() -> None:
            await self._sight.look_fru(name)
            if name in self._known:  # a serial number that somebody writes makes no other part of it
                self._known[name] = replace(self._known[name], serial_number="")

        self._store(name)
        try:
            await self._storage.change(name, change, look)
        except UbmcError:
            await self._look_at_fru(name)
            raise
        if not own_tag:
            await self._memory.tag(name, None, "")
        await self._merge()
        for what in whats:
            self.bus.tell(name, wire.AssetChanged(name=name, what=what))

    def _store(self, name: str) -> FruStore:
        asset = pages.find(self._assets, name)
        store = self._opened().frus.get(name)
        if store is None:
            raise NotFound(f"{name} has no FRU storage that this BMC can reach")
        if not asset.present:
            raise Refused(f"{name} is not there")
        return store

    def _writable(self, name: str) -> None:
        if not self._store(name).writable:
            raise Refused(f"the FRU storage of {name} cannot be written by this BMC")


def _name(asset: wire.Asset) -> str:
    return asset.name
