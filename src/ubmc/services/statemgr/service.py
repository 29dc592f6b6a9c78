"""The service statemgr: the calls about hosts, chassis and the BMC, and the loops that keep them true.

Handlers are thin: what follows from what stands in the tables (`host.py`, `chassis.py`), how it is carried out in
`actor.py`, what is remembered and told in `managed_host.py` and `managed_chassis.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar

from ubmc.kit.database import Database
from ubmc.kit.errors import Busy, Invalid, UbmcError, Unavailable
from ubmc.kit.feed import Feed
from ubmc.kit.outgoing import check_url
from ubmc.kit.pages import find, page
from ubmc.kit.service import Service, lasting, on, rpc, stream
from ubmc.services.statemgr.actor import hardware
from ubmc.services.statemgr.bios import Registry
from ubmc.services.statemgr.bios_calls import BiosCalls, HostBios
from ubmc.services.statemgr.chassis import REQUESTS as CHASSIS_REQUESTS
from ubmc.services.statemgr.controller import Controller
from ubmc.services.statemgr.follow import WireFollower
from ubmc.services.statemgr.host import REQUESTS as HOST_REQUESTS
from ubmc.services.statemgr.managed_chassis import ChassisPorts, ManagedChassis
from ubmc.services.statemgr.managed_host import ManagedHost
from ubmc.services.statemgr.options import ChassisPlan, HostPlan, Options
from ubmc.services.statemgr.ports import HostPorts
from ubmc.services.statemgr.settings import BootChoice
from ubmc.services.statemgr.store import Store
from ubmc.v1alpha1 import chassis_pb as c
from ubmc.v1alpha1 import host_pb as h
from ubmc.v1alpha1 import management_controller_pb as m
from ubmc.v1alpha1.bios_pb import Bios, BiosChange
from ubmc.v1alpha1.chassis_rpc import ChassisService
from ubmc.v1alpha1.console_pb import ConsoleSighting
from ubmc.v1alpha1.host_rpc import HostService
from ubmc.v1alpha1.internal_pb import (
    DriveChassisRequest,
    DriveHostRequest,
    GetGuestInterfaceRequest,
    RestartServicesRequest,
    WatchPowerRequest,
    WatchPowerResponse,
    WireAction,
)
from ubmc.v1alpha1.internal_rpc import GuestService, OperatorService, PowerService
from ubmc.v1alpha1.management_controller_rpc import ManagementControllerService
from ubmc.v1alpha1.task_pb import TaskChange

log = logging.getLogger("ubmc.statemgr")

A = TypeVar("A")
R = TypeVar("R")

COUNT_SECONDS = 3600.0
"""Between writes of the time with power on; flash wears out."""
RETRY_SECONDS = 5.0
GUEST_SECONDS = 2.0
_STAGES = frozenset(h.BootProgress) - {h.BootProgress.UNSPECIFIED}
BOOT_SCHEMES = ("https", "http")


class StateManager(BiosCalls, Service):
    """The truth about hosts, chassis and the BMC."""

    name = "statemgr"
    calls = (
        PowerService.DriveHost,
        PowerService.DriveChassis,
        PowerService.WatchPower,
        OperatorService.RestartServices,
        GuestService.GetGuestInterface,
    )
    tells = (
        h.HostStateChange,
        h.HostPowerActionFailure,
        h.HostNews,
        c.ChassisStateChange,
        c.ChassisIdentifyChange,
        m.ManagementControllerRestart,
        TaskChange,
        BiosChange,
    )

    def __init__(
        self,
        hosts: Sequence[HostPlan],
        chassis: Sequence[ChassisPlan],
        database: Database,
        *,
        bmc: str = "bmc.0",
        fingerprint: str = "",
        options: Options | None = None,
        check_boot_uri: Callable[[str], object] | None = None,
    ) -> None:
        """Make the manager.

        Args:
            hosts: the hosts of the board.
            chassis: its chassis; each host is in one at most.
            database: the precious one, open.
            bmc: the name of the BMC.
            fingerprint: of the board file; with another one than before, what was desired is forgotten.
            options: how the owner wants it.
            check_boot_uri: raises a `UbmcError` for what no host shall load; may block for the name service.
        """
        self._host_plans = tuple(hosts)
        self._chassis_plans = tuple(chassis)
        self._store = Store(database)
        self._bmc_name = bmc
        self._fingerprint = fingerprint
        self._options = options or Options()
        self._hosts: dict[str, ManagedHost] = {}
        self._chassis: dict[str, ManagedChassis] = {}
        self._chassis_of: dict[str, ManagedChassis] = {}
        self._bmcs: dict[str, Controller] = {}
        self._host_feed: Feed[h.Host] = Feed()
        self._chassis_feed: Feed[c.Chassis] = Feed()
        self._bios: dict[str, HostBios] = {}
        self._bios_feed: Feed[Bios] = Feed()
        self._check_boot_uri = check_boot_uri or partial(check_url, schemes=BOOT_SCHEMES)
        self._changed: set[str] = set()
        self._something_changed = asyncio.Event()

    # --- life ---------------------------------------------------------------------------------------------------

    async def setup(self) -> None:
        """Remember. Nothing has been seen yet, so everything is unknown."""
        self._hosts, self._chassis, self._chassis_of, self._bios = {}, {}, {}, {}
        self._bmcs = {self._bmc_name: Controller(self._bmc_name)}
        await self._store.prepare()
        board_changed = await self._store.board_changed(self._fingerprint)
        self._hosts = {plan.name: await self._make_host(plan) for plan in self._host_plans}
        self._chassis = {plan.name: await self._make_chassis(plan) for plan in self._chassis_plans}
        self._chassis_of = {name: self._chassis[plan.name] for plan in self._chassis_plans for name in plan.hosts}
        for name in (*self._hosts, *self._chassis):
            self._publish(name)  # so that nobody who watches from the first moment on sees an empty house
        for name, bios in self._bios.items():
            self._bios_feed.publish(name, bios.message())
        if board_changed:
            what = "the board file changed: what was desired is forgotten, and nothing is done by itself"
            for host in self._hosts.values():
                host.tell_news(h.HostNewsKind.BOARD_CHANGED, what, hardware())

    async def _make_host(self, plan: HostPlan) -> ManagedHost:
        ports = HostPorts(
            drive=self._drive_host,
            keep=self._store.keep_host,
            tell=self.bus.tell,
            changed=self._mark,
            interlock=self._why_no_power,
            check_uri=self._check_uri,
            booted=self._apply_bios,
            guest_able=self._guest_able,
        )
        if plan.bios:
            self._bios[plan.name] = HostBios(plan.name, Registry(plan.bios), await self._store.bios(plan.name))
        return ManagedHost(plan, await self._store.host(plan.name), self._options, ports)

    async def _guest_able(self, name: str) -> float:
        """For how long a guest has been able to feed its watchdog; nobody who answers means that it cannot."""
        request = GetGuestInterfaceRequest(name=name)
        try:
            answer = await self.bus.ask(GuestService.GetGuestInterface, request, timeout=GUEST_SECONDS)
        except UbmcError as error:
            log.debug("the IPMI interface of %s cannot be asked about: %s", name, error.message)
            return 0.0
        return answer.able_seconds

    async def _check_uri(self, uri: str) -> None:
        """Judge what a host shall load. A name that only the host's own network knows is not ours to refuse."""
        try:
            await asyncio.to_thread(self._check_boot_uri, uri)
        except Unavailable as error:
            log.info("it is left to the host to find what it boots: %s", error.message)

    async def _make_chassis(self, plan: ChassisPlan) -> ManagedChassis:
        ports = ChassisPorts(self._drive_chassis, self._store.keep_identify, self.bus.tell, self._mark)
        identify = await self._store.identify(plan.name)
        hosts = [self._hosts[name] for name in plan.hosts]
        return ManagedChassis(plan, hosts, self._options, ports, identify=identify)

    async def work(self) -> None:
        """Follow the wires, publish and keep what changes, count the time with power on."""
        wired = [*self._hosts, *(name for name, chassis in self._chassis.items() if chassis.wired)]
        follower = WireFollower(
            wired,
            lambda: self.bus.watch(PowerService.WatchPower, WatchPowerRequest()),
            self._see,
            self._lose_sight,
            grace_seconds=self._options.grace_seconds,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(lasting(follower.run()))
            group.create_task(lasting(self._publish_forever()))
            group.create_task(lasting(self._count_forever()))

    async def teardown(self) -> None:
        """Let go of everything; the hardware stays as it is."""
        for chassis in self._chassis.values():
            await chassis.close()
        for host in self._hosts.values():
            await host.close()
        await self._keep_all()

    # --- what is seen -------------------------------------------------------------------------------------------

    async def _see(self, seen: WatchPowerResponse) -> None:
        if (host := self._hosts.get(seen.name)) is not None:
            await host.see(seen)
        elif (chassis := self._chassis.get(seen.name)) is not None:
            chassis.see(seen)
            for each in chassis.hosts:  # they may wait for its power to be restored
                each.restore_if_due()
        if seen.identify_pressed:
            await self._toggle_identify(self._chassis_of.get(seen.name) or self._chassis.get(seen.name))

    @on(ConsoleSighting)
    async def follow_console(self, seen: ConsoleSighting) -> None:
        """A boot has come further, as the console shows; of a host whose wires tell that, they are believed."""
        host = self._hosts.get(seen.name)
        if host is not None and seen.progress in _STAGES:
            host.read_console(seen.progress)

    async def _toggle_identify(self, chassis: ManagedChassis | None) -> None:
        if chassis is None:
            return
        try:
            await chassis.set_identify(not chassis.identify, h.Cause(kind="front-panel"))
        except UbmcError as error:
            log.warning("the identify button of %s has no effect: %s", chassis.name, error.message)

    def _lose_sight(self, name: str) -> None:
        component = self._hosts.get(name) or self._chassis.get(name)
        if component is not None:
            component.lose_sight()

    def _why_no_power(self, host: str) -> str:
        chassis = self._chassis_of.get(host)
        return chassis.why_no_power() if chassis is not None else ""

    # --- what is driven -----------------------------------------------------------------------------------------

    async def _drive_host(self, name: str, action: WireAction, boot: BootChoice, seconds: float, asked: bool) -> None:
        request = DriveHostRequest(
            name=name,
            action=action,
            boot_target=boot.target,
            asked=asked,
            boot_firmware=boot.firmware,
            http_uri=boot.http_uri,
        )
        await self.bus.ask(PowerService.DriveHost, request, timeout=seconds)

    async def _drive_chassis(self, name: str, on: bool, seconds: float) -> None:
        await self.bus.ask(PowerService.DriveChassis, DriveChassisRequest(name=name, on=on), timeout=seconds)

    # --- what changes -------------------------------------------------------------------------------------------

    def _mark(self, name: str) -> None:
        self._changed.add(name)
        self._something_changed.set()
        chassis = self._chassis_of.get(name)
        if chassis is not None:
            chassis.follow_hosts()

    async def _publish_forever(self) -> None:
        failing = False
        while True:
            await self._something_changed.wait()
            self._something_changed.clear()
            names, self._changed = self._changed, set()
            for name in sorted(names):
                self._publish(name)
            kept = await self._keep_all()
            if not kept:
                if not failing:
                    log.error("what changed cannot be stored; it is tried again")
                await asyncio.sleep(RETRY_SECONDS)
                self._something_changed.set()
            failing = not kept

    def _publish(self, name: str) -> None:
        if name in self._hosts:
            self._host_feed.publish(name, self._hosts[name].message())
        else:
            self._chassis_feed.publish(name, self._chassis[name].message())

    async def _keep_all(self) -> bool:
        try:
            for host in self._hosts.values():
                await host.keep()
            await self._keep_bios()
        except UbmcError as error:
            log.debug("not stored: %s", error.message)
            return False
        return True

    async def _count_forever(self) -> None:
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            for name, host in self._hosts.items():
                host.count_now()
                self._mark(name)

    def _asked(self) -> h.Cause:
        return self.bus.cause() or h.Cause(kind="user")

    # --- hosts --------------------------------------------------------------------------------------------------

    @rpc(HostService.ListHosts)
    async def list_hosts(self, request: h.ListHostsRequest) -> h.ListHostsResponse:
        """All hosts."""
        shown, token = page(self._hosts.values(), request.page_size, request.page_token, key=_name)
        return h.ListHostsResponse(hosts=[host.message() for host in shown], next_page_token=token)

    @rpc(HostService.GetHost)
    async def get_host(self, request: h.GetHostRequest) -> h.GetHostResponse:
        """One host."""
        return h.GetHostResponse(host=find(self._hosts, request.name).message())

    @stream(HostService.WatchHosts)
    async def watch_hosts(self, request: h.WatchHostsRequest) -> AsyncIterator[h.WatchHostsResponse]:
        """Every change of a host."""
        if request.name:
            find(self._hosts, request.name)
        async for update in self._host_feed.watch(request.cursor, request.name):
            host = update.item
            if host is self._host_feed.latest(host.name):
                host = self._hosts[host.name].as_now(host)
            yield h.WatchHostsResponse(
                host=host, cursor=update.cursor, snapshot=update.snapshot, complete=update.complete
            )

    @rpc(HostService.UpdateHost)
    async def update_host(self, request: h.UpdateHostRequest) -> h.UpdateHostResponse:
        """Change the settings of a host."""
        wanted = request.host or h.Host()
        host = find(self._hosts, wanted.name)
        await host.update(wanted, request.update_mask)
        return h.UpdateHostResponse(host=host.message())

    @rpc(HostService.ChangeHostPower)
    async def change_host_power(self, request: h.ChangeHostPowerRequest) -> h.ChangeHostPowerResponse:
        """Begin a power action."""
        host = find(self._hosts, request.name)
        if request.action is h.HostPowerAction.PUSH_POWER_BUTTON:
            task = host.push_button(self._asked())
        else:
            task = host.request(_known(HOST_REQUESTS, request.action), self._asked())
        return h.ChangeHostPowerResponse(host=host.message(), task=task)

    @rpc(HostService.FeedHostWatchdog)
    async def feed_host_watchdog(self, request: h.FeedHostWatchdogRequest) -> h.FeedHostWatchdogResponse:
        """Start the countdown of a host's watchdog anew."""
        host = find(self._hosts, request.name)
        host.feed_watchdog()
        return h.FeedHostWatchdogResponse(watchdog=host.watchdog())

    # --- chassis ------------------------------------------------------------------------------------------------

    @rpc(ChassisService.ListChassis)
    async def list_chassis(self, request: c.ListChassisRequest) -> c.ListChassisResponse:
        """All chassis."""
        shown, token = page(
            self._chassis.values(), request.page_size, request.page_token, key=lambda chassis: chassis.name
        )
        return c.ListChassisResponse(chassis=[chassis.message() for chassis in shown], next_page_token=token)

    @rpc(ChassisService.GetChassis)
    async def get_chassis(self, request: c.GetChassisRequest) -> c.GetChassisResponse:
        """One chassis."""
        return c.GetChassisResponse(chassis=find(self._chassis, request.name).message())

    @stream(ChassisService.WatchChassis)
    async def watch_chassis(self, request: c.WatchChassisRequest) -> AsyncIterator[c.WatchChassisResponse]:
        """Every change of a chassis."""
        if request.name:
            find(self._chassis, request.name)
        async for update in self._chassis_feed.watch(request.cursor, request.name):
            yield c.WatchChassisResponse(
                chassis=update.item, cursor=update.cursor, snapshot=update.snapshot, complete=update.complete
            )

    @rpc(ChassisService.ChangeChassisPower)
    async def change_chassis_power(self, request: c.ChangeChassisPowerRequest) -> c.ChangeChassisPowerResponse:
        """Begin a power action."""
        chassis = find(self._chassis, request.name)
        task = chassis.request(_known(CHASSIS_REQUESTS, request.action), self._asked())
        return c.ChangeChassisPowerResponse(chassis=chassis.message(), task=task)

    @rpc(ChassisService.SetChassisIdentify)
    async def set_chassis_identify(self, request: c.SetChassisIdentifyRequest) -> c.SetChassisIdentifyResponse:
        """Turn the identify light on or off."""
        chassis = find(self._chassis, request.name)
        await chassis.set_identify(request.identify, self._asked())
        return c.SetChassisIdentifyResponse(chassis=chassis.message())

    # --- the BMC ------------------------------------------------------------------------------------------------

    @rpc(ManagementControllerService.ListManagementControllers)
    async def list_controllers(
        self, request: m.ListManagementControllersRequest
    ) -> m.ListManagementControllersResponse:
        """All management controllers."""
        shown, token = page(self._bmcs.values(), request.page_size, request.page_token, key=_name)
        return m.ListManagementControllersResponse(
            management_controllers=[bmc.message() for bmc in shown], next_page_token=token
        )

    @rpc(ManagementControllerService.GetManagementController)
    async def get_controller(self, request: m.GetManagementControllerRequest) -> m.GetManagementControllerResponse:
        """One management controller."""
        return m.GetManagementControllerResponse(management_controller=find(self._bmcs, request.name).message())

    @rpc(ManagementControllerService.RestartManagementController)
    async def restart_controller(
        self, request: m.RestartManagementControllerRequest
    ) -> m.RestartManagementControllerResponse:
        """Have all services restarted; hosts keep their power."""
        bmc = find(self._bmcs, request.name)
        if bmc.restarting:
            raise Busy(f"{bmc.name} is restarting already")
        bmc.restarting = True
        try:
            await self.bus.ask(OperatorService.RestartServices, RestartServicesRequest())
        except UbmcError:
            bmc.restarting = False
            raise
        self.bus.tell(bmc.name, m.ManagementControllerRestart(name=bmc.name))
        return m.RestartManagementControllerResponse(management_controller=bmc.message())


def _known(requests: Mapping[A, R], action: A) -> R:
    if action not in requests:
        raise Invalid(f"action {action} is not known; there is {', '.join(str(known) for known in requests)}")
    return requests[action]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def _name(item: _Named) -> str:
    return item.name
