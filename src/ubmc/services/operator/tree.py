"""The operator's parent process: starts, reaps and restarts everything else, and feeds the watchdog.

It runs one plain loop over process descriptors, channels and timers; no event loop, no threads, nothing that can hang.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ubmc.hw.watchdog.port import Watchdog
from ubmc.kit.channel import Channel, Message
from ubmc.kit.errors import UbmcError
from ubmc.kit.supervise import Backoff
from ubmc.services.operator import fork
from ubmc.services.operator.guardian import run_guardian
from ubmc.services.operator.health import FAILED, READY, STARTING, HealthBook
from ubmc.services.operator.notify import Notifier

log = logging.getLogger("ubmc.operator")

GRACE_SECONDS = 6.0  # for a child to stop by itself
SETTLE_SECONDS = 0.005  # between looks whether the bus has taken a new key
HEALTH_SECONDS = 0.02  # changes within this time are told together
FEED_SECONDS = 1.0
GUARDIAN_PATIENCE_SECONDS = 3.0
BUS = "ipc"


class BusServer(Protocol):
    """The bus, as far as the operator is concerned."""

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""

    def start(self) -> int:
        """Start it; its process id."""

    def reap(self) -> int:
        """The exit code, when it has ended."""

    def admit(self, process: str, key: str) -> None:
        """Let this key speak for the process, once `settle` says True."""

    def settle(self) -> bool:
        """Whether the server knows all keys."""

    def stop(self, seconds: float) -> None:
        """End it."""

    def close(self) -> None:
        """Give everything back."""


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """One process of the tree, in the order in which they are started."""

    name: str
    services: tuple[str, ...]
    body: Callable[[Channel], None]
    guarded: bool = False  # has lines that the guardian keeps
    signs: bool = False  # its key signs principals
    keeps_private: bool = False  # gets the private descriptors of the plan


@dataclass(frozen=True, slots=True)
class Plan:
    """What the operator runs."""

    children: tuple[ChildPlan, ...]
    bus: BusServer
    uid: int  # whose process the bus is
    said: Callable[[str, Mapping[str, Any]], None]  # what children say that is meant for people
    ready: Callable[[], None]  # called once, when every service is ready
    stopped: Callable[[], None]  # called at the end, when everything else has ended
    watchdog: Watchdog | None = None
    watchdog_seconds: float = 30.0
    private: frozenset[int] = frozenset()  # descriptors that a child gets only if its plan says so


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
        self._selector = selectors.EpollSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._children = {child.name: Running(child) for child in plan.children}
        self._health = HealthBook()
        self._health_due = False
        self._bus_backoff = Backoff()
        self._bus_pidfd = -1
        self._guardian: tuple[int, int, Channel] | None = None  # pid, pidfd, channel
        self._guardian_beat = 0.0
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
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        self._selector.register(wake, selectors.EVENT_READ, lambda: self._on_signal(wake))
        self._wake = (wake, wake_writer)
        now = time.time()
        self._health.expect("nats-server", (BUS,), now)
        for child in self._plan.children:
            self._health.expect(child.name, child.services, now)
        fork.warm_up()
        try:
            self._start_guardian()
            self._arm_watchdog()
            self._start_bus()
            for running in self._children.values():
                self._start(running)
            while not self._ended:
                self._turn()
        finally:
            signal.set_wakeup_fd(previous)
            self._end_everything()
            wake.close()
            wake_writer.close()
            self._selector.close()
            self._plan.bus.close()
        self._plan.stopped()

    def _turn(self) -> None:
        now = time.monotonic()
        wait = max(0.0, self._timers[0][0] - now) if self._timers else None
        for key, _events in self._selector.select(wait):
            if key.fd in self._selector.get_map():  # an earlier one of this turn may have ended it
                key.data()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), what))

    def _on_signal(self, wake: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            numbers = wake.recv(64)
            if signal.SIGINT in numbers or signal.SIGTERM in numbers:
                self._stop(self._finish)

    def _descriptors(self, *, private: bool = True) -> list[int]:
        """What a child must not keep: everything of ours but the standard streams and the lock."""
        descriptors = {key.fd for key in self._selector.get_map().values()}
        descriptors |= {self._selector.fileno(), self._wake[1].fileno()}
        return sorted(descriptors | self._plan.private if private else descriptors)

    # --- the guardian -------------------------------------------------------------------------------------------

    def _start_guardian(self) -> None:
        pid, channel = fork.fork_child("guardian", run_guardian, self._descriptors(), outlives=True)
        pidfd = os.pidfd_open(pid)
        self._guardian = (pid, pidfd, channel)
        self._guardian_beat = time.monotonic()
        self._selector.register(channel, selectors.EVENT_READ, self._hear_guardian)
        self._selector.register(pidfd, selectors.EVENT_READ, self._guardian_ended)
        for running in self._children.values():
            self._introduce(running)

    def _hear_guardian(self) -> None:
        if self._guardian is None:
            return
        with contextlib.suppress(BlockingIOError, EOFError):
            message = self._guardian[2].receive()
            self._guardian_beat = time.monotonic()
            if message is not None and message.kind == "released":
                log.warning("the guardian released lines", extra={"fields": message.fields})
            return
        self._selector.unregister(self._guardian[2])

    def _guardian_ended(self) -> None:
        if self._guardian is None:
            return
        pid, pidfd, channel = self._guardian
        os.waitpid(pid, 0)
        self._forget(pidfd)
        with contextlib.suppress(KeyError):
            self._selector.unregister(channel)
        channel.close()
        self._guardian = None
        if not self._stopping and not self._ended:
            log.error("the guardian ended and is started again")
            self._start_guardian()

    def _introduce(self, running: Running) -> None:
        """Connect a process whose lines are guarded with the guardian."""
        if self._guardian is None or running.channel is None or not running.plan.guarded:
            return
        one, other = Channel.pair()
        self._guardian[2].send("owner", one.fileno(), name=running.plan.name)
        running.channel.send("guardian", other.fileno())
        one.close()
        other.close()

    # --- the watchdog -------------------------------------------------------------------------------------------

    def _arm_watchdog(self) -> None:
        self._later(FEED_SECONDS, self._feed)
        if self._plan.watchdog is not None:
            try:
                self._plan.watchdog.open(self._plan.watchdog_seconds)
            except UbmcError as error:
                log.error("the watchdog cannot be used", extra={"error": error.message})  # noqa: TRY400

    def _feed(self) -> None:
        self._later(FEED_SECONDS, self._feed)
        if time.monotonic() - self._guardian_beat > GUARDIAN_PATIENCE_SECONDS:
            log.error("the guardian makes no progress: the watchdog is not fed")
            return
        self._notifier.alive()
        if self._plan.watchdog is not None:
            with contextlib.suppress(UbmcError):
                self._plan.watchdog.feed()

    # --- the bus ------------------------------------------------------------------------------------------------

    def _start_bus(self) -> None:
        if self._ended or self._after_stop is not None:
            return
        self._bus_backoff.started(time.monotonic())
        pid = self._plan.bus.start()
        self._bus_pidfd = os.pidfd_open(pid)
        self._selector.register(self._bus_pidfd, selectors.EVENT_READ, self._bus_ended)
        self._later(SETTLE_SECONDS, self._settle)

    def _bus_ended(self) -> None:
        code = self._plan.bus.reap()
        self._forget(self._bus_pidfd)
        self._bus_pidfd = -1
        if self._after_stop is not None or self._ended:
            return
        delay = self._bus_backoff.failed(time.monotonic())
        if self._bus_backoff.failures == 1:
            delay = 0.0  # everybody waits for it
        log.error("the bus ended and is started again", extra={"code": code, "seconds": round(delay, 2)})
        self._health.report(BUS, FAILED, time.time(), restarts=self._bus_backoff.restarts, reason=f"exit code {code}")
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
        close = self._descriptors(private=not running.plan.keeps_private)
        running.pid, running.channel = fork.fork_child(running.plan.name, running.plan.body, close)
        running.pidfd = os.pidfd_open(running.pid)
        self._selector.register(running.channel, selectors.EVENT_READ, lambda: self._hear(running))
        self._selector.register(running.pidfd, selectors.EVENT_READ, lambda: self._child_ended(running))
        self._introduce(running)
        running.channel.send("health", services=self._health.snapshot(), news=list(self._health.news))

    def _child_ended(self, running: Running) -> None:
        _pid, status = os.waitpid(running.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._forget(running.pidfd)
        if running.channel is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(running.channel)
            running.channel.close()
        running.pid, running.pidfd, running.channel, running.waits_for_go = 0, -1, None, False
        if self._after_stop is not None:
            self._stop_next()
            return
        reason = f"the process {running.plan.name} was ended by signal {-code}" if code < 0 else f"exit code {code}"
        delay = running.backoff.failed(time.monotonic())
        log.error(
            "a process ended and is started again",
            extra={"child": running.plan.name, "code": code, "seconds": round(delay, 2)},
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
            self._selector.unregister(running.channel)
            return
        if message is not None:
            self._obey(running, message)

    def _obey(self, running: Running, message: Message) -> None:
        fields = message.fields
        if message.kind == "hello":
            self._admit(running, str(fields["bus_key"]), str(fields["principal_key"]))
        elif message.kind == "service" and fields["name"] in running.plan.services:
            self._set_health(str(fields["name"]), str(fields["state"]), int(fields["restarts"]), str(fields["reason"]))
        elif message.kind == "told":
            self._health.told(int(fields["seq"]))
        elif message.kind == "restart" and self._after_stop is None:
            log.warning("all services are restarted, as was asked for")
            self._stop(self._start_again)
        elif message.kind == "say":
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

    def _forget(self, descriptor: int) -> None:
        if descriptor >= 0:
            with contextlib.suppress(KeyError):
                self._selector.unregister(descriptor)
            os.close(descriptor)

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
            self._plan.ready()

    def _send_health(self) -> None:
        self._health_due = False
        services, news = self._health.snapshot(), list(self._health.news)
        for running in self._children.values():
            if running.channel is not None:
                running.channel.send("health", services=services, news=news)

    # --- stopping -----------------------------------------------------------------------------------------------

    def _stop(self, then: Callable[[], None]) -> None:
        """Stop all children in reverse order, then go on; a second signal does not wait any more."""
        if self._after_stop is not None:
            self._kill_all()
            return
        self._notifier.stopping()
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
                os.close(running.pidfd)
            if running.channel is not None:
                running.channel.close()
        self._plan.bus.stop(GRACE_SECONDS)
        if self._bus_pidfd >= 0:
            os.close(self._bus_pidfd)
        self._end_guardian()
        if self._plan.watchdog is not None:
            try:
                self._plan.watchdog.disarm()
            except UbmcError as error:
                log.error("the watchdog runs on", extra={"error": error.message})  # noqa: TRY400

    def _end_guardian(self) -> None:
        if self._guardian is None:
            return
        pid, pidfd, channel = self._guardian
        channel.send("quit")
        channel.close()
        waiting = selectors.DefaultSelector()
        waiting.register(pidfd, selectors.EVENT_READ)
        if not waiting.select(GRACE_SECONDS):
            log.error("the guardian does not end and is killed")
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        waiting.close()
        os.waitpid(pid, 0)
        os.close(pidfd)
        self._guardian = None


def run_tree(plan: Plan) -> None:
    """Run everything until SIGINT or SIGTERM."""
    Tree(plan).run()


__all__: Sequence[str] = ("ChildPlan", "Plan", "run_tree")
