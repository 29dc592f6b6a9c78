"""One host: its table in motion, and everything that is remembered and told about it."""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from dataclasses import replace

from protobuf.wkt import Duration, FieldMask, Timestamp

from ubmc.kit import call as calls
from ubmc.kit.errors import Refused, UbmcError
from ubmc.services.statemgr import failure, restore, since
from ubmc.services.statemgr.actor import Actor, Taken, hardware
from ubmc.services.statemgr.countdown import Countdown
from ubmc.services.statemgr.host import (
    ACTIONS,
    DOWNWARDS,
    HOST,
    NEED_SUPPLY,
    ON_EXPIRY,
    ON_PRESS,
    REST,
    STATES,
    TWO_HALVES,
    UPWARDS,
    WIRES,
    HostPhase,
    HostRequest,
)
from ubmc.services.statemgr.hours import PowerClock
from ubmc.services.statemgr.interruption import Interruption, advice
from ubmc.services.statemgr.news import NEWS
from ubmc.services.statemgr.options import HostPlan, Options
from ubmc.services.statemgr.ports import HostPorts
from ubmc.services.statemgr.restart import cause_of
from ubmc.services.statemgr.restore import Mains
from ubmc.services.statemgr.settings import (
    BOOT_OVERRIDE,
    WATCHDOG,
    BootChoice,
    Settings,
    changed,
    paths,
    touches,
)
from ubmc.services.statemgr.sight import Sight
from ubmc.services.statemgr.store import HostMemory
from ubmc.services.statemgr.table import LEVEL_FACTS, Effect, Fact, Verdict
from ubmc.services.statemgr.watchdog import Watchdog
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.host_pb import (
    BootProgress,
    Cause,
    Host,
    HostNews,
    HostNewsKind,
    HostPowerActionFailure,
    HostPowerFailure,
    HostState,
    HostStateChange,
    HostWatchdog,
    RestartCause,
    RestorePolicy,
)
from ubmc.v1alpha1.internal_pb import PowerLevel, WatchPowerResponse
from ubmc.v1alpha1.task_pb import Task

log = logging.getLogger("ubmc.statemgr")

PEOPLE = frozenset({"user", "front-panel"})
"""Causes that are a person; only a person powers on what the thermal trip has cut."""
FEEDING_SECONDS = 5.0
"""Watchers are told that a guest feeds its watchdog at most so often."""
PRESS_SECONDS = 30.0
"""A host that is wired to the button on its front, and comes up so soon after a press, does so because of it."""


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
        self._sight = Sight()
        self._boots = BootChoice()
        self._pressed_at: float | None = None
        self._hours = PowerClock(memory.power_on_seconds)
        self._mains = Mains.UNPROVEN
        self._restoring = Countdown(self._give_up_restoring)
        self._not_restored = ""
        self._watchdog = Watchdog(
            self._watchdog_warns, self._watchdog_expired, lambda: ports.guest_able(plan.name), self._watchdog_waits
        )
        self._unheard = False
        self._told_feeding = 0.0
        patience = dict(options.patience)
        if plan.rest_seconds is not None:
            patience[REST] = plan.rest_seconds
        self._actor = Actor(plan.name, HOST, patience, drive=self._drive, tell=ports.tell, taken=self._follow_step)
        self._since = self._actor.since
        self._interruption = Interruption(memory.pending, options.patience["soft_off"], self._tell_interruption)
        if memory.settings.watchdog.running:
            self._watchdog.start(memory.settings.watchdog)

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
            power_actions=self._sight.power_actions(),
            restore_policy=settings.restore_policy,
            boot_override=settings.override(),
            watchdog=self.watchdog(),
            boot_progress=self._sight.progress(self.level),
            power_on_time=Duration.from_seconds(self._hours.seconds),
            boot_targets=list(self._sight.abilities.targets),
            trip_reason=self._sight.tripped,
            boot_firmwares=list(self._sight.abilities.firmwares),
            restart_cause=self.memory.restart_cause,
            restart_time=_timestamp(self.memory.restart_time_us) if self.memory.restart_time_us else None,
            boot_order=list(self._sight.boot_order),
            effective_restore_policy=self._policy,
            power_failure=self.memory.power_failure,
        )

    def as_now(self, told: Host) -> Host:
        """What was told of it, with the times that go on as they are now: it may be read long after."""
        host = copy.copy(told)
        host.power_on_time = Duration.from_seconds(self._hours.seconds)
        host.watchdog = self.watchdog()
        return host

    def watchdog(self) -> HostWatchdog:
        """Its watchdog as it is now."""
        return self.memory.settings.watchdog.message(self._watchdog.remaining_seconds)

    # --- what is wanted -----------------------------------------------------------------------------------------

    def request(self, request: HostRequest, cause: Cause) -> Task | None:
        """Begin what is requested, whoever wants it; the task that tells how it ends (none for NMI).

        Raises:
            Refused: the state, the wires, or the chassis do not allow it.
            Busy: something else is under way.
        """
        if why_not := self._sight.why_not(self.name, request):
            raise Refused(why_not)
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

    def push_button(self, cause: Cause) -> Task | None:
        """Do what a short press of the power button does: on when off, a shutdown when on. Raises as `request`."""
        return self.request(ON_PRESS.get(self.phase, HostRequest.ON), cause)

    def _refuse_if_tripped(self, cause: Cause) -> None:
        tripped = self._sight.tripped
        if tripped and cause.kind not in PEOPLE:
            raise Refused(f"the thermal trip latched {self.name} off ({tripped}): only a person may power it on")
        if tripped and self._sight.too_hot:
            raise Refused(f"{self.name} is still too hot ({tripped}): wait until it is below warning, then try again")

    async def update(self, host: Host, mask: FieldMask | None) -> None:
        """Change settings; they are on disk when this returns.

        Raises:
            Invalid: the values or the mask are wrong.
            Refused: the state or the wires do not allow it.
            Unavailable: they cannot be stored; nothing has changed then.
        """
        wanted = paths(host, mask)
        if touches(wanted, BOOT_OVERRIDE) and host.boot_override is not None and host.boot_override.http_uri:
            await self._ports.check_uri(host.boot_override.http_uri)
        before = self.memory.settings
        settings = changed(before, host, wanted, self._sight.abilities, self._sight.wires)
        starts = touches(wanted, WATCHDOG) and settings.watchdog.running
        if starts and self.level is not PowerLevel.ON:
            raise Refused(f"{self.name} is {self.phase.value}: its watchdog can be started once it is on")
        if starts:
            settings = replace(settings, watchdog=replace(settings.watchdog, guest=_by_guest()))
        self._remember(settings=settings)
        try:
            await self.keep()
        except UbmcError:
            self._remember(settings=before)
            raise
        if starts:
            self._unheard = False
            self._watchdog.start(settings.watchdog)
            self._tell_feeding()
        elif touches(wanted, WATCHDOG):
            self._watchdog.stop()

    def feed_watchdog(self) -> None:
        """Start the countdown anew. One that the guest has fed is the guest's from then on, whoever started it.

        Raises:
            Refused: it does not run.
        """
        if not self._watchdog.running:
            raise Refused(f"the watchdog of {self.name} is not running; start it by updating `watchdog`")
        settings = self.memory.settings
        if _by_guest() and not settings.watchdog.guest:
            self._remember(settings=replace(settings, watchdog=replace(settings.watchdog, guest=True)))
        self._unheard = False
        self._watchdog.start(self.memory.settings.watchdog)
        self._tell_feeding()

    def _tell_feeding(self) -> None:
        """Tell watchers that the countdown began anew; of a guest that feeds all the time only now and then."""
        now = self._loop.time()
        if not _by_guest() or now - self._told_feeding >= FEEDING_SECONDS:
            self._told_feeding = now
            self._ports.changed(self.name)

    # --- what is seen -------------------------------------------------------------------------------------------

    async def see(self, seen: WatchPowerResponse) -> None:
        """What the wires show: capabilities, mains, level, news; in this order, as each needs those before."""
        self._sight.learn(seen)
        self._mains, epoch = restore.compare(self.memory.mains_epoch, seen.mains_epoch)
        self._remember(epoch=epoch)
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

    def read_console(self, progress: BootProgress) -> None:
        """The console shows how far the boot has come. A host writes what it likes: that sets the stage, no more."""
        if self.phase is not HostPhase.OFF and self._sight.read_console(progress):
            self._ports.changed(self.name)

    def _hear(self, kind: HostNewsKind) -> None:
        if kind is HostNewsKind.WATCHDOG_EXPIRED:
            self._watchdog_expired()
        elif kind in NEWS:
            what, severity, by = NEWS[kind]
            self.tell_news(kind, what, Cause(kind=by), severity)
            if kind is HostNewsKind.GUEST_RESET:
                self._sight.begin_boot()
                self._restarted(RestartCause.SOFT_RESET)
            if kind is HostNewsKind.BUTTON_PRESSED:
                self._pressed_at = self._loop.time()
            if kind is HostNewsKind.BUTTON_PRESSED and not self._plan.front_wired and self.phase in ON_PRESS:
                self._act(ON_PRESS[self.phase], Cause(kind=by))

    def _watchdog_warns(self) -> None:
        self._act(HostRequest.NMI, Cause(kind="watchdog"))

    def _watchdog_waits(self) -> None:
        if not self._unheard:
            log.warning("%s: its watchdog waits, as its IPMI interface was away and nobody could feed it", self.name)
        self._unheard = True

    def _watchdog_expired(self) -> None:
        cause = Cause(kind="watchdog")
        watchdog = self.memory.settings.watchdog
        self._watchdog.stop()
        self._remember(settings=replace(self.memory.settings, watchdog=watchdog.has_expired()))
        request = ON_EXPIRY.get(watchdog.action)
        text = f"; {request.value} follows" if request is not None else ""
        if not watchdog.dont_log:
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
        begun = isinstance(taken.event, HostRequest)
        left = failure.kept(self.memory.power_failure, self.memory.state, before, after, begun=begun)
        self.memory = replace(self.memory, power_failure=left)
        if before is not after:
            now_us = self._actor.since.seconds * 1_000_000 + self._actor.since.nanos // 1000
            entered_us = since.entered_us(self.memory, before, after, self._mains, now_us)
            self._since = _timestamp(entered_us)
            self.memory = since.remember(self.memory, after, entered_us)
            change = HostStateChange(name=self.name, previous=before, current=after)
            self._ports.tell(self.name, change, cause=taken.cause)
        failed = taken.verdict is Verdict.FAILED and taken.event in {Fact.TIMEOUT, Fact.DRIVE_FAILED}
        if failed and taken.action is not None:
            self._tell_failure(taken.action.request, taken.waited_seconds, taken.advice, taken.cause)
        if taken.verdict is Verdict.COMPLETED and taken.after is HostPhase.ON:
            self._remember(settings=self.memory.settings.booted(self._boots))
        request = taken.action.request if taken.action is not None and taken.verdict is Verdict.COMPLETED else None
        pressed = self._pressed_at is not None and self._loop.time() - self._pressed_at < PRESS_SECONDS
        why = cause_of(taken.before, taken.after, request, taken.cause, self._policy, pressed=pressed)
        if why is not None:
            self._restarted(why)
        self._settle()

    def _restarted(self, why: RestartCause) -> None:
        """The host was started or restarted just now."""
        self._pressed_at = None
        self.memory = replace(self.memory, restart_cause=why, restart_time_us=time.time_ns() // 1000)
        self._ports.changed(self.name)
        self._ports.booted(self.name)

    def _settle(self) -> None:
        """Let everything that follows from level and phase be so."""
        if self._hours.see(is_on=self.level is PowerLevel.ON):
            self.count_now()
        if self.level is PowerLevel.OFF:
            self._stop_watchdog()
        if self.phase is HostPhase.OFF:
            self._sight.begin_boot()
        self._remember_pending()
        if self._actor.stable and self._interruption.pending is None:
            desired = restore.believe(self.memory.desired, self.level, self._mains, restoring=self._restoring.running)
            self._remember(desired=desired)
        self._ports.changed(self.name)

    def _remember_pending(self) -> None:
        running = self._actor.running
        pending = running if running in TWO_HALVES else self._interruption.pending
        if pending is not self.memory.pending:
            self.memory = replace(self.memory, pending=pending)
            self._ports.changed(self.name)

    def _tell_interruption(self, seconds: float) -> None:
        request = self._interruption.began
        self._tell_failure(request, seconds, advice(request, self.phase.value, self.level), hardware())
        self._settle()

    def _stop_watchdog(self) -> None:
        self._watchdog.stop()
        settings = self.memory.settings
        self._remember(settings=replace(settings, watchdog=replace(settings.watchdog, running=False)))

    def _tell_failure(self, request: HostRequest, seconds: float, advice: str, cause: Cause) -> None:
        what = HostPowerFailure(
            action=ACTIONS[request],
            patience_seconds=round(seconds, 1),
            current=self.state,
            advice=advice,
            time=Timestamp.now(),
        )
        self._remember(power_failure=what)
        news = HostPowerActionFailure(
            name=self.name,
            action=what.action,
            patience_seconds=what.patience_seconds,
            current=what.current,
            advice=what.advice,
        )
        self._ports.tell(self.name, news, cause=cause)

    def tell_news(self, kind: HostNewsKind, what: str, cause: Cause, severity: Severity = Severity.UNSPECIFIED) -> None:
        """Tell what happened besides a change of state."""
        self._ports.tell(self.name, HostNews(name=self.name, kind=kind, what=what), severity=severity, cause=cause)

    async def _drive(self, effect: Effect, cause: Cause, seconds: float) -> None:
        boots = effect in {Effect.DRIVE_ON, Effect.RESET}
        choice = self.memory.settings.next_boot if boots else BootChoice()
        if boots:
            self._boots = choice
            self._sight.begin_boot()
            self._ports.changed(self.name)
        began = self._loop.time()
        try:
            # What follows by itself in the middle of a reboot or a cycle, nobody asked for since a trip.
            asked = cause.kind in PEOPLE and self._actor.running is HostRequest.ON
            await self._ports.drive(self.name, WIRES[effect], choice, seconds, asked)
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
        power_failure: HostPowerFailure | None = None,
    ) -> None:
        """Change what is remembered; what is not given stays."""
        memory = self.memory
        self.memory = replace(
            memory,
            desired=memory.desired if desired is None else desired,
            mains_epoch=memory.mains_epoch if epoch is None else epoch,
            settings=settings or memory.settings,
            power_failure=power_failure or memory.power_failure,
        )
        if self.memory != memory:
            self._ports.changed(self.name)

    def count_now(self) -> None:
        """Bring the time with power on into memory. Flash wears out, so this is done at transitions and seldom else."""
        self.memory = replace(self.memory, power_on_seconds=self._hours.seconds)

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
        self._hours.see(is_on=False)


def _timestamp(time_us: int) -> Timestamp:
    seconds, rest = divmod(time_us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def _by_guest() -> bool:
    """Whether nobody who logged in asks: the IPMI door speaks for the guest as itself."""
    call = calls.current.get()
    return call is not None and call.principal is None
