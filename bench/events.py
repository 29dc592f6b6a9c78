"""From the moment an event is told to the moment a watcher sees it, beside a bare stream on the same listener.

Every refused deletion of a user is told as an event of the audit trail, so it makes events without changing anything.
The event's own time is when it was told; both clocks are the same, because all is on one machine.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections.abc import Iterator

import httpx
from tests.harness.program import Program

from bench.companions import Reference
from bench.door import port_of
from bench.figures import Figure, percentile

PACE_SECONDS = 0.02
WAIT_SECONDS = 30.0
_MESSAGE = "AuditedCall"
_MS = 1e3


def _stream(client: httpx.Client, path: str, ready: threading.Event) -> Iterator[tuple[float, dict[str, object]]]:
    """The data of each server-sent event, with the time at which it came."""
    with client.stream("GET", path) as answer:
        answer.raise_for_status()
        ready.set()
        for line in answer.iter_lines():
            if line.startswith("data:"):
                yield time.time(), json.loads(line[5:])


def client(port: int, token: str = "") -> httpx.Client:
    """A client of one of the two servers."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(
        base_url=f"https://127.0.0.1:{port}", verify=False, timeout=WAIT_SECONDS, trust_env=False, headers=headers
    )


def bare_latencies(reference: Reference, count: int) -> list[float]:
    """Seconds from making an item to seeing it, on the bare stream."""
    with client(reference.port) as watcher:
        items = _stream(watcher, f"/events?count={count}", threading.Event())
        return [seen - float(str(item["time"])) for seen, item in items]


class Watcher(threading.Thread):
    """Collects the latencies of as many events as were asked for."""

    def __init__(self, program: Program, count: int) -> None:
        super().__init__(daemon=True)
        self._port, self._token, self._count = port_of(program), program.token, count
        self.ready = threading.Event()
        self.latencies: list[float] = []

    def run(self) -> None:
        """Watch until enough came."""
        with client(self._port, self._token) as watcher:
            for seen, item in _stream(watcher, "/api/v1alpha1/events:watch", self.ready):
                event = item.get("event")
                if isinstance(event, dict) and str(event["arguments"].get("target", "")).startswith("bench-"):
                    self.latencies.append(seen - told(event))
                    if len(self.latencies) >= self._count:
                        return


def told(event: dict[str, str]) -> float:
    """When an event was told, in seconds since 1970."""
    return dt.datetime.fromisoformat(event["time"]).timestamp()


def measure(program: Program, reference: Reference, count: int) -> list[Figure]:
    """Make `count` events while a client watches."""
    bare = bare_latencies(reference, count)
    watcher = Watcher(program, count)
    watcher.start()
    if not watcher.ready.wait(WAIT_SECONDS):
        raise RuntimeError("the watch did not begin")
    with client(port_of(program), program.token) as asker:
        for number in range(count):
            answer = asker.delete(f"/api/v1alpha1/users/bench-{number}")
            if answer.status_code != 404:
                raise RuntimeError(f"answered {answer.status_code}: {answer.text}")
            time.sleep(PACE_SECONDS)
    watcher.join(WAIT_SECONDS)
    if len(watcher.latencies) < count:
        raise RuntimeError(f"only {len(watcher.latencies)} of {count} events were seen")
    return [
        Figure(
            f"event to watcher, p{share * 100:.0f}",
            "ms",
            percentile(watcher.latencies, share) * _MS,
            percentile(bare, share) * _MS,
        )
        for share in (0.50, 0.99)
    ]
