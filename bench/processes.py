"""What processes cost, from /proc: CPU time, memory, and who belongs to whom (proc(5))."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICK_SECONDS = 1.0 / os.sysconf("SC_CLK_TCK")
_PARENT, _USER_TIME, _SYSTEM_TIME = 1, 11, 12  # fields of /proc/PID/stat, counted after the name


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat tells of one process."""

    name: str
    state: str
    parent: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of one process in MiB."""

    resident: float
    proportional: float
    """PSS: what is shared counts by the share; the sum over all processes is what they take together."""
    private: float


def parse_stat(text: str) -> Stat:
    """A line of /proc/PID/stat; the name may hold spaces and parentheses.

    Raises:
        ValueError: it is no such line.
    """
    begin, end = text.index("("), text.rindex(")")
    fields = text[end + 2 :].split()
    ticks = int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])
    return Stat(text[begin + 1 : end], fields[0], int(fields[_PARENT]), ticks * _TICK_SECONDS)


def parse_memory(text: str) -> Memory:
    """The content of /proc/PID/smaps_rollup."""
    kib: dict[str, int] = {}
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition(":")
        kib[name] = int(rest.split()[0])
    private = kib["Private_Clean"] + kib["Private_Dirty"]
    return Memory(kib["Rss"] / 1024, kib["Pss"] / 1024, private / 1024)


@dataclass(slots=True)
class Mapped:
    """What a process has of one file (or of no file), in MiB."""

    resident: float = 0.0
    proportional: float = 0.0
    dirty: float = 0.0
    """Changed by this process alone, so it is in no file any more."""


_FIELDS = {"Rss": "resident", "Pss": "proportional", "Private_Dirty": "dirty"}


def parse_maps(text: str) -> dict[str, Mapped]:
    """The content of /proc/PID/smaps by file; the name of what is in no file is empty."""
    found: dict[str, Mapped] = {}
    mapped = Mapped()
    for line in text.splitlines():
        first, *rest = line.split(maxsplit=5)
        if not first.endswith(":"):
            path = rest[4] if len(rest) == 5 and rest[4].startswith("/") else ""
            mapped = found.setdefault(path, Mapped())
        elif first[:-1] in _FIELDS:
            name = _FIELDS[first[:-1]]
            setattr(mapped, name, getattr(mapped, name) + int(rest[0]) / 1024)
    return found


def alone(processes: Iterable[Mapping[str, Mapped]]) -> float:
    """MiB that some processes would take together on a machine where nobody else runs.

    PSS shares a library out among all who use it, strangers too, so it is less the more other Pythons run. Here each
    file counts once, by the process that has most of it in memory.
    """
    total, files = 0.0, dict[str, float]()
    for process in processes:
        for path, mapped in process.items():
            if path:
                total += mapped.dirty
                files[path] = max(files.get(path, 0.0), mapped.resident - mapped.dirty)
            else:
                total += mapped.proportional
    return total + sum(files.values())


def maps(pid: int) -> dict[str, Mapped]:
    """What a process has in memory now.

    Raises:
        OSError: it is gone, or not ours.
    """
    return parse_maps(Path(f"/proc/{pid}/smaps").read_text())


def descendants(stats: Mapping[int, Stat], root: int) -> list[int]:
    """A process and all below it, parents first; zombies are left out."""
    found = [root]
    for pid in found:
        found += sorted(child for child, stat in stats.items() if stat.parent == pid and stat.state != "Z")
    return found


def all_stats() -> dict[int, Stat]:
    """Every process that can be seen now."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it ended meanwhile
                found[int(entry.name)] = parse_stat((entry / "stat").read_text())
    return found


def tree(root: int) -> dict[int, str]:
    """The names of a process and of all below it, by process id."""
    stats = all_stats()
    return {pid: stats[pid].name for pid in descendants(stats, root)}


def memory(pid: int) -> Memory:
    """The memory of a process now.

    Raises:
        OSError: it is gone, or not ours.
    """
    return parse_memory(Path(f"/proc/{pid}/smaps_rollup").read_text())


def cpu_seconds(pids: Iterable[int]) -> dict[int, float]:
    """CPU time of each process since it began, to 10 ms.

    Raises:
        OSError: one of them is gone.
    """
    return {pid: parse_stat(Path(f"/proc/{pid}/stat").read_text()).cpu_seconds for pid in pids}
