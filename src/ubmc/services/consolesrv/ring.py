"""The last bytes that a host wrote, each with its offset and about its time. Pure.

Offsets only rise. Where the line lost bytes there is a hole in them; where the ring is full the oldest bytes go.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

PIECE_BYTES = 4096
PIECE_SECONDS = 1.0
"""Bytes that come within so long share one time."""


@dataclass(slots=True)
class _Piece:
    offset: int
    time: float
    data: bytearray

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class Read:
    """What a reader gets."""

    offset: int
    """Of the first byte; later than what was asked for where bytes are gone."""
    data: bytes

    @property
    def end(self) -> int:
        """Where to read on."""
        return self.offset + len(self.data)


class Ring:
    """Bounded memory of one console."""

    def __init__(self, limit_bytes: int, start: int = 0) -> None:
        self._limit = limit_bytes
        self._pieces: deque[_Piece] = deque()
        self._size = 0
        self.end = start
        """The offset that the next byte will have."""

    @property
    def start(self) -> int:
        """The offset of the oldest byte that is kept."""
        return self._pieces[0].offset if self._pieces else self.end

    @property
    def last_time(self) -> float:
        """When the last bytes came, in seconds since 1970; 0 for never."""
        return self._pieces[-1].time if self._pieces else 0.0

    def resize(self, limit_bytes: int) -> None:
        """Keep another number of bytes from now on."""
        self._limit = limit_bytes
        self._shrink()

    def skip(self, offset: int) -> int:
        """The next byte has this offset, for those before it are lost; how many. Smaller than `end` changes nothing."""
        lost = max(offset - self.end, 0)
        self.end += lost
        return lost

    def append(self, data: bytes, time: float) -> None:
        """Bytes came."""
        last = self._pieces[-1] if self._pieces else None
        room = PIECE_BYTES - len(last.data) if last and last.end == self.end and time - last.time < PIECE_SECONDS else 0
        if last and room > 0:
            last.data += data[:room]
            data, added = data[room:], min(room, len(data))
            self.end += added
            self._size += added
        for at in range(0, len(data), PIECE_BYTES):
            piece = bytearray(data[at : at + PIECE_BYTES])
            self._pieces.append(_Piece(self.end, time, piece))
            self.end += len(piece)
            self._size += len(piece)
        self._shrink()

    def read(self, offset: int, limit_bytes: int) -> Read:
        """Bytes from `offset` on, up to the next hole; none at the end."""
        index = self._find(offset)
        data = bytearray()
        place = self.end
        for piece in islice(self._pieces, index, None):
            if not data:
                place = max(offset, piece.offset)
            elif piece.offset != place + len(data):
                break  # a hole
            begin = place + len(data) - piece.offset
            data += piece.data[begin : begin + limit_bytes - len(data)]
            if len(data) >= limit_bytes:
                break
        return Read(place, bytes(data))

    def marks(self, offset: int, end: int) -> Iterator[tuple[int, float]]:
        """When the bytes from `offset` to `end` came: from which offset on which time holds."""
        for piece in islice(self._pieces, self._find(offset), None):
            if piece.offset >= end:
                return
            yield max(piece.offset, offset), piece.time

    def before(self, count: int) -> int:
        """The offset that lies `count` bytes before the end, holes not counted, as far as bytes are kept."""
        for piece in reversed(self._pieces):
            if len(piece.data) >= count:
                return piece.end - count
            count -= len(piece.data)
        return self.start

    def _find(self, offset: int) -> int:
        """The first piece that ends behind `offset`."""
        return bisect_right(self._pieces, offset, key=lambda piece: piece.end)

    def _shrink(self) -> None:
        while self._size > self._limit:
            first = self._pieces[0]
            extra = self._size - self._limit
            if len(first.data) <= extra:
                self._pieces.popleft()
                self._size -= len(first.data)
            else:
                del first.data[:extra]
                first.offset += extra
                self._size -= extra
