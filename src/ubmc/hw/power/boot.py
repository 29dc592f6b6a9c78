"""Which choice of a boot goes with which action: the check that all power drivers share."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from ubmc.hw.power.port import Action, BootTarget
from ubmc.kit.errors import Refused

BOOTS = frozenset({Action.ON, Action.RESET})


def check_boot(action: Action, boot: BootTarget | None, targets: AbstractSet[BootTarget]) -> None:
    """Make sure that this action can be followed by this boot.

    Raises:
        Refused: the action boots nothing, or the wires cannot choose this target.
    """
    if boot is None:
        return
    if action not in BOOTS:
        raise Refused(f"{action.value} boots nothing, so that there is no boot to choose")
    if not targets:
        raise Refused("these wires cannot choose where the host boots from: set that in its firmware instead")
    if boot not in targets:
        names = ", ".join(sorted(target.value for target in targets))
        raise Refused(f"this host cannot be made to boot from {boot.value}: choose one of {names}")
