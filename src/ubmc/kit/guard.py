"""How a process hands its momentary lines to the guardian, and shows that it lives.

The guardian keeps a duplicate of every output line that a button press drives. When the owner dies (the channel
ends) or is silent for longer than `SILENCE_SECONDS`, it drives all of them inactive: a power button that outlives its
owner becomes a forced off after four seconds.

Handing over: an owner that begins says `hello`; the guardian drives inactive and closes what an earlier owner left,
and answers `free`. Only then can the lines be requested anew (a duplicate keeps a kernel line request open).

Fans have a channel of their own (`CoolingGuard`), on which only a completed cycle of control beats. On silence the
guardian takes the fans, says `taken`, and gives them back on `hello` alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ubmc.kit.channel import Channel
from ubmc.kit.errors import Unavailable

log = logging.getLogger("ubmc.guard")

BEAT_SECONDS = 0.2
SILENCE_SECONDS = 0.7
COOLING_SILENCE_SECONDS = 2.0
HANDOVER_SECONDS = 2.0

HELLO = "hello"
FREE = "free"
KEEP = "keep"
BEAT = "beat"
LEAVE = "leave"
FAN = "fan"
TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class Kept:
    """One line as the guardian keeps it: how (`gpio-v2` or `write`) to make it inactive through which descriptor."""

    name: str
    how: str
    descriptor: int


class Guard:
    """The owner's end. The channel may be replaced when the guardian was restarted; everything is then told again."""

    def __init__(self) -> None:
        self._channel: Channel | None = None
        self._kept: list[Kept] = []
        self._connected = asyncio.Event()

    def connect(self, channel: Channel) -> None:
        """Use this channel from now on."""
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())  # somebody may be handing over
            self._channel.close()
        self._channel = channel
        self._connected.set()
        for kept in self._kept:
            self._send(kept)

    async def hand_over(self) -> None:
        """Have the guardian drive inactive and close what an earlier owner left.

        Raises:
            Unavailable: there is no guardian; nothing may be driven without one.
        """
        try:
            async with asyncio.timeout(HANDOVER_SECONDS):
                await self._connected.wait()
                channel = self._channel
                assert channel is not None
                channel.send(HELLO)
                await _readable(channel)
                message = channel.receive()
        except (TimeoutError, EOFError, BlockingIOError) as error:
            raise Unavailable("the guardian does not answer") from error
        if message is None or message.kind != FREE:
            raise Unavailable("the guardian answers something else")

    def keep(self, name: str, how: str, descriptor: int) -> None:
        """Hand over a line in place of an earlier one of its name; the descriptor is ours from now on."""
        kept = Kept(name, how, descriptor)
        for old in [each for each in self._kept if each.name == name]:
            self._kept.remove(old)
            os.close(old.descriptor)
        self._kept.append(kept)
        self._send(kept)

    def _send(self, kept: Kept) -> None:
        if self._channel is not None:
            self._channel.send(KEEP, kept.descriptor, name=kept.name, how=kept.how)

    def beat(self) -> None:
        """Show that a whole cycle of work was completed."""
        if self._channel is not None:
            self._channel.send(BEAT)

    async def beat_forever(self) -> None:
        """Beat while the event loop runs."""
        while True:
            self.beat()
            await asyncio.sleep(BEAT_SECONDS)

    def leave(self) -> None:
        """Part in order: the lines are inactive, the guardian may forget them."""
        if self._channel is not None:
            self._channel.send(LEAVE)
        self._drop()

    def _drop(self) -> None:
        for kept in self._kept:
            with contextlib.suppress(OSError):
                os.close(kept.descriptor)
        self._kept.clear()

    def close(self) -> None:
        """Close our end; without `leave` before, the guardian takes this for our death."""
        self._drop()
        if self._channel is not None:
            self._channel.close()
            self._channel = None


class CoolingGuard:
    """The owner's end for fans. Cooling goes on without a guardian; it is told everything as soon as there is one."""

    def __init__(self) -> None:
        self._channel: Channel | None = None
        self._fans: dict[str, Mapping[str, Any]] = {}
        self._connected = asyncio.Event()
        self._freed = False  # a guardian let us have the fans
        self._taken = False

    def connect(self, channel: Channel) -> None:
        """Use this channel from now on; a guardian that was restarted is told all fans, and that we drive them."""
        self._disconnect()
        self._channel = channel
        self._connected.set()
        if self._freed and not self._taken:
            self._tell_all()

    def keep(self, name: str, recipe: Mapping[str, Any]) -> None:
        """Say how to make a fan safe: `kind`, `place` and `failsafe_percent`, JSON types only."""
        self._fans[name] = recipe
        if self._freed and not self._taken:
            self._tell(name)

    async def hand_over(self) -> bool:
        """Have the guardian stop writing to fans, and tell it all of ours; False if there is none that answers.

        Must be done before the first duty is written, and again whenever `taken` says so.
        """
        self._taken, self._freed = False, True
        try:
            async with asyncio.timeout(HANDOVER_SECONDS):
                await self._connected.wait()
                channel = self._channel
                assert channel is not None
                channel.send(HELLO)
                while True:
                    await _readable(channel)
                    message = channel.receive()
                    if message is not None and message.kind == FREE:
                        break
        except (EOFError, OSError):  # a timeout, or nothing to be read after all, is an OSError too
            self._tell_all()
            return False
        self._tell_all()
        return True

    def taken(self) -> bool:
        """Whether the guardian has taken the fans, because we were silent; never waits."""
        try:
            while self._channel is not None:
                message = self._channel.receive()
                if message is not None and message.kind == TAKEN:
                    self._taken = True
        except BlockingIOError:
            pass
        except EOFError:
            self._disconnect()
        return self._taken

    def beat(self) -> None:
        """Show that a whole cycle of control was completed."""
        if self._channel is not None and not self._taken:
            self._channel.send(BEAT)

    def leave(self) -> None:
        """Part in order: from now on the guardian sees to the fans."""
        if self._channel is not None:
            self._channel.send(LEAVE)
        self._freed = False
        self._fans.clear()

    def close(self) -> None:
        """Close our end; without `leave` before, the guardian takes this for our death."""
        self._fans.clear()
        self._disconnect()

    def _disconnect(self) -> None:
        self._connected.clear()
        if self._channel is not None:
            if self._channel.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None

    def _tell_all(self) -> None:
        for name in self._fans:
            self._tell(name)
        self.beat()

    def _tell(self, name: str) -> None:
        if self._channel is not None:
            self._channel.send(FAN, name=name, recipe=dict(self._fans[name]))


async def _readable(channel: Channel) -> None:
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    loop.add_reader(channel.fileno(), arrived.set)
    try:
        await arrived.wait()
    finally:
        if channel.fileno() >= 0:  # not replaced meanwhile
            loop.remove_reader(channel.fileno())
