"""What is seen of a host besides its level: what its wires can do, how far a boot is, whether it was tripped."""

from __future__ import annotations

from ubmc.services.statemgr.host import NEEDS, ON_PRESS, REQUESTS, HostRequest
from ubmc.services.statemgr.settings import BootAbilities
from ubmc.v1alpha1.host_pb import BootProgress, BootTarget, HostPowerAction
from ubmc.v1alpha1.internal_pb import PowerLevel, WatchPowerResponse, WireAction


class Sight:
    """The last that was seen. What the wires can do is believed for as long as nothing else is said."""

    def __init__(self) -> None:
        """Nothing has been seen yet."""
        self.wires: tuple[WireAction, ...] = ()
        self.abilities = BootAbilities()
        self.boot_order: tuple[BootTarget, ...] = ()
        self.tripped = ""
        """Why the thermal trip has cut the power; empty unless it has."""
        self.too_hot = False
        self._progress = BootProgress.UNSPECIFIED
        self._tells_progress = False  # the wires do, of this host
        self._shown = BootProgress.UNSPECIFIED  # on its console, since this boot began

    def learn(self, seen: WatchPowerResponse) -> None:
        """The wires show this now."""
        self.wires = tuple(seen.actions) or self.wires
        if seen.boot_targets:
            self.abilities = BootAbilities(tuple(seen.boot_targets), tuple(seen.boot_firmwares))
        self.boot_order = tuple(seen.boot_order) or self.boot_order
        self.tripped, self.too_hot = seen.tripped, seen.too_hot
        self._progress = seen.boot_progress
        self._tells_progress = self._tells_progress or self._progress is not BootProgress.UNSPECIFIED

    def read_console(self, progress: BootProgress) -> bool:
        """The console shows that the boot has come so far; whether that is news. What wires tell counts for more."""
        before, self._shown = self._shown, progress
        return not self._tells_progress and progress is not before

    def begin_boot(self) -> None:
        """What the console showed belongs to a boot that is over."""
        self._shown = BootProgress.UNSPECIFIED

    def progress(self, level: PowerLevel) -> BootProgress:
        """How far the boot of a host with this level has come."""
        if level is PowerLevel.OFF:
            return BootProgress.NONE
        return self._progress if self._tells_progress else self._shown

    def can(self, request: HostRequest) -> bool:
        """Whether the wires can do what this needs."""
        return NEEDS[request].issubset(self.wires)

    def why_not(self, name: str, request: HostRequest) -> str:
        """Why the wires of the host of that name cannot do it; empty if they can, or if nobody knows."""
        if not self.wires or self.can(request):
            return ""
        can = ", ".join(other.value for other in HostRequest if other in REQUESTS.values() and self.can(other))
        return f"the wires of {name} cannot do {request.value}; they can do {can}"

    def power_actions(self) -> list[HostPowerAction]:
        """What can be asked for."""
        actions = [action for action, request in REQUESTS.items() if self.can(request)]
        if all(self.can(request) for request in ON_PRESS.values()):
            actions.append(HostPowerAction.PUSH_POWER_BUTTON)
        return actions
