"""Server streams over the bus: two halves that keep each other's pace and notice each other's death.

The reader grants credit, in frames and in bytes. Every frame names the control subject of the writer as its reply, so
that the bus itself reports a vanished reader. A writer with nothing to say sends a beat every 2 s; the reader answers
it where frames arrive, not where they are consumed, so a reader that is merely slow stays alive. Either half gives up
after 6 s of silence; a reader that waits asks every second, which finds a writer that was killed at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from nats.aio.msg import Msg

from ubmc.kit.call import ERROR_HEADER, decode_error
from ubmc.kit.errors import Exhausted, UbmcError, Unavailable

WINDOW_FRAMES = 32
WINDOW_BYTES = 256 * 1024
MAX_FRAME = 32 * 1024
BEAT_SECONDS = 2.0
PATIENCE_SECONDS = 6.0
LEASE_SECONDS = 1.0

MARK_HEADER = "Ubmc-Mark"
MARK_END = "end"
MARK_BEAT = "beat"
_LEASE = b"0 0"
_CANCEL = b"cancel"
_GONE_STATUS = "503"

Publish = Callable[[str, bytes, str, dict[str, str] | None], Awaitable[None]]


class ReaderGone(Exception):  # noqa: N818  an end, not an error
    """The reader cancelled, vanished or was silent for too long."""


class StreamWriter:
    """The half that answers."""

    def __init__(self, publish: Publish, inbox: str, control: str) -> None:
        self._publish = publish
        self._inbox = inbox
        self._control = control
        self._frames = WINDOW_FRAMES
        self._bytes = WINDOW_BYTES
        self._changed = asyncio.Event()
        self._gone = False
        self._heard = asyncio.get_running_loop().time()

    def control(self, msg: Msg) -> None:
        """Take a message that arrived on the control subject."""
        self._heard = asyncio.get_running_loop().time()
        status = (msg.headers or {}).get("Status")
        if status == _GONE_STATUS or msg.data == _CANCEL:
            self._gone = True
        else:
            frames, _, size = msg.data.partition(b" ")
            try:
                self._frames += int(frames)
                self._bytes += int(size)
            except ValueError:
                self._gone = True
        self._changed.set()

    async def send(self, data: bytes) -> None:
        """Send one frame, when there is credit for it.

        Raises:
            ReaderGone: nobody reads any more.
            Exhausted: the frame is larger than 32 KiB.
        """
        if len(data) > MAX_FRAME:
            raise Exhausted(f"a frame of {len(data)} bytes is larger than {MAX_FRAME}")
        while not self._gone and (self._frames <= 0 or self._bytes < len(data)):
            self._changed.clear()
            await self._changed.wait()
        if self._gone:
            raise ReaderGone
        self._frames -= 1
        self._bytes -= len(data)
        await self._publish(self._inbox, data, self._control, None)

    async def beat(self) -> None:
        """Tell the reader that we live until it is gone; run beside `send`."""
        loop = asyncio.get_running_loop()
        due = loop.time() + BEAT_SECONDS
        while not self._gone:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):  # what the reader says must not put the beat off
                    await self._changed.wait()
                    continue
            due = loop.time() + BEAT_SECONDS
            if loop.time() - self._heard > PATIENCE_SECONDS:
                self._gone = True
                self._changed.set()
                break
            await self._publish(self._inbox, b"", self._control, {MARK_HEADER: MARK_BEAT})

    def abort(self) -> None:
        """Send nothing more."""
        self._gone = True
        self._changed.set()

    async def end(self, error: tuple[str, bytes] | None = None) -> None:
        """Say that there is no more, or what went wrong (name and body)."""
        if self._gone:
            return
        if error is None:
            await self._publish(self._inbox, b"", "", {MARK_HEADER: MARK_END})
        else:
            await self._publish(self._inbox, error[1], "", {ERROR_HEADER: error[0]})


class StreamReader:
    """The half that asked."""

    def __init__(self, publish: Publish, inbox: str, what: str) -> None:
        self._publish = publish
        self._inbox = inbox
        self._what = what
        # Bounded by the credit that we grant; the two places more are for the end and for a fault.
        self._queue: asyncio.Queue[bytes | UbmcError | None] = asyncio.Queue(WINDOW_FRAMES + 2)
        self._control = ""
        self._owed_frames = 0
        self._owed_bytes = 0
        self._heard = asyncio.get_running_loop().time()

    async def frame(self, msg: Msg) -> None:
        """Take a message that arrived in the inbox."""
        self._heard = asyncio.get_running_loop().time()
        if msg.reply:
            self._control = msg.reply
        headers = msg.headers or {}
        if headers.get("Status") == _GONE_STATUS:
            self._put(Unavailable(f"{self._what} is not running"))
        elif (name := headers.get(ERROR_HEADER)) is not None:
            self._put(decode_error(name, msg.data))
        elif (mark := headers.get(MARK_HEADER)) == MARK_BEAT:
            await self._publish(self._control, _LEASE, "", None)
        elif mark == MARK_END:
            self._put(None)
        else:
            self._put(msg.data)

    def fail(self, error: UbmcError) -> None:
        """End with this error."""
        self._put(error)

    def _put(self, item: bytes | UbmcError | None) -> None:
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:  # the writer ignores its credit, or two faults at once: the first one counts
            if not isinstance(item, bytes):
                return
            self._queue.get_nowait()
            self._queue.put_nowait(Exhausted(f"{self._what} sent more than it was allowed to"))

    async def next(self) -> bytes | None:
        """The next frame; None at the end.

        Raises:
            UbmcError: what the writer said, or `Unavailable` when it vanished.
        """
        item = await self._take()
        if isinstance(item, UbmcError):
            raise item
        if item is not None:
            await self._repay(len(item))
        return item

    async def _take(self) -> bytes | UbmcError | None:
        while True:
            try:
                async with asyncio.timeout(LEASE_SECONDS):
                    return await self._queue.get()
            except TimeoutError:
                if self._control:  # a writer that was killed has no subscription any more: the bus says so at once
                    await self._publish(self._control, _LEASE, self._inbox, None)
                if asyncio.get_running_loop().time() - self._heard > PATIENCE_SECONDS:
                    raise Unavailable(f"{self._what} has gone silent") from None

    async def _repay(self, size: int) -> None:
        self._owed_frames += 1
        self._owed_bytes += size
        if self._owed_frames >= WINDOW_FRAMES // 2 or self._owed_bytes >= WINDOW_BYTES // 2:
            credit = b"%d %d" % (self._owed_frames, self._owed_bytes)
            self._owed_frames = self._owed_bytes = 0
            await self._publish(self._control, credit, "", None)

    async def cancel(self) -> None:
        """Tell the writer that we do not read on."""
        if self._control:
            await self._publish(self._control, _CANCEL, "", None)
