"""Since when a host is on or off, over restarts of ours. Pure.

While we were away nobody saw the host. That it stayed as it was is believed only where the epoch of mains says that it
is the same machine and never lost its power; a reboot of ours that was cut in two leaves it open.
"""

from __future__ import annotations

from dataclasses import replace

from ubmc.services.statemgr.restore import Mains
from ubmc.services.statemgr.store import HostMemory
from ubmc.v1alpha1.host_pb import HostState

_RESTING = frozenset({HostState.ON, HostState.OFF})


def entered_us(memory: HostMemory, before: HostState, after: HostState, mains: Mains, now_us: int) -> int:
    """When the state was entered, in microseconds since 1970.

    Args:
        memory: what is remembered of the host.
        before: the state that was left.
        after: the state that was found.
        mains: what is known about mains.
        now_us: the time now.
    """
    stayed = (
        before is HostState.UNKNOWN
        and after in _RESTING
        and after is memory.state
        and memory.pending is None
        and mains is Mains.PRESENT
        and memory.state_time_us <= now_us
    )
    return memory.state_time_us if stayed else now_us


def remember(memory: HostMemory, state: HostState, time_us: int) -> HostMemory:
    """What to remember of a host that entered this state then. Who loses sight of a host remembers what was."""
    if state is HostState.UNKNOWN:
        return memory
    if state in _RESTING:
        return replace(memory, state=state, state_time_us=time_us)
    return replace(memory, state=HostState.UNSPECIFIED, state_time_us=0)
