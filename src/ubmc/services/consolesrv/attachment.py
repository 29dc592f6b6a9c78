"""One reader of a console, and perhaps its writer: both ends of one connection, each at its own pace.

Nothing is queued for a reader: it reads from the ring by its own position, so a slow one holds up nobody. One that
falls out of the ring is told what it missed and goes on. What it writes is read only when the line has taken what came
before.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from protobuf.wkt import Timestamp

from ubmc.kit.bytelink import ByteLink
from ubmc.kit.errors import Denied, Invalid, Refused, UbmcError, Unavailable
from ubmc.protocols import console as frames
from ubmc.services.consolesrv.ring import Ring
from ubmc.v1alpha1.console_pb import ConsoleAttachment

PIECE_BYTES = frames.LONGEST_DATA
WRITTEN_BYTES = 512
"""So much goes to the line at once: what is cut off by a take-over is known to within that."""
END_SECONDS = 1.0
SIGNAL_PAUSE_SECONDS = 0.25
"""Between two BREAKs or SysRqs of one attachment: each is a record of the audit trail."""


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody at a door."""

    user: str
    session: str
    source: str
    door: str
    may_write: bool


class Owner(Protocol):
    """The console, as an attachment sees it."""

    ring: Ring

    def take(self, by: Attachment, *, over: bool) -> None:
        """Make it the writer, if nobody is or `over`."""

    def release(self, by: Attachment) -> None:
        """It is the writer no longer."""

    def state_for(self, attachment: Attachment) -> frames.State:
        """What it is told."""

    async def input(self, by: Attachment, data: bytes) -> None:
        """The writer's bytes, to their end. Raises `Unavailable`: the line does not work."""

    async def send_break(self, seconds: float) -> None:
        """A BREAK; one that has begun is sent to its end. Raises `UbmcError`."""

    async def send_sysrq(self, key: str) -> None:
        """A SysRq; one that has begun is sent to its end. Raises `UbmcError`."""

    def signalled(self, by: Attachment, signal: frames.Break | frames.SysRq, outcome: str) -> None:
        """For the audit trail: what became of a BREAK or SysRq; `ok`, or the name of an error."""


class Attachment:
    """One connection to a console."""

    def __init__(self, owner: Owner, who: Who, position: int) -> None:
        self.id = secrets.token_hex(6)
        self.who = who
        self.reason = ""
        """Why it does not write (any more), for people."""
        self.wrote = False
        self.read_bytes = self.missed_bytes = self.written_bytes = self.dropped_bytes = 0
        self._owner = owner
        self._position = position
        self._created = Timestamp.now()
        self._dirty = asyncio.Event()
        self._stale = False  # the state has to be told
        self._told_written = 0
        self._end: frames.End | None = None
        self._link: ByteLink | None = None
        self._writing: asyncio.Task[None] | None = None
        self._signalled = -SIGNAL_PAUSE_SECONDS  # when the last one was sent
        self._refused = False  # and the audit trail knows

    @property
    def ending(self) -> bool:
        """It has been told to leave, and has a moment to read that."""
        return self._end is not None

    def wake(self, *, state: bool = False) -> None:
        """There is something to be sent."""
        self._stale = self._stale or state
        self._dirty.set()

    def end(self, reason: str, message: str) -> None:
        """Say good-bye and close; see `frames.End`. Who does not read that within a second is hung up on."""
        if self._end is None and self._link is not None:
            asyncio.get_running_loop().call_later(END_SECONDS, self._link.abort)
        self._end = self._end or frames.End(reason, message)
        self._dirty.set()

    def interrupt(self) -> None:
        """It writes no longer; what the line has not taken of it yet is dropped."""
        if self._writing is not None:
            self._writing.cancel()

    def message(self, *, writer: bool) -> ConsoleAttachment:
        """As the API shows it."""
        return ConsoleAttachment(
            id=self.id,
            user=self.who.user,
            source=self.who.source,
            door=self.who.door,
            writer=writer,
            create_time=self._created,
            read_bytes=self.read_bytes,
            written_bytes=self.written_bytes,
            missed_bytes=self.missed_bytes,
        )

    async def serve(self, link: ByteLink, hello: frames.Hello) -> None:
        """Read and write until the other end leaves, or `end` is called."""
        self._link = link
        receiving = asyncio.create_task(self._receive(link))
        sending = asyncio.create_task(self._send(link, hello, receiving))
        try:
            await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done() and self._end is not None:  # there is something left to be said
                await asyncio.wait({sending}, timeout=END_SECONDS)
        finally:
            for task in (receiving, sending):
                task.cancel()
            results = await asyncio.gather(receiving, sending, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, Unavailable):
                raise result

    # --- to the door ------------------------------------------------------------------------------------------------

    async def _send(self, link: ByteLink, hello: frames.Hello, receiving: asyncio.Task[None]) -> None:
        self._stale = False  # that is in it
        await link.write(frames.encode(hello))
        while self._end is None:
            self._dirty.clear()
            if await self._send_one(link):
                continue
            await self._dirty.wait()
        receiving.cancel()  # so that no more is written, and what is said of it is exact
        await asyncio.wait({receiving})
        await self._send_written(link)
        await link.write(frames.encode(self._end))

    async def _send_one(self, link: ByteLink) -> bool:
        """Send a bit of all that there is to send; whether there may be more."""
        await self._send_written(link)  # first, so that nobody takes it for what they write after the state
        if self._stale:
            self._stale = False
            await link.write(frames.encode(self._owner.state_for(self)))
        piece = self._owner.ring.read(self._position, PIECE_BYTES)
        if piece.offset > self._position:
            missed = frames.Missed(self._position, piece.offset)
            self.missed_bytes += missed.end - missed.start
            self._position = piece.offset
            await link.write(frames.encode(missed))
        if piece.data:
            self._position = piece.end
            self.read_bytes += len(piece.data)
            await link.write(frames.encode(frames.Output(piece.offset, piece.data)))
        return bool(piece.data)

    async def _send_written(self, link: ByteLink) -> None:
        done = self.written_bytes + self.dropped_bytes
        if done != self._told_written:
            self._told_written = done
            await link.write(frames.encode(frames.Written(done, self.dropped_bytes)))

    # --- from the door ----------------------------------------------------------------------------------------------

    async def _receive(self, link: ByteLink) -> None:
        try:
            async for frame in link.frames(frames.Decoder()):
                await self._obey(frame)
        except Invalid as error:
            self.end("broken", error.message)

    async def _obey(self, frame: frames.Frame) -> None:
        match frame:
            case frames.Input(data):
                await self._input(data)
            case frames.Take(over):
                self._owner.take(self, over=over)
            case frames.Release():
                self._owner.release(self)
            case frames.Break() | frames.SysRq():
                await self._signal(frame)
            case _:
                raise Invalid("this frame goes the other way")

    async def _input(self, data: bytes) -> None:
        if not self._owner.state_for(self).writing:
            self.dropped_bytes += len(data)
            self.wake(state=True)
            return
        before = self.written_bytes
        if await self._write(self._send_input(data)):
            self.reason = ""
        self.dropped_bytes += len(data) - (self.written_bytes - before)
        self.wake()

    async def _send_input(self, data: bytes) -> None:
        for at in range(0, len(data), WRITTEN_BYTES):
            piece = data[at : at + WRITTEN_BYTES]
            await self._owner.input(self, piece)
            self.written_bytes += len(piece)

    async def _write(self, writing: Coroutine[Any, Any, None]) -> bool:
        """Do what only the writer may, until it is done or somebody else writes; whether it was done."""
        self._writing = task = asyncio.create_task(writing)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            self._writing = None
        if task.cancelled():
            return False
        match task.exception():
            case None:
                return True
            case UbmcError() as error:
                self.reason = error.message
                self._stale = True
                return False
            case bug:
                raise bug

    async def _signal(self, frame: frames.Break | frames.SysRq) -> None:
        if not self._owner.state_for(self).writing:
            if not self._refused:
                self._refused = True
                self._owner.signalled(self, frame, Refused.name if self.who.may_write else Denied.name)
            self.wake(state=True)
            return
        await self._write(self._send_signal(frame))
        self.wake()

    async def _send_signal(self, frame: frames.Break | frames.SysRq) -> None:
        loop = asyncio.get_running_loop()
        outcome = Refused.name  # somebody else writes before it has begun
        try:
            await asyncio.sleep(max(0.0, self._signalled + SIGNAL_PAUSE_SECONDS - loop.time()))
            if isinstance(frame, frames.Break):
                await self._owner.send_break(frame.milliseconds / 1000.0)
            else:
                await self._owner.send_sysrq(frame.key)
            outcome = "ok"
        except UbmcError as error:
            outcome = error.name
            raise
        finally:
            self._signalled = loop.time()
            self._owner.signalled(self, frame, outcome)
