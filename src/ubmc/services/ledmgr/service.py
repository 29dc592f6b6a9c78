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
        self._failing: set[str] = set()

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
            await asyncio.sleep(RESYNC_SECONDS)

    async def _resync(self) -> None:
        for host in (await self.bus.ask(HostService.ListHosts, ListHostsRequest())).hosts:
            await self._show(POWER, host.name, pattern.POWER[host.state])
        for chassis in (await self.bus.ask(ChassisService.ListChassis, ListChassisRequest())).chassis:
            await self._show(IDENTIFY, chassis.name, pattern.identify(chassis.identify))

    @on(HostStateChange)
    async def follow_host(self, change: HostStateChange) -> None:
        """The power light follows the host."""
        await self._show(POWER, change.name, pattern.POWER[change.current])

    @on(ChassisIdentifyChange)
    async def follow_identify(self, change: ChassisIdentifyChange) -> None:
        """The identify light follows the chassis."""
        await self._show(IDENTIFY, change.name, pattern.identify(change.identify))

    async def _show(self, role: str, component: str, state: LedState) -> None:
        if self._lights is None:
            return
        for duty in self._duties:
            if (duty.role, duty.component) != (role, component):
                continue
            try:
                await self._lights.leds[duty.led].set(state)
                self._failing.discard(duty.led)
            except UbmcError as error:
                if duty.led not in self._failing:
                    log.warning("a light cannot be set", extra={"led": duty.led, "error": error.message})
                self._failing.add(duty.led)
