"""From samples to figures: percentiles, medians, ratios. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Quantities = Mapping[str, float]


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` (0 to 1) of all samples do not exceed (nearest rank).

    Raises:
        ValueError: there are no samples, or `share` is not between 0 and 1.
    """
    if not samples or not 0.0 <= share <= 1.0:
        raise ValueError(f"no percentile {share} of {len(samples)} samples")
    ordered = sorted(samples)
    rank = -(-len(ordered) * round(share * 10_000) // 10_000)  # rounded up, without the dust of floats
    return ordered[max(rank, 1) - 1]


def medians(rounds: Sequence[Quantities]) -> dict[str, float]:
    """The median of each quantity over all rounds.

    Raises:
        ValueError: there are no rounds.
    """
    if not rounds:
        raise ValueError("no rounds were measured")
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def spread(samples: Sequence[float]) -> float:
    """How far the samples lie apart, as a share of their median: the noise of the machine, as a rule."""
    middle = statistics.median(samples)
    return (max(samples) - min(samples)) / middle if middle else 0.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report: what was measured, what the reference gave in the same run, and their ratio."""

    name: str
    unit: str
    value: float
    reference: float | None = None
    """What the reference gave, in the same unit."""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """The value as a multiple of the reference; None without one."""
        return self.value / self.reference if self.reference else None

    def to_json(self) -> dict[str, Any]:
        """For the results file."""
        return {**asdict(self), "ratio": self.ratio}
