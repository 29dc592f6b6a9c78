"""A reboot or power cycle that a restart of ours cut in two: its second half was promised, so it must not be lost.

Nothing is done about it: the host may have been worked on since. A person is told, and the host is still wanted on
until it is on, or until somebody or the restore policy decided otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ubmc.services.statemgr.countdown import Countdown
from ubmc.services.statemgr.host import HostRequest
from ubmc.v1alpha1.internal_pb import PowerLevel

_ADVICE = {
    PowerLevel.OFF: "power it on",
    PowerLevel.ON: "look whether it has restarted, and reboot it if it has not",
    PowerLevel.UNKNOWN: "check its wires",
}


class Interruption:
    """What an earlier run of ours left half done on a host."""

    def __init__(self, pending: HostRequest | None, patience_seconds: float, tell: Callable[[float], None]) -> None:
        """Make it, in the running event loop; nothing has been seen yet.

        Args:
            pending: the request that was under way, if one was.
            patience_seconds: how long a host that is on may still be shutting down because of it.
            tell: tells people, once, and sees to what follows; takes the seconds since we were started.
        """
        self.pending = pending
        """What is still owed; None if nothing is."""
        self.began = pending or HostRequest.REBOOT
        """What was under way."""
        self._patience_seconds = patience_seconds
        self._tell = tell
        self._told = False
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._staying_on = Countdown(self.end)

    def see(self, level: PowerLevel) -> None:
        """The host, to which we do nothing, is seen to be on or off."""
        if self.pending is None:
            return
        if level is PowerLevel.OFF:
            self._staying_on.stop()
            self._tell_once()
        elif level is PowerLevel.ON and self._told:
            self.end()
        elif level is PowerLevel.ON and not self._staying_on.running:
            self._staying_on.start(self._patience_seconds)

    def end(self) -> None:
        """Nothing is owed any more; people have been told of it when this returns."""
        self.stop()
        if self.pending is not None:
            self.pending = None
            self._tell_once()

    def stop(self) -> None:
        """Wait for nothing any more; what is owed stays so."""
        self._staying_on.stop()

    def _tell_once(self) -> None:
        if not self._told:
            self._told = True
            self._tell(self._loop.time() - self._began)


def advice(request: HostRequest, phase: str, level: PowerLevel) -> str:
    """What a person is told: what happened, and what can be done."""
    return f"The {request.value} was interrupted by a restart of the BMC; the host is {phase}: {_ADVICE[level]}"
