"""One console in one SSH session: bytes both ways, over restarts of the console service.

A terminal gets notices in between and may type commands behind `&`. Without a terminal the output is the host's bytes
and nothing else; notices go to the error output.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Literal, Protocol

from protobuf import Oneof

from ubmc.kit import bytelink
from ubmc.kit import call as calls
from ubmc.kit.bus import Bus
from ubmc.kit.bytelink import ByteLink
from ubmc.kit.errors import Denied, Invalid, NotFound, UbmcError, Unauthenticated, Unavailable
from ubmc.protocols import console as frames
from ubmc.protocols.escape import Command, Escape, help_lines
from ubmc.protocols.terminal_reports import only_reports
from ubmc.services.sshsrv.asking import Asked
from ubmc.services.sshsrv.login import Login
from ubmc.v1alpha1.console_pb import ConsoleWriting, OpenConsoleRequest
from ubmc.v1alpha1.console_rpc import ConsoleService

ESCAPE = "&"
RENEW_SECONDS = 30.0
RETRY_SECONDS = 0.25
LONGEST_RETRY_SECONDS = 4.0
GIVE_UP_SECONDS = 60.0


class Peer(Protocol):
    """The other end of the SSH session."""

    @property
    def terminal(self) -> bool:
        """Whether it has a terminal."""

    async def receive(self) -> bytes | float | None:
        """What is typed; the milliseconds of a BREAK; None at the end."""

    async def show(self, data: bytes) -> None:
        """The host's bytes; waits while it does not read."""

    def notice(self, text: str) -> None:
        """A line for people."""


class LeaveError(Exception):
    """The session is over; a person reads why."""


class Carrier:
    """Carries bytes between a peer and a console.

    Args:
        bus: where the console service is.
        login: on whose behalf.
        asked: which console, and how.
        peer: the SSH session.
        idle_seconds: after so long without a byte either way it is over.
    """

    def __init__(self, bus: Bus, login: Login, asked: Asked, peer: Peer, idle_seconds: float) -> None:
        self._bus = bus
        self._login = login
        self._asked = asked
        self._peer = peer
        self._idle_seconds = idle_seconds
        self._escape = Escape(ESCAPE if peer.terminal else "")
        self._place: int | None = None
        self._epoch = ""
        self._wants_to_write = asked.writing
        self._state: frames.Hello | frames.State | None = None
        self._link: ByteLink | None = None
        self._linked = asyncio.Event()
        self._used = time.monotonic()
        self._typed = False  # since the session was renewed
        self._given = 0  # bytes for the host, to this attachment
        self._written = frames.Written(0)  # what became of them

    async def run(self) -> str:
        """Until somebody ends it; why it ended, for people."""
        tasks = [
            asyncio.create_task(each)
            for each in (self._keep_attached(), self._read_peer(), self._renew(), self._watch_idle())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except LeaveError as end:
            return str(end)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return ""

    # --- the console ------------------------------------------------------------------------------------------------

    async def _keep_attached(self) -> None:
        since, delay = time.monotonic(), RETRY_SECONDS
        while True:
            try:
                async with await self._open() as link:
                    delay = RETRY_SECONDS
                    self._given, self._written = 0, frames.Written(0)
                    self._link = link
                    self._linked.set()
                    exact = False
                    try:
                        exact = await self._read_console(link)
                    finally:
                        self._linked.clear()
                        self._link = None
                    self._tell_unwritten(exact=exact)
                    since = time.monotonic()
            except (Denied, Invalid, NotFound, Unauthenticated) as error:
                raise LeaveError(error.message) from error
            except UbmcError as error:
                if time.monotonic() - since > GIVE_UP_SECONDS:
                    raise LeaveError(error.message) from error
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_RETRY_SECONDS)

    async def _open(self) -> ByteLink:
        request = OpenConsoleRequest(name=self._asked.host, door="ssh", writing=self._wants_to_write)
        if self._place is not None:
            place: Oneof[Literal["offset"], int] = Oneof("offset", self._place)
            request.from_, request.epoch = place, self._epoch
        elif self._asked.replay_bytes:
            before: Oneof[Literal["replay_bytes"], int] = Oneof("replay_bytes", self._asked.replay_bytes)
            request.from_ = before
        marked = calls.current.set(await self._login.call())
        try:
            opened = await self._bus.ask(ConsoleService.OpenConsole, request)
        except Denied:
            if self._wants_to_write is not ConsoleWriting.IF_FREE:
                raise
            self._wants_to_write = request.writing = ConsoleWriting.UNSPECIFIED  # they may look
            opened = await self._bus.ask(ConsoleService.OpenConsole, request)
        finally:
            calls.current.reset(marked)
        return await bytelink.connect(opened.socket, opened.ticket)

    async def _read_console(self, link: ByteLink) -> bool:
        """Until it ends; whether consolesrv has told then of all that was typed what became of it."""
        async with contextlib.aclosing(link.frames(frames.Decoder())) as stream:
            async for frame in stream:
                match frame:
                    case frames.Hello():
                        self._greet(frame)
                    case frames.Output(offset, data):
                        self._place = offset + len(data)
                        self._used = time.monotonic()
                        await self._peer.show(data)
                    case frames.Missed(start, end):
                        self._place = end
                        self._peer.notice(f"{end - start} bytes were missed")
                    case frames.State():
                        self._tell_state(frame)
                    case frames.Written():
                        self._take_note(frame)
                    case frames.End("stopping"):
                        return True
                    case frames.End(message=message):
                        raise LeaveError(message)
        return False

    def _take_note(self, written: frames.Written) -> None:
        """Say what the host did not get, to somebody who writes; who reads has been told that."""
        dropped = written.dropped - self._written.dropped
        self._written = written
        if dropped > 0 and self._state is not None and self._state.writing:
            self._peer.notice(f"{dropped} bytes that you typed were dropped: the line did not work")

    def _tell_unwritten(self, *, exact: bool) -> None:
        """The attachment is over: say what was typed and did not get to the host."""
        count = self._given - self._written.total
        if count > 0 and exact:
            self._peer.notice(f"the last {count} bytes that you typed are lost: the console service was restarted")
        elif count > 0:
            self._peer.notice(f"it is not known whether the last {count} bytes that you typed have arrived")

    def _greet(self, hello: frames.Hello) -> None:
        if self._place is None:
            how = "you write" if hello.writing else f"{hello.writer or 'nobody'} writes, you read"
            keys = f"; {ESCAPE}? for help, {ESCAPE}. ends" if self._peer.terminal else ""
            self._peer.notice(f"console of {hello.name}: {how}{keys}")
        elif hello.resumed == "unknown":
            self._peer.notice("the console was restarted; what came meanwhile is not known")
        self._epoch, self._place = hello.epoch, hello.start
        if not hello.connected:
            self._peer.notice(f"the line does not work now: {hello.reason}")
        self._state = hello

    def _tell_state(self, state: frames.State) -> None:
        before = self._state
        self._state = state
        if before is None:
            return
        if told := frames.changes(before, state):
            self._peer.notice(told)
        if state.writing != before.writing and self._wants_to_write is not ConsoleWriting.UNSPECIFIED:
            # After a reconnection nobody is to be thrown out whom we did not throw out now.
            self._wants_to_write = ConsoleWriting.IF_FREE

    # --- the peer ---------------------------------------------------------------------------------------------------

    async def _read_peer(self) -> None:
        while (typed := await self._peer.receive()) is not None:
            self._used = time.monotonic()
            self._typed = self._typed or isinstance(typed, float) or not only_reports(typed)
            if isinstance(typed, float):
                await self._send(frames.Break(min(int(typed), 2000)))
                continue
            for part in self._escape.feed(typed):
                await self._do(part)
        if self._peer.terminal:
            raise LeaveError("")
        await asyncio.Event().wait()  # a pipe that has ended: go on reading

    async def _do(self, part: bytes | Command | str) -> None:
        match part:
            case bytes():
                for frame in frames.inputs(part):
                    await self._send(frame)
            case Command.LEAVE:
                raise LeaveError("")
            case Command.HELP:
                self._peer.notice("\r\n  ".join(help_lines(ESCAPE)))
            case Command.BREAK:
                await self._send(frames.Break())
            case Command.TAKE_OVER:
                await self._send(frames.Take(over=True))
            case Command.RELEASE:
                await self._send(frames.Release())
            case str() if part.isascii() and part.isalnum():
                await self._send(frames.SysRq(part))

    async def _send(self, frame: frames.ToOwner) -> None:
        """Send it, as soon as the console is there."""
        while (link := self._link) is None:
            await self._linked.wait()
        if isinstance(frame, frames.Input):
            self._given += len(frame.data)
        with contextlib.suppress(Unavailable):  # it went just now; that is told at its end
            await link.write(frames.encode(frame))

    async def _renew(self) -> None:
        """Look now and then whether the session still lives; only who types keeps it from idling."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            attended, self._typed = self._typed, False
            try:
                await self._login.call(attended=attended)
            except Unauthenticated as error:
                raise LeaveError(error.message) from error
            except UbmcError:
                continue  # usermgr is away; the next round decides

    async def _watch_idle(self) -> None:
        left = self._idle_seconds
        while True:
            await asyncio.sleep(left)
            left = self._used + self._idle_seconds - time.monotonic()
            if left <= 0:
                raise LeaveError("nothing came or went for too long")
