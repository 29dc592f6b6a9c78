from __future__ import annotations

import pytest
from bench.budgets import BUDGETS, Budget, judge
from bench.figures import Figure, medians, percentile, spread
from bench.report import aligned, document, number, table


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.5, 50.0), (0.501, 51.0), (0.99, 99.0), (0.991, 100.0), (1.0, 100.0)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([float(each) for each in range(100, 0, -1)], share) == expected


def test_percentile_of_one_sample_is_that_sample() -> None:
    assert percentile([7.0], 0.5) == 7.0


@pytest.mark.parametrize(("samples", "share"), [([], 0.5), ([1.0], 1.1), ([1.0], -0.1)])
def test_percentile_refuses_what_has_none(samples: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="no percentile"):
        percentile(samples, share)


def test_medians_are_taken_of_each_quantity() -> None:
    assert medians([{"a": 1.0, "b": 9.0}, {"a": 100.0, "b": 8.0}, {"a": 2.0, "b": 7.0}]) == {"a": 2.0, "b": 8.0}
    with pytest.raises(ValueError, match="no rounds"):
        medians([])


def test_spread_is_a_share_of_the_median() -> None:
    assert spread([90.0, 100.0, 120.0]) == pytest.approx(0.3)
    assert spread([0.0, 0.0]) == 0.0


def test_a_figure_without_a_reference_has_no_ratio() -> None:
    assert Figure("a", "ms", 3.0, 2.0).ratio == 1.5
    assert Figure("a", "ms", 3.0).ratio is None
    assert Figure("a", "ms", 3.0, 0.0).ratio is None


@pytest.mark.parametrize(
    ("budget", "figure", "met"),
    [
        (Budget("f", "value", 10.0), Figure("f", "ms", 10.0), True),
        (Budget("f", "value", 10.0), Figure("f", "ms", 10.1), False),
        (Budget("f", "ratio", 0.3, at_least=True), Figure("f", "1/s", 30.0, 100.0), True),
        (Budget("f", "ratio", 0.3, at_least=True), Figure("f", "1/s", 29.0, 100.0), False),
        (Budget("f", "ratio", 1.4), Figure("f", "ms", 1.0), False),
    ],
)
def test_verdicts(budget: Budget, figure: Figure, met: bool) -> None:
    assert [each.met for each in judge([figure], [budget])] == [met]


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert [each.met for each in judge([])] == [None] * len(BUDGETS)


def test_every_figure_of_a_budget_is_named_once() -> None:
    named = [(budget.figure, budget.what) for budget in BUDGETS]
    assert len(named) == len(set(named))


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.19612, "0.196"), (99.96, "100"), (3338.4, "3338")])
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


def test_columns_are_aligned() -> None:
    assert aligned([("name", "n"), ("a", "100")]) == ["name    n", "a     100"]


def test_table_and_document_hold_every_figure_and_verdict() -> None:
    cpu = {"websrv": 180.0, "load": 40.0}
    figures = [
        Figure("event to watcher, p99", "ms", 12.5, 0.5),
        Figure("REST GET, 1 connection, CPU", "us", 180.0, 86.0, cpu),
        Figure(
            "idle memory, whole tree", "MiB", 151.0, 7.0, {"ubmc-websrv": {"PSS": 30.0, "private": 21.0, "RSS": 70.0}}
        ),
    ]
    text = table(figures, judge(figures), {"python": "3.11"})
    lines = text.splitlines()
    assert any(line.split() == ["ubmc-websrv", "30", "21", "70"] for line in lines)
    assert any(line.startswith("idle memory, whole tree ") and line.endswith("MISSED") for line in lines)
    assert any(line.startswith("event to watcher, p99 ") and line.endswith("met") for line in lines)
    assert any(line.split() == ["REST", "GET,", "1", "connection", "180", "40", "86"] for line in lines)
    assert "not measured" in text
    assert lines[-1] == "python: 3.11"
    content = document(figures, judge(figures), {"python": "3.11"})
    assert content["figures"][0]["ratio"] == 25.0
    assert {each["met"] for each in content["budgets"]} == {True, False, None}
