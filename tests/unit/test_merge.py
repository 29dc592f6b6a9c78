"""Many OpenMetrics texts into one."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ubmc.kit.metrics import Metrics
from ubmc.kit.tracing import Trace
from ubmc.services.telemetry.merge import merge


def filled(count: int) -> str:
    metrics = Metrics()
    for _ in range(count):
        metrics.answered("A.B", "ok", 0.1, Trace.new())
    metrics.service_starts.labels('odd "name" with } and \\ and \n').inc(count)
    metrics.bus_disconnects.inc(count)
    return metrics.text()


def test_what_another_parser_reads() -> None:
    text = merge({"safety": filled(1), "managers": filled(2)})
    families = {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
    values = {s.labels["process"]: s.value for s in families["ubmc_bus_disconnects"].samples if s.name[-5:] == "total"}
    assert values == {"safety": 1.0, "managers": 2.0}
    starts = families["ubmc_service_starts"].samples
    assert {s.labels["service"] for s in starts} == {'odd "name" with } and \\ and \n'}
    assert {s.labels["process"] for s in starts} == {"safety", "managers"}
    counts = {
        s.labels["process"]: s.value for s in families["ubmc_rpc_duration_seconds"].samples if s.name[-5:] == "count"
    }
    assert counts == {"safety": 1.0, "managers": 2.0}


def test_a_family_comes_once_and_together() -> None:
    lines = merge({"a": filled(1), "b": filled(1), "c": filled(1)}).splitlines()
    assert lines[-1] == "# EOF"
    assert lines.count("# EOF") == 1
    helps = [line for line in lines if line.startswith("# HELP")]
    assert len(helps) == len(set(helps))


@pytest.mark.parametrize("texts", [{}, {"a": ""}, {"a": "# EOF\n"}])
def test_nothing_is_nothing(texts: dict[str, str]) -> None:
    assert merge(texts) == "# EOF\n"


@pytest.mark.parametrize("text", ["#\n", "# TYPE\n", "nonsense\n", "{} 1\n"])
def test_nonsense_breaks_nothing(text: str) -> None:
    assert merge({"a": text + filled(1)}).endswith("# EOF\n")
