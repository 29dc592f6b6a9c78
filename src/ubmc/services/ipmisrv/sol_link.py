"""The way from one IPMI session to a host's console and back.

A line outlives a restart of consolesrv: it is opened again where it was, and what was missed is named in the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

from protobuf import Oneof

from ubmc.kit import bytelink
from ubmc.kit import call as calls
from ubmc.kit.bus import Bus
from ubmc.kit.bytelink import ByteLink
from ubmc.kit.call import Call
from ubmc.kit.errors import Denied, Invalid, NotFound, UbmcError, Unauthenticated
from ubmc.kit.tracing import Trace
from ubmc.protocols import console
from ubmc.protocols.ipmi import sol
from ubmc.protocols.ipmi.rmcpplus import Payload
from ubmc.protocols.ipmi.sol import SolLine, Timing
from ubmc.services.ipmisrv.sessions import Session
from ubmc.services.ipmisrv.settings import SolSettings
from ubmc.services.ipmisrv.sol_typed import Typed
from ubmc.v1alpha1.console_pb import ConsoleWriting, OpenConsoleRequest
from ubmc.v1alpha1.console_rpc import ConsoleService

log = logging.getLogger("ubmc.ipmisrv")

CALLS = (ConsoleService.OpenConsole,)

OPEN_SECONDS = 5.0
RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 2.0
LOSE_SECONDS = 1.0
"""What the line did not take is kept for so long: it may only be that consolesrv stops."""
NOTES = 8
"""Lines of ours that wait while the client takes nothing; the oldest go."""
_FINAL = ("session", "full")
"""Why consolesrv ends an attachment so that coming again is of no use."""
_BROKEN = "the line did not work"


class SolLink:
    """One session's serial line.

    Args:
        bus: where consolesrv is asked.
        session: whose it is.
        name: the console.
        settings: of serial over LAN, when it was activated.
        write: whether what is typed goes to the host, if the account may write there.
    """

    def __init__(self, bus: Bus, session: Session, name: str, settings: SolSettings, *, write: bool) -> None:
        self._bus = bus
        self.session = session
        self.name = name
        self._write = write
        self._line = SolLine(timing(settings), self)
        self._timer: asyncio.TimerHandle | None = None
        self._more = asyncio.Event()  # something for the line
        self._space = asyncio.Event()  # room for more of the host
        self._notes: deque[str] = deque(maxlen=NOTES)
        self._typed = Typed()
        self._losing: asyncio.TimerHandle | None = None
        self._epoch = ""
        self._offset: int | None = None
        self._trouble = ""  # of the line
        self._writing = False  # whether we are the writer
        self._over = ""  # who writes instead of us
        self._why = ""  # we do not write
        self._running = asyncio.create_task(self._run(), name=f"sol {name}")

    def when_over(self, callback: Callable[[], None]) -> None:
        """Have something done once the line has ended by itself, or by `close`."""
        self._running.add_done_callback(lambda _: callback())

    # --- from the session -------------------------------------------------------------------------------------------

    def received(self, payload: bytes) -> None:
        """Take a SOL payload."""
        packet = sol.parse(payload)
        if packet is not None:
            self._line.received(packet, time.monotonic())
            self._poll()

    def _poll(self) -> None:
        """Send what is to be sent, and come back when there is more to do."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for payload in self._line.poll(time.monotonic()):
            self.session.send(Payload.SOL, payload)
        while self._notes and self._line.room:
            self._line.feed(f"\r\n[u-bmc: {self._notes.popleft()}]\r\n".encode(), time.monotonic())
        if self._line.room:
            self._space.set()
        due = self._line.due()
        if due is not None and not self._running.done():
            self._timer = asyncio.get_running_loop().call_at(due, self._poll)

    def close(self) -> None:
        """End it; what was typed and not taken is lost, as when a cable is pulled."""
        self._running.cancel()
        for timer in (self._timer, self._losing):
            if timer is not None:
                timer.cancel()

    # --- the sink: what was typed -----------------------------------------------------------------------------------

    def take(self, data: bytes) -> int:
        """Take what fits."""
        if not self._write or self._over:
            return len(data)  # dropped, and the stream says who writes
        taken = self._typed.add(data)
        self._more.set()
        return taken

    def send_break(self) -> None:
        """A BREAK after what was typed so far."""
        if self._write and not self._over:
            self._typed.add_break()
            self._more.set()

    def flush(self) -> None:
        """Forget what is not on its way yet."""
        self._typed.forget()

    # --- the console ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Attach to the console, and again whenever consolesrv was restarted, until the session ends."""
        delay = RETRY_SECONDS
        told = False
        while True:
            try:
                async with await self._open() as link:
                    delay, told = RETRY_SECONDS, False
                    if not await self._attached(link):
                        break
            except (Denied, NotFound, Unauthenticated) as error:
                self._say(f"the console is closed: {error.message}")
                break
            except (UbmcError, OSError) as error:
                if not told:
                    log.warning("a console cannot be reached", extra={"console": self.name, "error": str(error)})
                    told = True
            await asyncio.sleep(delay)
            delay = min(LONGEST_RETRY_SECONDS, delay * 2)
        await self._drain()
        self.session.send(Payload.SOL, sol.deactivating())

    async def _open(self) -> ByteLink:
        if self._write:
            try:
                return await self._open_for(ConsoleWriting.IF_FREE)
            except Denied:  # then they may look, if that is not denied too
                link = await self._open_for(ConsoleWriting.UNSPECIFIED)
            self._write = False
            self._typed.forget()
            self._say("this account may only read this console, what you type is dropped")
            return link
        return await self._open_for(ConsoleWriting.UNSPECIFIED)

    async def _open_for(self, writing: ConsoleWriting) -> ByteLink:
        signed = await self.session.identity.signed()
        facts = self.session.facts
        call = Call(
            time.monotonic() + OPEN_SECONDS,
            Trace.new(),
            source=facts.source,
            signed=signed,
            principal=self._bus.verifier.verify(signed),
        )
        request = OpenConsoleRequest(name=self.name, door="sol", writing=writing)
        if self._offset is not None:
            place: Oneof[Literal["offset"], int] = Oneof("offset", self._offset)
            request.from_, request.epoch = place, self._epoch
        marked = calls.current.set(call)
        try:
            opened = await self._bus.ask(ConsoleService.OpenConsole, request, timeout=OPEN_SECONDS)
        finally:
            calls.current.reset(marked)
        return await bytelink.connect(opened.socket, opened.ticket)

    async def _attached(self, link: ByteLink) -> bool:
        """Carry bytes both ways until the connection ends; whether to open it again."""
        self._writing = False
        self._typed.begin()
        typing = asyncio.create_task(self._type(link))
        try:
            async with contextlib.aclosing(link.frames(console.Decoder())) as frames:
                async for frame in frames:
                    if isinstance(frame, console.End):
                        self._after(exact=frame.reason == "stopping")
                        if frame.reason in _FINAL:
                            self._say(f"the console is closed: {frame.message}")
                        return frame.reason not in _FINAL
                    await self._frame(frame, link)
        except Invalid as error:
            log.warning("consolesrv says what cannot be read", extra={"console": self.name, "error": error.message})
        finally:
            typing.cancel()
            with contextlib.suppress(asyncio.CancelledError, UbmcError):
                await typing
        self._after(exact=False)
        return True

    async def _frame(self, frame: console.Frame, link: ByteLink) -> None:
        match frame:
            case console.Hello():
                if frame.resumed == "unknown" and self._offset is not None:
                    self._say("the console was restarted; what it said meanwhile is not known")
                self._epoch, self._offset = frame.epoch, frame.start
                self._state(frame.writing, frame.writer, frame.connected, frame.reason)
            case console.Output():
                self._offset = frame.offset + len(frame.data)
                await self._show(frame.data)
            case console.Missed():
                self._offset = frame.end
                self._say(f"{frame.end - frame.start} bytes of the console were missed")
            case console.Written():
                self._done(frame.total, frame.dropped)
            case console.State():
                self._state(frame.writing, frame.writer, frame.connected, frame.reason)
                if self._write and not frame.writing and not frame.writer:
                    await link.write(console.encode(console.Take()))  # it is free now
            case _:
                pass

    def _state(self, writing: bool, writer: str, connected: bool, reason: str) -> None:
        """Say who writes, if that is not the person at the other end, and whether the line works."""
        over = "" if writing or not self._write else writer
        self._writing = writing
        self._why = "" if writing else reason or f"{writer or 'nobody'} writes"
        if over and over != self._over:
            self._say(f"{over} writes to this console, what you type is dropped until they release it")
            self._tell_lost(self._typed.forget(), self._why)
        elif self._over and writing:
            self._say("what you type goes to the console")
        if over or writing:  # between two writers nothing is said yet
            self._over = over
        trouble = "" if connected else reason or "not connected"
        if trouble != self._trouble:
            self._trouble = trouble
            self._say(f"the line does not work: {trouble}" if trouble else "the line works again")
        self._line.unavailable = not connected
        self._more.set()

    async def _show(self, data: bytes) -> None:
        """Characters for the remote console; while it does not take them, consolesrv keeps the rest."""
        while data:
            while not self._line.room:
                self._space.clear()
                await self._space.wait()
            part = data[: self._line.room]
            data = data[len(part) :]
            self._line.feed(part, time.monotonic())
            self._poll()

    def _say(self, text: str) -> None:
        """A line of ours in the stream, as soon as there is room."""
        self._notes.append(text)
        self._poll()

    # --- what was typed, on its way ---------------------------------------------------------------------------------

    async def _type(self, link: ByteLink) -> None:
        while True:
            frame = self._typed.next() if self._writing else None
            if frame is not None:
                await link.write(console.encode(frame))
                continue
            self._more.clear()
            await self._more.wait()

    def _done(self, total: int, dropped: int) -> None:
        """Consolesrv is done with so many in all; of them so many did not get to the host."""
        lost = self._typed.done(total, dropped)
        if not self._writing:  # so the line is not what was wrong, and somebody else may have typed since
            lost += self._typed.give_up()
        self._tell_lost(lost, self._why or _BROKEN)
        if self._typed.failed and self._losing is None:
            self._losing = asyncio.get_running_loop().call_later(LOSE_SECONDS, self._give_up)
        self._more.set()
        self._poll()

    def _give_up(self) -> None:
        """Give up what was typed while the line did not work."""
        if self._losing is not None:
            self._losing.cancel()
            self._losing = None
        self._tell_lost(self._typed.give_up(), _BROKEN)

    def _tell_lost(self, count: int, why: str) -> None:
        if count:
            self._say(f"{count} bytes that you typed are lost: {why}")

    def _after(self, *, exact: bool) -> None:
        """The connection has ended; what was on its way is sent again only if it surely has not arrived."""
        unknown = self._typed.end(exact=exact)
        self._give_up()
        if unknown:
            self._say(f"it is not known whether the last {unknown} bytes that you typed have arrived")

    async def _drain(self) -> None:
        """Let the client have the last words."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while self._notes or not self._line.idle:
                    self._poll()
                    await asyncio.sleep(0.02)


def timing(settings: SolSettings) -> Timing:
    """When packets are sent."""
    return Timing(settings.accumulate_seconds, settings.threshold, settings.retries, settings.retry_seconds)
