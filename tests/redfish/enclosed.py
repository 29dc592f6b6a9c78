"""The Protocol Validator and a board of its own in a network namespace, where multicast goes nowhere.

Run by `unshare --net`; prints the verdict as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from tests.harness.program import ADMIN_PASSWORD, Program
from tests.redfish import verdicts
from tests.redfish.judges import Door

_PREPARE = (
    ("ip", "link", "set", "lo", "up"),
    ("ip", "link", "set", "lo", "multicast", "on"),
    ("ip", "route", "add", "239.0.0.0/8", "dev", "lo"),
    ("ip", "-6", "route", "add", "ff02::/16", "dev", "lo", "table", "local"),
)


def main() -> None:
    folder = Path(sys.argv[1])
    for command in _PREPARE:
        subprocess.run(command, check=False, capture_output=True, timeout=10)
    with Program(folder / "state") as program:
        program.login()
        verdict = verdicts.protocol(Door(program.url, "admin", ADMIN_PASSWORD), folder)
    print(json.dumps(asdict(verdict)))


if __name__ == "__main__":
    main()
