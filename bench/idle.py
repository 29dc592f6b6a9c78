"""What the program takes while nobody asks anything: memory and CPU time of its whole process tree."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.harness.program import Program

from bench import processes
from bench.figures import Figure

_IDLE_PYTHON = "import sys; sys.stdin.read()"


@contextlib.contextmanager
def compiled(folder: Path) -> Iterator[None]:
    """Measure what runs from compiled modules, as it is installed: who compiles them at the start keeps 6 MiB for it.

    Args:
        folder: an empty one, for the modules and for the state of the start that compiles them.
    """
    kept = {name: os.environ.pop(name, None) for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")}
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
    try:
        with Program(folder / "state"):
            pass
        yield
    finally:
        del os.environ["PYTHONPYCACHEPREFIX"]
        os.environ.update({name: value for name, value in kept.items() if value is not None})


def machine_pid(state: Path) -> int:
    """The process of the simulated machine, which is no part of the BMC."""
    return int(json.loads((state / "machine" / "sim" / "machine.json").read_text())["pid"])


def bare_memory() -> float:
    """What an interpreter that does nothing takes alone, in MiB."""
    with subprocess.Popen([sys.executable, "-c", _IDLE_PYTHON], stdin=subprocess.PIPE) as process:
        time.sleep(0.3)
        found = processes.alone([processes.maps(process.pid)])
        assert process.stdin is not None
        process.stdin.close()
    return found


def memory(program: Program, name: str) -> list[Figure]:
    """What the tree takes now, each process by its name, and the machine apart."""
    reference = bare_memory()
    names = processes.tree(program.pid)
    table = {pid: processes.memory(pid) for pid in names}
    details = {
        names[pid]: {
            "PSS": round(each.proportional, 1),
            "private": round(each.private, 1),
            "RSS": round(each.resident, 1),
        }
        for pid, each in table.items()
    }
    machine = processes.alone([processes.maps(machine_pid(program.state))])
    return [
        Figure(
            f"{name} memory, whole tree",
            "MiB",
            processes.alone([processes.maps(pid) for pid in names]),
            reference,
            details,
        ),
        Figure(f"{name} memory, whole tree, PSS", "MiB", sum(each.proportional for each in table.values())),
        Figure(f"{name} memory, simulated machine", "MiB", machine, reference),
    ]


def cpu(program: Program, seconds: float) -> list[Figure]:
    """Share of one core over some idle seconds."""
    names = processes.tree(program.pid)
    before, began = processes.cpu_seconds(names), time.perf_counter()
    time.sleep(seconds)
    after, elapsed = processes.cpu_seconds(names), time.perf_counter() - began
    share = {pid: (after[pid] - before[pid]) / elapsed * 100 for pid in names}
    details = {names[pid]: round(value, 2) for pid, value in share.items()}
    return [Figure("idle CPU, whole tree", "%", sum(share.values()), None, details)]
