"""The service powermgr: wires behind RPCs that only statemgr may call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ubmc.hw.gpio.port import Release
from ubmc.hw.power.port import Action, Boot, BootFirmware, BootStage, BootTarget, Level, News, Power, Sight
from ubmc.kit.errors import Invalid, NotFound, Unavailable
from ubmc.kit.feed import Feed
from ubmc.kit.guard import Guard
from ubmc.kit.readings import Readings, Trip
from ubmc.kit.service import Service, lasting, rpc, stream
from ubmc.services.powermgr.trip import TripLatch
from ubmc.services.powermgr.wire import Wire
from ubmc.v1alpha1.host_pb import BootFirmware as AskedFirmware
from ubmc.v1alpha1.host_pb import BootProgress, HostNewsKind
from ubmc.v1alpha1.host_pb import BootTarget as AskedTarget
from ubmc.v1alpha1.internal_pb import (
    DriveChassisRequest,
    DriveChassisResponse,
    DriveHostRequest,
    DriveHostResponse,
    PowerLevel,
    WatchPowerRequest,
    WatchPowerResponse,
    WireAction,
)
from ubmc.v1alpha1.internal_rpc import PowerService

Keep = Callable[[Release], None]
MakePower = Callable[[Keep], Power]
"""Makes the driver of one component; lines that it opens later are handed to `Keep` too."""

LEVELS = MappingProxyType({Level.ON: PowerLevel.ON, Level.OFF: PowerLevel.OFF, Level.UNKNOWN: PowerLevel.UNKNOWN})
NEWS = MappingProxyType(
    {
        News.BUTTON_PRESSED: HostNewsKind.BUTTON_PRESSED,
        News.GUEST_SHUTDOWN: HostNewsKind.GUEST_SHUTDOWN,
        News.GUEST_RESET: HostNewsKind.GUEST_RESET,
        News.PANICKED: HostNewsKind.PANICKED,
        News.WATCHDOG_EXPIRED: HostNewsKind.WATCHDOG_EXPIRED,
        News.CRASHED: HostNewsKind.CRASHED,
    }
)
ACTIONS = MappingProxyType(
    {
        WireAction.ON: Action.ON,
        WireAction.SOFT_OFF: Action.SOFT_OFF,
        WireAction.FORCE_OFF: Action.FORCE_OFF,
        WireAction.RESET: Action.RESET,
        WireAction.NMI: Action.NMI,
    }
)


_ON = MappingProxyType({Level.ON: True, Level.OFF: False})


@dataclass(frozen=True, slots=True)
class Cooling:
    """What powermgr shares with those who watch temperatures in the same process."""

    readings: Readings
    """Where the power of the hosts is written: sensors are gated by it."""
    trip: Trip
    latch: Path
    """The file of the latch; its directory is made when something is written."""


def _wire(wires: Mapping[str, Wire], name: str) -> Wire:
    wire = wires.get(name)
    if wire is None:
        raise Unavailable(f"the wires of {name} are not ready yet")
    return wire


BOOTS: Mapping[AskedTarget, BootTarget | None] = MappingProxyType(
    {
        AskedTarget.UNSPECIFIED: None,
        AskedTarget.PXE: BootTarget.PXE,
        AskedTarget.DISK: BootTarget.DISK,
        AskedTarget.CD: BootTarget.CD,
        AskedTarget.USB: BootTarget.USB,
        AskedTarget.FIRMWARE_SETUP: BootTarget.FIRMWARE_SETUP,
        AskedTarget.HTTP: BootTarget.HTTP,
        AskedTarget.DIAGNOSTICS: BootTarget.DIAGNOSTICS,
        AskedTarget.SAFE_MODE: BootTarget.SAFE_MODE,
    }
)
FIRMWARES: Mapping[AskedFirmware, BootFirmware | None] = MappingProxyType(
    {
        AskedFirmware.UNSPECIFIED: None,
        AskedFirmware.UEFI: BootFirmware.UEFI,
        AskedFirmware.LEGACY: BootFirmware.LEGACY,
    }
)
PROGRESS = MappingProxyType(
    {
        BootStage.PROCESSOR: BootProgress.PRIMARY_PROCESSOR_INITIALIZATION,
        BootStage.MEMORY: BootProgress.MEMORY_INITIALIZATION,
        BootStage.PCI: BootProgress.PCI_RESOURCE_CONFIG,
        BootStage.HARDWARE: BootProgress.HARDWARE_INITIALIZATION_COMPLETE,
        BootStage.SETUP: BootProgress.SETUP_ENTERED,
        BootStage.LOADING: BootProgress.OS_BOOT_STARTED,
        BootStage.RUNNING: BootProgress.OS_RUNNING,
    }
)


_ASKED = MappingProxyType({target: asked for asked, target in BOOTS.items() if target is not None})


def _boot(request: DriveHostRequest) -> Boot | None:
    """How the next boot is to go; None: as the host is set up."""
    if request.boot_target not in BOOTS or request.boot_firmware not in FIRMWARES:
        raise Invalid(f"{request.boot_target} by {request.boot_firmware} is nothing that can be booted from")
    boot = Boot(BOOTS[request.boot_target], FIRMWARES[request.boot_firmware], request.http_uri)
    return None if boot == Boot() else boot


class PowerManager(Service):
    """Owns the wires of all hosts and chassis."""

    name = "powermgr"
    needs_bus = False

    def __init__(
        self,
        hosts: Mapping[str, MakePower],
        chassis: Mapping[str, MakePower],
        guard: Guard,
        prepare: Callable[[], None],
        cooling: Cooling | None = None,
    ) -> None:
        """Make the manager.

        Args:
            hosts: how to make the driver of each host.
            chassis: the same for each chassis that has wires of its own.
            guard: where momentary lines are handed over.
            prepare: brings up what the wires lead to (a simulated machine); may block for seconds.
            cooling: the thermal trip and what goes with it; None on a board without temperatures.
        """
        self._hosts_of = hosts
        self._chassis_of = chassis
        self._guard = guard
        self._prepare = prepare
        self._hosts: dict[str, Wire] = {}
        self._chassis: dict[str, Wire] = {}
        self._feed: Feed[WatchPowerResponse] = Feed()
        self._seen: dict[str, tuple[Sight, str]] = {}  # the last sight of each, and its mains epoch
        self._cooling = cooling
        self._latch: TripLatch | None = None

    async def setup(self) -> None:
        """Know what is latched off before anything can be driven."""
        if self._cooling is not None:
            trip, file = self._cooling.trip, self._cooling.latch
            self._latch = TripLatch(trip, file, self._hosts_of, lambda: self._hosts, self._show)
            self._latch.load()

    async def work(self) -> None:
        """Take the lines over from the guardian, then watch all wires."""
        await self._guard.hand_over()
        await asyncio.to_thread(self._prepare)
        self._hosts = self._wires(self._hosts_of)
        self._chassis = self._wires(self._chassis_of)
        async with asyncio.TaskGroup() as group:
            group.create_task(lasting(self._guard.beat_forever()))
            if self._latch is not None:
                group.create_task(lasting(self._latch.run()))
            for wire in (*self._hosts.values(), *self._chassis.values()):
                group.create_task(lasting(wire.run()))

    def _wires(self, makers: Mapping[str, MakePower]) -> dict[str, Wire]:
        return {name: Wire(name, make(self._keep), self._keep, self._told) for name, make in makers.items()}

    async def teardown(self) -> None:
        """The wires have been given back; the guardian may forget them. Nobody sees the power of the hosts now."""
        if self._cooling is not None:
            for name in self._hosts_of:
                self._cooling.readings.put_power(name, None)
        self._guard.leave()

    def _keep(self, release: Release) -> None:
        self._guard.keep(release.name, release.how.value, release.fd)

    def _show(self, name: str) -> None:
        """Tell the level again, because something else of this host changed."""
        last, mains = self._seen.get(name, (Sight(Level.UNKNOWN), ""))
        self._told(name, Sight(last.level, stage=last.stage), mains)

    def _told(self, name: str, sight: Sight, mains: str) -> None:
        self._seen[name] = (sight, mains)
        if self._cooling is not None and name in self._hosts_of:
            self._cooling.readings.put_power(name, _ON.get(sight.level))
        wire = self._hosts.get(name) or self._chassis.get(name)
        actions = wire.actions if wire is not None else frozenset()
        targets: frozenset[BootTarget | None] = wire.boot_targets if wire is not None else frozenset()
        firmwares: frozenset[BootFirmware | None] = wire.boot_firmwares if wire is not None else frozenset()
        self._feed.publish(
            name,
            WatchPowerResponse(
                name=name,
                level=LEVELS[sight.level],
                news=HostNewsKind.UNSPECIFIED if sight.news is None else NEWS.get(sight.news, HostNewsKind.UNSPECIFIED),
                identify_pressed=sight.news is News.IDENTIFY_PRESSED,
                mains_epoch=mains,
                actions=[asked for asked, action in ACTIONS.items() if action in actions],
                boot_targets=[asked for asked, target in BOOTS.items() if target in targets],
                tripped=self._latch.reason(name) if self._latch is not None else "",
                too_hot=self._latch.too_hot(name) if self._latch is not None else False,
                boot_firmwares=[asked for asked, firmware in FIRMWARES.items() if firmware in firmwares],
                boot_order=[_ASKED[target] for target in (wire.boot_order if wire is not None else ())],
                boot_progress=BootProgress.UNSPECIFIED if sight.stage is None else PROGRESS[sight.stage],
            ),
        )

    @rpc(PowerService.DriveHost)
    async def drive_host(self, request: DriveHostRequest) -> DriveHostResponse:
        """Drive the wires of a host."""
        if request.name not in self._hosts_of:
            raise NotFound(f"there are no wires of {request.name}")
        action = ACTIONS.get(request.action)
        if action is None:
            raise Invalid(f"{request.action} is nothing that wires can do")
        boot = _boot(request)
        wire = _wire(self._hosts, request.name)
        if self._latch is not None:
            await self._latch.allow(request.name, action, asked=request.asked)
        await wire.do(action, boot=boot)
        return DriveHostResponse()

    @rpc(PowerService.DriveChassis)
    async def drive_chassis(self, request: DriveChassisRequest) -> DriveChassisResponse:
        """Drive the supply of a chassis."""
        if request.name not in self._chassis_of:
            raise NotFound(f"{request.name} has no supply of its own")
        await _wire(self._chassis, request.name).do(Action.ON if request.on else Action.FORCE_OFF)
        return DriveChassisResponse()

    @stream(PowerService.WatchPower)
    async def watch_power(self, _request: WatchPowerRequest) -> AsyncIterator[WatchPowerResponse]:
        """Levels first (without old news), then all that is seen."""
        async for update in self._feed.watch():
            item = update.item
            if update.snapshot and (item.news or item.identify_pressed):
                yield WatchPowerResponse(
                    name=item.name,
                    level=item.level,
                    mains_epoch=item.mains_epoch,
                    actions=item.actions,
                    boot_targets=item.boot_targets,
                    tripped=item.tripped,
                    too_hot=item.too_hot,
                    boot_firmwares=item.boot_firmwares,
                    boot_order=item.boot_order,
                    boot_progress=item.boot_progress,
                )
            else:
                yield item
