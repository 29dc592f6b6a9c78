"""How things are, in the words of `Status`: rolled up from alarms, which change seldom, and never from readings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ubmc.protocols.redfish.facts import Alarm, View
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.sensor_pb import SensorLevel, SensorQuality

OK, WARNING, CRITICAL = "OK", "Warning", "Critical"
_ORDER = (OK, WARNING, CRITICAL)
_LEVELS = {
    SensorLevel.WARNING: WARNING,
    SensorLevel.CRITICAL: CRITICAL,
    SensorLevel.FATAL: CRITICAL,
}
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


def of_components(view: View, wanted: Callable[[str], bool]) -> str:
    """The worst health of the sensors that belong to the components that are wanted."""
    alarms: Iterable[Alarm] = view.table("alarm")
    return worst(of_alarm(alarm.level, alarm.quality) for alarm in alarms if wanted(alarm.component))


def status(state: str, health: str = OK, rollup: str | None = None) -> dict[str, Any]:
    """A `Status` object."""
    found = {"State": state, "Health": health}
    if rollup is not None:
        found["HealthRollup"] = worst((health, rollup))
    return found
