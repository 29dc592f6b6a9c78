"""One host: its table in motion, and everything that is remembered and told about it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from protobuf.wkt import Duration, FieldMask

from ubmc.kit.errors import Refused, UbmcError
from ubmc.services.statemgr import restore
from ubmc.services.statemgr.actor import Actor, Taken, Tell, hardware
from ubmc.services.statemgr.countdown import Countdown
from ubmc.services.statemgr.host import (
    ACTIONS,
    DOWNWARDS,
    HOST,
    NEED_SUPPLY,
    NEEDS,
    ON_EXPIRY,
    ON_PRESS,
    REQUESTS,
    STATES,
    UPWARDS,
    WIRES,
    HostPhase,
    HostRequest,
)
from ubmc.services.statemgr.interruption import Interruption, advice
from ubmc.services.statemgr.news import NEWS
from ubmc.services.statemgr.options import HostPlan, Options
from ubmc.services.statemgr.restore import Mains
from ubmc.services.statemgr.settings import WATCHDOG, Settings, changed, paths
from ubmc.services.statemgr.store import HostMemory
from ubmc.services.statemgr.table import LEVEL_FACTS, Effect, Fact, Verdict
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.host_pb import (
    BootOverride,
    BootProgress,
    BootTarget,
    Cause,
    Host,
    HostNews,
    HostNewsKind,
    HostPowerActionFailure,
    HostState,
    HostStateChange,
    HostWatchdog,
    RestorePolicy,
)
from ubmc.v1alpha1.internal_pb import PowerLevel, WatchPowerResponse, WireAction
from ubmc.v1alpha1.task_pb import Task

log = logging.getLogger("ubmc.statemgr")

PEOPLE = frozenset({"user", "front-panel"})
"""Causes that are a person; only a person powers on what the thermal trip has cut."""


@dataclass(frozen=True, slots=True)
class HostPorts:
    """What a host needs of the world."""

    drive: Callable[[str, WireAction, BootTarget, float, bool], Awaitable[None]]
    """Drives the wires of a host within some seconds, and whether a person asked; raises a `UbmcError`."""
    keep: Callable[[str, HostMemory], Awaitable[None]]
    """Remembers a host on disk; raises `Unavailable`."""
    tell: Tell
    changed: Callable[[str], None]
    """The host of this name is to be published, and its memory kept, soon."""
    interlock: Callable[[str], str]
    """Why a host cannot be powered on now; empty if it can."""


class ManagedHost:
    """A host in the hands of statemgr. Everything runs on one event loop."""

    def __init__(self, plan: HostPlan, memory: HostMemory, options: Options, ports: HostPorts) -> None:
        """Make it from what is remembered; nothing has been seen yet. A watchdog that ran starts anew."""
        self.name = plan.name
        self.memory = memory
        self._kept = memory
        self._plan = plan
        self._options = options
        self._ports = ports
        self._loop = asyncio.get_running_loop()
        self._wires: tuple[WireAction, ...] = ()
        self._targets: tuple[BootTarget, ...] = ()
        self._boots_from = BootTarget.UNSPECIFIED
        self._tripped = ""
        self._too_hot = False
        self._on_since: float | None = None
        self._mains = Mains.UNPROVEN
        self._restoring = Countdown(self._give_up_restoring)
        self._not_restored = ""
        self._watchdog = Countdown(self._watchdog_expired)
        self._actor = Actor(
            plan.name, HOST, options.patience, drive=self._drive, tell=ports.tell, taken=self._follow_step
        )
        self._since = self._actor.since
        self._interruption = Interruption(memory.pending, options.patience["soft_off"], self._tell_interruption)
        if memory.settings.watchdog_running:
            self._watchdog.start(memory.settings.watchdog_seconds)

    # --- what is shown ------------------------------------------------------------------------------------------

    @property
    def phase(self) -> HostPhase:
        """Where it is."""
        return self._actor.phase

    @property
    def level(self) -> PowerLevel:
        """What power-good says."""
        return self._actor.level

    @property
    def state(self) -> HostState:
        """The state that is shown."""
        return STATES[self._actor.phase]

    def message(self) -> Host:
        """The host as it is now."""
        settings = self.memory.settings
        return Host(
            name=self.name,
            state=self.state,
            state_time=self._since,
            state_cause=self._actor.cause,
            power_actions=[action for action, request in REQUESTS.items() if self._can(request)],
            restore_policy=settings.restore_policy,
            boot_override=BootOverride(mode=settings.boot_mode, target=settings.boot_target),
            watchdog=self.watchdog(),
            boot_progress=BootProgress.NONE if self.level is PowerLevel.OFF else BootProgress.UNSPECIFIED,
            power_on_time=Duration.from_seconds(self._power_on_seconds()),
            boot_targets=list(self._targets),
            trip_reason=self._tripped,
        )

    def watchdog(self) -> HostWatchdog:
        """Its watchdog as it is now."""
        settings = self.memory.settings
        remaining = self._watchdog.remaining_seconds
        return HostWatchdog(
            running=settings.watchdog_running,
            timeout=Duration.from_seconds(settings.watchdog_seconds) if settings.watchdog_seconds else None,
            action=settings.watchdog_action,
            remaining=None if remaining is None else Duration.from_seconds(remaining),
        )

    # --- what is wanted -----------------------------------------------------------------------------------------

    def request(self, request: HostRequest, cause: Cause) -> Task | None:
        """Begin what is requested, whoever wants it; the task that tells how it ends (none for NMI).

        Raises:
            Refused: the state, the wires, or the chassis do not allow it.
            Busy: something else is under way.
        """
        if self._wires and not self._can(request):
            can = ", ".join(other.value for other in HostRequest if other in REQUESTS.values() and self._can(other))
            raise Refused(f"the wires of {self.name} cannot do {request.value}; they can do {can}")
        if request in UPWARDS:
            self._refuse_if_tripped(cause)
        if request in NEED_SUPPLY and self._actor.stable and (reason := self._ports.interlock(self.name)):
            raise Refused(reason)
        task = self._actor.request(request, cause)
        if request in UPWARDS | DOWNWARDS:
            self._restoring.stop()
            self._interruption.end()
            self._remember(desired=request in UPWARDS)
            self._remember_pending()
        return task

    def _refuse_if_tripped(self, cause: Cause) -> None:
        if self._tripped and cause.kind not in PEOPLE:
            raise Refused(f"the thermal trip latched {self.name} off ({self._tripped}): only a person may power it on")
        if self._tripped and self._too_hot:
            raise Refused(
                f"{self.name} is still too hot ({self._tripped}): wait until it is below warning, then try again"
            )

    def _can(self, request: HostRequest) -> bool:
        return NEEDS[request].issubset(self._wires)

    async def update(self, host: Host, mask: FieldMask | None) -> None:
        """Change settings; they are on disk when this returns.

        Raises:
            Invalid: the values or the mask are wrong.
            Refused: the state or the wires do not allow it.
            Unavailable: they cannot be stored; nothing has changed then.
        """
        wanted = paths(host, mask)
        before = self.memory.settings
        settings = changed(before, host, wanted, self._targets)
        if WATCHDOG in wanted and settings.watchdog_running and self.level is not PowerLevel.ON:
            raise Refused(f"{self.name} is {self.phase.value}: its watchdog can be started once it is on")
        self._remember(settings=settings)
        try:
            await self.keep()
        except UbmcError:
            self._remember(settings=before)
            raise
        if WATCHDOG in wanted:
            self._watchdog.stop()
            if settings.watchdog_running:
                self._watchdog.start(settings.watchdog_seconds)

    def feed_watchdog(self) -> None:
        """Start the countdown anew. Raises `Refused` if it does not run."""
        if not self._watchdog.running:
            raise Refused(f"the watchdog of {self.name} is not running; start it by updating `watchdog`")
        self._watchdog.start(self.memory.settings.watchdog_seconds)

    # --- what is seen -------------------------------------------------------------------------------------------

    async def see(self, seen: WatchPowerResponse) -> None:
        """What the wires show: capabilities, mains, level, news; in this order, as each needs those before."""
        self._wires = tuple(seen.actions) or self._wires
        self._targets = tuple(seen.boot_targets) or self._targets
        self._mains, epoch = restore.compare(self.memory.mains_epoch, seen.mains_epoch)
        self._remember(epoch=epoch)
        self._tripped, self._too_hot = seen.tripped, seen.too_hot
        cause = Cause(kind="guest") if seen.news is HostNewsKind.GUEST_SHUTDOWN else hardware()
        if seen.tripped:
            cause = Cause(kind="thermal-trip")
        level = seen.level if seen.level in LEVEL_FACTS else PowerLevel.UNKNOWN
        self._actor.see(level, mains_away=self._mains is Mains.AWAY, cause=cause)
        self._settle()
        self._hear(seen.news)
        if self._mains is Mains.BACK and await self._kept_on_disk():
            self._restoring.start(self._options.restore_seconds)
        self.restore_if_due()
        if self._actor.stable:
            self._interruption.see(self.level)
            self._remember_pending()

    def lose_sight(self) -> None:
        """Nobody sees the wires any more."""
        self._actor.see(PowerLevel.UNKNOWN)
        self._settle()

    def _hear(self, kind: HostNewsKind) -> None:
        if kind is HostNewsKind.WATCHDOG_EXPIRED:
            self._watchdog_expired()
        elif kind in NEWS:
            what, severity, by = NEWS[kind]
            self.tell_news(kind, what, Cause(kind=by), severity)
            if kind is HostNewsKind.BUTTON_PRESSED and not self._plan.front_wired and self.phase in ON_PRESS:
                self._act(ON_PRESS[self.phase], Cause(kind=by))

    def _watchdog_expired(self) -> None:
        cause = Cause(kind="watchdog")
        settings = self.memory.settings
        self._stop_watchdog()
        request = ON_EXPIRY.get(settings.watchdog_action)
        text = f"; {request.value} follows" if request is not None else ""
        kind = HostNewsKind.WATCHDOG_EXPIRED
        self.tell_news(kind, f"the watchdog of the host expired{text}", cause, Severity.WARNING)
        if request is not None:
            self._act(request, cause)

    def _act(self, request: HostRequest, cause: Cause) -> None:
        """Request something that no person waits for. What the table refuses is no error then."""
        if self.phase is HostPhase.UNKNOWN:
            log.warning("%s: no automatic %s, as its power cannot be read", self.name, request.value)
            return
        try:
            self.request(request, cause)
        except UbmcError as error:
            log.info("%s: no %s by %s: %s", self.name, request.value, cause.kind, error.message)

    # --- mains --------------------------------------------------------------------------------------------------

    def restore_if_due(self) -> None:
        """Carry out the restore policy, if mains came back and the host can be judged; else it is tried again."""
        if not self._restoring.running:
            return
        if self.level is PowerLevel.UNKNOWN or not self._actor.stable:
            self._not_restored = f"it is {self.phase.value}"
        elif self.level is PowerLevel.ON:
            self._restored("it is on already")
        elif not restore.wants_power(self._policy, self.memory.desired):
            self._restored("it stays off")
        else:
            try:
                self.request(HostRequest.ON, Cause(kind="restore-policy"))
            except UbmcError as error:
                self._not_restored = error.message
            else:
                self._restored("it is powered on")

    @property
    def _policy(self) -> RestorePolicy:
        return self.memory.settings.restore_policy or self._options.restore_policy

    def _restored(self, how: str, severity: Severity = Severity.UNSPECIFIED) -> None:
        self._restoring.stop()
        self._interruption.end()
        policy = self._policy.name.lower().replace("_", "-")
        what = f"mains came back and the policy is {policy}: {how}"
        self.tell_news(HostNewsKind.POWER_RESTORED, what, Cause(kind="restore-policy"), severity)
        self._settle()

    def _give_up_restoring(self) -> None:
        self._restored(f"it could not be powered on: {self._not_restored}", Severity.WARNING)

    # --- steps --------------------------------------------------------------------------------------------------

    def _follow_step(self, taken: Taken[HostPhase, HostRequest]) -> None:
        before, after = STATES[taken.before], STATES[taken.after]
        if before is not after:
            self._since = self._actor.since
            change = HostStateChange(name=self.name, previous=before, current=after)
            self._ports.tell(self.name, change, cause=taken.cause)
        if taken.event in {Fact.TIMEOUT, Fact.DRIVE_FAILED} and taken.action is not None:
            self._tell_failure(taken.action.request, taken.waited_seconds, taken.advice, taken.cause)
        if taken.verdict is Verdict.COMPLETED and taken.after is HostPhase.ON:
            self._remember(settings=self.memory.settings.booted(self._boots_from))
        self._settle()

    def _settle(self) -> None:
        """Let everything that follows from level and phase be so."""
        self._count_power_on()
        if self.level is PowerLevel.OFF:
            self._stop_watchdog()
        self._remember_pending()
        if self._actor.stable and self._interruption.pending is None:
            desired = restore.believe(self.memory.desired, self.level, self._mains, restoring=self._restoring.running)
            self._remember(desired=desired)
        self._ports.changed(self.name)

    def _remember_pending(self) -> None:
        reboot = HostRequest.REBOOT if self._actor.running is HostRequest.REBOOT else self._interruption.pending
        if reboot is not self.memory.pending:
            self.memory = replace(self.memory, pending=reboot)
            self._ports.changed(self.name)

    def _tell_interruption(self, seconds: float) -> None:
        self._tell_failure(HostRequest.REBOOT, seconds, advice(self.phase.value, self.level), hardware())
        self._settle()

    def _stop_watchdog(self) -> None:
        self._watchdog.stop()
        self._remember(settings=replace(self.memory.settings, watchdog_running=False))

    def _tell_failure(self, request: HostRequest, seconds: float, advice: str, cause: Cause) -> None:
        failure = HostPowerActionFailure(
            name=self.name,
            action=ACTIONS[request],
            patience_seconds=round(seconds, 1),
            current=self.state,
            advice=advice,
        )
        self._ports.tell(self.name, failure, cause=cause)

    def tell_news(self, kind: HostNewsKind, what: str, cause: Cause, severity: Severity = Severity.UNSPECIFIED) -> None:
        """Tell what happened besides a change of state."""
        self._ports.tell(self.name, HostNews(name=self.name, kind=kind, what=what), severity=severity, cause=cause)

    async def _drive(self, effect: Effect, cause: Cause, seconds: float) -> None:
        boots = effect in {Effect.DRIVE_ON, Effect.RESET}
        target = self.memory.settings.boot_target if boots else BootTarget.UNSPECIFIED
        if boots:
            self._boots_from = target
        began = self._loop.time()
        try:
            # What follows by itself in the middle of a reboot or a cycle, nobody asked for since a trip.
            asked = cause.kind in PEOPLE and self._actor.running is HostRequest.ON
            await self._ports.drive(self.name, WIRES[effect], target, seconds, asked)
        except UbmcError as error:
            if effect is Effect.NMI:  # it has no task that could tell
                self._tell_failure(HostRequest.NMI, self._loop.time() - began, error.message, cause)
            raise
        if effect is Effect.NMI:
            self.tell_news(HostNewsKind.NMI_SENT, "a diagnostic interrupt was sent", cause)

    # --- memory -------------------------------------------------------------------------------------------------

    def _remember(
        self,
        *,
        desired: bool | None = None,
        epoch: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Change what is remembered; what is not given stays."""
        memory = self.memory
        self.memory = replace(
            memory,
            desired=memory.desired if desired is None else desired,
            mains_epoch=memory.mains_epoch if epoch is None else epoch,
            settings=settings or memory.settings,
        )
        if self.memory != memory:
            self._ports.changed(self.name)

    def _power_on_seconds(self) -> float:
        running = 0.0 if self._on_since is None else self._loop.time() - self._on_since
        return self.memory.power_on_seconds + running

    def _count_power_on(self) -> None:
        is_on = self.level is PowerLevel.ON
        if is_on == (self._on_since is not None):
            return
        self.count_now()
        self._on_since = self._loop.time() if is_on else None

    def count_now(self) -> None:
        """Bring the time with power on into memory. Flash wears out, so this is done at transitions and seldom else."""
        self.memory = replace(self.memory, power_on_seconds=self._power_on_seconds())
        if self._on_since is not None:
            self._on_since = self._loop.time()

    async def keep(self) -> None:
        """Write what changed; it is on disk when this returns. Raises `Unavailable`."""
        memory = self.memory
        if memory != self._kept:
            await self._ports.keep(self.name, memory)
            self._kept = memory

    async def _kept_on_disk(self) -> bool:
        try:
            await self.keep()
        except UbmcError as error:
            log.error("%s: the loss of mains cannot be stored, so nothing is restored: %s", self.name, error.message)
            return False
        return True

    async def close(self) -> None:
        """Stop everything of ours; the hardware is left as it is."""
        self._watchdog.stop()
        self._restoring.stop()
        self._interruption.stop()
        await self._actor.close()
        self.count_now()
        self._on_since = None
