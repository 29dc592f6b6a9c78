"""What services do for each family of resources. A new one is added here, and nowhere else on this side."""

from __future__ import annotations

from ubmc.services.websrv.redfish.context import Family
from ubmc.services.websrv.redfish.families import (
    accounts,
    bios,
    certificates,
    chassis,
    controls,
    events,
    logs,
    managers,
    media,
    network,
    registries,
    sessions,
    storage,
    systems,
    tasks,
    telemetry,
    update,
)


def families() -> tuple[Family, ...]:
    """All of them, for one door: open event streams belong to it."""
    return (
        systems.FAMILY,
        bios.FAMILY,
        chassis.FAMILY,
        controls.FAMILY,
        storage.FAMILY,
        managers.FAMILY,
        network.FAMILY,
        media.FAMILY,
        sessions.FAMILY,
        accounts.FAMILY,
        certificates.FAMILY,
        events.Streams().family(),
        logs.FAMILY,
        registries.FAMILY,
        tasks.FAMILY,
        telemetry.FAMILY,
        update.FAMILY,
    )
