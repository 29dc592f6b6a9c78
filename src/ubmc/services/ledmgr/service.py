"""The service ledmgr: the power light follows the host, the identify light the chassis."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ubmc.hw.leds.port import Led, LedState
from ubmc.kit.errors import UbmcError
from ubmc.kit.service import Service, on
from ubmc.services.ledmgr import pattern
from ubmc.v1alpha1.chassis_pb import ChassisIdentifyChange, ListChassisRequest
from ubmc.v1alpha1.chassis_rpc import ChassisService
from ubmc.v1alpha1.host_pb import HostStateChange, ListHostsRequest
from ubmc.v1alpha1.host_rpc import HostService

log = logging.getLogger("ubmc.ledmgr")

RESYNC_SECONDS = 10.0
RETRY_SECONDS = 0.5
PATIENCE = 5
RESYNC_TRIES = 3
POWER = "power"
IDENTIFY = "identify"


class Lights(Protocol):
    """The lights of a board, open."""

    @property
    def leds(self) -> Mapping[str, Led]:
        """By name."""

    async def close(self) -> None:
        """Give all back."""


@dataclass(frozen=True, slots=True)
class Duty:
    """What one light is there for."""

    led: str
    role: str  # `power` or `identify`
    component: str  # `host.0`, `chassis.0`


class LedManager(Service):
    """Drives the lights of the board."""

    name = "ledmgr"
    after = ("statemgr",)
    calls = (HostService.ListHosts, ChassisService.ListChassis)

    def __init__(self, duties: Sequence[Duty], open_lights: Callable[[], Lights]) -> None:
        """Make the manager of these lights."""
        self._duties = tuple(duties)
        self._open_lights = open_lights
        self._lights: Lights | None = None
        self._failing: dict[str, int] = {}  # how often in a row, by light
        self._told = 0  # how many news have come

    async def setup(self) -> None:
        """Open the lights."""
        self._lights = self._open_lights()

    async def teardown(self) -> None:
        """Give the lights back as they are."""
        if self._lights is not None:
            await self._lights.close()
            self._lights = None

    async def work(self) -> None:
        """Ask now and then how things are: news can be missed while the bus or the hardware is away."""
        while True:
            with contextlib.suppress(UbmcError):
                await self._resync()
            await asyncio.sleep(RETRY_SECONDS if self._failing else RESYNC_SECONDS)

    async def _resync(self) -> None:
        for _ in range(RESYNC_TRIES):
            told = self._told
            hosts = (await self.bus.ask(HostService.ListHosts, ListHostsRequest())).hosts
            all_chassis = (await self.bus.ask(ChassisService.ListChassis, ListChassisRequest())).chassis
            if told == self._told:
                break  # else the answers may be older than what is shown already
        else:
            return
        for host in hosts:
            await self._show(POWER, host.name, pattern.POWER[host.state])
        for chassis in all_chassis:
            await self._show(IDENTIFY, chassis.name, pattern.identify(chassis.identify))

    @on(HostStateChange)
    async def follow_host(self, change: HostStateChange) -> None:
        """The power light follows the host."""
        self._told += 1
        await self._show(POWER, change.name, pattern.POWER[change.current])

    @on(ChassisIdentifyChange)
    async def follow_identify(self, change: ChassisIdentifyChange) -> None:
        """The identify light follows the chassis."""
        self._told += 1
        await self._show(IDENTIFY, change.name, pattern.identify(change.identify))

    async def _show(self, role: str, component: str, state: LedState) -> None:
        if self._lights is None:
            return
        for duty in self._duties:
            if (duty.role, duty.component) != (role, component):
                continue
            try:
                await self._lights.leds[duty.led].set(state)
                self._failing.pop(duty.led, None)
            except UbmcError as error:
                self._failing[duty.led] = self._failing.get(duty.led, 0) + 1
                if self._failing[duty.led] == PATIENCE:  # the hardware may just be coming up
                    log.warning("a light cannot be set", extra={"led": duty.led, "error": error.message})
