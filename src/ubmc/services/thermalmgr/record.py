"""The controller log: the last cycles of a zone, for tuning. Bounded in rows and, as CSV, in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

ROWS = 1200
ROW_SECONDS = 1.0
CSV_BYTES = 192 * 1024  # one message of the bus holds 256 KiB


class Record:
    """The last rows of one zone."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._head = ",".join(columns)
        self._rows: deque[tuple[float | str, ...]] = deque(maxlen=ROWS)
        self._next = float("-inf")
        self._state: float | str = ""

    def add(self, now: float, row: tuple[float | str, ...]) -> None:
        """Take a cycle: one a second, and every one that changes the state."""
        if now >= self._next or row[1] != self._state:
            self._next, self._state = now + ROW_SECONDS, row[1]
            self._rows.append(row)

    def csv(self) -> str:
        """The newest rows as text, the oldest of them first."""
        lines: list[str] = []
        room = CSV_BYTES - len(self._head)
        for row in reversed(self._rows):
            line = ",".join(map(str, row))
            room -= len(line) + 1
            if room < 0:
                break
            lines.append(line)
        return "\n".join((self._head, *reversed(lines))) + "\n"
