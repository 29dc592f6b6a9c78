"""A PID controller for cooling. Pure: no clock, no I/O.

It acts in reverse of a heater's: the duty rises while the input is above the set-point. The derivative looks at the
measurement alone, so a new set-point gives no kick. The integral stops where it would only push further out of range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LONGEST_STEP_SECONDS = 2.0
"""A cycle that came later than this counts as this: one long pause must not throw the integral."""
DERIVATIVE_SECONDS = 3.0
"""The time constant of the filter on the derivative: sensors step by whole bits."""


@dataclass(frozen=True, slots=True)
class Gains:
    """How a controller reacts; percent per degree, per degree and second, percent seconds per degree."""

    kp: float
    ki: float
    kd: float
    slew_up: float
    """Percent a second."""
    slew_down: float
    """Percent a second."""


class Pid:
    """One controller.

    Args:
        gains: how it reacts.
        output: the duty in percent from which it begins.
    """

    def __init__(self, gains: Gains, output: float) -> None:
        self._gains = gains
        self._output = output
        self._integral: float | None = None  # None: to be chosen so that the output goes on without a jump
        self._set_point = math.nan
        self._input = math.nan
        self._slope = 0.0
        self._at = math.nan

    @property
    def output(self) -> float:
        """The duty that it asked for last, in percent."""
        return self._output

    def pause(self, output: float) -> None:
        """There is no input; when there is one again, begin at this duty, without a jump."""
        self._output = output
        self._integral = None
        self._at = math.nan

    def update(self, now: float, value: float, set_point: float, low: float, high: float) -> float:
        """The duty for this input, between `low` and `high` percent."""
        gains = self._gains
        fresh = self._integral is None or math.isnan(self._at)
        step = 0.0 if fresh else min(max(now - self._at, 0.0), LONGEST_STEP_SECONDS)
        proportional = gains.kp * (value - set_point)
        if self._integral is None:
            self._integral = self._output - proportional
            self._slope = 0.0
        elif set_point != self._set_point:
            self._integral += gains.kp * (set_point - self._set_point)  # bumpless; the integral goes there slowly
        if step > 0.0:
            self._slope += ((value - self._input) / step - self._slope) * (step / (step + DERIVATIVE_SECONDS))
        self._integrate(value - set_point, proportional, step, low, high)
        wanted = min(max(proportional + self._integral + gains.kd * self._slope, low), high)
        if not fresh:
            wanted = min(max(wanted, self._output - gains.slew_down * step), self._output + gains.slew_up * step)
        self._output = min(max(wanted, low), high)
        self._set_point, self._input, self._at = set_point, value, now
        return self._output

    def _integrate(self, error: float, proportional: float, step: float, low: float, high: float) -> None:
        assert self._integral is not None
        raw = proportional + self._integral
        pushes_out = (raw >= high and error > 0.0) or (raw <= low and error < 0.0)
        if not pushes_out:
            self._integral += self._gains.ki * error * step
        self._integral = min(max(self._integral, low), high)
