"""Something that goes wrong again and again: said once, and only when it went on for a while.

Processes start side by side, so for a moment each of them asks in vain for others. That is no trouble yet.
"""

from __future__ import annotations

PATIENCE_SECONDS = 5.0
"""A healthy start is over sooner."""


class Trouble:
    """One thing that is tried again and again. Pure; the caller says what is to be said."""

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Make it; nothing has failed yet."""
        self._patience_seconds = patience_seconds
        self._since: float | None = None
        self._said = False

    def fails(self, now: float) -> bool:
        """It failed at `now` (monotonic seconds); whether that is to be said, which it is once."""
        if self._since is None:
            self._since = now
        if self._said or now - self._since < self._patience_seconds:
            return False
        self._said = True
        return True

    def ends(self) -> bool:
        """It goes well; whether that is to be said, because it was said that it does not."""
        said, self._said, self._since = self._said, False, None
        return said
