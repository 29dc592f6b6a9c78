"""Requests through the door, beside the bare handler: rate, latency, and CPU time of every process that takes part."""

from __future__ import annotations

import json
import statistics
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protobuf import Message
from tests.harness.program import Program

from bench import processes
from bench.companions import Generator, Reference
from bench.figures import Figure, medians, percentile
from bench.wire import request
from ubmc.v1alpha1.host_pb import GetHostRequest
from ubmc.v1alpha1.session_pb import GetCurrentSessionRequest

CONNECTIONS = (1, 16)
BARE = "bare"
TAKING_PART = ("websrv", "managers", "nats-server")
_US = 1e6
_MS = 1e3


@dataclass(frozen=True, slots=True)
class Target:
    """The call that is measured, in each of its forms."""

    rest: str
    connect: str
    message: Message[Any]


TARGETS: Mapping[str, Target] = {
    "host": Target("/api/v1alpha1/hosts/host.0", "/ubmc.v1alpha1.HostService/GetHost", GetHostRequest(name="host.0")),
    "session": Target(
        "/api/v1alpha1/sessions:current",
        "/ubmc.v1alpha1.SessionService/GetCurrentSession",
        GetCurrentSessionRequest(),
    ),
}


def requests_of(target: Target, token: str) -> dict[str, bytes]:
    """The request of each lane, by the lane's name."""
    identity = {"authorization": f"Bearer {token}"}
    version = {**identity, "connect-protocol-version": "1"}
    json_body = json.dumps(json.loads(target.message.to_json())).encode()
    return {
        BARE: request("GET", "/bare", {}),
        "REST GET": request("GET", target.rest, identity),
        "Connect JSON": request("POST", target.connect, {**version, "content-type": "application/json"}, json_body),
        "Connect proto": request(
            "POST", target.connect, {**version, "content-type": "application/proto"}, target.message.to_binary()
        ),
    }


def port_of(program: Program) -> int:
    """Where the program listens."""
    return urllib.parse.urlsplit(program.url).port or 0


class DoorBench:
    """All lanes at one number of connections, in alternating rounds."""

    def __init__(self, program: Program, target: Target, generator: Generator, reference: Reference) -> None:
        self._generator = generator
        self._requests = requests_of(target, program.token)
        children = program.processes()
        servers = {name: children[name] for name in TAKING_PART}
        self._ports = {lane: port_of(program) for lane in self._requests} | {BARE: reference.port}
        self._watched = {lane: {**servers, "load": generator.pid} for lane in self._requests}
        self._watched[BARE] = {"bare": reference.pid, "load": generator.pid}

    def run(self, connections: int, rounds: int, seconds: float) -> list[Figure]:
        """Measure; each lane gets `rounds` rounds of `seconds`."""
        for lane, text in self._requests.items():
            answer = self._generator.open(lane, self._ports[lane], connections, text)
            if answer.status != 200:
                raise RuntimeError(f"{lane} answered {answer.status}: {answer.body.decode(errors='replace')}")
        seen: dict[str, list[dict[str, float]]] = {lane: [] for lane in self._requests}
        for _ in range(rounds):
            for lane in self._requests:
                seen[lane].append(self._round(lane, seconds))
        for lane in self._requests:
            self._generator.close(lane)
        bare = seen.pop(BARE)
        figures = []
        for lane, samples in seen.items():
            figures += _figures(f"{lane}, {connections} connection{'s' * (connections > 1)}", samples, bare)
        return figures

    def _round(self, lane: str, seconds: float) -> dict[str, float]:
        watched = self._watched[lane]
        before = processes.cpu_seconds(watched.values())
        result = self._generator.round(lane, seconds)
        after = processes.cpu_seconds(watched.values())
        latencies, count = result["latencies"], result["count"]
        quantities = {
            "rate": count / result["seconds"],
            "p50": percentile(latencies, 0.50) * _MS,
            "p99": percentile(latencies, 0.99) * _MS,
        }
        for name, pid in watched.items():
            quantities[f"cpu {name}"] = (after[pid] - before[pid]) / count * _US
        return quantities


def _figures(name: str, samples: list[dict[str, float]], bare: list[dict[str, float]]) -> list[Figure]:
    subject, reference = medians(samples), medians(bare)
    ratios = [one["rate"] / other["rate"] for one, other in zip(samples, bare, strict=True)]
    rates = {"rounds": [round(each["rate"]) for each in samples], "bare": [round(each["rate"]) for each in bare]}
    figures = [
        Figure(
            f"{name}, rate",
            "1/s",
            subject["rate"],
            reference["rate"],
            {**rates, "ratio of each round": [round(each, 3) for each in ratios], "ratio": statistics.median(ratios)},
        )
    ]
    figures += [Figure(f"{name}, {each}", "ms", subject[each], reference[each]) for each in ("p50", "p99")]
    cpu = {each.removeprefix("cpu "): round(subject[each]) for each in subject if each.startswith("cpu ")}
    spent = sum(value for each, value in cpu.items() if each != "load")
    return [*figures, Figure(f"{name}, CPU", "us", spent, reference["cpu bare"], cpu)]
