"""`make bench`, `.venv/bin/python -m bench`: measures everything, prints a table, writes a JSON file.

Exit code 0, or 1 with `--strict` if a budget is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.harness.program import Program

from bench import budgets, events, idle, ipmi, redfish, report, sensors, slow, start
from bench.companions import Generator, Reference
from bench.door import CONNECTIONS, TARGETS, DoorBench, Target
from bench.figures import Figure, spread

PARTS = ("idle", "door", "events", "slow", "start", "sensors", "redfish", "ipmi", "bus")
APART = {"sensors", "redfish", "ipmi", "bus"}
"""Parts that do not need the program on the usual board."""
RESULTS = Path(__file__).parent / "results" / "latest.json"
IDLE_SECONDS = 5.0
SLOW_SECONDS = 10.0
SENSORS_SECONDS = 10.0
BUS_TIMEOUT_SECONDS = 120.0


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What the caller wants."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file [bench/results/latest.json]")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure only this part; may be repeated")
    parser.add_argument("--target", choices=TARGETS, default="host", help="the call that is measured [host]")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds of each lane [5]")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a round [1]")
    parser.add_argument("--events", type=int, default=200, help="how many events to watch [200]")
    parser.add_argument("--starts", type=int, default=5, help="how many starts [5]")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a budget is missed")
    return parser.parse_args(given)


def content_of(program: Program, target: Target) -> Any:
    """What the target answers; the bare handler answers the same."""
    return program.get(target.rest)


def with_program(wanted: argparse.Namespace, parts: Sequence[str], say: Callable[[str], None]) -> list[Figure]:
    """The parts that need the program, on one state directory."""
    target = TARGETS[wanted.target]
    figures: list[Figure] = []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ubmc-bench-"))
        first = Path(folder) / "first"
        first.mkdir()
        stack.enter_context(idle.compiled(first))
        state = Path(folder) / "state"
        with Program(state) as program:
            program.login()
            content = content_of(program, target)
            if "idle" in parts:
                say(f"idle memory and CPU, after {IDLE_SECONDS:g} s of rest")
                time.sleep(IDLE_SECONDS)
                figures += [*idle.memory(program, "idle"), *idle.cpu(program, IDLE_SECONDS)]
            with Reference(Path(folder), content) as reference, Generator() as generator:
                if "door" in parts:
                    door = DoorBench(program, target, generator, reference)
                    for connections in CONNECTIONS:
                        say(f"requests through the door, {connections} at a time")
                        figures += door.run(connections, wanted.rounds, wanted.seconds)
                if "events" in parts:
                    say(f"{wanted.events} events to a watcher")
                    figures += events.measure(program, reference, wanted.events)
            if "slow" in parts:
                say(f"{slow.CLIENTS} slow clients, and an administrator among them")
                figures += slow.measure(program, target, SLOW_SECONDS)
            if "door" in parts and "idle" in parts:
                figures += idle.memory(program, "after load:")[:1]
            program.stop()
            if "start" in parts:
                say(f"{wanted.starts} starts")
                figures += start.measure(state, target, wanted.starts, 3 if wanted.starts > 2 else 1)
    return figures


def bus_figures(wanted: argparse.Namespace) -> list[Figure]:
    """The part that needs only the bus, in a process of its own."""
    command = [sys.executable, "-m", "bench.bus", str(wanted.rounds), str(wanted.seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=BUS_TIMEOUT_SECONDS)
    return [
        Figure(each["name"], each["unit"], each["value"], each["reference"], each["details"])
        for each in json.loads(done.stdout)
    ]


def conditions(figures: Sequence[Figure], load_before: tuple[float, float, float], seconds: float) -> dict[str, Any]:
    """The machine, and how quiet it was."""
    bare = next((each.details["bare"] for each in figures if "bare" in each.details), None)
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "load average before and after": f"{load_before[0]:.2f}, {os.getloadavg()[0]:.2f}",
        "duration": f"{seconds:.0f} s",
    }
    if bare:
        found["spread of the bare handler's rounds"] = f"{spread(bare) * 100:.0f} %"
    return found


def main() -> int:
    """Measure and report."""
    wanted = arguments()
    parts = wanted.only or PARTS
    load, began = os.getloadavg(), time.monotonic()

    def say(what: str) -> None:
        print(f"... {what}", file=sys.stderr, flush=True)

    figures: list[Figure] = []
    if set(parts) - APART:
        figures += with_program(wanted, parts, say)
    if "sensors" in parts:
        say(f"{sensors.BOARD}: {SENSORS_SECONDS:g} s of readings, then lists of them")
        figures += sensors.measure(wanted.rounds, wanted.seconds, SENSORS_SECONDS)
    if "redfish" in parts:
        say(f"{redfish.BOARD}: Redfish resources, all sensors at once, {redfish.CLIENTS} streams")
        figures += redfish.measure(wanted.rounds, wanted.seconds)
    if "ipmi" in parts:
        say("IPMI beside ipmi_sim and a server on pyghmi")
        figures += ipmi.measure(wanted.rounds)
    if "bus" in parts:
        say("bus round trips")
        figures += bus_figures(wanted)
    verdicts = budgets.judge(figures)
    machine = conditions(figures, load, time.monotonic() - began)
    print(report.table(figures, verdicts, machine))
    wanted.output.parent.mkdir(parents=True, exist_ok=True)
    wanted.output.write_text(json.dumps(report.document(figures, verdicts, machine), indent=2) + "\n")
    print(f"\nwritten to {wanted.output}")
    return 1 if wanted.strict and any(each.met is not True for each in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
