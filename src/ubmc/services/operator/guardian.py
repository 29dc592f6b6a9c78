"""The guardian: a small process that outlives the others and keeps what they must not leave behind.

It holds a duplicate of every output line that a button press drives. When the owner of a line dies or is silent, it
drives the line inactive. It holds the recipes of all fans too, and makes them safe when nobody drives them
(`guardian_fans`). It is forked first, in a session of its own, ignores INT and TERM, and needs nothing but what it was
given.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from ubmc.hw.gpio.port import How, Release
from ubmc.kit import guard
from ubmc.kit.channel import Channel, Message
from ubmc.services.operator.guardian_fans import FanKeeper
from ubmc.services.operator.plan import SafeFans

log = logging.getLogger("ubmc.guardian")

TICK_SECONDS = 0.1
BEAT_SECONDS = 0.5
LAST_SECONDS = 1.0  # to try again, at the end, what could not be driven inactive
LAST_FAN_SECONDS = 2.0  # the same for fans
EXIT_UNSAFE = 3  # the exit code if, at the end, a fan is not known to be safe
_OOM_SCORE = "-900"


@dataclass(slots=True)
class Owner:
    """One process whose lines we keep."""

    name: str
    channel: Channel
    heard: float
    lines: list[Release] = field(default_factory=list)
    silent: bool = False
    gone: bool = False
    failing: set[str] = field(default_factory=set)


class Guardian:
    """The loop of the guardian process."""

    def __init__(self, control: Channel, fans: SafeFans | None = None) -> None:
        self._control = control
        self._fans = None if fans is None else FanKeeper(fans, self._tell, time.monotonic())
        self._owners: list[Owner] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, None)
        self._last_beat = 0.0
        self._ended = False

    def run(self) -> bool:
        """Guard until the operator ends or says so; whether every fan is safe at the end."""
        while not self._ended:
            for key, _events in self._selector.select(TICK_SECONDS):
                if key.data is None:
                    self._hear_operator()
                elif isinstance(key.data, Channel):
                    self._hear_cooling(key.data)
                else:
                    self._hear_owner(key.data)
            self._tick(time.monotonic())
        self._end()
        safe = self._fans is None or self._fans.end(time.monotonic() + LAST_FAN_SECONDS)
        self._selector.close()
        return safe

    def _end(self) -> None:
        """Leave every line inactive; what fails gets a second more.

        An owner that has not ended yet could drive a line after we released it, so its end is waited for too.
        """
        deadline = time.monotonic() + LAST_SECONDS
        for owner in self._owners:
            self._release(owner)
        log.debug("the guardian ends: every line is inactive")
        while any(owner.failing or not owner.gone for owner in self._owners) and time.monotonic() < deadline:
            time.sleep(TICK_SECONDS)
            for owner in self._owners:
                owner.gone = owner.gone or _has_ended(owner.channel)
                self._release(owner)
        for owner in tuple(self._owners):
            self._forget(owner)

    def _tick(self, now: float) -> None:
        if now - self._last_beat >= BEAT_SECONDS:
            self._last_beat = now
            self._control.send(guard.BEAT)
        for owner in tuple(self._owners):
            if owner.gone:
                self._release(owner)
                if not owner.failing:
                    self._forget(owner)
            elif now - owner.heard <= guard.SILENCE_SECONDS:
                owner.silent = False
                owner.failing.clear()
            elif owner.lines and (not owner.silent or owner.failing):
                said, owner.silent = owner.silent, True
                self._release(owner)  # first the line, then the words
                if not said:
                    self._say(owner, "is silent")
        if self._fans is not None:
            self._fans.tick(now)

    def _hear_operator(self) -> None:
        try:
            message = self._control.receive()
        except BlockingIOError:
            return
        except EOFError:
            self._ended = True
            return
        if message is None:
            return
        if message.kind == "cooling" and message.descriptors:
            cooling = Channel.adopt(message.descriptors[0])
            self._selector.register(cooling, selectors.EVENT_READ, cooling)
        elif message.kind == "owner" and message.descriptors:
            owner = Owner(str(message.fields["name"]), Channel.adopt(message.descriptors[0]), time.monotonic())
            self._owners.append(owner)
            self._selector.register(owner.channel, selectors.EVENT_READ, owner)
        elif message.kind == "quit":
            self._ended = True

    def _hear_owner(self, owner: Owner) -> None:
        try:
            message = owner.channel.receive()
        except BlockingIOError:
            return
        except EOFError:
            self._selector.unregister(owner.channel)
            owner.gone = True
            self._release(owner)
            if owner.lines:
                self._say(owner, "is gone")
            if not owner.failing:
                self._forget(owner)
            return
        if message is not None:
            owner.heard = time.monotonic()
            self._obey(owner, message)

    def _hear_cooling(self, channel: Channel) -> None:
        try:
            message = channel.receive()
        except BlockingIOError:
            return
        except EOFError:
            self._selector.unregister(channel)
            if self._fans is not None:
                self._fans.lose(channel, time.monotonic())
            channel.close()
            return
        if message is None:
            return
        for descriptor in message.descriptors:
            os.close(descriptor)
        if self._fans is not None:
            self._fans.hear(channel, message, time.monotonic())

    def _obey(self, owner: Owner, message: Message) -> None:
        if message.kind == guard.KEEP:
            self._keep(owner, message)
            return
        for descriptor in message.descriptors:
            os.close(descriptor)
        if message.kind == guard.HELLO:
            for other in tuple(self._owners):
                if other.name == owner.name:
                    self._release(other)
                    self._close_lines(other)
                    if other is not owner:
                        self._forget(other)
            owner.channel.send(guard.FREE)
        elif message.kind == guard.LEAVE:
            self._release(owner)  # they are inactive, unless the owner left in a hurry
            self._close_lines(owner)

    def _keep(self, owner: Owner, message: Message) -> None:
        try:
            (descriptor,) = message.descriptors
            release = Release(str(message.fields["name"]), How(message.fields["how"]), descriptor)
        except (KeyError, ValueError):
            log.error("%s hands over a line that nobody understands", owner.name)
            for each in message.descriptors:
                os.close(each)
            return
        for old in [line for line in owner.lines if line.name == release.name]:  # its hardware was replaced
            owner.lines.remove(old)
            os.close(old.fd)
        owner.lines.append(release)

    def _release(self, owner: Owner) -> None:
        """Drive all lines of an owner inactive; what fails is tried again at the next tick."""
        for line in owner.lines:
            try:
                line.drive_inactive()
                if line.name in owner.failing:
                    owner.failing.discard(line.name)
                    log.info("a line is inactive at last", extra={"line": line.name})
            except OSError as error:
                if line.name not in owner.failing:
                    log.error("a line cannot be driven inactive", extra={"line": line.name, "error": str(error)})
                owner.failing.add(line.name)

    def _close_lines(self, owner: Owner) -> None:
        for line in owner.lines:
            with contextlib.suppress(OSError):
                os.close(line.fd)
        owner.lines.clear()
        owner.failing.clear()

    def _forget(self, owner: Owner) -> None:
        self._close_lines(owner)
        with contextlib.suppress(KeyError):
            self._selector.unregister(owner.channel)
        owner.channel.close()
        self._owners.remove(owner)

    def _say(self, owner: Owner, what: str) -> None:
        lines = [line.name for line in owner.lines]
        log.warning("%s %s: its lines go inactive", owner.name, what, extra={"lines": lines})
        self._tell(owner.name, what, lines)

    def _tell(self, owner: str, what: str, things: list[str]) -> None:
        self._control.send("released", owner=owner, what=what, lines=things)


def _has_ended(channel: Channel) -> bool:
    try:
        while True:
            message = channel.receive()
            for descriptor in message.descriptors if message is not None else ():
                os.close(descriptor)
    except BlockingIOError:
        return False
    except EOFError:
        return True


def run_guardian(control: Channel, fans: SafeFans | None = None) -> None:
    """The body of the guardian process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    if not Guardian(control, fans).run():
        log.error("a fan is not known to be safe")
        raise SystemExit(EXIT_UNSAFE)
