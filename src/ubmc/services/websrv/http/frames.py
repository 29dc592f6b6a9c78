"""Counting HTTP/2 frames before they cost anything: bytes in, the name of a broken limit out. No I/O.

The h2 library answers every control frame, keeps up to 64 CONTINUATION frames, and buffers a frame of any announced
size before it looks at the size. So the nine-byte frame headers (RFC 9113 section 4.1) are read here first.
"""

from __future__ import annotations

from collections import Counter

from ubmc.services.websrv.http.limits import Limits

PREFACE_BYTES = 24
HEADER_BYTES = 9
MAX_FRAME_BYTES = 16_384

DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0x0, 0x1, 0x3, 0x4, 0x6, 0x9
END_STREAM = ACK = 0x1
END_HEADERS = 0x4


class FrameMeter:
    """Follows one connection's frames; `waiting_since` tells of a preface or header block that is not complete."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._window_start = now
        self._counts: Counter[str] = Counter()
        self._head = bytearray()
        self._skip = PREFACE_BYTES
        self._in_preface = True
        self._in_headers = False  # the bytes being skipped belong to a header block
        self._block_open = False  # a CONTINUATION must follow
        self._block_bytes = 0
        self.waiting_since: float | None = now
        self._budgets = {
            "h2_resets": limits.h2_resets,
            "h2_settings": limits.h2_settings,
            "h2_pings": limits.h2_pings,
            "h2_empty_frames": limits.h2_empty_frames,
            "h2_control_frames": limits.h2_control_frames,
        }

    def feed(self, data: bytes, now: float) -> str | None:
        """Count the frames in `data`; returns the limit that is broken, or None.

        After a broken limit the connection must not be fed on.
        """
        if now - self._window_start > self._limits.flood_seconds:
            self._counts.clear()
            self._window_start = now
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            self._in_preface = self._in_headers = False
            piece = data[at : at + HEADER_BYTES - len(self._head)]
            self._head += piece
            at += len(piece)
            if len(self._head) == HEADER_BYTES:
                broken = self._judge(int.from_bytes(self._head[:3]), self._head[3], self._head[4])
                if broken is not None:
                    return broken
                self._head.clear()
        unfinished = (self._skip > 0 and (self._in_preface or self._in_headers)) or self._block_open or bool(self._head)
        self.waiting_since = (self.waiting_since or now) if unfinished else None
        return None

    def _judge(self, length: int, kind: int, flags: int) -> str | None:
        if length > MAX_FRAME_BYTES:
            return "h2_frame_bytes"
        self._skip = length
        if kind in {HEADERS, CONTINUATION}:
            self._in_headers = True
            self._block_open = not flags & END_HEADERS
            self._block_bytes = length + (self._block_bytes if kind == CONTINUATION else 0)
            if self._block_bytes > self._limits.header_bytes:
                return "header_bytes"
            if kind == HEADERS or length:
                return None
        name = _budget_of(length, kind, flags)
        if name is None:
            return None
        return name if self.charge(name) else None

    def charge(self, name: str) -> bool:
        """Take one from the budget `name` of this window; returns whether it is overdrawn."""
        self._counts[name] += 1
        return self._counts[name] > self._budgets[name]


def _budget_of(length: int, kind: int, flags: int) -> str | None:
    if kind == DATA:
        return None if length or flags & END_STREAM else "h2_empty_frames"
    if kind == CONTINUATION:
        return "h2_empty_frames"
    if kind == RST_STREAM:
        return "h2_resets"
    if kind == SETTINGS and not flags & ACK:
        return "h2_settings"
    if kind == PING and not flags & ACK:
        return "h2_pings"
    return "h2_control_frames"
