"""What the simulated host wrote on its serial line: the last bytes of it, addressed by their place in the whole."""

from __future__ import annotations

from collections.abc import Callable

LIMIT_BYTES = 1024 * 1024


class Console:
    """A bounded ring of bytes."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._kept = bytearray()
        self._limit_bytes = limit_bytes
        self._listeners: list[Callable[[], None]] = []
        self.total_bytes = 0

    @property
    def oldest(self) -> int:
        """The place of the oldest byte that is kept."""
        return self.total_bytes - len(self._kept)

    def line(self, text: str) -> None:
        """The host writes a line."""
        self.write(text.encode("ascii", "replace") + b"\r\n")

    def write(self, data: bytes) -> None:
        """The host writes bytes."""
        self._kept += data
        self.total_bytes += len(data)
        del self._kept[: -self._limit_bytes]
        for listener in tuple(self._listeners):
            listener()

    def since(self, start: int, limit_bytes: int) -> tuple[int, bytes]:
        """Bytes from place `start` on, at most `limit_bytes`; returns the place of the first one, too.

        That is later than `start` where the ring has lost the beginning, and earlier where `start` is beyond the end.
        """
        oldest = self.oldest
        place = min(max(start, oldest), self.total_bytes)
        return place, bytes(self._kept[place - oldest : place - oldest + limit_bytes])

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` whenever something was written; it must not raise. Returns how to stop it."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop
