"""Cooling as a whole: all zones and fans of a board, one step at a time. Pure: no clock, no I/O."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ubmc.services.thermalmgr import controller as controllers
from ubmc.services.thermalmgr.fans import SENTENCES, FanSeen, FanState, FanWatch
from ubmc.services.thermalmgr.plan import ThermalPlan
from ubmc.services.thermalmgr.sensing import Table
from ubmc.services.thermalmgr.zone import FULL, Make, Zone, ZoneOutput

log = logging.getLogger("ubmc.thermalmgr")

DISTURBED_SECONDS = 5.0
"""For so long after a disturbance all zones stay in fail-safe."""
PULL_AGAIN_SECONDS = 5.0
"""Between trips of a host that has not lost its power."""


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from one step."""

    duties: Mapping[str, float]
    """What every fan of the board is to be given, in percent."""
    zones: Mapping[str, ZoneOutput]
    fans: Mapping[str, FanSeen]
    trips: Mapping[str, str]
    """The hosts whose power is to be cut now, and why."""
    hot: Mapping[str, bool]
    """For every host of a zone: whether it must not be powered on after a trip."""


class Control:
    """The cooling of a board.

    Args:
        plan: what is cooled, and how.
        make: makes a controller from its plan.
    """

    def __init__(self, plan: ThermalPlan, make: Make = controllers.make) -> None:
        self.plan = plan
        self.zones = {each.name: Zone(each, plan, make) for each in plan.zones}
        self.watches = {fan.name: FanWatch(fan, plan.limits, plan.stale_seconds) for fan in plan.fans}
        self.zones_of = {fan.name: tuple(z.name for z in plan.zones if fan.name in z.fans) for fan in plan.fans}
        self._disturbed: dict[str, float] = {}  # why, and until when
        self._broken: set[str] = set()
        self._pulled: dict[str, float] = {}

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that are cut when cooling does not help."""
        return tuple(dict.fromkeys(host for zone in self.plan.zones for host in zone.hosts))

    def changed(self, now: float, table: Table) -> bool:
        """Whether the next step should not be waited for: a sensor was lost or found."""
        return any(zone.changed(now, table) for zone in self.zones.values())

    def disturb(self, now: float, reason: str) -> None:
        """Something went wrong with control itself: fail-safe for a while."""
        if reason not in self._disturbed:
            log.warning("cooling goes to fail-safe: %s", reason)
        self._disturbed[reason] = now + DISTURBED_SECONDS

    def fail_safe(self) -> dict[str, float]:
        """What every fan is given when nobody knows better."""
        duties = {name: watch.plan.fail_safe_percent for name, watch in self.watches.items()}
        for zone in self.plan.zones:
            for fan in zone.fans:
                duties[fan] = max(duties.get(fan, 0.0), zone.fail_safe_percent)
        return duties

    def step(self, now: float, table: Table) -> Step:
        """One step: what everything is given, from what is known now."""
        self._disturbed = {why: until for why, until in self._disturbed.items() if now < until}
        fans = {name: self._see(name, watch, now, table) for name, watch in self.watches.items()}
        zones = {name: self._cycle(zone, now, table, fans) for name, zone in self.zones.items()}
        duties = {}
        for name, watch in self.watches.items():
            asked = [zones[zone].duties[name] for zone in self.zones_of[name]]
            duties[name] = max(asked, default=watch.plan.fail_safe_percent)
            if fans[name].state is not FanState.OK:
                duties[name] = FULL  # it may come loose; and what cannot be read back may have been taken
        return Step(duties, zones, fans, self._trips(now, table, zones), self._hot(zones))

    def _see(self, name: str, watch: FanWatch, now: float, table: Table) -> FanSeen:
        """How a fan is; one about which nothing can be said counts as one that takes no duty."""
        try:
            return watch.see(now, table)
        except Exception:
            if name not in self._broken:
                self._broken.add(name)
                log.exception("a fan's watch failed by a bug", extra={"fan": name})
            return FanSeen(FanState.UNWRITABLE, (), {})

    def wrote(self, now: float, duties: Mapping[str, float], failed: Collection[str]) -> None:
        """What became of the duties of the last step."""
        for name, duty in duties.items():
            watch = self.watches[name]
            watch.unwritable = name in failed
            if name not in failed:
                watch.drive(now, duty)

    def _cycle(self, zone: Zone, now: float, table: Table, fans: Mapping[str, FanSeen]) -> ZoneOutput:
        plan = zone.plan
        faults = {name: SENTENCES[fans[name].state] for name in plan.fans if fans[name].state is not FanState.OK}
        lost = {name: why for fan in plan.fans for name, why in fans[fan].lost.items()}
        reasons = [f"{name} {why}" for name, why in lost.items() if name not in plan.missing_is_acceptable]
        try:
            output = zone.cycle(now, table, faults, (*reasons, *self._disturbed))
        except Exception as error:
            if plan.name not in self._broken:
                self._broken.add(plan.name)
                log.exception("a zone failed by a bug", extra={"zone": plan.name})
            return zone.fall_back(now, f"the zone failed by a bug ({type(error).__name__})")
        self._broken.discard(plan.name)
        return output

    def _trips(self, now: float, table: Table, zones: Mapping[str, ZoneOutput]) -> dict[str, str]:
        trips: dict[str, str] = {}
        for zone in self.plan.zones:
            if not (reason := zones[zone.name].trip):
                continue
            for host in zone.hosts:
                if table.power(host) is not False and now - self._pulled.get(host, -FULL) >= PULL_AGAIN_SECONDS:
                    trips[host] = f"zone {zone.name}: {reason}"
        for host in trips:
            self._pulled[host] = now
        return trips

    def _hot(self, zones: Mapping[str, ZoneOutput]) -> dict[str, bool]:
        return {host: any(zones[z.name].hot for z in self.plan.zones if host in z.hosts) for host in self.hosts}
