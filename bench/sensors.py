"""300 sensors at 1 Hz: what reading them costs while nobody asks, and how fast they are listed from memory.

The board is `sim-large`, its host powered on, so that every sensor has a reading and none is gated.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

from tests.harness.program import Program, until

from bench import processes
from bench.companions import Generator, Reference
from bench.door import DoorBench, Target
from bench.figures import Figure
from ubmc.v1alpha1.sensor_pb import ListSensorsRequest

BOARD = "sim-large"
PATH = "/api/v1alpha1/sensors?pageSize=1000"
LIST = Target(PATH, "/ubmc.v1alpha1.SensorService/ListSensors", ListSensorsRequest(page_size=1000))
ON_SECONDS = 60.0
GOOD_SHARE = 0.9
_SAFETY = "safety"


def power_on(program: Program) -> int:
    """Power the host on and wait until nearly all sensors have good readings; how many sensors there are."""
    if program.host()["state"] != "HOST_STATE_ON":
        answer = program.power("ON")
        if answer.status_code != 200:
            raise RuntimeError(f"the host cannot be powered on: {answer.text}")

    def good() -> int:
        sensors = program.get(PATH).get("sensors", [])
        count = sum(each.get("quality") == "SENSOR_QUALITY_GOOD" for each in sensors)
        return len(sensors) if sensors and count >= GOOD_SHARE * len(sensors) else 0

    return until(good, ON_SECONDS, "good readings of nearly all sensors")


def cpu(program: Program, seconds: float, count: int) -> list[Figure]:
    """Shares of one core while nobody asks."""
    safety = program.processes()[_SAFETY]
    names = processes.tree(program.pid)
    before, began = processes.cpu_seconds(names), time.perf_counter()
    time.sleep(seconds)
    after, elapsed = processes.cpu_seconds(names), time.perf_counter() - began
    share = {pid: (after[pid] - before[pid]) / elapsed * 100 for pid in names}
    details = {"sensors": count, **{names[pid]: round(value, 2) for pid, value in share.items()}}
    return [
        Figure("sensors CPU, whole tree", "%", sum(share.values()), None, details),
        Figure("sensors CPU, safety", "%", share[safety], None, {"sensors": count}),
    ]


def measure(rounds: int, seconds: float, rest_seconds: float) -> list[Figure]:
    """Everything, on a state directory of its own.

    Args:
        rounds: alternating rounds of each lane.
        seconds: length of a round.
        rest_seconds: so long nobody asks while CPU time is counted.
    """
    with tempfile.TemporaryDirectory(prefix="ubmc-bench-") as folder:
        state = Path(folder) / "state"
        with Program(state, board=BOARD) as program:
            program.login()
            count = power_on(program)
            figures = cpu(program, rest_seconds, count)
            content = program.get(PATH)
            with Reference(state / "tls", content) as reference, Generator() as generator:
                listed = DoorBench(program, LIST, generator, reference).run(1, rounds, seconds)
    return figures + [dataclasses.replace(each, name=f"ListSensors of {count}, {each.name}") for each in listed]
