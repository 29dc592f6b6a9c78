"""Metrics of one process, in the OpenMetrics text format with exemplars.

Every process has its own registry; the service `telemetry` gathers them and marks each line with its process.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.exposition import generate_latest

from ubmc.kit.tracing import Trace

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics that the frame keeps for every service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answered: dict[tuple[str, str], Histogram] = {}  # `labels` takes as long as all else of it
        self.rpc_seconds = Histogram(
            "ubmc_rpc_duration_seconds",
            "Time to answer a call, by method and outcome",
            ("method", "outcome"),
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self.streams = Gauge(
            "ubmc_streams", "Streams that are being written now, by method", ("method",), registry=self.registry
        )
        self.events = Counter("ubmc_events", "Events told, by message id", ("message_id",), registry=self.registry)
        self.events_lost = Counter(
            "ubmc_events_lost", "Events dropped because the bus was away too long", registry=self.registry
        )
        self.service_starts = Counter(
            "ubmc_service_starts", "Starts of a service, the first included", ("service",), registry=self.registry
        )
        self.bus_disconnects = Counter("ubmc_bus_disconnects", "Times that the bus was lost", registry=self.registry)
        self.slow_consumers = Counter(
            "ubmc_bus_slow_consumers", "Times that a subscription could not follow", registry=self.registry
        )

    def answered(self, method: str, outcome: str, seconds: float, trace: Trace) -> None:
        """Count one answered call; the trace becomes the exemplar."""
        histogram = self._answered.get((method, outcome))
        if histogram is None:
            histogram = self._answered[method, outcome] = self.rpc_seconds.labels(method, outcome)
        histogram.observe(seconds, {"trace_id": trace.trace_id})

    def text(self) -> str:
        """All metrics of this process as OpenMetrics text."""
        text: bytes = generate_latest(self.registry)  # type: ignore[no-untyped-call]
        return text.decode()
