"""The way out of one TLS connection: writes gathered, closing bounded, a reader who does not read cut off.

`asyncio` closes a TLS transport by a handshake with a short deadline and then drops what the client has not read yet.
So a close waits here until everything is written, and only then says goodbye.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ubmc.services.websrv.http.limits import Counts, Limits

HIGH_WATER_BYTES = 64 << 10


class Outlet(asyncio.Transport):
    """The transport that protocols write to; owns the closing of its connection."""

    def __init__(self, raw: asyncio.Transport, tls: asyncio.Transport, limits: Limits, counts: Counts) -> None:
        super().__init__()
        self._raw = raw
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._counts = counts
        self._held = b""
        self._corked = False
        self._stalled_since: float | None = None
        self._closing_since: float | None = None
        self._lingering_since: float | None = None
        self._said_goodbye = False
        tls.set_write_buffer_limits(high=HIGH_WATER_BYTES)

    @property
    def discarding(self) -> bool:
        """Whether what still arrives is to be thrown away."""
        return self._lingering_since is not None or self._closing_since is not None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As of the TLS transport."""
        return self._tls.get_extra_info(name, default) if not self._said_goodbye else default

    def cork(self) -> None:
        """Hold the next write back so that it leaves with the one after it, or at the next turn of the loop."""
        self._corked = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write, together with what was held back."""
        if self._said_goodbye:
            return
        if self._corked:
            self._corked = False
            self._held += data
            self._loop.call_soon(self.flush)
            return
        if self._held:
            data = self._held + data
            self._held = b""
        self._tls.write(data)

    def flush(self) -> None:
        """Write what was held back."""
        if self._held and not self._said_goodbye:
            held, self._held = self._held, b""
            self._tls.write(held)

    def pause_reading(self) -> None:
        """Stop reading from the client."""
        if not self._said_goodbye:
            self._tls.pause_reading()

    def resume_reading(self) -> None:
        """Read from the client again."""
        if not self._said_goodbye:
            self._tls.resume_reading()

    def is_closing(self) -> bool:
        """Whether the connection is on its way out; a lingering one is."""
        return self.discarding or self._raw.is_closing()

    def linger(self) -> None:
        """Close after `linger_seconds` of throwing away input.

        Closing while a client still sends resets the connection and takes the answer with it.
        """
        self.flush()
        if self._lingering_since is None:
            self._lingering_since = self._loop.time()
            self.resume_reading()

    def close(self) -> None:
        """Close as soon as everything is written."""
        self.flush()
        if self._closing_since is None:
            self._closing_since = self._loop.time()
        self._close_if_drained()

    def abort(self) -> None:
        """Drop the connection now."""
        self._said_goodbye = True
        self._raw.abort()

    def writing_paused(self) -> None:
        """The client reads more slowly than we write."""
        self._stalled_since = self._loop.time()

    def writing_resumed(self) -> None:
        """The client has read on."""
        self._stalled_since = None

    def expire(self, now: float) -> None:
        """Enforce the deadlines of writing and closing."""
        write_seconds, linger_seconds = self._limits.write_seconds, self._limits.linger_seconds
        if self._stalled_since is not None and now - self._stalled_since > write_seconds:
            self._counts.limited["write_seconds"] += 1
            self.abort()
        elif self._closing_since is not None:
            patience = linger_seconds if self._said_goodbye else write_seconds
            if now - self._closing_since > patience:
                self.abort()
            else:
                self._close_if_drained()
        elif self._lingering_since is not None and now - self._lingering_since > linger_seconds:
            self.close()

    def _close_if_drained(self) -> None:
        if self._said_goodbye or self._raw.is_closing():
            return
        if self._tls.get_write_buffer_size() == 0 and self._raw.get_write_buffer_size() == 0:
            self._said_goodbye = True
            self._closing_since = self._loop.time()
            self._tls.close()
