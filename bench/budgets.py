"""The budgets of the design (section 13) as data, and their verdicts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bench.figures import Figure


@dataclass(frozen=True, slots=True)
class Budget:
    """A bound of one figure, of its value or of its ratio to the reference."""

    figure: str
    what: Literal["value", "ratio"]
    bound: float
    at_least: bool = False
    """The figure must reach the bound; otherwise it must not exceed it."""

    def seen(self, figure: Figure) -> float | None:
        """The number that counts."""
        return figure.value if self.what == "value" else figure.ratio

    def met(self, figure: Figure) -> bool:
        """Whether the figure keeps the budget; one without the reference it needs does not."""
        seen = self.seen(figure)
        if seen is None:
            return False
        return seen >= self.bound if self.at_least else seen <= self.bound


BUDGETS = (
    Budget("start, first answer", "value", 2.5),
    Budget("idle memory, whole tree", "value", 150.0),
    Budget("REST GET, 16 connections, rate", "ratio", 0.30, at_least=True),
    Budget("REST GET, 16 connections, p99", "value", 20.0),
    Budget("bus round trip, 1 in flight, p50", "ratio", 1.4),
    Budget("bus round trip, 16 in flight, p50", "ratio", 1.4),
    Budget("event to watcher, p99", "value", 150.0),
    Budget("sensors CPU, whole tree", "value", 10.0),
    Budget("Redfish System, 16 connections, rate", "ratio", 0.50, at_least=True),
    Budget("Redfish System, 16 connections, p99", "value", 20.0),
    Budget("Redfish Manager, 16 connections, rate", "ratio", 0.50, at_least=True),
    Budget("Redfish Manager, 16 connections, p99", "value", 20.0),
    Budget("Redfish $expand of all sensors", "value", 50.0),
    Budget("Redfish events lost", "value", 0.0),
    Budget("IPMI, one session, 8 commands under way, rate", "ratio", 1.5, at_least=True),
    Budget("IPMI, one session, 8 commands under way, rate, beside ipmi_sim", "ratio", 0.5, at_least=True),
    Budget("IPMI, one session, one command at a time, rate", "ratio", 1.5, at_least=True),
    Budget("IPMI, one session, one command at a time, rate, beside ipmi_sim", "ratio", 0.5, at_least=True),
)
"""Seconds, MiB, ratios, milliseconds and percent of one core, on a development machine with two cores."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A budget beside what was measured."""

    budget: Budget
    seen: float | None
    met: bool | None
    """None if it was not measured in this run."""

    def to_json(self) -> dict[str, Any]:
        """For the results file."""
        return {
            "figure": self.budget.figure,
            "of": self.budget.what,
            "bound": self.budget.bound,
            "at_least": self.budget.at_least,
            "seen": self.seen,
            "met": self.met,
        }


def judge(figures: Iterable[Figure], budgets: Iterable[Budget] = BUDGETS) -> list[Verdict]:
    """The verdict on every budget."""
    by_name: Mapping[str, Figure] = {figure.name: figure for figure in figures}
    verdicts = []
    for budget in budgets:
        figure = by_name.get(budget.figure)
        if figure is None:
            verdicts.append(Verdict(budget, None, None))
        else:
            verdicts.append(Verdict(budget, budget.seen(figure), budget.met(figure)))
    return verdicts
