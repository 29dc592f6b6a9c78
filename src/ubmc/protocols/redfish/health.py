"""How things are, in the words of `Status`: rolled up from what changes seldom, and never from readings or duties."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ubmc.protocols.redfish.facts import Alarm, FanState, View, ZoneState
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.inventory_pb import Asset
from ubmc.v1alpha1.sensor_pb import SensorLevel, SensorQuality
from ubmc.v1alpha1.thermal_pb import CoolingDeviceState, ThermalZoneState

OK, WARNING, CRITICAL = "OK", "Warning", "Critical"
_ORDER = (OK, WARNING, CRITICAL)
_LEVELS = {
    SensorLevel.WARNING: WARNING,
    SensorLevel.CRITICAL: CRITICAL,
    SensorLevel.FATAL: CRITICAL,
}
FANS = {
    CoolingDeviceState.SLOW: WARNING,
    CoolingDeviceState.SEIZED: CRITICAL,
    CoolingDeviceState.UNWRITABLE: CRITICAL,
}
ZONES = {ThermalZoneState.FAIL_SAFE: WARNING, ThermalZoneState.OVERHEATED: CRITICAL}
_BROKEN = (SensorQuality.STALE, SensorQuality.IMPLAUSIBLE, SensorQuality.FAILED)
SEVERITIES = {Severity.OK: OK, Severity.WARNING: WARNING, Severity.CRITICAL: CRITICAL}


def worst(healths: Iterable[str]) -> str:
    """The worst of some; OK of none."""
    return max(healths, key=_ORDER.index, default=OK)


def of_alarm(level: SensorLevel, quality: SensorQuality) -> str:
    """The health of one sensor; one that cannot be believed is a warning until somebody has looked."""
    return worst((_LEVELS.get(level, OK), WARNING if quality in _BROKEN else OK))


def state_of(quality: SensorQuality) -> str:
    """The state of one sensor."""
    if quality is SensorQuality.UNAVAILABLE:
        return "UnavailableOffline"
    return "Starting" if quality is SensorQuality.UNSPECIFIED else "Enabled"


def of_part(part: Asset | None) -> str:
    """The health of a part as the inventory has it; what it cannot read well is a warning."""
    return WARNING if part is not None and part.present and part.faults else OK


def of_components(view: View, wanted: Callable[[str], bool]) -> str:
    """The worst health of the components that are wanted: sensors, data in the inventory, fans, and what these cool."""
    alarms: Iterable[Alarm] = view.table("alarm")
    parts: Iterable[Asset] = view.table("asset")
    fans: Iterable[FanState] = view.table("fan-state")
    zones: Iterable[ZoneState] = view.table("zone-state")
    known = {name: wanted(name) for name in {alarm.component for alarm in alarms}}
    return worst(
        (
            *(of_alarm(alarm.level, alarm.quality) for alarm in alarms if known[alarm.component]),
            *(of_part(part) for part in parts if part.faults and wanted(part.name)),
            *(FANS.get(fan.state, OK) for fan in fans if fan.state in FANS and wanted(fan.name)),
            *(
                ZONES[zone.state]
                for zone in zones
                if zone.state in ZONES and any(wanted(device) for device in zone.cooling_devices)
            ),
        )
    )


def status(state: str, health: str = OK, rollup: str | None = None) -> dict[str, Any]:
    """A `Status` object."""
    found = {"State": state, "Health": health}
    if rollup is not None:
        found["HealthRollup"] = worst((health, rollup))
    return found
