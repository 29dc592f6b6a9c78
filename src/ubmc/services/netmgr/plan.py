"""What netmgr is told when it is made. Plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProtocolPlan:
    """A network protocol that this program speaks, or that it does not speak here."""

    name: str
    """`https`, `http`, `ssh`, `ipmi`, `ssdp`, `kvm`; `ntp` belongs to the clock and is not named here."""
    enabled: bool
    port: int
    """0 if it has none."""
    fixed_reason: str
    """Why it cannot be changed by a request, and where it can."""


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """The network of a board."""

    host_name: str
    """Of a model that nobody has changed: letters, digits and dashes."""
    interfaces: tuple[str, ...] = ("eth0",)
    """Of the model."""
    protocols: tuple[ProtocolPlan, ...] = ()
