"""What a host needs of the world, given by who makes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ubmc.services.statemgr.actor import Tell
from ubmc.services.statemgr.settings import BootChoice
from ubmc.services.statemgr.store import HostMemory
from ubmc.v1alpha1.internal_pb import WireAction


@dataclass(frozen=True, slots=True)
class HostPorts:
    """What a host needs of the world."""

    drive: Callable[[str, WireAction, BootChoice, float, bool], Awaitable[None]]
    """Drives the wires of a host within some seconds, and whether a person asked; raises a `UbmcError`."""
    keep: Callable[[str, HostMemory], Awaitable[None]]
    """Remembers a host on disk; raises `Unavailable`."""
    tell: Tell
    changed: Callable[[str], None]
    """The host of this name is to be published, and its memory kept, soon."""
    interlock: Callable[[str], str]
    """Why a host cannot be powered on now; empty if it can."""
    check_uri: Callable[[str], Awaitable[None]]
    """Raises a `UbmcError` for what a host shall not load."""
    booted: Callable[[str], None]
    """A boot of the host of this name has begun."""
    guest_able: Callable[[str], Awaitable[float]]
    """For how many seconds the operating system of a host has been able to reach us, 0 if it cannot. Never raises."""
