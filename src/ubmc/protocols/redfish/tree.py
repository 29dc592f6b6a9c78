"""All families together. A new one is added here, and nowhere else on this side."""

from __future__ import annotations

from ubmc.protocols.redfish import (
    accounts,
    bios,
    boot,
    certificates,
    chassis,
    controls,
    events,
    logs,
    managers,
    media,
    network,
    parts,
    power,
    registries,
    root,
    sensors,
    sessions,
    systems,
    tasks,
    telemetry,
    thermal,
    update,
)
from ubmc.protocols.redfish.resource import Tree

FAMILIES = (
    root,
    systems,
    boot,
    bios,
    parts,
    chassis,
    sensors,
    thermal,
    power,
    controls,
    managers,
    network,
    media,
    sessions,
    accounts,
    certificates,
    events,
    logs,
    registries,
    tasks,
    telemetry,
    update,
)

EXCERPTS: dict[str, tuple[str, ...]] = {
    "Control": ("ControlMode", "AllowableMax", "AllowableMin"),
    "Sensor": ("Reading",),
}
"""What `excerpt` leaves of a resource, by type: what its schema marks with `Redfish.Excerpt`. Others stay whole."""

TREE = Tree([resource for family in FAMILIES for resource in family.RESOURCES])
SERVED = frozenset(resource.template for resource in TREE)
