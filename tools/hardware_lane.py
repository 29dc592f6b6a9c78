"""Runs the tests of drivers on a real kernel, in a virtual machine, and shows what happens there.

Arguments go to the pytest in the machine: `tools/hardware_lane.py -v -k watchdog`. The kernel is fetched and built the
first time; it is kept in `UBMC_HARDWARE_LANE`, by default below `~/.cache/ubmc`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Runs the lane; the exit code is pytest's."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ubmc/hardware"
    environment = {
        "UBMC_HARDWARE_LANE": str(cache),
        **os.environ,
        "UBMC_HARDWARE_ARGS": shlex.join(sys.argv[1:]),
    }
    command = (sys.executable, "-m", "pytest", "tests/hardware/test_lane.py", "-q", "-s", "-p", "no:cacheprovider")
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
