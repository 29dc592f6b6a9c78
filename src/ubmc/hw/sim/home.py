"""What the process of a simulated machine and those who look for it both know; it costs nothing to import."""

from __future__ import annotations

from pathlib import Path

LOCK_NAME = "machine.lock"
IDENTITY_NAME = "machine.json"
LOG_NAME = "machine.log"
EXIT_BUSY = 3


def start_ticks(pid: int) -> int:
    """When the process started, in ticks since boot: field 22 of proc_pid_stat(5). Raises OSError if it is gone."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return int(stat.rpartition(")")[2].split()[19])
