"""The watchdog of a host in motion: one countdown to what happens before expiry, and one to expiry itself.

Of a watchdog that the host itself feeds, silence proves something only if the host could be heard: what its countdowns
lead to happens only after it has been able to feed it for as long as they ran. Else they begin anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ubmc.services.statemgr.countdown import Countdown
from ubmc.services.statemgr.settings import WatchdogSettings


class Watchdog:
    """Calls back when the host is not heard in time."""

    def __init__(
        self,
        warns: Callable[[], None],
        expired: Callable[[], None],
        able: Callable[[], Awaitable[float]],
        waits: Callable[[], None],
    ) -> None:
        """Make it, in the running event loop; it does not run yet.

        Args:
            warns: called once, so long before expiry as the settings say.
            expired: called once, at expiry.
            able: for how many seconds the host itself has been able to feed it, 0 if it cannot now. Never raises.
            waits: called when the host could not be heard, each time that the countdowns begin anew for that.
        """
        self._warns = warns
        self._expired = expired
        self._able = able
        self._waits = waits
        self._settings = WatchdogSettings()
        self._warning = Countdown(self._warn)
        self._expiry = Countdown(self._expire)
        self._judging: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._expiry.running or self._judging is not None

    @property
    def remaining_seconds(self) -> float | None:
        """Until it expires; None if it does not run."""
        return 0.0 if self._judging is not None and not self._expiry.running else self._expiry.remaining_seconds

    def start(self, settings: WatchdogSettings) -> None:
        """Start it, or start it anew."""
        self.stop()
        self._settings = settings
        self._expiry.start(settings.seconds)
        if settings.warns_after is not None:
            self._warning.start(settings.warns_after)

    def stop(self) -> None:
        """Stop it, if it runs."""
        self._expiry.stop()
        self._warning.stop()
        self._stop_judging()

    def _warn(self) -> None:
        self._decide(self._warns, self._settings.warns_after or 0.0)

    def _expire(self) -> None:
        self._decide(self._expired, self._settings.seconds)

    def _decide(self, act: Callable[[], None], seconds: float) -> None:
        self._stop_judging()
        if self._settings.guest:
            self._judging = asyncio.create_task(self._judge(act, seconds))
        else:
            act()

    async def _judge(self, act: Callable[[], None], seconds: float) -> None:
        heard = await self._able() >= seconds
        self._judging = None  # what follows may stop or start us
        if heard:
            act()
        else:
            self.start(self._settings)
            self._waits()

    def _stop_judging(self) -> None:
        if self._judging is not None:
            self._judging.cancel()
            self._judging = None
