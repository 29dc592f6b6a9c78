"""The calls of BiosService, and the set-ups behind them: kept here, changed by the host's next boot."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from protobuf.wkt import Timestamp

from ubmc.kit import pages
from ubmc.kit.bus import Bus
from ubmc.kit.errors import NotFound, UbmcError
from ubmc.kit.feed import Feed
from ubmc.kit.handlers import rpc, stream
from ubmc.services.statemgr.bios import Registry, Setup, booted
from ubmc.services.statemgr.store import Store
from ubmc.v1alpha1 import bios_pb as b
from ubmc.v1alpha1.bios_rpc import BiosService
from ubmc.v1alpha1.host_pb import Cause


class HostBios:
    """The set-up of one host."""

    def __init__(self, host: str, registry: Registry, setup: Setup) -> None:
        """Make it of what the board says and what was stored."""
        self.host = host
        self.registry = registry
        self.setup = registry.known(setup)
        self.kept = self.setup
        """What is on disk."""

    def message(self) -> b.Bios:
        """The set-up as it is shown."""
        setup = self.setup
        seconds, rest = divmod(setup.applied_time_us, 1_000_000)
        return b.Bios(
            host=self.host,
            attributes=dict(setup.current),
            pending=dict(setup.pending),
            applied_time=Timestamp(seconds=seconds, nanos=rest * 1000) if setup.applied_time_us else None,
            faults=list(setup.faults),
            registry_version=self.registry.version,
        )


class BiosCalls:
    """What `StateManager` answers about the set-ups of firmware."""

    bus: Bus
    _store: Store
    _bios: dict[str, HostBios]
    _bios_feed: Feed[b.Bios]
    _mark: Callable[[str], None]

    def _apply_bios(self, host: str) -> None:
        """A boot of the host has begun; what was to be changed by it is stored with everything else that changed."""
        bios = self._bios.get(host)
        if bios is None or not bios.setup.pending:
            return
        names = ", ".join(bios.setup.pending)
        bios.setup = booted(bios.setup, time.time_ns() // 1000)
        self._bios_feed.publish(host, bios.message())
        self.bus.tell(host, b.BiosChange(host=host, what=f"the boot changed {names}"), cause=Cause(kind="hardware"))
        self._mark(host)

    async def _keep_bios(self) -> None:
        for bios in self._bios.values():
            setup = bios.setup
            if setup != bios.kept:
                await self._store.keep_bios(bios.host, setup)
                bios.kept = setup

    async def _change_bios(self, bios: HostBios, setup: Setup, what: str) -> b.Bios:
        """Make this the set-up, on disk, then tell it."""
        before = bios.setup
        if setup.pending != before.pending:
            bios.setup = setup
            try:
                await self._keep_bios()
            except UbmcError:
                bios.setup = replace(bios.setup, pending=before.pending)
                raise
            self._bios_feed.publish(bios.host, bios.message())
            self.bus.tell(bios.host, b.BiosChange(host=bios.host, what=what))
        return bios.message()

    def _bios_of(self, host: str) -> HostBios:
        if host not in self._bios:
            raise NotFound(f"the set-up of {host} cannot be reached by this BMC: its board file lists no attributes")
        return self._bios[host]

    @rpc(BiosService.GetBios)
    async def get_bios(self, request: b.GetBiosRequest) -> b.GetBiosResponse:
        """One set-up."""
        return b.GetBiosResponse(bios=self._bios_of(request.host).message())

    @rpc(BiosService.ListBiosAttributes)
    async def list_bios_attributes(self, request: b.ListBiosAttributesRequest) -> b.ListBiosAttributesResponse:
        """What the firmware has."""
        attributes = self._bios_of(request.host).registry.attributes.values()
        shown, token = pages.page(attributes, request.page_size, request.page_token, key=lambda each: each.name)
        return b.ListBiosAttributesResponse(bios_attributes=shown, next_page_token=token)

    @rpc(BiosService.UpdateBios)
    async def update_bios(self, request: b.UpdateBiosRequest) -> b.UpdateBiosResponse:
        """Have attributes changed by the next boot."""
        bios = self._bios_of(request.host)
        setup = bios.registry.wanted(bios.setup, request.attributes)
        what = f"the next boot changes {', '.join(setup.pending) or 'nothing any more'}"
        return b.UpdateBiosResponse(bios=await self._change_bios(bios, setup, what))

    @rpc(BiosService.ResetBios)
    async def reset_bios(self, request: b.ResetBiosRequest) -> b.ResetBiosResponse:
        """Have all attributes changed to their defaults by the next boot."""
        bios = self._bios_of(request.host)
        setup = bios.registry.defaults(bios.setup)
        what = "the next boot changes all attributes to their defaults"
        return b.ResetBiosResponse(bios=await self._change_bios(bios, setup, what))

    @rpc(BiosService.DiscardBiosChanges)
    async def discard_bios_changes(self, request: b.DiscardBiosChangesRequest) -> b.DiscardBiosChangesResponse:
        """Forget what the next boot was to change."""
        bios = self._bios_of(request.host)
        setup = replace(bios.setup, pending={})
        return b.DiscardBiosChangesResponse(
            bios=await self._change_bios(bios, setup, "the next boot changes nothing any more")
        )

    @stream(BiosService.WatchBios)
    async def watch_bios(self, request: b.WatchBiosRequest) -> AsyncIterator[b.WatchBiosResponse]:
        """Every change of a set-up."""
        if request.host:
            self._bios_of(request.host)
        async for update in self._bios_feed.watch(request.cursor, request.host):
            yield b.WatchBiosResponse(
                bios=update.item, cursor=update.cursor, snapshot=update.snapshot, complete=update.complete
            )
