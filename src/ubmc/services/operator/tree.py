"""The operator's parent process: starts, reaps and restarts everything else, and feeds the watchdog.

Whatever a child does or says, this process goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ubmc.kit.channel import Channel, Message
from ubmc.kit.errors import UbmcError
from ubmc.kit.supervise import Backoff
from ubmc.services.operator import fork
from ubmc.services.operator.guardian_link import GuardianLink
from ubmc.services.operator.health import DEGRADED, FAILED, READY, STARTING, HealthBook
from ubmc.services.operator.loop import Loop
from ubmc.services.operator.notify import Notifier
from ubmc.services.operator.plan import ChildPlan, Plan

log = logging.getLogger("ubmc.operator")

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # also when the terminal is gone: stop in order
GRACE_SECONDS = 6.0  # for a child to stop by itself
SETTLE_SECONDS = 0.005  # between looks whether the bus has taken a new key
HEALTH_SECONDS = 0.02  # changes within this time are told together
HEALTH_AGAIN_SECONDS = 0.5
FEED_SECONDS = 1.0
GUARDIAN_PATIENCE_SECONDS = 3.0
BUS = "ipc"


@dataclass(slots=True)
class Running:
    """One process as it is now."""

    plan: ChildPlan
    backoff: Backoff = field(default_factory=Backoff)
    pid: int = 0
    pidfd: int = -1
    channel: Channel | None = None
    waits_for_go: bool = False
    principal_key: str = ""


class Tree:
    """The loop."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._loop = Loop()
        self._later = self._loop.later
        self._children = {child.name: Running(child) for child in plan.children}
        self._guardian = GuardianLink(self._loop, plan.shared, self._introduce_all, plan.fans)
        self._health = HealthBook()
        self._health_due = False
        self._bus_backoff = Backoff()
        self._bus_pidfd = -1
        self._stopping: list[str] = []
        self._after_stop: Callable[[], None] | None = None
        self._ended = False
        self._announced = False
        self._notifier = Notifier()

    # --- life ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run everything until a signal says stop."""
        wake, wake_writer = socket.socketpair()
        wake.setblocking(False)
        wake_writer.setblocking(False)
        previous = signal.set_wakeup_fd(wake_writer.fileno(), warn_on_full_buffer=False)
        for number in _STOPS:
            signal.signal(number, lambda *_: None)
        self._loop.watch(wake, lambda: self._on_signal(wake))
        now = time.time()
        self._health.expect("nats-server", (BUS,), now)
        for child in self._plan.children:
            self._health.expect(child.name, child.services, now)
        fork.warm_up()
        try:
            self._guardian.start()
            self._arm_watchdog()
            self._start_bus()
            for running in self._children.values():
                self._start(running)
            while not self._ended:
                self._loop.turn()
        finally:
            signal.set_wakeup_fd(previous)
            self._end_everything()
            wake.close()
            wake_writer.close()
            self._loop.close()
            self._plan.bus.close()

    def _on_signal(self, wake: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            numbers = wake.recv(64)
            if any(number in numbers for number in _STOPS):
                self._stop(self._finish)

    def _introduce_all(self) -> None:
        for running in self._children.values():
            self._introduce(running)

    def _introduce(self, running: Running) -> None:
        if running.channel is not None and running.plan.guarded:
            self._guardian.introduce(running.plan.name, running.channel)
        if running.channel is not None and running.plan.cools:
            self._guardian.introduce_cooling(running.channel)

    # --- the watchdog -------------------------------------------------------------------------------------------

    def _arm_watchdog(self) -> None:
        self._later(FEED_SECONDS, self._feed)
        if self._plan.watchdog is not None:
            try:
                self._plan.watchdog.open(self._plan.watchdog_seconds)
            except UbmcError as error:
                log.error("the watchdog cannot be used", extra={"error": error.message})

    def _feed(self) -> None:
        self._later(FEED_SECONDS, self._feed)
        if self._guardian.silent_seconds > GUARDIAN_PATIENCE_SECONDS:
            log.error("the guardian makes no progress: the watchdog is not fed")
            return
        self._notifier.alive()
        if self._plan.watchdog is not None:
            with contextlib.suppress(UbmcError):
                self._plan.watchdog.feed()

    # --- the bus ------------------------------------------------------------------------------------------------

    def _start_bus(self) -> None:
        if self._ended:
            return
        self._bus_backoff.started(time.monotonic())
        try:
            pid = self._plan.bus.start()
            self._bus_pidfd = os.pidfd_open(pid)
        except (OSError, subprocess.SubprocessError) as error:
            self._plan.bus.stop(GRACE_SECONDS)
            self._bus_again(f"it cannot be started: {error}")
            return
        self._loop.watch(self._bus_pidfd, self._bus_ended)
        self._later(SETTLE_SECONDS, self._settle)

    def _bus_ended(self) -> None:
        code = self._plan.bus.reap()
        self._loop.drop(self._bus_pidfd)
        self._bus_pidfd = -1
        self._bus_again(f"exit code {code}")

    def _bus_again(self, reason: str) -> None:
        delay = self._bus_backoff.failed(time.monotonic())
        if self._bus_backoff.failures == 1:
            delay = 0.0  # everybody waits for it
        log.error("the bus ended and is started again", extra={"reason": reason, "seconds": round(delay, 2)})
        state = DEGRADED if self._bus_backoff.degraded else FAILED
        self._set_health(BUS, state, self._bus_backoff.restarts, reason)
        self._later(delay, self._start_bus)

    def _settle(self) -> None:
        """Tell those that wait to go, as soon as the bus knows their keys."""
        if self._bus_pidfd < 0:
            return
        waiting = [running for running in self._children.values() if running.waits_for_go]
        if not self._plan.bus.settle():
            self._later(SETTLE_SECONDS, self._settle)
            return
        self._set_health(BUS, READY, self._bus_backoff.restarts, "")
        for running in waiting:
            running.waits_for_go = False
            if running.channel is not None:
                running.channel.send("go", port=self._plan.bus.port, uid=self._plan.uid, principal_keys=self._signing())

    def _signing(self) -> list[str]:
        return [child.principal_key for child in self._children.values() if child.plan.signs and child.principal_key]

    # --- children -----------------------------------------------------------------------------------------------

    def _start(self, running: Running) -> None:
        if self._after_stop is not None or self._ended or running.pid:
            return
        running.backoff.started(time.monotonic())
        keep = self._plan.shared | (self._plan.private if running.plan.keeps_private else frozenset())
        try:
            pid, channel = fork.fork_child(running.plan.name, running.plan.body, keep)
            running.pidfd = fork.watchable(pid, channel)
        except OSError as error:
            self._again(running, f"the process {running.plan.name} cannot be started: {error}")
            return
        running.pid, running.channel = pid, channel
        self._loop.watch(running.channel, lambda: self._hear(running))
        self._loop.watch(running.pidfd, lambda: self._child_ended(running))
        self._introduce(running)
        running.channel.send("health", services=self._health.snapshot(), news=list(self._health.news))

    def _child_ended(self, running: Running) -> None:
        _pid, status = os.waitpid(running.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._loop.drop(running.pidfd)
        if running.channel is not None:
            self._loop.forget(running.channel)
            running.channel.close()
        running.pid, running.pidfd, running.channel, running.waits_for_go = 0, -1, None, False
        if self._after_stop is not None:
            self._stop_next()
            return
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self._again(running, f"the process {running.plan.name} {ended}")

    def _again(self, running: Running, reason: str) -> None:
        delay = running.backoff.failed(time.monotonic())
        log.error(
            "a process is started again",
            extra={"child": running.plan.name, "reason": reason, "seconds": round(delay, 2)},
        )
        self._health.process_ended(running.plan.name, reason, time.time(), degraded=running.backoff.degraded)
        self._tell_health()
        self._later(delay, lambda: self._start(running))

    def _hear(self, running: Running) -> None:
        if running.channel is None:
            return
        try:
            message = running.channel.receive()
        except BlockingIOError:
            return
        except EOFError:
            self._loop.forget(running.channel)
            return
        if message is None:
            return
        for descriptor in message.descriptors:
            os.close(descriptor)
        try:
            self._obey(running, message)
        except (KeyError, ValueError, TypeError):  # whatever a child says, the operator stays
            log.exception("a process says what nobody understands", extra={"child": running.plan.name})

    def _obey(self, running: Running, message: Message) -> None:
        fields = message.fields
        if message.kind == "hello":
            self._admit(running, str(fields["bus_key"]), str(fields["principal_key"]))
        elif message.kind == "service" and fields["name"] in running.plan.services:
            self._set_health(str(fields["name"]), str(fields["state"]), int(fields["restarts"]), str(fields["reason"]))
        elif message.kind == "told" and running.plan.commands:
            self._health.told(int(fields["seq"]))
        elif message.kind == "restart" and running.plan.commands and self._after_stop is None:
            log.warning("all services are restarted, as was asked for")
            self._stop(self._start_again)
        elif message.kind == "say":
            with contextlib.suppress(OSError):  # a terminal that is gone must not end the BMC
                self._plan.said(str(fields["what"]), fields)

    def _admit(self, running: Running, bus_key: str, principal_key: str) -> None:
        running.waits_for_go = True
        running.principal_key = principal_key
        self._plan.bus.admit(running.plan.name, bus_key)
        self._later(0.0, self._settle)
        if running.plan.signs:
            for other in self._children.values():
                if other is not running and other.channel is not None:
                    other.channel.send("keys", principal_keys=self._signing())

    # --- health -------------------------------------------------------------------------------------------------

    def _set_health(self, name: str, state: str, restarts: int, reason: str) -> None:
        if self._health.report(name, state, time.time(), restarts=restarts, reason=reason):
            self._tell_health()

    def _tell_health(self) -> None:
        if not self._health_due:
            self._health_due = True
            self._later(HEALTH_SECONDS, self._send_health)
        if not self._announced and self._health.all_ready():
            self._announced = True
            self._notifier.ready()
            with contextlib.suppress(OSError):
                self._plan.ready()

    def _send_health(self) -> None:
        self._health_due = False
        services, news = self._health.snapshot(), list(self._health.news)
        sent = [
            running.channel.send("health", services=services, news=news)
            for running in self._children.values()
            if running.channel is not None
        ]
        if not all(sent):  # one of them does not read, or has just ended
            self._health_due = True
            self._later(HEALTH_AGAIN_SECONDS, self._send_health)

    # --- stopping -----------------------------------------------------------------------------------------------

    def _stop(self, then: Callable[[], None]) -> None:
        """Stop all children in reverse order, then go on; a second signal does not wait any more."""
        if then == self._finish:
            self._notifier.stopping()
        if self._after_stop is not None:
            if self._after_stop == then:
                self._kill_all()
            self._after_stop = then  # a stop that comes while all are restarted
            return
        self._after_stop = then
        self._stopping = list(self._children)
        self._stop_next()

    def _stop_next(self) -> None:
        while self._stopping:
            running = self._children[self._stopping[-1]]
            if running.pid:
                self._end(running)
                return
            self._stopping.pop()
        after, self._after_stop = self._after_stop, None
        if after is not None:
            after()

    def _end(self, running: Running) -> None:
        signal.pidfd_send_signal(running.pidfd, signal.SIGTERM)
        pid = running.pid

        def kill() -> None:
            if running.pid == pid:
                log.error("a process does not stop and is killed", extra={"child": running.plan.name})
                signal.pidfd_send_signal(running.pidfd, signal.SIGKILL)

        self._later(GRACE_SECONDS, kill)

    def _kill_all(self) -> None:
        for running in self._children.values():
            if running.pid:
                signal.pidfd_send_signal(running.pidfd, signal.SIGKILL)

    def _finish(self) -> None:
        self._ended = True

    def _start_again(self) -> None:
        self._announced = True
        for running in self._children.values():
            running.backoff = Backoff()
            for service in running.plan.services:
                self._set_health(service, STARTING, 0, "")
            self._start(running)

    def _end_everything(self) -> None:
        """The last steps: children that are left, the bus, the guardian, the watchdog."""
        self._kill_all()
        for running in self._children.values():
            if running.pid:
                os.waitpid(running.pid, 0)
                self._loop.drop(running.pidfd)
            if running.channel is not None:
                running.channel.close()
        self._plan.bus.stop(GRACE_SECONDS)
        self._loop.drop(self._bus_pidfd)
        safe = self._guardian.end(GRACE_SECONDS)
        if not safe and self._plan.fans is not None:
            log.error("the fans are not known to be safe: the watchdog runs on")
            return
        if self._plan.watchdog is None or not self._ended:
            return  # a bug of ours brought us here: then the watchdog has the last word
        try:
            self._plan.watchdog.disarm()
        except UbmcError as error:
            log.error("the watchdog runs on", extra={"error": error.message})


def run_tree(plan: Plan) -> None:
    """Run everything until SIGINT or SIGTERM."""
    Tree(plan).run()
