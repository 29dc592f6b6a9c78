"""What the simulated host wrote on its serial line: the last bytes of it, addressed by their place in the whole."""

from __future__ import annotations


class Console:
    """A bounded ring of bytes."""

    def __init__(self, limit_bytes: int = 64 * 1024) -> None:
        self._kept = bytearray()
        self._limit_bytes = limit_bytes
        self.total_bytes = 0

    def line(self, text: str) -> None:
        """The host writes a line."""
        data = text.encode("ascii", "replace") + b"\r\n"
        self._kept += data
        self.total_bytes += len(data)
        del self._kept[: -self._limit_bytes]

    def since(self, start: int, limit_bytes: int) -> tuple[int, bytes]:
        """Bytes from place `start` on, at most `limit_bytes`; returns the place of the first one, too.

        That is later than `start` where the ring has lost the beginning, and earlier where `start` is beyond the end.
        """
        oldest = self.total_bytes - len(self._kept)
        place = min(max(start, oldest), self.total_bytes)
        return place, bytes(self._kept[place - oldest : place - oldest + limit_bytes])
