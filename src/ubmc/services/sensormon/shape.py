"""Sensors as they are told, made when somebody asks and not before."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from protobuf.wkt import Timestamp

from ubmc.kit.readings import Quality
from ubmc.services.sensormon import thresholds
from ubmc.services.sensormon.sensor import QUALITIES
from ubmc.services.sensormon.sensor import Sensor as Watched
from ubmc.v1alpha1.sensor_pb import Sensor, SensorKind, SensorPoint, SensorQuality, SensorStatistics

_NANOS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """What time it is now, on both clocks; one for each answer."""

    now: float
    """Monotonic seconds."""
    wall: float
    """Seconds since 1970, UTC."""

    @classmethod
    def read(cls, now: float) -> Clock:
        """Read the wall clock; `now` is that of the loop."""
        return cls(now, time.time())

    def timestamp(self, at: float) -> Timestamp:
        """When a monotonic time was."""
        seconds, nanos = divmod(round((self.wall - (self.now - at)) * _NANOS), _NANOS)
        return Timestamp(seconds=seconds, nanos=nanos)

    def monotonic(self, stamp: Timestamp) -> float:
        """The monotonic time of a time of day."""
        return stamp.seconds + stamp.nanos / _NANOS - self.wall + self.now


def sensor(watched: Watched, clock: Clock, *, statistics: bool = True) -> Sensor:
    """A sensor as it is now."""
    plan, reading = watched.plan, watched.reading
    found = Sensor(
        name=plan.name,
        kind=plan.kind,
        unit=plan.unit,
        component=plan.component,
        quality=SensorQuality.UNSPECIFIED if reading is None else QUALITIES[reading.quality],
        quality_reason=watched.reason,
        level=watched.level,
        side=watched.side,
        thresholds_changed=watched.limits != plan.limits,
        bus=plan.bus,
    )
    if plan.kind is SensorKind.STATE:
        found.state = watched.state
        found.states = [state.name for state in plan.states]
    else:
        found.thresholds = thresholds.message(watched.limits, plan.kind)
    if plan.virtual is not None:
        found.sources = list(plan.virtual.sources)
    if plan.range_minimum is not None:
        found.range_minimum = plan.range_minimum
    if plan.range_maximum is not None:
        found.range_maximum = plan.range_maximum
    if reading is not None and math.isfinite(reading.at):
        found.age_seconds = max(0.0, reading.age_seconds(clock.now))
        found.reading_time = clock.timestamp(reading.at)
        if reading.quality is Quality.GOOD:
            found.value = reading.value
    if statistics:
        found.statistics = _statistics(watched, clock)
    return found


def _statistics(watched: Watched, clock: Clock) -> SensorStatistics:
    tally = watched.tally
    found = SensorStatistics(count=tally.count, since=clock.timestamp(tally.since))
    if tally.count:
        found.minimum, found.maximum, found.average = tally.minimum, tally.maximum, tally.average
    return found


def points(watched: Watched, clock: Clock, since: Timestamp | None) -> Iterator[SensorPoint]:
    """The history, the oldest point first."""
    begin = -math.inf if since is None else clock.monotonic(since)
    for at, value in watched.history.points(begin):
        point = SensorPoint(time=clock.timestamp(at))
        if not math.isnan(value):
            point.value = value
        yield point


def split(rows: Iterable[tuple[Sensor, int]], limit_bytes: int) -> Iterator[tuple[list[Sensor], int]]:
    """Sensors in groups that fit into so many bytes, each group with the sequence of its last sensor."""
    group: list[Sensor] = []
    size = last = 0
    for row, sequence in rows:
        more = len(row.to_binary()) + 4  # its tag and length in the response
        if group and size + more > limit_bytes:
            yield group, last
            group, size = [], 0
        group.append(row)
        size += more
        last = sequence
    if group:
        yield group, last
