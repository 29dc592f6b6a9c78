"""How a process hands its momentary lines to the guardian, and shows that it lives.

The guardian keeps a duplicate of every output line that a button press drives. When the owner dies (the channel
ends) or is silent for longer than `SILENCE_SECONDS`, it drives all of them inactive: a power button that outlives its
owner becomes a forced off after four seconds.

Handing over: an owner that begins says `hello`; the guardian drives inactive and closes what an earlier owner left,
and answers `free`. Only then can the lines be requested anew (a duplicate keeps a kernel line request open).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from dataclasses import dataclass

from ubmc.kit.channel import Channel
from ubmc.kit.errors import Unavailable

log = logging.getLogger("ubmc.guard")

BEAT_SECONDS = 0.2
SILENCE_SECONDS = 0.7
HANDOVER_SECONDS = 2.0

HELLO = "hello"
FREE = "free"
KEEP = "keep"
BEAT = "beat"
LEAVE = "leave"


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


async def _readable(channel: Channel) -> None:
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    loop.add_reader(channel.fileno(), arrived.set)
    try:
        await arrived.wait()
    finally:
        if channel.fileno() >= 0:  # not replaced meanwhile
            loop.remove_reader(channel.fileno())
