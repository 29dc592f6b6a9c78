"""One trace from the HTTP request over the bus to the wire.

Trace ids are made and passed on always, so that the event log and the audit trail can name them. Spans are only
recorded when an OTLP endpoint is configured: only then is the OpenTelemetry SDK loaded (it costs several MiB).
The text form is the `traceparent` of W3C Trace Context, level 1.
"""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_random = random.SystemRandom()
_ids = random.Random(_random.getrandbits(128))  # noqa: S311  ids need to be unique, not secret


@dataclass(frozen=True, slots=True)
class Trace:
    """Where we are in a trace."""

    trace_id: str  # 32 hex digits
    span_id: str  # 16 hex digits
    sampled: bool = True

    @staticmethod
    def new() -> Trace:
        """The beginning of a new trace."""
        return Trace(f"{_ids.getrandbits(128) or 1:032x}", f"{_ids.getrandbits(64) or 1:016x}")

    @staticmethod
    def parse(text: str) -> Trace | None:
        """The trace of a `traceparent`, None if it is not one of version 00."""
        match = _TRACEPARENT.fullmatch(text)
        if match is None or match[1] == _NO_TRACE or match[2] == _NO_SPAN:
            return None
        return Trace(match[1], match[2], bool(int(match[3], 16) & 1))

    def child(self) -> Trace:
        """A further span in this trace."""
        return Trace(self.trace_id, f"{_ids.getrandbits(64) or 1:016x}", self.sampled)

    def __str__(self) -> str:
        """The `traceparent` form."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


current: ContextVar[Trace | None] = ContextVar("ubmc_trace", default=None)


def after_fork() -> None:
    """Give this process its own sequence of ids."""
    _ids.seed(_random.getrandbits(128))


class _Unrecorded:
    """A span that only has ids. Every call makes two of these, so it is no generator: those cost five times as much."""

    __slots__ = ("_token", "_trace")

    def __init__(self, parent: Trace | None) -> None:
        self._trace = parent.child() if parent is not None else Trace.new()

    def __enter__(self) -> Trace:
        self._token = current.set(self._trace)
        return self._trace

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        current.reset(self._token)


class Exporter:
    """Records spans with the OpenTelemetry SDK and pushes them by OTLP over HTTP."""

    def __init__(self) -> None:
        self._provider: TracerProvider | None = None

    def start(self, endpoint: str, process: str) -> None:
        """Load the SDK and push to `endpoint` (`http://collector:4318`) from now on."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "ubmc", "service.instance.id": process}), shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))

    def stop(self) -> None:
        """Push what is left; waits for 5 s at most."""
        if self._provider is not None:
            self._provider.force_flush(5000)
            self._provider.shutdown()
            self._provider = None

    def span(
        self, name: str, parent: Trace | None, attributes: dict[str, str]
    ) -> contextlib.AbstractContextManager[Trace]:
        """A span that is the current one while the block runs; an exception in it is recorded."""
        if self._provider is None:
            return _Unrecorded(parent)
        return self._recorded(self._provider, name, parent, attributes)

    @contextlib.contextmanager
    def _recorded(
        self, provider: TracerProvider, name: str, parent: Trace | None, attributes: dict[str, str]
    ) -> Iterator[Trace]:
        from opentelemetry import trace as otel

        context: Any = None
        if parent is not None:
            remote = otel.SpanContext(
                int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=otel.TraceFlags(1)
            )
            context = otel.set_span_in_context(otel.NonRecordingSpan(remote))
        tracer = provider.get_tracer("ubmc")
        with tracer.start_as_current_span(name, context=context, attributes=attributes) as recording:
            ids = recording.get_span_context()
            trace = Trace(f"{ids.trace_id:032x}", f"{ids.span_id:016x}")
            token = current.set(trace)
            try:
                yield trace
            finally:
                current.reset(token)


exporter = Exporter()


def span(name: str, parent: Trace | None = None, **attributes: str) -> contextlib.AbstractContextManager[Trace]:
    """A span below `parent`, or below the current one, or the beginning of a trace."""
    return exporter.span(name, parent if parent is not None else current.get(), attributes)
