"""What was typed over serial over LAN and is not known to be with the host. Pure.

Consolesrv says of each byte that it got of an attachment whether it is with the host or was dropped, in the order in
which they came. So the bytes on their way are forgotten only when it has said that of them, whatever happens meanwhile.
"""

from __future__ import annotations

from ubmc.protocols import console

LIMIT = 16 * 1024
"""Characters that were typed and that the line has not taken yet."""
AHEAD = 2048
"""Of these, how many are on their way at once: so many it may be unknown about after a crash of consolesrv."""
BREAKS = 8
"""BREAKs that may wait."""


class Typed:
    """The characters and BREAKs of one line, the oldest first."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._sent = 0  # of these, on their way
        self._breaks: list[int] = []  # after how many of these
        self._failed = bytearray()  # what the line did not take, while it may still be sent again
        self._done = self._dropped = 0  # of this connection, as consolesrv counts

    @property
    def failed(self) -> bool:
        """Whether there is something that the line did not take and that is not given up yet."""
        return bool(self._failed)

    def add(self, data: bytes) -> int:
        """Take what there is room for; how many bytes that was."""
        taken = max(0, min(len(data), LIMIT - len(self._bytes) - len(self._failed)))
        self._bytes += data[:taken]
        return taken

    def add_break(self) -> None:
        """A BREAK after what was typed so far; too many are dropped."""
        if len(self._breaks) < BREAKS:
            self._breaks.append(len(self._bytes))

    def next(self) -> console.Input | console.Break | None:
        """What is to be sent now, and is on its way then."""
        if self._breaks and self._breaks[0] <= self._sent:
            del self._breaks[0]
            return console.Break()
        limit = min(len(self._bytes), AHEAD, *self._breaks[:1])
        if self._sent >= limit:
            return None
        part = bytes(self._bytes[self._sent : limit])
        self._sent = limit
        return console.Input(part)

    def forget(self) -> int:
        """Drop what is not on its way yet; how many characters."""
        count = len(self._bytes) - self._sent
        del self._bytes[self._sent :]
        self._breaks.clear()  # those before have been sent
        return count

    def done(self, total: int, dropped: int) -> int:
        """Consolesrv is done with so many in all of this connection; of them so many are not with the host.

        Returns:
            How many are lost. They are not sent again, because others of the same report are with the host.
        """
        count = min(total - self._done, self._sent)
        failed = min(dropped - self._dropped, count)
        self._done, self._dropped = total, dropped
        if count <= 0:
            return 0
        lost = 0
        if failed < count:  # the line works, so what it did not take before does not come any more
            lost = self.give_up() + failed
        else:
            self._failed += self._bytes[:count]
        del self._bytes[:count]
        self._sent -= count
        self._breaks = [max(0, at - count) for at in self._breaks]
        return lost

    def give_up(self) -> int:
        """Forget what the line did not take; how many characters."""
        count = len(self._failed)
        self._failed.clear()
        return count

    def begin(self) -> None:
        """A connection to consolesrv begins; nothing is on its way."""
        self._done = self._dropped = 0

    def end(self, *, exact: bool) -> int:
        """The connection has ended.

        Args:
            exact: consolesrv has said of all that it took what became of it. So what it did not take, or dropped
                because it stopped, is sent again.

        Returns:
            How many characters it is unknown about.
        """
        if exact:
            self._bytes[:0] = self._failed
            self._breaks = [at + len(self._failed) for at in self._breaks]
            self._failed.clear()
            count = 0
        else:
            count = self._sent
            del self._bytes[:count]
            self._breaks = [at - count for at in self._breaks if at >= count]
        self._sent = 0
        return count
