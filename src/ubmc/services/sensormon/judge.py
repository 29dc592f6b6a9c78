"""How far what a driver gave can be believed, and since when that has been told. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ubmc.kit.errors import UbmcError
from ubmc.kit.readings import Quality
from ubmc.services.sensormon.plan import SensorPlan
from ubmc.v1alpha1.sensor_pb import SensorKind

MAX_REASON = 200


@dataclass(frozen=True, slots=True)
class Judged:
    """What to make of one outcome."""

    value: float
    quality: Quality
    reason: str = ""


def bad(quality: Quality, reason: str) -> Judged:
    """No good reading."""
    return Judged(math.nan, quality, reason[:MAX_REASON])


def judge(plan: SensorPlan, outcome: float | UbmcError) -> Judged:
    """What to make of what a driver gave."""
    if isinstance(outcome, UbmcError):
        return bad(Quality.FAILED, outcome.message)
    value = float(outcome) * plan.scale + plan.offset
    if not math.isfinite(value):
        return bad(Quality.IMPLAUSIBLE, f"the reading is {value}")
    if plan.kind is SensorKind.STATE:
        if not value.is_integer() or not 0 <= value < len(plan.states):
            return bad(Quality.IMPLAUSIBLE, f"there is no state {value:g}")
    elif plan.range_minimum is not None and value < plan.range_minimum:
        return bad(Quality.IMPLAUSIBLE, f"{value:.9g} is below {plan.range_minimum:g}, the least it can measure")
    elif plan.range_maximum is not None and value > plan.range_maximum:
        return bad(Quality.IMPLAUSIBLE, f"{value:.9g} is above {plan.range_maximum:g}, the most it can measure")
    return Judged(value, Quality.GOOD)


@dataclass(frozen=True, slots=True)
class QualityNews:
    """The quality became another one, and stayed so for long enough."""

    previous: Quality | None
    current: Quality


class Patience:
    """Keeps a hiccup from being an alarm: bad for so long is told, and good again for so long.

    Args:
        seconds: how long.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._told: Quality | None = None  # None: nothing has been told or seen
        self._since: float | None = None

    @property
    def alarmed(self) -> Quality | None:
        """The bad quality that was told; None if none is."""
        return None if self._told in (None, Quality.GOOD) else self._told

    def release(self) -> None:
        """Forget everything."""
        self._told, self._since = None, None

    def step(self, quality: Quality, now: float) -> QualityNews | None:
        """Take the quality as it is now; what is to be told, if anything."""
        good = quality is Quality.GOOD
        if self._told is None and good:
            self._told = quality
        if good == (self._told is Quality.GOOD) and self._told is not None:
            self._since = None  # one bad quality after another is the same trouble
            return None
        if self._since is None:
            self._since = now
        if now - self._since < self._seconds:
            return None
        news = QualityNews(self._told, quality)
        self._told, self._since = quality, None
        return news
