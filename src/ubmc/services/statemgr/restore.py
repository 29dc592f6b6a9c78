"""The restore policy: what follows from a loss of mains, once per proven loss. Pure.

An epoch of mains is a text. `INSTANCE:CYCLES`: mains was lost and came back exactly if INSTANCE is the same and CYCLES
is higher. Without a colon it is the boot id of what loses its power together with the host: any change is a loss. A `!`
at its end: mains is away at this moment. Empty: nothing can be proven.
"""

from __future__ import annotations

from enum import Enum

from ubmc.v1alpha1.host_pb import RestorePolicy
from ubmc.v1alpha1.internal_pb import PowerLevel

AWAY_MARK = "!"


class Mains(Enum):
    """What is known about mains."""

    UNPROVEN = "unproven"  # nothing is told
    NEW = "new"  # the first epoch of this source: nothing to compare it with
    PRESENT = "present"  # as it was
    AWAY = "away"  # lost, and not back yet
    BACK = "back"  # it was lost and came back


def compare(stored: str, told: str) -> tuple[Mains, str]:
    """What an epoch that is told means, and the epoch to store.

    Args:
        stored: the epoch that was stored last; empty if there is none.
        told: what is told now.
    """
    if not told:
        return Mains.UNPROVEN, stored
    epoch = told.removesuffix(AWAY_MARK)
    known = _comparable(stored, epoch)
    if told.endswith(AWAY_MARK):
        return Mains.AWAY, stored if known else epoch  # the return has to be seen as a change of the stored epoch
    if not known:
        return Mains.NEW, epoch
    if stored == epoch:
        return Mains.PRESENT, stored
    return Mains.BACK, epoch


def _comparable(stored: str, epoch: str) -> bool:
    """Whether both come from the same source, and count upwards if they count."""
    instance, colon, cycles = epoch.rpartition(":")
    before, colon_before, cycles_before = stored.rpartition(":")
    if not stored or colon != colon_before:
        return False
    if not colon:
        return True
    numbers = cycles.isdecimal() and cycles_before.isdecimal()
    return instance == before and numbers and int(cycles) >= int(cycles_before)


def wants_power(policy: RestorePolicy, desired: bool | None) -> bool:
    """Whether a host is to be powered on now that mains is back.

    Args:
        policy: of the host, or the owner's default if the host has none.
        desired: whether the host was to be on before; None if that is not known.
    """
    if policy is RestorePolicy.LAST_STATE:
        return desired is True
    return policy is RestorePolicy.ALWAYS_ON


def believe(desired: bool | None, level: PowerLevel, mains: Mains, *, restoring: bool) -> bool | None:
    """The state desired from now on, after a host came to rest at a level that nobody may have asked for.

    A host that is on is wanted on. One that is off was shut down from within, unless mains is or may be the reason.
    """
    if level is PowerLevel.ON:
        return True
    if level is PowerLevel.OFF and mains in {Mains.PRESENT, Mains.NEW} and not restoring:
        return False
    return desired
