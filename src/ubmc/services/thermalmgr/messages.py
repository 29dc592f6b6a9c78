"""Zones and fans as the schema has them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from protobuf.wkt import Timestamp

from ubmc.services.thermalmgr.fans import FanState
from ubmc.services.thermalmgr.plan import FanPlan
from ubmc.services.thermalmgr.profile import Name, Profile
from ubmc.services.thermalmgr.zone import State, Zone, ZoneOutput
from ubmc.v1alpha1 import thermal_pb as t

STATES = MappingProxyType({each: t.ThermalZoneState[each.name] for each in State})
FAN_STATES = MappingProxyType({each: t.CoolingDeviceState[each.name] for each in FanState})
PROFILES = MappingProxyType({each: t.ThermalProfile[each.name] for each in Name})

DUTY_STEP = 1.0
SPEED_STEP = 0.02


@dataclass(frozen=True, slots=True)
class Shown:
    """What watchers are told of one zone."""

    zone: t.ThermalZone
    fans: tuple[t.CoolingDevice, ...]
    manual_until: float | None = None
    """When driving by hand ends, in monotonic seconds; None if nobody does."""

    def zone_at(self, now: float) -> t.ThermalZone:
        """The zone with what is left of driving by hand at `now`, monotonic seconds: it may be told long after."""
        if self.manual_until is None:
            return self.zone
        zone = copy.copy(self.zone)
        zone.manual_remaining_seconds = remaining_seconds(self.manual_until, now)
        return zone


def custom_message(profile: Profile) -> t.CustomProfile | None:
    """The values of a profile of one's own; None for others."""
    if profile.name is not Name.CUSTOM:
        return None
    return t.CustomProfile(set_point_offset_celsius=profile.offset, minimum_percent=profile.minimum_percent)


def remaining_seconds(until: float, now: float) -> float:
    """Seconds until then, as they are shown."""
    return max(round(until - now, 1), 0.0)


def zone_message(zone: Zone, output: ZoneOutput, since: Timestamp, now: float, overruns: int) -> t.ThermalZone:
    """A zone as it is now."""
    plan, manual = zone.plan, zone.manual
    return t.ThermalZone(
        name=plan.name,
        state=STATES[output.state],
        state_time=since,
        reasons=list(output.reasons),
        duty_percent=round(output.duty, 1),
        duty_reason=output.duty_reason,
        profile=PROFILES[zone.profile.name],
        custom=custom_message(zone.profile),
        manual_percent=None if manual is None else manual.percent,
        manual_remaining_seconds=0.0 if manual is None else remaining_seconds(manual.until, now),
        controllers=[
            t.ThermalController(
                name=each.name,
                kind=each.kind,
                sensors=list(each.sensors),
                set_point_celsius=each.set_point,
                input_celsius=each.input,
                output_percent=round(each.output, 1),
            )
            for each in output.controllers
        ],
        cooling_devices=list(plan.fans),
        fail_safe_percent=plan.fail_safe_percent,
        minimum_percent=plan.minimum_percent,
        hosts=list(plan.hosts),
        overruns=overruns,
    )


def fan_message(
    plan: FanPlan, zones: Sequence[str], state: FanState, speeds: Sequence[float], duty: float
) -> t.CoolingDevice:
    """A fan as it is now."""
    return t.CoolingDevice(
        name=plan.name,
        kind=plan.kind,
        zones=list(zones),
        state=FAN_STATES[state],
        duty_percent=round(duty, 1),
        speeds_rpm=[round(each) for each in speeds],
        tachometers=list(plan.tachometers),
        fail_safe_percent=plan.fail_safe_percent,
        location=plan.location,
    )


def worth_telling(old: Shown | None, new: Shown) -> bool:
    """Whether watchers are told: another state, another duty or speed than before; not a digit of a temperature."""
    if old is None:
        return True
    a, b = old.zone, new.zone
    same = (a.state, a.profile, a.custom, a.manual_percent, old.manual_until, len(a.reasons)) == (
        b.state,
        b.profile,
        b.custom,
        b.manual_percent,
        new.manual_until,
        len(b.reasons),
    )
    if not same or abs(a.duty_percent - b.duty_percent) >= DUTY_STEP:
        return True
    return any(_differ(one, other) for one, other in zip(old.fans, new.fans, strict=True))


def _differ(a: t.CoolingDevice, b: t.CoolingDevice) -> bool:
    if a.state != b.state or abs(a.duty_percent - b.duty_percent) >= DUTY_STEP:
        return True
    return any(abs(x - y) >= SPEED_STEP * max(x, y, 1.0) for x, y in zip(a.speeds_rpm, b.speeds_rpm, strict=True))
