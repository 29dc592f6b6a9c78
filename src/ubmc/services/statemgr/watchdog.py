"""The watchdog of a host in motion: one countdown to what happens before expiry, and one to expiry itself."""

from __future__ import annotations

from collections.abc import Callable

from ubmc.services.statemgr.countdown import Countdown
from ubmc.services.statemgr.settings import WatchdogSettings


class Watchdog:
    """Calls back when the host is not heard in time."""

    def __init__(self, warns: Callable[[], None], expired: Callable[[], None]) -> None:
        """Make it, in the running event loop; it does not run yet.

        Args:
            warns: called once, so long before expiry as the settings say.
            expired: called once, at expiry.
        """
        self._warning = Countdown(warns)
        self._expiry = Countdown(expired)

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._expiry.running

    @property
    def remaining_seconds(self) -> float | None:
        """Until it expires; None if it does not run."""
        return self._expiry.remaining_seconds

    def start(self, settings: WatchdogSettings) -> None:
        """Start it, or start it anew."""
        self.stop()
        self._expiry.start(settings.seconds)
        if settings.warns_after is not None:
            self._warning.start(settings.warns_after)

    def stop(self) -> None:
        """Stop it, if it runs."""
        self._expiry.stop()
        self._warning.stop()
