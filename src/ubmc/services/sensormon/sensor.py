"""One sensor: what was read last, what to make of it, and what to tell of it. Pure; time and power come from outside.

A reading is judged at once, for those who cool by it. What is told waits: for the debounce of a limit, for the patience
with a hiccup, for the host to settle after power-on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from protobuf import Message

from ubmc.kit.errors import UbmcError
from ubmc.kit.readings import Quality, Reading
from ubmc.services.sensormon.gate import Gate, Gating
from ubmc.services.sensormon.history import History, Tally
from ubmc.services.sensormon.judge import Judged, Patience, QualityNews, bad, judge
from ubmc.services.sensormon.plan import Limits, Options, SensorPlan
from ubmc.services.sensormon.states import StateWatch
from ubmc.services.sensormon.trigger import Crossing, Trigger
from ubmc.v1alpha1.event_kind_pb import Severity
from ubmc.v1alpha1.sensor_pb import (
    SensorKind,
    SensorLevel,
    SensorQuality,
    SensorQualityChange,
    SensorSide,
    SensorStateChange,
    SensorThresholdCrossing,
)

QUALITIES = {
    Quality.GOOD: SensorQuality.GOOD,
    Quality.STALE: SensorQuality.STALE,
    Quality.IMPLAUSIBLE: SensorQuality.IMPLAUSIBLE,
    Quality.FAILED: SensorQuality.FAILED,
    Quality.UNAVAILABLE: SensorQuality.UNAVAILABLE,
}
SEVERITIES = {
    SensorLevel.UNSPECIFIED: Severity.OK,
    SensorLevel.NORMAL: Severity.OK,
    SensorLevel.WARNING: Severity.WARNING,
    SensorLevel.CRITICAL: Severity.CRITICAL,
    SensorLevel.FATAL: Severity.CRITICAL,
}


@dataclass(frozen=True, slots=True)
class News:
    """Something to tell of a sensor."""

    message: Message[Any]
    severity: Severity


@dataclass(frozen=True, slots=True)
class Power:
    """What a sensor depends on, as it is now."""

    on: bool | None = True
    """None: it cannot be read."""
    reason: str = ""
    """Why it is off."""


class Sensor:
    """The state of one sensor.

    Args:
        plan: what it is.
        limits: those that hold.
        options: how patient to be.
        now: monotonic seconds.
    """

    def __init__(self, plan: SensorPlan, limits: Limits, options: Options, now: float) -> None:
        self.plan = plan
        self.limits = limits
        self.reading: Reading | None = None
        self.reason = ""
        self.tally = Tally(now)
        self.history = History(options.history_points, now, precise=plan.kind is SensorKind.ENERGY)
        self._gate = Gate(bool(plan.powered_by or plan.present_sensor), plan.settle_seconds, now)
        self._trigger = Trigger(limits, plan.kind, powered=bool(plan.powered_by))
        self._states = StateWatch(plan.states, limits.debounce_seconds, powered=bool(plan.powered_by))
        self._patience = Patience(options.quality_debounce_seconds)
        self._last_good = -math.inf
        self._last_value = math.nan

    # --- how it is ----------------------------------------------------------------------------------------------

    @property
    def shown(self) -> tuple[object, ...]:
        """What a watcher would see change."""
        reading = self.reading
        if reading is None:
            return ()
        value = reading.value if reading.quality is Quality.GOOD else None
        return value, reading.quality, self.level, self.side, self.reason

    @property
    def level(self) -> SensorLevel:
        """How far from normal it is; an alarm stands while a sensor is broken, and ends when it is unavailable."""
        reading = self.reading
        if reading is None or reading.quality is Quality.UNAVAILABLE:
            return SensorLevel.UNSPECIFIED
        level = self._states.level if self.plan.kind is SensorKind.STATE else self._trigger.level
        if reading.quality is not Quality.GOOD and level is SensorLevel.NORMAL:
            return SensorLevel.UNSPECIFIED
        return level

    @property
    def side(self) -> SensorSide:
        """On which side of normal it is."""
        return self._trigger.side

    @property
    def state(self) -> str:
        """For the kind STATE: the name of the state that was read; empty without a good reading."""
        reading = self.reading
        if self.plan.kind is not SensorKind.STATE or reading is None or reading.quality is not Quality.GOOD:
            return ""
        return self.plan.states[int(reading.value)].name

    def change(self, limits: Limits) -> None:
        """Take other limits; the next reading is judged by them."""
        self.limits = limits
        self._trigger.change(limits)

    def can_be_read(self, power: Power, now: float) -> bool:
        """Whether reading it makes sense."""
        return self._gate.step(power.on, now) is not Gating.CLOSED

    # --- what happens -------------------------------------------------------------------------------------------

    def take(self, outcome: float | UbmcError, power: Power, now: float) -> list[News]:
        """Take what the driver gave; what is to be told."""
        gating = self._gate.step(power.on, now)
        if gating is Gating.CLOSED:
            return self._close(power.reason, now)
        judged = judge(self.plan, outcome)
        return self._become(judged, now, now, gating)

    def take_made(self, reading: Reading, reason: str, power: Power, now: float) -> list[News]:
        """Take what was made of the sources of a virtual sensor; what is to be told."""
        gating = self._gate.step(power.on, now)
        if gating is Gating.CLOSED:
            return self._close(power.reason, now)
        if reading.quality is Quality.UNAVAILABLE:
            return self._close(reason, now)
        judged = judge(self.plan, reading.value) if reading.quality is Quality.GOOD else bad(reading.quality, reason)
        return self._become(judged, reading.at, now, gating)

    def tick(self, power: Power, now: float) -> list[News]:
        """Look at power, age and patience; what is to be told."""
        gating = self._gate.step(power.on, now)
        if gating is Gating.CLOSED:
            return self._close(power.reason, now)
        reading = self.reading
        if self.plan.virtual is None and (reading is None or reading.quality in (Quality.GOOD, Quality.UNAVAILABLE)):
            age = now - max(self._last_good, self._gate.since)
            if age > self.plan.stale_after:
                what = "nothing has been read yet" if self._last_good == -math.inf else "nothing new has come"
                return self._become(bad(Quality.STALE, what), now, now, gating)
        return self._quality_news(now) if gating is Gating.OPEN else []

    def _become(self, judged: Judged, at: float, now: float, gating: Gating) -> list[News]:
        self.reason = judged.reason
        if judged.quality is not Quality.GOOD:
            self.reading = Reading(math.nan, judged.quality, self._last_good)
            self.history.add(now, math.nan)
            return self._quality_news(now) if gating is Gating.OPEN else []
        self.reading = Reading(judged.value, Quality.GOOD, at)
        self._last_good, self._last_value = at, judged.value
        self.history.add(now, judged.value)
        if gating is not Gating.OPEN:
            return []
        self.tally.add(judged.value)
        news = self._quality_news(now)
        if self.plan.kind is SensorKind.STATE:
            return news + self._state_news(int(judged.value), now)
        return news + [self._crossed(crossing) for crossing in self._trigger.step(judged.value, now)]

    def _close(self, reason: str, now: float) -> list[News]:
        """It has no reading, and nothing is wrong: what had been told as wrong is over."""
        reading = self.reading
        if reading is not None and reading.quality is Quality.UNAVAILABLE:
            self.reason = reason
            return []
        news = [self._turned(QualityNews(alarmed, Quality.UNAVAILABLE), reason) for alarmed in self._alarmed()]
        if self._trigger.level is not SensorLevel.NORMAL:
            level, side = self._trigger.level, self._trigger.side
            limit = self._trigger.limit
            news.append(self._crossed(Crossing(level, SensorLevel.UNSPECIFIED, side, self._last_value, limit)))
        if self._states.level is not SensorLevel.NORMAL:
            change = SensorStateChange(name=self.plan.name, previous=self._states.name, current="unavailable")
            news.append(News(change, Severity.OK))
        for part in (self._trigger, self._states, self._patience):
            part.release()
        self.reason = reason
        self.reading = Reading(math.nan, Quality.UNAVAILABLE, self._last_good)
        self.history.add(now, math.nan)
        return news

    def _alarmed(self) -> list[Quality]:
        return [] if self._patience.alarmed is None else [self._patience.alarmed]

    def _quality_news(self, now: float) -> list[News]:
        reading = self.reading
        if reading is None or reading.quality is Quality.UNAVAILABLE or self.plan.virtual is not None:
            return []  # of a virtual sensor, its sources tell
        news = self._patience.step(reading.quality, now)
        return [] if news is None else [self._turned(news, self.reason or "it can be read again")]

    def _state_news(self, index: int, now: float) -> list[News]:
        change = self._states.step(index, now)
        if change is None:
            return []
        message = SensorStateChange(name=self.plan.name, previous=change.previous, current=change.current)
        return [News(message, SEVERITIES[change.level])]

    def _turned(self, news: QualityNews, reason: str) -> News:
        change = SensorQualityChange(
            name=self.plan.name,
            previous=SensorQuality.UNSPECIFIED if news.previous is None else QUALITIES[news.previous],
            current=QUALITIES[news.current],
            reason=reason,
        )
        fine = news.current in (Quality.GOOD, Quality.UNAVAILABLE)
        return News(change, Severity.OK if fine else Severity.WARNING)

    def _crossed(self, crossing: Crossing) -> News:
        message = SensorThresholdCrossing(
            name=self.plan.name,
            previous=crossing.previous,
            current=crossing.current,
            side=crossing.side,
            value=crossing.value,
            threshold=crossing.threshold,
            unit=self.plan.unit,
        )
        return News(message, SEVERITIES[crossing.current])
