"""HTTP/3 frames within our limits: what aioquic leaves open.

aioquic collects a whole HEADERS frame before it decodes it, whatever its length, and offers a compression table with
which one byte of a request becomes a header of 4 KiB. Here a frame has the size of a header block, and no table.
"""

from __future__ import annotations

import pylsqpack
from aioquic.h3.connection import ErrorCode, H3Connection, HeadersState, ProtocolError
from aioquic.h3.events import H3Event, Headers
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import StreamDataReceived

from ubmc.services.websrv.http.limits import Counts, Limits


class _TooMuchError(ProtocolError):
    """Ends the connection."""

    error_code = ErrorCode.H3_EXCESSIVE_LOAD


class LimitedH3(H3Connection):
    """The server's side of one connection."""

    def __init__(self, quic: QuicConnection, limits: Limits, counts: Counts) -> None:
        self._limits = limits
        self._counts = counts
        super().__init__(quic)

    def _init_connection(self) -> None:
        self._max_table_capacity = self._blocked_streams = 0
        self._decoder = pylsqpack.Decoder(0, 0)
        super()._init_connection()

    def _receive_stream_data(self, event: StreamDataReceived) -> list[H3Event]:
        events = super()._receive_stream_data(event)
        stream = self._stream.get(event.stream_id)
        if stream is not None and len(stream.buffer) > self._limits.header_bytes:
            self._counts.limited["header_bytes"] += 1
            raise _TooMuchError("the header block is too large")
        return events

    def _decode_headers(self, stream_id: int, frame_data: bytes | None) -> Headers:
        headers = super()._decode_headers(stream_id, frame_data)
        if len(headers) > 2 * self._limits.header_count:  # up to that, only the request is refused
            self._counts.limited["header_count"] += 1
            raise _TooMuchError("too many headers")
        return headers

    def unfinished(self) -> frozenset[int]:
        """The requests whose headers have not come whole."""
        return frozenset(
            number
            for number, stream in self._stream.items()
            if number % 4 == 0 and stream.headers_recv_state is HeadersState.INITIAL and not stream.receiving_ended
        )
