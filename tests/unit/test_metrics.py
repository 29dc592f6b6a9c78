"""The metrics of a process in the OpenMetrics form, read back by another parser."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ubmc.kit.metrics import Metrics
from ubmc.kit.tracing import Trace


def test_calls_are_counted_with_an_exemplar() -> None:
    metrics, trace = Metrics(), Trace.new()
    metrics.answered("HostService.GetHost", "ok", 0.003, trace)
    metrics.answered("HostService.GetHost", "not_found", 0.2, trace)
    families = {family.name: family for family in text_string_to_metric_families(metrics.text())}  # type: ignore[no-untyped-call]
    samples = families["ubmc_rpc_duration_seconds"].samples
    counts = {s.labels["outcome"]: s.value for s in samples if s.name.endswith("_count")}
    assert counts == {"ok": 1.0, "not_found": 1.0}
    exemplars = {s.labels["le"]: s.exemplar.labels["trace_id"] for s in samples if s.exemplar}
    assert exemplars == {"0.005": trace.trace_id, "0.25": trace.trace_id}


def test_each_process_has_its_own() -> None:
    one, other = Metrics(), Metrics()
    one.bus_disconnects.inc()
    one.events.labels("HostStateChanged").inc()
    assert "ubmc_bus_disconnects_total 1.0" in one.text()
    assert "ubmc_bus_disconnects_total 0.0" in other.text()
    assert "HostStateChanged" not in other.text()
    assert one.text().endswith("# EOF\n")
