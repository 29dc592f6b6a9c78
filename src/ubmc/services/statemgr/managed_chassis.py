"""One chassis: its table in motion, its identify light, and how it hangs together with the hosts in it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ubmc.kit.errors import Refused, UbmcError, Unavailable
from ubmc.services.statemgr import restore
from ubmc.services.statemgr.actor import Actor, Taken, Tell
from ubmc.services.statemgr.chassis import CHASSIS, GUARDED, STATES, ChassisPhase, ChassisRequest
from ubmc.services.statemgr.host import STATES as HOST_STATES
from ubmc.services.statemgr.host import HostPhase, HostRequest
from ubmc.services.statemgr.managed_host import ManagedHost
from ubmc.services.statemgr.options import ChassisPlan, Options
from ubmc.services.statemgr.table import LEVEL_FACTS, Effect, Verdict
from ubmc.v1alpha1.chassis_pb import Chassis, ChassisIdentifyChange, ChassisState, ChassisStateChange
from ubmc.v1alpha1.host_pb import Cause, HostState
from ubmc.v1alpha1.internal_pb import PowerLevel, WatchPowerResponse
from ubmc.v1alpha1.task_pb import Task

log = logging.getLogger("ubmc.statemgr")

_COMING_UP = frozenset({HostState.ON, HostState.POWERING_ON, HostState.RESTARTING})
"""Of a host that is on, or will be without another word."""


@dataclass(frozen=True, slots=True)
class ChassisPorts:
    """What a chassis needs of the world."""

    drive: Callable[[str, bool, float], Awaitable[None]]
    """Switches the supply of a chassis on or off within some seconds; raises a `UbmcError`."""
    keep_identify: Callable[[str, bool], Awaitable[None]]
    """Remembers on disk whether the identify light is on; raises `Unavailable`."""
    tell: Tell
    changed: Callable[[str], None]
    """The chassis of this name is to be published soon."""


class ManagedChassis:
    """A chassis in the hands of statemgr. Everything runs on one event loop."""

    def __init__(
        self, plan: ChassisPlan, hosts: Sequence[ManagedHost], options: Options, ports: ChassisPorts, *, identify: bool
    ) -> None:
        """Make it; nothing has been seen yet.

        Args:
            plan: what it is.
            hosts: those in it.
            options: how the owner wants it.
            ports: what it needs of the world.
            identify: whether its light is on, as remembered.
        """
        self.name = plan.name
        self.identify = identify
        self.wired = plan.wired
        self.hosts = tuple(hosts)
        self._to_power_on = self.hosts
        self._ports = ports
        drive = self._drive_supply if plan.wired else self._drive_hosts
        self._actor = Actor(plan.name, CHASSIS, options.patience, drive=drive, tell=ports.tell, taken=self._follow_step)
        self._since = self._actor.since

    # --- what is shown ------------------------------------------------------------------------------------------

    @property
    def phase(self) -> ChassisPhase:
        """Where it is."""
        return self._actor.phase

    @property
    def state(self) -> ChassisState:
        """The state that is shown."""
        return STATES[self._actor.phase]

    def message(self) -> Chassis:
        """The chassis as it is now."""
        return Chassis(
            name=self.name,
            state=self.state,
            state_time=self._since,
            hosts=[host.name for host in self.hosts],
            identify=self.identify,
        )

    def why_no_power(self) -> str:
        """Why a host in it cannot be powered on now; empty if it can, or if nobody knows."""
        if not self.wired or self.phase in {ChassisPhase.ON, ChassisPhase.UNKNOWN}:
            return ""
        if self.phase is ChassisPhase.OFF:
            return f"{self.name} is off: power it on first"
        return f"{self.name} is {self.phase.value}: wait until it is on"

    # --- what is wanted -----------------------------------------------------------------------------------------

    def request(self, request: ChassisRequest, cause: Cause) -> Task | None:
        """Begin what is requested; the task that tells how it ends.

        Raises:
            Refused: the state does not allow it, or a host in it may run.
            Busy: something else is under way.
        """
        running = [host for host in self.hosts if host.phase is not HostPhase.OFF]
        if request in GUARDED and self.phase is ChassisPhase.ON and running:
            what = ", ".join(f"{host.name} is {host.phase.value}" for host in running)
            raise Refused(f"{what}: shut down first, or use {GUARDED[request]}, which cuts the power of a running host")
        return self._actor.request(request, cause)

    async def set_identify(self, identify: bool, cause: Cause | None) -> None:
        """Turn the identify light on or off; remembered on disk when this returns. Raises `Unavailable`."""
        if identify == self.identify:
            return
        await self._ports.keep_identify(self.name, identify)
        self.identify = identify
        self._ports.tell(self.name, ChassisIdentifyChange(name=self.name, identify=identify), cause=cause)
        self._ports.changed(self.name)

    # --- what is seen -------------------------------------------------------------------------------------------

    def see(self, seen: WatchPowerResponse) -> None:
        """What the wires of its supply show."""
        level = seen.level if seen.level in LEVEL_FACTS else PowerLevel.UNKNOWN
        mains_away = seen.mains_epoch.endswith(restore.AWAY_MARK)
        self._actor.see(level, mains_away=mains_away)

    def lose_sight(self) -> None:
        """Nobody sees its wires any more."""
        self._actor.see(PowerLevel.UNKNOWN)

    def follow_hosts(self) -> None:
        """A host changed: a chassis without a supply of its own is as its hosts are."""
        if self.wired:
            return
        levels = {host.level for host in self.hosts}
        level = PowerLevel.ON if PowerLevel.ON in levels else levels.pop() if len(levels) == 1 else PowerLevel.UNKNOWN
        if level is not self._actor.level:
            self._actor.see(level)

    # --- steps --------------------------------------------------------------------------------------------------

    def _follow_step(self, taken: Taken[ChassisPhase, ChassisRequest]) -> None:
        if taken.after is ChassisPhase.CYCLING_DOWN:
            self._to_power_on = tuple(host for host in self.hosts if _is_on(host))
        elif taken.after is ChassisPhase.POWERING_ON:
            self._to_power_on = self.hosts
        before, after = STATES[taken.before], STATES[taken.after]
        if before is not after:
            self._since = self._actor.since
            change = ChassisStateChange(name=self.name, previous=before, current=after)
            self._ports.tell(self.name, change, cause=taken.cause)
        if taken.verdict is Verdict.FAILED:
            log.warning("%s: a power action failed: %s", self.name, taken.advice)
        self._ports.changed(self.name)

    async def _drive_supply(self, effect: Effect, _cause: Cause, seconds: float) -> None:
        await self._ports.drive(self.name, effect is Effect.DRIVE_ON, seconds)

    async def _drive_hosts(self, effect: Effect, cause: Cause, _seconds: float) -> None:
        """Have every host do it that has not done it yet; one that cannot does not keep the others from it."""
        if effect is Effect.DRIVE_ON:
            request, hosts = HostRequest.ON, [host for host in self._to_power_on if not _comes_up(host)]
        else:
            request, hosts = HostRequest.FORCE_OFF, [host for host in self.hosts if host.phase is not HostPhase.OFF]
        failures = []
        for host in hosts:
            try:
                host.request(request, cause)
            except UbmcError as error:
                failures.append(error.message)
        if failures:
            raise Unavailable("; ".join(failures))

    async def close(self) -> None:
        """Stop everything of ours; the hardware is left as it is."""
        await self._actor.close()


def _is_on(host: ManagedHost) -> bool:
    return host.level is PowerLevel.ON or _comes_up(host)


def _comes_up(host: ManagedHost) -> bool:
    return HOST_STATES[host.phase] in _COMING_UP
