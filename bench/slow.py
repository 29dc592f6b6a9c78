"""What a thousand slow clients cost an administrator: latency of a call while they hold on, beside the same without."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
from tests.harness.program import Program

from bench.companions import Companion
from bench.door import Target, port_of
from bench.figures import Figure, percentile

CLIENTS = 1000
SETTLE_SECONDS = 5.0
PAUSE_SECONDS = 0.05
_MS = 1e3


def _latencies(call: Callable[[], httpx.Response], seconds: float) -> tuple[list[float], int]:
    """Of calls one after the other, in seconds; and how many were not answered."""
    found: list[float] = []
    lost = 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        try:
            call().raise_for_status()
            found.append(time.perf_counter() - began)
        except httpx.TransportError:
            lost += 1
        time.sleep(PAUSE_SECONDS)
    return found, lost


def _both(program: Program, target: Target, seconds: float) -> dict[str, tuple[list[float], int]]:
    """On a connection that is kept, and on a new one each time."""
    with program.client(headers={"authorization": f"Bearer {program.token}"}) as client:
        kept = _latencies(lambda: client.get(target.rest), seconds)
    return {
        "kept connection": kept,
        "new connections": _latencies(lambda: program.request("GET", target.rest), seconds),
    }


def measure(program: Program, target: Target, seconds: float) -> list[Figure]:
    """Measure for `seconds` each, without the crowd and among it."""
    alone = _both(program, target, seconds)
    with Companion("bench.crowd", str(CLIENTS), str(port_of(program))) as crowd:
        crowd.hear()
        time.sleep(SETTLE_SECONDS)
        among = _both(program, target, seconds)
    figures = []
    for kind, (latencies, lost) in among.items():
        before, _ = alone[kind]
        details = {"calls": len(latencies), "not answered": lost, "calls without": len(before)}
        for name, share in (("p50", 0.50), ("p99", 0.99)):
            value, reference = percentile(latencies, share) * _MS, percentile(before, share) * _MS
            figures.append(Figure(f"{CLIENTS} slow clients, {kind}, {name}", "ms", value, reference, details))
    return figures
