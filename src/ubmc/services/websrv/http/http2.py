"""HTTP/2 on the h2 library: one connection, its streams, its limits and its end.

Flow control goes all the way: a byte of a request is acknowledged when the application takes it, and `send` waits for
the client's window. A stream counts against the limit until its application has returned, not until the client has
reset it, so a client cannot start more work than it could have had open (CVE-2023-44487).
"""

from __future__ import annotations

import asyncio
import logging

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from ubmc.services.websrv.http.answers import ANSWERS, RequestError
from ubmc.services.websrv.http.asgi import Disconnected
from ubmc.services.websrv.http.frames import MAX_FRAME_BYTES, FrameMeter
from ubmc.services.websrv.http.gate import Facts, Shared
from ubmc.services.websrv.http.limits import Limits
from ubmc.services.websrv.http.outlet import HIGH_WATER_BYTES, Outlet
from ubmc.services.websrv.http.request2 import scope_of
from ubmc.services.websrv.http.stream2 import Stream

log = logging.getLogger("ubmc.websrv.http")

DEFAULT_WINDOW_BYTES = 65_535  # RFC 9113 section 6.9.2
FIELD_OVERHEAD_BYTES = 32  # RFC 9113 section 6.5.2, SETTINGS_MAX_HEADER_LIST_SIZE
# a client may open more than we allow before it has read our settings; those are refused one by one, not the connection
EAGER_STREAMS = 4


def _connection(limits: Limits) -> H2Connection:
    """An h2 connection with our settings in force from the first byte.

    Settings changed later would take effect only when acknowledged, and h2 would not give back the larger window: an
    upload stops at 65,535 bytes.
    """
    connection = H2Connection(H2Configuration(client_side=False, header_encoding=False, split_outbound_cookies=False))
    header_list = limits.header_bytes + limits.header_count * FIELD_OVERHEAD_BYTES
    values = {
        SettingCodes.MAX_CONCURRENT_STREAMS: limits.h2_streams,
        SettingCodes.INITIAL_WINDOW_SIZE: limits.h2_window_bytes,
        SettingCodes.MAX_HEADER_LIST_SIZE: header_list,
    }
    connection.local_settings = Settings(client=False, initial_values=values)
    connection.decoder.max_header_list_size = 2 * header_list  # up to here 431, beyond it the connection ends
    connection.initiate_connection()
    values[SettingCodes.MAX_CONCURRENT_STREAMS] = EAGER_STREAMS * limits.h2_streams
    connection.local_settings = Settings(client=False, initial_values=values)
    connection.increment_flow_control_window(max(1, 2 * limits.h2_window_bytes - DEFAULT_WINDOW_BYTES))
    return connection


class Http2:
    """One HTTP/2 connection."""

    def __init__(self, shared: Shared, outlet: Outlet, facts: Facts) -> None:
        self.shared = shared
        self.limits = shared.limits
        self._loop = shared.loop
        self._outlet = outlet
        self._facts = facts
        self._meter = FrameMeter(shared.limits, shared.loop.time())
        self._h2 = _connection(shared.limits)
        self._streams: dict[int, Stream] = {}
        self._idle_since = shared.loop.time()
        self._flush_planned = False
        self._draining = False
        self._lost = False
        self._unsent = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._flush()

    # bytes in

    def data_received(self, data: bytes) -> None:
        """Count, parse, act."""
        broken = self._meter.feed(data, self._loop.time())
        if broken is not None:
            self._end(ErrorCodes.ENHANCE_YOUR_CALM, broken)
            return
        try:
            events = self._h2.receive_data(data)
        except ProtocolError:
            self._end(None, "malformed")  # h2 has written its GOAWAY already
            return
        except Exception:
            log.exception("HTTP/2 parser failed")
            self._end(None, "malformed")
            return
        for event in events:
            if not self._lost:
                self._handle(event)
        self.plan_flush()

    def _handle(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._request(event)
        elif isinstance(event, DataReceived):
            self._data(event)
        elif isinstance(event, StreamEnded):
            if (stream := self._streams.get(event.stream_id)) is not None:
                stream.ended()
        elif isinstance(event, StreamReset):
            if (stream := self._streams.get(event.stream_id)) is not None:
                stream.lose()
        elif isinstance(event, WindowUpdated) and event.stream_id:
            if (stream := self._streams.get(event.stream_id)) is not None:
                stream.window_opened()
        elif isinstance(event, WindowUpdated | RemoteSettingsChanged):
            for stream in self._streams.values():
                stream.window_opened()
        elif isinstance(event, ConnectionTerminated):
            # h2 sends nothing after the client's GOAWAY, so what still runs has lost its client
            self._lose_all()
            self._outlet.close()

    def _request(self, event: RequestReceived) -> None:
        stream_id = event.stream_id
        if self._draining or len(self._streams) >= self.limits.h2_streams:
            self.shared.counts.limited["h2_streams"] += 1
            self.reset(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        self.shared.counts.requests["2"] += 1
        try:
            scope, length = scope_of(event.headers or [], self.limits, self._facts)
        except RequestError as bad:
            self.shared.counts.limited[bad.limit] += 1
            self.answer(stream_id, bad.status, whole=event.stream_ended is not None)
            return
        if length is not None and length > self.limits.body_bytes:
            self.shared.counts.limited["body_bytes"] += 1
            self.answer(stream_id, 413, whole=event.stream_ended is not None)
            return
        stream = Stream(self, stream_id, scope, self._loop.time())
        self._streams[stream_id] = stream
        task = self._loop.create_task(stream.run(self.shared.app))
        self.shared.tasks.add(task)
        task.add_done_callback(self.shared.tasks.discard)

    def _data(self, event: DataReceived) -> None:
        length = event.flow_controlled_length or 0
        stream = self._streams.get(event.stream_id)
        if stream is None or stream.gone or stream.complete:
            self.taken(event.stream_id, length)
        elif stream.received + len(event.data or b"") > self.limits.body_bytes:
            self.taken(event.stream_id, length)
            self.refuse(stream, 413, "body_bytes")
        else:
            stream.feed(event.data or b"", length)

    # what streams ask for

    def taken(self, stream_id: int, size: int) -> None:
        """`size` flow-controlled bytes were consumed: let the client send as many."""
        if size and not self._lost and not self._outlet.discarding:
            try:
                self._h2.acknowledge_received_data(size, stream_id)
            except ProtocolError:  # the connection is already ending
                return
            self.plan_flush()

    def send_headers(self, stream_id: int, headers: list[tuple[bytes, bytes]], *, end: bool) -> None:
        """Queue a header block.

        Raises:
            Disconnected: the stream or the connection has ended.
        """
        try:
            self._h2.send_headers(stream_id, headers, end_stream=end)
        except ProtocolError as error:
            raise Disconnected("the stream has ended") from error
        self.plan_flush()

    async def send_data(self, stream: Stream, data: bytes, *, end: bool) -> None:
        """Send a piece of a body as the client's window and the connection allow; copies at most one frame at a time.

        Raises:
            Disconnected: the stream or the connection has ended.
        """
        at = 0
        while True:
            room = await self._room(stream) if len(data) > at else 0
            chunk = data[at : at + room] if at or room < len(data) else data
            at += len(chunk)
            done = at >= len(data)
            try:
                self._h2.send_data(stream.id, chunk, end_stream=end and done)
            except ProtocolError as error:
                raise Disconnected("the stream has ended") from error
            self._unsent += len(chunk)
            if done:
                self.plan_flush()
                return
            if self._unsent >= HIGH_WATER_BYTES:
                self._flush()
                await asyncio.sleep(0)  # other connections have their turn within a long body

    async def _room(self, stream: Stream) -> int:
        """Bytes that may be sent on a stream now; waits until there are some."""
        while True:
            if stream.gone or self._lost:
                raise Disconnected("the client went away before the answer was complete")
            if not self._writable.is_set():
                await self._writable.wait()
                continue
            try:
                room = min(self._h2.local_flow_control_window(stream.id), MAX_FRAME_BYTES)
            except ProtocolError as error:
                raise Disconnected("the stream has ended") from error
            if room > 0:
                return room
            self.plan_flush()
            await stream.window(self._loop.time())

    def finished(self, stream: Stream) -> None:
        """The application of a stream has returned."""
        self._streams.pop(stream.id, None)
        self._idle_since = self._loop.time()
        if not stream.gone:
            if not stream.complete:
                self.reset(stream.id, ErrorCodes.INTERNAL_ERROR)
            elif not stream.whole:
                self.reset(stream.id, ErrorCodes.NO_ERROR)  # RFC 9113 section 8.1: no need to send the rest
        self.taken(stream.id, stream.unread)
        if self._draining and not self._streams:
            self._flush()
            self._outlet.close()

    def reset(self, stream_id: int, code: ErrorCodes) -> None:
        """End a stream; a client that makes us do so too often loses its connection (CVE-2025-8671)."""
        try:
            self._h2.reset_stream(stream_id, code)
        except ProtocolError:  # the client was quicker
            return
        self.plan_flush()
        if code is not ErrorCodes.NO_ERROR and self._meter.charge("h2_resets"):
            self._end(ErrorCodes.ENHANCE_YOUR_CALM, "h2_resets")

    def refuse(self, stream: Stream, status: int, limit: str) -> None:
        """End a request that broke a limit, with an answer if none has begun."""
        self.shared.counts.limited[limit] += 1
        begun, whole = stream.begun, stream.whole
        stream.lose()
        if begun:
            self.reset(stream.id, ErrorCodes.CANCEL)
        else:
            self.answer(stream.id, status, whole=whole)

    def answer(self, stream_id: int, status: int, *, whole: bool) -> None:
        """Answer without the application; `whole` if the request is complete."""
        answer = ANSWERS[status]
        try:
            fits = self._h2.local_flow_control_window(stream_id) >= len(answer.body)
            headers = [(b":status", b"%d" % status), *(answer.headers if fits else ())]
            self._h2.send_headers(stream_id, headers, end_stream=not fits)
            if fits:
                self._h2.send_data(stream_id, answer.body, end_stream=True)
        except ProtocolError:  # the client was quicker
            return
        if not whole:
            self.reset(stream_id, ErrorCodes.NO_ERROR)
        self.plan_flush()

    # bytes out

    def plan_flush(self) -> None:
        """Write at the end of this turn of the loop, so that what several streams say leaves together."""
        if not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        self._unsent = 0
        if not self._lost and (data := self._h2.data_to_send()):
            self._outlet.write(data)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has read on."""
        self._writable.set()

    # the end

    def _end(self, code: ErrorCodes | None, limit: str) -> None:
        """End the connection over a fault of the client's."""
        if self._lost:
            return
        self.shared.counts.limited[limit] += 1
        if code is not None:
            self._goaway(code)
        self._flush()
        self._lose_all()
        self._outlet.linger()

    def _goaway(self, code: ErrorCodes) -> None:
        # by hand: h2's own way forbids to finish the streams that are open
        frame = GoAwayFrame(0, last_stream_id=self._h2.highest_inbound_stream_id, error_code=code)
        self._flush()
        self._outlet.write(frame.serialize())

    def _lose_all(self) -> None:
        self._lost = True
        self._writable.set()
        for stream in tuple(self._streams.values()):
            stream.lose()

    def eof_received(self) -> None:
        """Nothing to do: TLS closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._lose_all()

    def shutdown(self) -> None:
        """Take no new streams, close when those open are done."""
        if self._draining or self._lost:
            return
        self._draining = True
        self._goaway(ErrorCodes.NO_ERROR)
        if not self._streams:
            self._outlet.close()

    def expire(self, now: float) -> None:
        """Enforce the deadlines of header blocks, idleness, bodies and windows."""
        limits, waiting = self.limits, self._meter.waiting_since
        if waiting is not None and now - waiting > limits.header_seconds:
            self._end(ErrorCodes.NO_ERROR, "header_seconds")
        elif not self._streams and now - self._idle_since > limits.idle_seconds:
            self._end(ErrorCodes.NO_ERROR, "idle_seconds")
        else:
            for stream in tuple(self._streams.values()):
                if stream.gone:
                    continue
                if stream.body_late(now):
                    self.refuse(stream, 408, "body_seconds")
                elif stream.blocked_since is not None and now - stream.blocked_since > limits.write_seconds:
                    self.refuse(stream, 408, "write_seconds")
