"""The operator's end of the guardian: started first, started again when it ends, and ended last."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from ubmc.kit.channel import Channel
from ubmc.kit.supervise import Backoff
from ubmc.services.operator import fork
from ubmc.services.operator.guardian import run_guardian
from ubmc.services.operator.guardian_fans import IN_ORDER
from ubmc.services.operator.loop import Loop
from ubmc.services.operator.plan import SafeFans

log = logging.getLogger("ubmc.operator")


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    pidfd: int
    channel: Channel


class GuardianLink:
    """Keeps a guardian running.

    Args:
        loop: the loop of the operator.
        keep: descriptors that the guardian may keep.
        started: called after each start; all processes with guarded lines are then introduced.
        fans: how it makes fans safe; None if there are none.
    """

    def __init__(
        self, loop: Loop, keep: Iterable[int], started: Callable[[], None], fans: SafeFans | None = None
    ) -> None:
        self._loop = loop
        self._keep = frozenset(keep)
        self._started = started
        self._body = partial(run_guardian, fans=fans)
        self._fans = fans is not None
        self._process: _Process | None = None
        self._beat = time.monotonic()
        self._backoff = Backoff()
        self._ended = False

    @property
    def silent_seconds(self) -> float:
        """Since when it has shown no progress."""
        return time.monotonic() - self._beat

    def start(self) -> None:
        """Start it, unless it runs or everything ends."""
        if self._process is not None or self._ended:
            return
        self._backoff.started(time.monotonic())
        try:
            pid, channel = fork.fork_child("guardian", self._body, self._keep, outlives=True)
            pidfd = fork.watchable(pid, channel)
        except OSError as error:
            self._again(f"it cannot be started: {error}")
            return
        process = self._process = _Process(pid, pidfd, channel)
        self._beat = time.monotonic()
        self._loop.watch(process.channel, lambda: self._hear(process))
        self._loop.watch(process.pidfd, lambda: self._gone(process))
        self._started()

    def _hear(self, process: _Process) -> None:
        try:
            message = process.channel.receive()
        except BlockingIOError:
            return
        except EOFError:
            self._loop.forget(process.channel)
            return
        self._beat = time.monotonic()
        if message is not None:
            for descriptor in message.descriptors:
                os.close(descriptor)
            if message.kind == "released":
                fields = message.fields
                level = logging.INFO if fields.get("what") in IN_ORDER else logging.WARNING
                log.log(
                    level,
                    "the guardian has taken over",
                    extra={"owner": fields.get("owner"), "what": fields.get("what"), "lines": fields.get("lines")},
                )

    def _gone(self, process: _Process) -> None:
        self._reap(process)
        self._again("it ended")

    def _again(self, why: str) -> None:
        delay = self._backoff.failed(time.monotonic())
        if self._backoff.failures == 1:
            delay = 0.0  # nothing is guarded meanwhile
        log.error("the guardian is started again", extra={"why": why, "seconds": round(delay, 2)})
        self._loop.later(delay, self.start)

    def introduce(self, name: str, channel: Channel) -> None:
        """Connect a process whose lines are guarded with the guardian."""
        if self._process is None:
            return  # when there is one again, all are introduced
        one, other = Channel.pair()
        self._process.channel.send("owner", one.fileno(), name=name)
        channel.send("guardian", other.fileno())
        one.close()
        other.close()

    def introduce_cooling(self, channel: Channel) -> None:
        """Connect a process that drives fans with the guardian."""
        if self._process is None:
            return  # as above
        one, other = Channel.pair()
        self._process.channel.send("cooling", one.fileno())
        channel.send("cooling", other.fileno())
        one.close()
        other.close()

    def end(self, grace_seconds: float) -> bool:
        """End it, by force after the grace; blocks until it is gone. Whether it left everything safe."""
        self._ended = True
        process = self._process
        if process is None:
            return not self._fans
        process.channel.send("quit")
        with contextlib.closing(selectors.DefaultSelector()) as waiting:
            waiting.register(process.pidfd, selectors.EVENT_READ)
            if not waiting.select(grace_seconds):
                log.error("the guardian does not end and is killed")
                signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
        return self._reap(process) == 0

    def _reap(self, process: _Process) -> int:
        _pid, status = os.waitpid(process.pid, 0)
        self._loop.forget(process.channel)
        self._loop.drop(process.pidfd)
        process.channel.close()
        self._process = None
        return os.waitstatus_to_exitcode(status)
