"""The table for people and the JSON for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.budgets import Verdict
from bench.figures import Figure

_CPU = ", CPU"


def number(value: float | None) -> str:
    """Three digits that count, or a dash."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines: the first column to the left, all others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _figures(figures: Sequence[Figure]) -> list[str]:
    rows = [("figure", "value", "unit", "reference", "ratio")]
    rows += [(each.name, number(each.value), each.unit, number(each.reference), number(each.ratio)) for each in figures]
    return aligned(rows)


def _cpu(figures: Iterable[Figure]) -> list[str]:
    """Microseconds of each process for one request."""
    measured = [each for each in figures if each.name.endswith(_CPU)]
    if not measured:
        return []
    columns = list(measured[0].details)
    rows = [("CPU for one request, us", *columns, "bare server")]
    rows += [
        (
            each.name.removesuffix(_CPU),
            *(number(each.details.get(column)) for column in columns),
            number(each.reference),
        )
        for each in measured
    ]
    return ["", *aligned(rows)]


def _memory(figures: Iterable[Figure]) -> list[str]:
    """Each process of the idle tree."""
    found = next((each for each in figures if each.name == "idle memory, whole tree"), None)
    if found is None:
        return []
    columns = ("PSS", "private", "RSS")
    rows: list[tuple[str, ...]] = [("idle memory, MiB", *columns)]
    rows += [(name, *(number(each[column]) for column in columns)) for name, each in found.details.items()]
    return ["", *aligned(rows)]


def _verdicts(verdicts: Iterable[Verdict]) -> list[str]:
    words = {True: "met", False: "MISSED", None: "not measured"}
    rows = [("budget", "bound", "seen", "verdict")]
    for each in verdicts:
        bound = f"{'>=' if each.budget.at_least else '<='} {each.budget.bound:g}"
        name = f"{each.budget.figure}{' (ratio)' if each.budget.what == 'ratio' else ''}"
        rows.append((name, bound, number(each.seen), words[each.met]))
    return ["", *aligned(rows)]


def table(figures: Sequence[Figure], verdicts: Sequence[Verdict], machine: Mapping[str, Any]) -> str:
    """Everything for a person."""
    conditions = [f"{name}: {value}" for name, value in machine.items()]
    lines = [*_figures(figures), *_cpu(figures), *_memory(figures), *_verdicts(verdicts), "", *conditions]
    return "\n".join(lines)


def document(figures: Sequence[Figure], verdicts: Sequence[Verdict], machine: Mapping[str, Any]) -> dict[str, Any]:
    """Everything for a program."""
    return {
        "machine": dict(machine),
        "figures": [each.to_json() for each in figures],
        "budgets": [each.to_json() for each in verdicts],
    }
