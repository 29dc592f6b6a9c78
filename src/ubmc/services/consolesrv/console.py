"""One console: its line, the ring that the line fills, who reads it and who writes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from ubmc.hw.console.port import BREAK_SECONDS, Chunk, Opened, Resume
from ubmc.kit.bytelink import ByteLink
from ubmc.kit.errors import Busy, Exhausted, UbmcError, Unavailable
from ubmc.protocols import console as frames
from ubmc.services.consolesrv.attachment import Attachment, Who
from ubmc.services.consolesrv.news import News, Tell
from ubmc.services.consolesrv.places import MOST_CONNECTIONS, MOST_CONNECTIONS_OF_ONE, who_leaves
from ubmc.services.consolesrv.plan import ConsolePlan, Settings
from ubmc.services.consolesrv.recording import Recorder
from ubmc.services.consolesrv.ring import Ring
from ubmc.services.consolesrv.sights import Watcher
from ubmc.services.consolesrv.start import Opening, Start, begin
from ubmc.services.consolesrv.store import Numbering, Store
from ubmc.v1alpha1.console_pb import ConsoleWriting

log = logging.getLogger("ubmc.consolesrv")

RECONNECT_SECONDS = 2.0
"""Who writes waits so long for a line that does not work."""
STOP_SECONDS = 0.5
PATIENCE_SECONDS = 10.0
SETTLE_SECONDS = 5.0
"""Whoever comes so soon after our start waits for the line, if it numbers its bytes: only it knows the offsets."""
SYSRQ_PAUSE_SECONDS = 0.05
SIGNAL_SECONDS = 4.0
"""A BREAK that is being sent may take so long after nobody wants it any more: 2 s, and 1 s until the line is empty."""
ENDED = 256
"""Sessions that have ended and are remembered: somebody may have a ticket of one still, for some seconds."""
_FIRST = "the line is being opened"
_SESSION_OVER = frames.End("session", "the session has ended; log in again")


class Console:
    """One console.

    Args:
        plan: what it is.
        store: what is kept of it.
        folder: where its recording goes.
        tell: how news are told.
        changed: called when what the API shows is different.
    """

    def __init__(
        self, plan: ConsolePlan, store: Store, folder: Path, tell: Tell, changed: Callable[[Console], None]
    ) -> None:
        self.plan = plan
        self.settings = store.settings(plan.name, plan.settings)
        self.line = plan.make_line()
        self.ring = Ring(self.settings.replay_bytes)
        self.epoch = secrets.token_hex(8)
        self.connected: bool | None = None
        self.reason = _FIRST
        self.attachments: dict[str, Attachment] = {}
        self.writer: Attachment | None = None
        self.written_bytes = self.lost_bytes = 0
        self.recorder = Recorder(folder / f"{plan.name}.log", self.settings.recording_bytes, self.settings.redactions)
        self.more = asyncio.Event()
        """Set, and replaced, whenever the ring has got more."""
        self._store = store
        self._news = News(plan.name, tell)
        self._changed = changed
        self._watcher = Watcher(plan.sights)
        self._numbering: Numbering | None = None
        self._base = 0
        self._old_until = 0  # bytes before this offset were seen by an earlier life of ours
        self._fresh = True  # the line has not worked yet since we began
        self._said = ""
        self._began = time.monotonic()
        self._settled = asyncio.Event()
        self._arriving: Counter[str] = Counter()  # by account
        self._ended: deque[str] = deque(maxlen=ENDED)
        self._backlog = 0  # bytes before this offset were there when the line was opened
        self._empty = asyncio.Event()
        self._up = asyncio.Event()
        self._turn = asyncio.Lock()
        self._opening = asyncio.Lock()  # settings and the line's own opening, one after the other

    @property
    def name(self) -> str:
        """That of the host."""
        return self.plan.name

    # --- the line -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the line open, until cancelled."""
        if self.settings.recording:
            self.recorder.start()
        try:
            while True:
                try:
                    await self._open()
                    while True:
                        self._take(await self.line.read())
                except UbmcError as error:
                    self._lost(error.message)
                finally:
                    resumes = self._store.numbering(self.name) is not None
                    if not resumes or time.monotonic() - self._began >= SETTLE_SECONDS:
                        self._settled.set()
                    await self.line.close()
                await asyncio.sleep(self.line.retry_seconds)
        finally:
            await self.recorder.stop()

    async def _open(self) -> None:
        known = self._store.numbering(self.name) if self._fresh else self._numbering
        resume = None
        if known is not None:
            resume = Resume(known.identity, 0 if self._fresh else self.ring.end - known.base)
        async with self._opening:
            opened = await self.line.open(self.settings.line, resume)
            await self._number(opened, known)
        self._fresh, self.connected, self.reason = False, True, ""
        self._said = ""
        self._backlog = self._base + opened.end
        self._settle()
        self._up.set()
        self._watcher.forget()
        log.info("a console works", extra={"console": self.name, "offset": self.ring.end})
        self._wake(state=True)

    async def _number(self, opened: Opened, known: Numbering | None) -> None:
        """Find out which offsets the bytes of this line have."""
        if not opened.identity:
            self._base = self.ring.end - opened.place
            return
        same = known is not None and known.identity == opened.identity
        alone = self._fresh and not self.attachments  # nobody has been told an offset yet
        if known is None or not same or (self._fresh and not alone):
            known = Numbering(opened.identity, self.epoch, 0 if alone else self.ring.end - opened.place)
        if alone:
            self.epoch = known.epoch
            self.ring = Ring(self.settings.replay_bytes, known.base + opened.place)
        # What an earlier life of ours has told and recorded already is not told and recorded again.
        self._old_until = known.base + opened.end if same and self._fresh else 0
        self._numbering, self._base = known, known.base
        try:
            await self._store.keep_numbering(self.name, known)
        except Unavailable as error:  # then readers cannot resume over our next restart, no more
            log.warning("the numbering of a console cannot be kept", extra={"error": error.message})

    def _take(self, chunk: Chunk) -> None:
        """Bytes of the host."""
        offset, data = chunk.place + self._base, chunk.data
        if offset < self.ring.end:  # read before
            data = data[self.ring.end - offset :]
        elif lost := self.ring.skip(offset):
            self.lost_bytes += lost
            self.recorder.feed(f"\r\n[u-bmc: {lost} bytes of the host are lost]\r\n".encode())
            log.warning("bytes of a console are lost", extra={"console": self.name, "bytes": lost})
        self.ring.append(data, time.time())
        self._settle()
        if (new := self.ring.end - self._old_until) > 0:
            fresh = data[-new:] if new < len(data) else data
            self._look(fresh)
            self.recorder.feed(fresh)
        self._wake()

    def _settle(self) -> None:
        """Let readers in, once all is here that was there before."""
        if self.ring.end >= self._backlog:
            self._settled.set()

    def _look(self, data: bytes) -> None:
        for seen in self._watcher.feed(data, time.monotonic()):
            self._news.seen(seen)

    def _lost(self, reason: str) -> None:
        if self.connected is not False or self.reason != reason:
            self.connected, self.reason = False, reason
            self._wake(state=True)
        patience = PATIENCE_SECONDS if self._fresh else 0.0  # a machine may be started with us
        if reason != self._said and time.monotonic() - self._began >= patience:
            self._said = reason
            log.info("a console does not work", extra={"console": self.name, "reason": reason})
        self._up.clear()

    def _wake(self, *, state: bool = False) -> None:
        more, self.more = self.more, asyncio.Event()
        more.set()
        for attachment in self.attachments.values():
            attachment.wake(state=state)
        if state:
            self._changed(self)

    # --- settings -----------------------------------------------------------------------------------------------

    async def change(self, settings: Settings) -> None:
        """Use other settings, and keep them.

        Raises:
            Invalid: the line cannot work so; nothing is changed.
            Unavailable: they cannot be kept, or the line is lost just now.
        """
        async with self._opening:
            before = self.settings
            if self.connected and settings.line != before.line:
                await self.line.configure(settings.line)
            try:
                await self._store.keep_settings(self.name, settings)
            except Unavailable:
                if self.connected and settings.line != before.line:
                    await self.line.configure(before.line)
                raise
            self.settings = settings
        self.ring.resize(settings.replay_bytes)
        if (settings.recording_bytes, settings.redactions) != (before.recording_bytes, before.redactions):
            self.recorder.change(settings.recording_bytes, settings.redactions)
        if settings.recording:
            self.recorder.start()
        else:
            await self.recorder.stop()
        self._wake(state=True)

    # --- attachments --------------------------------------------------------------------------------------------

    async def attach(self, opening: Opening, link: ByteLink) -> None:
        """Serve somebody who has shown a ticket, until they leave."""
        try:
            await self._let_in(opening.who)
        except Exhausted as error:
            await link.write(frames.encode(frames.End("full", error.message)))
            return
        if opening.who.session in self._ended:
            await link.write(frames.encode(_SESSION_OVER))
            return
        start = begin(self.ring, self.epoch, opening)
        attachment = Attachment(self, opening.who, start.position)
        self.attachments[attachment.id] = attachment
        self._news.attached(opening.who)
        if opening.writing is not ConsoleWriting.UNSPECIFIED:
            self.take(attachment, over=opening.writing is ConsoleWriting.TAKE_OVER)
        self._changed(self)
        try:
            await attachment.serve(link, self._hello(attachment, start))
        finally:
            del self.attachments[attachment.id]
            if not self.attachments:
                self._empty.set()
            if self.writer is attachment:
                self.writer = None
                self._wake(state=True)
            self._changed(self)
            self._news.detached(attachment)

    async def _let_in(self, who: Who) -> None:
        """Wait until the console is ready, and make room. Raises `Exhausted`."""
        own = sum(each.who.user == who.user for each in self.attachments.values()) + self._arriving[who.user]
        every = len(self.attachments) + self._arriving.total()
        if own >= MOST_CONNECTIONS_OF_ONE or every >= MOST_CONNECTIONS:
            raise Exhausted("too many are coming and going at this console; try again")
        self._arriving[who.user] += 1
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._settled.wait()
        except TimeoutError:
            pass  # then the line is not there
        finally:
            self._arriving -= Counter((who.user,))
        leaving = who_leaves(self.attachments.values(), self.writer, who)
        if leaving is not None:
            leaving.end("full", f"{who.user} needed a place at this console, and it was your oldest one that gave way")

    def _hello(self, attachment: Attachment, start: Start) -> frames.Hello:
        state = self.state_for(attachment)
        return frames.Hello(
            name=self.name,
            epoch=self.epoch,
            start=start.shown,
            oldest=self.ring.start,
            end=self.ring.end,
            resumed=start.resumed,
            may_write=attachment.who.may_write,
            writing=state.writing,
            writer=state.writer,
            connected=state.connected,
            reason=state.reason,
        )

    def state_for(self, attachment: Attachment) -> frames.State:
        """What an attachment is told."""
        writer = self.writer.who.user if self.writer is not None else ""
        return frames.State(self.writer is attachment, writer, self.connected is True, attachment.reason or self.reason)

    async def end_all(self) -> None:
        """We stop: everybody is told, and has a moment to read it."""
        for attachment in self.attachments.values():
            attachment.end("stopping", "the console service stops; attach again")
        if self.attachments:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._empty.wait()

    def end_session(self, session: str) -> None:
        """A session has ended; whoever is still on the way in by it does not get in."""
        self._ended.append(session)
        for attachment in self.attachments.values():
            if attachment.who.session == session:
                attachment.end(_SESSION_OVER.reason, _SESSION_OVER.message)

    # --- writing ------------------------------------------------------------------------------------------------

    def take(self, by: Attachment, *, over: bool) -> None:
        """Make somebody the writer, if nobody is or `over`."""
        before = self.writer
        if before is by:
            return
        if not by.who.may_write:
            by.reason = "writing needs the privilege ConfigureComponents"
        elif before is not None and not over:
            by.reason = f"{before.who.user} writes; take over to write"
        else:
            if before is not None:
                before.reason = f"{by.who.user} has taken over"
                before.interrupt()
                self._news.taken(by.who.user, by.who.source, before.who.user)
            self.writer, by.reason = by, ""
        self._wake(state=True)

    def release(self, by: Attachment) -> None:
        """Let others write."""
        if self.writer is by:
            self.writer = None
            by.reason = ""
            self._wake(state=True)

    def revoke(self, by: str, source: str) -> str:
        """Take the right to write away, for somebody at an address; from whom, empty if nobody had it."""
        before = self.writer
        if before is None:
            return ""
        before.reason = f"{by} has taken the right to write away"
        before.interrupt()
        self.writer = None
        self._news.taken(by, source, before.who.user)
        self._wake(state=True)
        return before.who.user

    async def input(self, by: Attachment, data: bytes) -> None:
        """The writer's bytes."""
        if not by.wrote:
            by.wrote = True
            self._news.wrote(by.who)
        await self.write(data)

    def make_way(self, user: str, source: str, *, take_over: bool) -> None:
        """Let a program send something that is not attached: nobody writes, or not any more.

        Raises:
            Busy: somebody writes.
        """
        if self.writer is not None and not take_over:
            raise Busy(f"{self.writer.who.user} writes on this console; take over to send something")
        self.revoke(user, source)

    async def write(self, data: bytes) -> None:
        """Write to the host; waits while the line is full, and some moments for one that does not work.

        Raises:
            Unavailable: the line does not work.
        """
        async with self._turn:
            await self._working()
            await self.line.write(data)
        self.written_bytes += len(data)

    async def send_break(self, seconds: float) -> None:
        """Send a BREAK, to its end if it has begun; 0: of the usual length. Raises `Unavailable`, `Refused`."""
        async with self._turn:
            await self._working()
            await _to_its_end(self.line.send_break(seconds or BREAK_SECONDS))

    async def send_sysrq(self, key: str) -> None:
        """Send a SysRq: BREAK and a key within five seconds. Raises as `send_break`.

        One that has begun is sent to its end: a host that got only the BREAK would take what somebody types next for
        the key.
        """
        async with self._turn:
            await self._working()
            await _to_its_end(self._sysrq(key))

    async def _sysrq(self, key: str) -> None:
        await self.line.send_break(BREAK_SECONDS)
        await asyncio.sleep(SYSRQ_PAUSE_SECONDS)
        await self.line.write(key.encode("ascii"))

    def signalled(self, by: Attachment, signal: frames.Break | frames.SysRq, outcome: str) -> None:
        """An attachment wanted to send a BREAK or a SysRq, and this is what became of it."""
        self._news.signalled(by.who, signal, outcome)

    async def _working(self) -> None:
        try:
            async with asyncio.timeout(RECONNECT_SECONDS):
                await self._up.wait()
        except TimeoutError:
            raise Unavailable(f"the console of {self.name} does not work: {self.reason}") from None


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do something that must not be left half done: a cancellation comes too late for it, unless the line hangs."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        done, _ = await asyncio.wait({task}, timeout=SIGNAL_SECONDS)
        if not done:
            task.cancel()
            raise
        task.result()
