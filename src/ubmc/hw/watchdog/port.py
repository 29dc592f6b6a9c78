"""The port for the watchdog that resets the BMC itself when the operator makes no progress.

Synchronous, since the operator's parent process runs no event loop.
"""

from __future__ import annotations

from typing import Protocol


class Watchdog(Protocol):
    """A timer that resets the BMC unless it is fed."""

    def open(self, timeout_seconds: float) -> float:
        """Start the timer.

        Args:
            timeout_seconds: at least this long without a feed until the reset; above 0.

        Returns:
            The timeout that the hardware really took, in seconds; feed at least three times as often.

        Raises:
            Busy: somebody else holds the watchdog.
            Unavailable: there is none, or it cannot be used.
        """

    def feed(self) -> None:
        """Start the time anew. Raises `Unavailable` when the hardware does not take it."""

    def disarm(self) -> None:
        """Stop the timer and give it back: for a stop that is meant.

        Raises:
            Unavailable: it could not be stopped and runs on.
        """

    def leave_armed(self) -> None:
        """Give it back with the timer running: the BMC resets unless somebody opens and feeds it in time.

        A forked child that inherited the watchdog calls this too; the parent's goes on undisturbed.
        """
