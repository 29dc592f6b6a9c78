"""What inventorymgr is told of the assets of a board."""

from __future__ import annotations

from ubmc.boards.spec import BoardSpec
from ubmc.boards.spec_assets import AssetSpec
from ubmc.hw.inventory.port import AssetFacts, Kind
from ubmc.services.inventorymgr.plan import AssetPlan, Options


def asset_plans(spec: BoardSpec) -> tuple[AssetPlan, ...]:
    """What inventorymgr is told: the assets of the board file, and what has a name in it besides."""
    named = {asset.name for asset in spec.assets}
    homes = {host: chassis.name for chassis in spec.chassis for host in chassis.hosts}
    outermost = spec.chassis[0].name
    known = [
        *(AssetFacts(chassis.name, Kind.CHASSIS) for chassis in spec.chassis),
        *(AssetFacts(host.name, Kind.HOST, homes[host.name]) for host in spec.hosts),
        AssetFacts(spec.bmc.name, Kind.MANAGEMENT_CONTROLLER, outermost),
    ]
    implied = (AssetPlan(facts) for facts in known if facts.name not in named)
    return (*implied, *(AssetPlan(_facts(asset), asset.presence or "") for asset in spec.assets))


def inventory_options(spec: BoardSpec) -> Options:
    """How often inventorymgr looks at them."""
    return Options(poll_seconds=spec.inventory.interval, fru_seconds=spec.inventory.fru_interval)


def _facts(asset: AssetSpec) -> AssetFacts:
    return AssetFacts(
        name=asset.name,
        kind=asset.kind,
        parent=asset.parent or "",
        manufacturer=asset.manufacturer,
        model=asset.model,
        part_number=asset.part_number,
        serial_number=asset.serial_number,
        version=asset.version,
        location=asset.location,
        details=asset.details,
    )
