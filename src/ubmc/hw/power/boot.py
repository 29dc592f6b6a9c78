"""Which choice of a boot goes with which action: the check that all power drivers share."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from ubmc.hw.power.port import Action, Boot, BootFirmware, BootTarget
from ubmc.kit.errors import Refused

BOOTS = frozenset({Action.ON, Action.RESET})


def check_boot(
    action: Action,
    boot: Boot | None,
    targets: AbstractSet[BootTarget],
    firmwares: AbstractSet[BootFirmware] = frozenset(),
) -> None:
    """Make sure that this action can be followed by this boot.

    Raises:
        Refused: the action boots nothing, or the wires cannot choose this target or this firmware interface.
    """
    if boot is None or boot == Boot():
        return
    if action not in BOOTS:
        raise Refused(f"{action.value} boots nothing, so that there is no boot to choose")
    if not targets:
        raise Refused("these wires cannot choose where the host boots from: set that in its firmware instead")
    if boot.target is not None and boot.target not in targets:
        names = ", ".join(sorted(target.value for target in targets))
        raise Refused(f"this host cannot be made to boot from {boot.target.value}: choose one of {names}")
    if boot.firmware is not None and boot.firmware not in firmwares:
        names = ", ".join(sorted(firmware.value for firmware in firmwares)) or "none"
        raise Refused(f"this host cannot be made to boot by {boot.firmware.value}; what can be chosen: {names}")
