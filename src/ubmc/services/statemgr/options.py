"""What statemgr is told when it is made: what there is, and how long to wait. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ubmc.v1alpha1.bios_pb import BiosAttribute
from ubmc.v1alpha1.host_pb import RestorePolicy

PATIENCE = MappingProxyType({"power_on": 60.0, "soft_off": 300.0, "cut": 15.0, "reset": 10.0, "rest": 1.0})
"""Seconds until a phase is given up. `cut` must be longer than the board holds its power button.

`rest` is how long the power stays off in a power cycle, of a host whose plan does not say.
"""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """A host of the board."""

    name: str
    front_wired: bool = False
    """The host sees the front power button by itself; to us a press is news only."""
    rest_seconds: float | None = None
    """How long its power has to stay off in a power cycle; None: as `PATIENCE` says."""
    bios: tuple[BiosAttribute, ...] = ()
    """The attributes of its firmware's set-up; none on a board where the BMC has no say in it."""


@dataclass(frozen=True, slots=True)
class ChassisPlan:
    """A chassis of the board."""

    name: str
    hosts: tuple[str, ...]
    wired: bool
    """It has a supply of its own to switch. Without one it is on while a host in it is on."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the owner wants it."""

    patience: Mapping[str, float] = field(default_factory=lambda: PATIENCE)
    """Seconds; the names are those of `PATIENCE`, and all of them are there."""
    restore_policy: RestorePolicy = RestorePolicy.LAST_STATE
    """Of a host for which nobody has set another one."""
    grace_seconds: float = 5.0
    """How long a component is shown as it was while nobody sees its wires."""
    restore_seconds: float = 60.0
    """After mains came back: how long to wait until a host can be powered on."""
