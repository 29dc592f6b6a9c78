"""Redfish beside the bare handler: a cached System and a Manager, all sensors of a large board at once, and 50 streams.

The bare handler answers the same bytes as the resource that it stands beside, over the same listener, so that the ratio
is what our own work costs: who asks, is it still so, and the headers of the specification.
"""

from __future__ import annotations

import contextlib
import re
import ssl
import statistics
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
from tests.harness.program import Program, until

from bench import processes
from bench.companions import Generator, Reference
from bench.door import TAKING_PART, port_of
from bench.figures import Figure, medians, percentile
from bench.wire import request

BOARD = "sim-large"
RESOURCES: Mapping[str, str] = {"System": "/redfish/v1/Systems/host.0", "Manager": "/redfish/v1/Managers/bmc.0"}
SENSORS = "/redfish/v1/Chassis/chassis.0/Sensors?$expand=."
POLICY = "/api/v1alpha1/security-policy"
MOST_REQUESTS = 10_000
"""A second: one client makes more requests here than any should be allowed to by default."""
STREAM = "/redfish/v1/EventService/SSE"
TEST_EVENT = "/redfish/v1/EventService/Actions/EventService.SubmitTestEvent"
CONNECTIONS = 16
LONE = 20
CLIENTS = 50
PER_ADDRESS = 10
EVENTS = 100
EVENT_SECONDS = 0.1
DELIVERY_SECONDS = 15.0
_MS = 1e3
_MARK = re.compile(r"bench-\d+")


def measure(rounds: int, seconds: float) -> list[Figure]:
    """All figures, on the board with 300 sensors."""
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory(prefix="ubmc-bench-") as folder,
        Program(Path(folder) / "state", board=BOARD) as program,
    ):
        program.login()
        program.request("PATCH", POLICY, {"requestsPerSecond": MOST_REQUESTS}).raise_for_status()
        token = {"x-auth-token": program.token}
        with program.client(headers=token) as client:
            until(lambda: client.get(SENSORS).status_code == 200, why="sensors in Redfish")
            for name, path in RESOURCES.items():
                content = client.get(path).json()
                with Reference(Path(folder), content) as reference, Generator() as generator:
                    figures += _rate(program, name, path, generator, reference, rounds, seconds)
            figures += _expand(client)
            figures += _streams(program, client)
    return figures


def _rate(
    program: Program,
    name: str,
    path: str,
    generator: Generator,
    reference: Reference,
    rounds: int,
    seconds: float,
) -> list[Figure]:
    """GETs of one resource with a session token, in alternating rounds with the bare handler."""
    lanes = {
        "bare": (reference.port, request("GET", "/bare", {})),
        "ours": (port_of(program), request("GET", path, {"x-auth-token": program.token})),
    }
    servers = {each: pid for each, pid in program.processes().items() if each in TAKING_PART}
    for lane, (port, text) in lanes.items():
        answer = generator.open(lane, port, CONNECTIONS, text)
        if answer.status != 200:
            raise RuntimeError(f"{lane} answered {answer.status}")
    seen: dict[str, list[dict[str, float]]] = {lane: [] for lane in lanes}
    for _ in range(rounds):
        for lane in lanes:
            before = processes.cpu_seconds(servers.values())
            result = generator.round(lane, seconds)
            after = processes.cpu_seconds(servers.values())
            spent = sum(after.values()) - sum(before.values())
            seen[lane].append(
                {
                    "rate": result["count"] / result["seconds"],
                    "p50": percentile(result["latencies"], 0.50) * _MS,
                    "p99": percentile(result["latencies"], 0.99) * _MS,
                    "cpu": spent / result["count"] * 1e6,
                }
            )
    for lane in lanes:
        generator.close(lane)
    ours, bare = medians(seen["ours"]), medians(seen["bare"])
    title = f"Redfish {name}, {CONNECTIONS} connections"
    details = {"CPU of our processes, us": round(ours["cpu"]), "bare": [round(each["rate"]) for each in seen["bare"]]}
    return [
        Figure(f"{title}, rate", "1/s", ours["rate"], bare["rate"], details),
        *(Figure(f"{title}, {each}", "ms", ours[each], bare[each]) for each in ("p50", "p99")),
    ]


def _expand(client: httpx.Client) -> list[Figure]:
    """All sensors in one answer, on a connection that is there already."""
    times, count, size = [], 0, 0
    for _ in range(LONE):
        began = time.perf_counter()
        answer = client.get(SENSORS)
        times.append((time.perf_counter() - began) * _MS)
        count, size = len(answer.json()["Members"]), len(answer.content)
        time.sleep(0.1)  # so that readings have changed
    details = {"sensors": count, "bytes": size, "slowest, ms": round(max(times), 1)}
    return [Figure("Redfish $expand of all sensors", "ms", statistics.median(times), None, details)]


def _from(program: Program, address: str) -> httpx.Client:
    """A client at another address of this machine: the door lets no single one have so many connections."""
    context = ssl.create_default_context(cafile=str(program.state / "tls" / "server.pem"))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    transport = httpx.HTTPTransport(verify=context, local_address=address)
    return httpx.Client(base_url=program.url, transport=transport, headers={"x-auth-token": program.token}, timeout=10)


def _streams(program: Program, client: httpx.Client) -> list[Figure]:
    """Many who listen to server-sent events, and ten events a second."""
    got: list[set[str]] = [set() for _ in range(CLIENTS)]
    listening = threading.Semaphore(0)
    ended = threading.Event()

    def listen(number: int, mine: set[str]) -> None:
        with (
            contextlib.suppress(httpx.HTTPError),
            _from(program, f"127.0.0.{2 + number // PER_ADDRESS}") as one,
            one.stream("GET", STREAM, timeout=httpx.Timeout(10, read=1.0)) as answer,
        ):
            listening.release()
            for line in answer.iter_lines():
                mine.update(_MARK.findall(line))
                if ended.is_set():
                    return

    threads = [threading.Thread(target=listen, args=each, daemon=True) for each in enumerate(got)]
    for thread in threads:
        thread.start()
    for _ in threads:
        if not listening.acquire(timeout=20):
            raise RuntimeError("not all clients could listen")
    began = time.monotonic()
    for number in range(EVENTS):
        time.sleep(max(0.0, began + number * EVENT_SECONDS - time.monotonic()))
        body = {"MessageId": "Ubmc.1.0.EventLogTestEvent", "MessageArgs": [f"bench-{number}"]}
        client.post(TEST_EVENT, json=body).raise_for_status()
    rate = EVENTS / (time.monotonic() - began)
    deadline = time.monotonic() + DELIVERY_SECONDS
    while time.monotonic() < deadline and any(len(mine) < EVENTS for mine in got):
        time.sleep(0.1)
    ended.set()
    lost = sum(EVENTS - len(mine) for mine in got)
    details = {"clients": CLIENTS, "events": EVENTS, "events a second": round(rate, 1)}
    return [Figure("Redfish events lost", "events", lost, None, details)]
